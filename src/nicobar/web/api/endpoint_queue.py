"""Ours, `…/endpoint/{endpoint_id}/queue`: what waits for an endpoint, and whether it is sent."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from nicobar.model import Breaker, BreakerState, Endpoint
from nicobar.pipeline.breaker import next_probe_at_ms
from nicobar.store import PauseEndpoint
from nicobar.use_cases.endpoint_state import resume_endpoint
from nicobar.use_cases.services import Services, again_if_moved
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import DryRun, DryRunOut, effect, pending
from nicobar.web.api.endpoints import ONE, TAGS
from nicobar.web.api.lookups import AppKey, EndpointKey, endpoint_to_change
from nicobar.web.api.shapes import Moment, Shape, moment
from nicobar.web.operations import get, post

CANCEL_AT_ONCE = 1_000
MAX_CANCELED = 100_000
CANCELED = "canceled by hand"


class BreakerOut(Shape):
    """What is known of the destination's health: `open` while nothing is sent because it fails, `half_open` while one
    delivery finds out. `probeAt` is when the destination is asked next, also while the endpoint is on hold.
    """

    state: BreakerState
    failures: int
    failing_since: Moment | None
    probe_at: Moment | None
    reason: str | None


class QueueOut(Shape):
    """What waits: `unfinished` deliveries, the oldest of a message accepted at `oldestAcceptedAt`."""

    unfinished: int
    oldest_accepted_at: Moment | None
    paused_reason: str | None
    disabled: bool
    disabled_reason: str | None
    breaker: BreakerOut


class PauseIn(Shape):
    """Why."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)] = "paused by hand"


class CanceledOut(Shape):
    """How many deliveries were canceled; `done` is false where more are left."""

    canceled: int
    done: bool


@get(f"{ONE}/queue", id="nicobar.endpoint.queue", tags=TAGS, summary="Get Queue")
async def get_queue(endpoint: Endpoint, services: Services) -> QueueOut:
    """What waits for an endpoint, whether it is paused, and its breaker."""
    waiting = next(
        (waiting for waiting in await services.store.backlog() if waiting.endpoint_seq == endpoint.seq), None
    )
    breaker = (await services.store.breakers()).get(endpoint.seq, Breaker())
    probe_at_ms = next_probe_at_ms(breaker)
    return QueueOut(
        unfinished=waiting.unfinished if waiting else 0,
        oldest_accepted_at=moment(waiting.oldest_accepted_at_ms) if waiting else None,
        paused_reason=endpoint.paused_reason,
        disabled=endpoint.disabled,
        disabled_reason=endpoint.disabled_reason,
        breaker=BreakerOut(
            state=breaker.state,
            failures=breaker.failures,
            failing_since=moment(breaker.failing_since_ms) if breaker.failing_since_ms else None,
            probe_at=moment(probe_at_ms) if probe_at_ms else None,
            reason=breaker.reason,
        ),
    )


@post(f"{ONE}/pause", id="nicobar.endpoint.pause", tags=TAGS, summary="Pause Endpoint", status=204)
@again_if_moved
async def pause(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: PauseIn,
    services: Services,
    caller: Caller,
) -> None:
    """Stops sending to an endpoint until it is resumed. Messages for it are kept. Nicobar never ends such a pause."""
    async with endpoint_to_change(services, caller, app_id, endpoint_id) as known:
        change = PauseEndpoint(endpoint_id=known.id, reason=data.reason, by_hand=True)
        await services.change(caller, "endpoint.pause", known.id, change, app_id=known.app_id, detail=data.reason)


@post(f"{ONE}/resume", id="nicobar.endpoint.resume", tags=TAGS, summary="Resume Endpoint", status=204)
@again_if_moved
async def resume(*, app_id: AppKey, endpoint_id: EndpointKey, services: Services, caller: Caller) -> None:
    """Ends the pause or the hold of an endpoint: queued messages are sent. Does nothing to one that is neither. A
    disabled endpoint is rejected with 409 `endpoint_disabled`: enable it with `disabled: false`.
    """
    async with endpoint_to_change(services, caller, app_id, endpoint_id) as known:
        await resume_endpoint(services, caller, known)


@post(
    f"{ONE}/cancel-pending",
    id="nicobar.endpoint.cancel-pending",
    tags=TAGS,
    summary="Cancel Pending Deliveries",
    status=200,
)
async def cancel_pending(
    *, endpoint: Endpoint, services: Services, caller: Caller, dry_run: DryRun = False
) -> CanceledOut | DryRunOut:
    """Cancels the pending deliveries of an endpoint. Those that are being sent are left alone; canceled ones can be
    replayed. With `dryRun` nothing is canceled, and the answer counts the deliveries.
    """
    if dry_run:
        return effect(deliveries=min(MAX_CANCELED, await pending(services.store, endpoint)))
    said = services.said(caller, "endpoint.cancel-pending", endpoint.id, app_id=endpoint.app_id)
    canceled, last = 0, CANCEL_AT_ONCE
    while last == CANCEL_AT_ONCE and canceled < MAX_CANCELED:
        last = await services.store.cancel_pending(
            endpoint.seq, now_ms=services.clock.now_ms(), limit=CANCEL_AT_ONCE, reason=CANCELED, said=said
        )
        canceled += last
    return CanceledOut(canceled=canceled, done=last < CANCEL_AT_ONCE)


OPERATIONS = (get_queue, pause, resume, cancel_pending)
