"""Questions to an endpoint's destination that users ask: its people, its campaigns, its failed changes. Each is bounded
in requests and time, spaced, stops at the first failure, and is recorded in the audit log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nicobar.addresses import RefusedAddress
from nicobar.audit import AuditAction
from nicobar.clock import Clock
from nicobar.connectors import NoResponse, Request, Response, Transport
from nicobar.connectors.inspection import Campaign, FailedChange, Inspection, NameFinding, Unanswered, compare_names
from nicobar.connectors.registry import connector
from nicobar.errors import Refusal
from nicobar.model import Attempt, Endpoint, Record
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.transform import Ready
from nicobar.reasons import Reason, reason
from nicobar.sandbox import Sandbox
from nicobar.use_cases.dry_run import Samples, run_samples
from nicobar.use_cases.edit import Actor, OperationServices, audit_line

# Customer.io allows 10 a second to all clients of a workspace together.
SPACING_MS = 150
MAX_WAITING = 40
# What of a destination's activities belongs to a delivery: the changes take effect a while after the response.
BEFORE_ATTEMPT_MS = 60_000
AFTER_ATTEMPT_MS = 15 * 60_000


class SpacedTransport:
    """Sends one request at a time, with SPACING_MS between their beginnings, of all who share it. At most MAX_WAITING
    wait; others get no response.
    """

    def __init__(self, inner: Transport, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._next_ms = 0

    async def send(self, request: Request) -> Response | NoResponse:
        if self._waiting >= MAX_WAITING:
            return NoResponse(
                reason=reason("too_many_questions", "too many questions at the same time"), duration_ms=0
            )
        self._waiting += 1
        try:
            async with self._turn:
                left_ms = self._next_ms - self._clock.steady_ms()
                if left_ms > 0:
                    await self._clock.wait(asyncio.Event(), left_ms)
                self._next_ms = self._clock.steady_ms() + SPACING_MS
                return await self._inner.send(request)
        finally:
            self._waiting -= 1

    async def refused_address(self, url: str) -> RefusedAddress | None:
        return await self._inner.refused_address(url)


def inspection_of(opened: OpenEndpoint) -> Inspection:
    """Raises Refusal 409 for an endpoint whose destination cannot be asked."""
    found = opened.destination.inspection
    if found is None:
        raise Refusal(
            409,
            "inspection_unavailable",
            "Endpoint %(name)s has no key to look things up at its destination.",
            "Add the App API key in the endpoint's settings (Customer.io only).",
            name=opened.endpoint.name,
        )
    return found


async def note(services: OperationServices, actor: Actor, endpoint: Endpoint, what: str) -> None:
    """Notes in the audit log what is looked up with stored credentials, without naming people."""
    host = connector(endpoint.connector).credentials_host(endpoint.settings)
    detail = f"{what} looked up at {host}"
    line = audit_line(
        services, actor, AuditAction.ENDPOINT_INSPECT, endpoint.id, app_id=endpoint.app_id, detail=detail
    )
    await services.store.change([line])


class CampaignCheck(Record):
    """The names of the events that an endpoint sends beside those that campaigns wait for. `unanswered` says why the
    destination did not tell its campaigns; nothing is known then.
    """

    sent: tuple[str, ...]
    campaigns: tuple[Campaign, ...] = ()
    findings: tuple[NameFinding, ...] = ()
    unanswered: Reason | None = None


async def sent_names(sandbox: Sandbox, opened: OpenEndpoint, samples: Samples, clock: Clock) -> tuple[str, ...]:
    """The names of the events that the endpoint's handler sends for samples. Raises SandboxError."""
    found = await run_samples(sandbox, opened, samples, clock.now_ms(), clock.steady_ms)
    calls = [call for each in found.dry_runs if isinstance(each.result, Ready) for call in each.result.calls]
    return tuple(dict.fromkeys(opened.connector.describe(call) for call in calls if call.is_event))


async def check_campaigns(transport: Transport, asked: Inspection, sent: Sequence[str]) -> CampaignCheck:
    """Asks for the campaigns and compares their events with those that are sent."""
    campaigns = await asked.campaigns(transport)
    if isinstance(campaigns, Unanswered):
        return CampaignCheck(sent=tuple(sent), unanswered=campaigns.reason)
    return CampaignCheck(sent=tuple(sent), campaigns=campaigns, findings=compare_names(sent, campaigns))


async def failed_changes(
    transport: Transport, asked: Inspection, attempts: Sequence[Attempt]
) -> tuple[FailedChange, ...] | Unanswered:
    """The failed changes of the people that these attempts named, from shortly before the first until a while after
    the last. Nothing is asked without an attempt that sent something.
    """
    sent = [attempt for attempt in attempts if attempt.requests]
    if not sent:
        return ()
    times = [attempt.started_at_ms for attempt in sent]
    requests = [request for attempt in sent for request in attempt.requests]
    return await asked.failures(transport, requests, min(times) - BEFORE_ATTEMPT_MS, max(times) + AFTER_ATTEMPT_MS)
