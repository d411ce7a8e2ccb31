"""Questions to an endpoint's destination that users ask: its people, its campaigns, its failed changes. Each is
bounded, stops at the first failure, and is recorded in the audit log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nicobar.addresses import RefusedAddress
from nicobar.audit import AuditAction
from nicobar.clock import Clock
from nicobar.connectors import NoResponse, Request, Response, Transport
from nicobar.connectors.inspection import Campaign, FailedChange, Inspection, NameFinding, Unanswered, compare_names
from nicobar.connectors.registry import connector
from nicobar.model import Endpoint, Message, Record, RequestRecord
from nicobar.pipeline.configuration import OpenEndpoint, open_endpoint
from nicobar.pipeline.transform import Ready
from nicobar.reasons import Reason, reason
from nicobar.sandbox import Sandbox
from nicobar.store import Store
from nicobar.store.history import AttemptFilter
from nicobar.use_cases.dry_run import run_samples
from nicobar.use_cases.edit import Actor, OperationServices, audit_line
from nicobar.use_cases.ledger_states import LedgerState
from nicobar.use_cases.sample_events import Samples

# Destinations may allow as few as 10 requests a second to all of their clients together.
SPACING_MS = 150
MAX_WAITING = 40
# In which names of events are looked for.
MAX_ATTEMPTS = 100
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


class NamingServices(Protocol):
    """What `sent_names` needs."""

    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def sandbox(self) -> Sandbox: ...


class InspectionServices(NamingServices, OperationServices, Protocol):
    """What questions need of `Services`."""

    @property
    def asking(self) -> Transport: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: an open endpoint or draft, by whose id the audit log names it."""

    opened: OpenEndpoint
    app_id: str
    subject_id: str


def of_endpoint(services: OperationServices, endpoint: Endpoint) -> Asked:
    """Raises NicobarError for an endpoint that cannot be opened."""
    opened = open_endpoint(services.vault, endpoint)
    return Asked(opened=opened, app_id=endpoint.app_id, subject_id=endpoint.id)


def inspection_of(opened: OpenEndpoint) -> Inspection | Unanswered:
    """What can be asked, or why nothing can."""
    return opened.destination.inspection or Unanswered(
        reason=reason(
            "inspection_unavailable",
            "Endpoint %(name)s has no key to look things up at its destination.",
            "Add the key in the endpoint's settings.",
            name=opened.endpoint.name,
        )
    )


async def note(services: OperationServices, actor: Actor, asked: Asked, what: str) -> None:
    """Notes in the audit log what is looked up with stored credentials, without naming people."""
    endpoint = asked.opened.endpoint
    host = connector(endpoint.connector).credentials_host(endpoint.settings)
    detail = f"{what} looked up at {host}"
    action = AuditAction.ENDPOINT_INSPECT
    line = audit_line(services, actor, action, asked.subject_id, app_id=asked.app_id, detail=detail)
    await services.store.add_audit_line(line)


class CampaignCheck(Record):
    """The names of the events that an endpoint sends beside those that campaigns wait for. `unanswered` says why the
    destination did not tell its campaigns; nothing is known then.
    """

    sent: tuple[str, ...] = ()
    campaigns: tuple[Campaign, ...] = ()
    findings: tuple[NameFinding, ...] = ()
    unanswered: Reason | None = None


async def sent_names(
    services: NamingServices, asked: Asked, inspection: Inspection, samples: Samples
) -> tuple[str, ...]:
    """The names of the events that the handler sends for samples, and those that this version of it has sent lately.
    Raises SandboxError.
    """
    opened, clock = asked.opened, services.clock
    found = await run_samples(
        services.sandbox, opened, samples, clock.now_ms(), clock.steady_ms, states=tuple(LedgerState)
    )
    dry_runs = (*found.dry_runs, *found.varied)
    calls = [call for each in dry_runs if isinstance(each.result, Ready) for call in each.result.calls]
    requests = [
        RequestRecord(method=call.method, url=call.url, headers={}, body=call.body.decode("utf-8", "replace"))
        for call in calls
    ]
    version = opened.endpoint.transformation.version if opened.endpoint.transformation else None
    latest = await services.store.attempts_of_endpoint(asked.subject_id, AttemptFilter(), limit=MAX_ATTEMPTS)
    for item in latest.items:
        if item.attempt.transformation_version == version:
            requests += item.attempt.requests
    return inspection.event_names(requests)


async def check_names(services: InspectionServices, actor: Actor, asked: Asked, samples: Samples) -> CampaignCheck:
    """What the handler sends beside what campaigns wait for. Raises SandboxError."""
    inspection = inspection_of(asked.opened)
    if isinstance(inspection, Unanswered):
        return CampaignCheck(unanswered=inspection.reason)
    sent = await sent_names(services, asked, inspection, samples)
    await note(services, actor, asked, "campaigns")
    return await check_campaigns(services.asking, inspection, sent)


async def check_campaigns(transport: Transport, asked: Inspection, sent: Sequence[str]) -> CampaignCheck:
    """Asks for the campaigns and compares their events with those that are sent."""
    campaigns = await asked.campaigns(transport)
    if isinstance(campaigns, Unanswered):
        return CampaignCheck(sent=tuple(sent), unanswered=campaigns.reason)
    return CampaignCheck(sent=tuple(sent), campaigns=campaigns, findings=compare_names(sent, campaigns))


async def failed_changes(
    services: InspectionServices, actor: Actor, message: Message, endpoint: Endpoint
) -> tuple[FailedChange, ...] | Unanswered:
    """The failed changes of the people whom the message's attempts named, from shortly before the first attempt until
    a while after the last.
    """
    asked = of_endpoint(services, endpoint)
    inspection = inspection_of(asked.opened)
    if isinstance(inspection, Unanswered):
        return inspection
    attempts = (await services.store.attempts_of_deliveries([message.id], endpoint.id)).get((message.id, endpoint.id))
    sent = [attempt for attempt in attempts or () if attempt.requests]
    if not sent:
        return ()
    await note(services, actor, asked, f"failed changes of {message.id}")
    times = [attempt.started_at_ms for attempt in sent]
    requests = [request for attempt in sent for request in attempt.requests]
    return await inspection.failures(
        services.asking, requests, min(times) - BEFORE_ATTEMPT_MS, max(times) + AFTER_ATTEMPT_MS
    )
