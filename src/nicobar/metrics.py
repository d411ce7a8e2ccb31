"""Metrics, in the text format of Prometheus."""

from __future__ import annotations

import asyncio
import contextlib

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from nicobar.logs import log

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1_800, 7_200, 36_000)


class Metrics:
    """The metrics of `/metrics`. Labels are bounded: configured names, and codes from closed lists."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.received = self._counter(
            "nicobar_messages_received",
            "Events accepted: new, duplicate or unreadable.",
            "source",
            "outcome",
        )
        self.refused = self._counter("nicobar_requests_refused", "Requests rejected by sources.", "reason")
        self.limits = self._counter(
            "nicobar_http_limits",
            "Connections closed and requests rejected by limits of the HTTP server.",
            "reason",
        )
        self.delivered = self._counter("nicobar_deliveries_delivered", "Deliveries that succeeded.", "endpoint")
        self.failed = self._counter(
            "nicobar_deliveries_failed", "Deliveries that failed permanently.", "endpoint", "reason"
        )
        self.canceled = self._counter("nicobar_deliveries_canceled", "Deliveries that were canceled.", "endpoint")
        self.retried = self._counter(
            "nicobar_deliveries_retried", "Attempts that were followed by a retry.", "endpoint"
        )
        self.repeated = self._counter(
            "nicobar_calls_repeated",
            "Calls that were repeated because others about the person were sent shortly before.",
            "endpoint",
        )
        self.overtaken = self._counter(
            "nicobar_deliveries_overtaken",
            "Failing deliveries for which later ones of the same customer no longer wait.",
            "endpoint",
        )
        self.identity_fallbacks = self._counter(
            "nicobar_identity_fallbacks",
            "Deliveries to people identified by email because their metadata has no id.",
            "endpoint",
        )
        self.requests = self._counter("nicobar_requests_sent", "Requests to destinations.", "endpoint", "status")
        self.sandbox_kills = self._counter("nicobar_sandbox_kills", "Sandbox processes that were killed.", "reason")
        self.backlog = self._gauge("nicobar_backlog_deliveries", "Pending deliveries.", "endpoint")
        self.oldest_age = self._gauge(
            "nicobar_backlog_oldest_age_seconds", "Age of the oldest pending delivery.", "endpoint"
        )
        self.paused = self._gauge("nicobar_endpoint_paused", "1 while an endpoint is paused or on hold.", "endpoint")
        self.unusable_endpoints = self._gauge(
            "nicobar_endpoint_unusable", "1 while an endpoint cannot be used; its deliveries are on hold.", "endpoint"
        )
        self.unusable_sources = self._gauge(
            "nicobar_source_unusable", "1 while a source cannot be used; its senders get 503.", "source"
        )
        self.breaker = self._gauge(
            "nicobar_endpoint_breaker_open", "1 while an endpoint's breaker is not closed.", "endpoint"
        )
        self.held = self._gauge("nicobar_endpoints_held", "Endpoints that this process delivers for.")
        self.leases = self._counter(
            "nicobar_lease_changes",
            "Leases that this process acquired, released or lost to another worker.",
            "change",
        )
        self.failing_part = self._gauge(
            "nicobar_part_failing", "A part of /readyz: 0 if it works, 1 if it is degraded, 2 if it failed.", "part"
        )
        self.alerts = self._counter("nicobar_alerts", "Alerts, by outcome.", "type", "outcome")
        self.receive_seconds = self._histogram(
            "nicobar_receive_duration_seconds", "Time from the last byte of a request to its commit on disk."
        )
        self.latency_seconds = self._histogram(
            "nicobar_delivery_latency_seconds", "Time from accepting an event to delivering it.", "endpoint"
        )
        self.request_seconds = self._histogram(
            "nicobar_request_duration_seconds", "Response time of destinations.", "endpoint"
        )
        self.handler_seconds = self._histogram(
            "nicobar_handler_duration_seconds", "Run time of handlers.", "endpoint"
        )

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self._registry)

    def forget_endpoint(self, name: str) -> None:
        """Another process delivers for the endpoint now."""
        for gauge in (self.paused, self.breaker):
            with contextlib.suppress(KeyError):
                gauge.remove(name)

    def meanings(self) -> dict[str, str]:
        """What each metric means, by its name as in `render`; for the test of the reference."""
        return {
            family.name + ("_total" if family.type == "counter" else ""): family.documentation
            for family in self._registry.collect()
        }

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self._registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, labels, registry=self._registry)

    def _histogram(self, name: str, help_text: str, *labels: str) -> Histogram:
        return Histogram(name, help_text, labels, registry=self._registry, buckets=_SECONDS)


class LimitReport:
    """Counts reached limits and logs them: the first of a reason at once, then one line with their number for each
    `period_s`.
    """

    def __init__(self, metrics: Metrics, *, period_s: float = 10) -> None:
        self._metrics = metrics
        self._period_s = period_s
        self._unsaid: dict[str, int] = {}

    def __call__(self, reason: str) -> None:
        self._metrics.limits.labels(reason).inc()
        if reason in self._unsaid:
            self._unsaid[reason] += 1
        else:
            self._say(reason, 1)

    def _say(self, reason: str, count: int) -> None:
        log.warning("limit reached", reason=reason, count=count)
        self._unsaid[reason] = 0
        asyncio.get_running_loop().call_later(self._period_s, self._say_rest, reason)

    def _say_rest(self, reason: str) -> None:
        count = self._unsaid.pop(reason)
        if count:
            self._say(reason, count)
