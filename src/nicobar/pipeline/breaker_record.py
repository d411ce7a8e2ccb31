"""The stored breaker of an endpoint, and what operators are told about its changes."""

from __future__ import annotations

from nicobar.errors import StoreError
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import Breaker, BreakerState, Endpoint
from nicobar.pipeline import breaker as rules
from nicobar.pipeline.alert_types import Alert, AlertType
from nicobar.pipeline.alerts import Alerts
from nicobar.reasons import Reason, reason
from nicobar.store import Queue


class BreakerRecord:
    """For restarts and for display: the breaker's state, the next probe and the start of the failures. Stored under
    one term of the endpoint's lease. `kept` is the breaker that is stored. The methods raise StoreError.
    """

    def __init__(self, *, queue: Queue, alerts: Alerts, metrics: Metrics, term: int, kept: Breaker) -> None:
        self._queue = queue
        self._alerts = alerts
        self._metrics = metrics
        self._term = term
        self._kept = kept
        # Whether a hold ended, or the configuration changed, since the last alert: that sending starts again is no
        # recovery.
        self._is_reset = False
        # Whether the next accepted delivery is the recovery.
        self._is_end_due = False

    def reset(self) -> None:
        """The hold ended or the configuration changed, and sending starts again."""
        self._is_reset = True

    async def put(self, endpoint: Endpoint, breaker: Breaker) -> None:
        """Stores the breaker, without an alert."""
        self._kept = breaker
        await self._queue.keep_breaker(endpoint.seq, breaker, term=self._term)

    async def follow(self, endpoint: Endpoint, breaker: Breaker) -> Reason | None:
        """Stores the breaker if it changed, and alerts the operators; the next call repeats what failed. Returns why
        the endpoint must be disabled.
        """
        kept = self._kept
        if _reported_part(breaker) == _reported_part(kept):
            return None
        self._kept = breaker
        try:
            await self._queue.keep_breaker(endpoint.seq, breaker, term=self._term)
        except StoreError:
            self._kept = kept
            raise
        self._metrics.breaker.labels(endpoint.name).set(int(breaker.state is not BreakerState.CLOSED))
        if breaker.opened_at_ms is not None and kept.opened_at_ms is None:
            log.error(
                "breaker opened",
                endpoint_id=endpoint.id,
                reason=_why(breaker).without_texts().text(),
                probe_at_ms=breaker.probe_at_ms,
            )
        was_sounded, is_sounded = rules.is_sounded(kept), rules.is_sounded(breaker)
        if is_sounded and not was_sounded:
            self._is_reset = self._is_end_due = False
            if breaker.hold is None:  # the hold sends its own alert, once it is stored
                await self._alerts.tell(Alert(type=AlertType.FAILING, endpoint=endpoint, reason=_why(breaker)))
        elif was_sounded and not is_sounded and self._is_reset:
            self._is_end_due = True
        elif was_sounded and not is_sounded:
            log.info("destination recovered", endpoint_id=endpoint.id)
            why = reason("answers_again", "The destination responds again.")
            await self._alerts.tell(Alert(type=AlertType.RECOVERED, endpoint=endpoint, reason=why))
        if not rules.is_given_up(breaker):
            return None
        return reason(
            "failing_for_days",
            "Disabled after %(days)s days of failures. Last failure: %(reason)s",
            days=rules.DISABLE_AFTER_DAYS,
            reason=_why(breaker),
        )

    async def accepted(self, endpoint: Endpoint) -> None:
        """The destination accepted a delivery: if operators were told that it failed, the end is told too."""
        if self._is_end_due:
            self._is_reset = self._is_end_due = False
            why = reason("delivery_accepted", "The destination accepted a delivery.")
            await self._alerts.tell(Alert(type=AlertType.RECOVERED, endpoint=endpoint, reason=why))


def _why(breaker: Breaker) -> Reason:
    return breaker.reason or reason("failures", "repeated failures")


def _reported_part(breaker: Breaker) -> tuple[object, ...]:
    """The part of a breaker whose changes are stored and reported; the failure count alone is not."""
    first = breaker.state, breaker.opens, breaker.probe_at_ms, breaker.failing_since_ms, breaker.foreign, breaker.hold
    return *first, breaker.streak, breaker.ended
