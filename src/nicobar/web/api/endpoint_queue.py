"""`…/endpoint/{endpoint_id}/queue` (an addition to the Svix API): unfinished deliveries, pause and resume."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from nicobar.model import Breaker, BreakerState, Endpoint
from nicobar.pipeline.breaker import next_probe_at_ms
from nicobar.use_cases import deliveries, endpoints
from nicobar.use_cases.bounds import MAX_PAUSE_REASON_CHARS
from nicobar.use_cases.deliveries import count_cancelable
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.endpoints import PAUSED
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import DryRun, DryRunOut, effect
from nicobar.web.api.endpoints import ONE, TAGS
from nicobar.web.api.lookups import AppKey, EndpointKey, application_of, endpoint_of
from nicobar.web.api.shapes import Moment, Shape, moment, text_of_reason
from nicobar.web.operations import get, post


class BreakerOut(Shape):
    """The circuit breaker of an endpoint. `state` is `closed` (sending), `open` (not sending because the destination
    fails) or `half_open` (one delivery is sent as a probe). `probeAt` is the time of the next probe.
    """

    state: BreakerState
    failures: int
    failing_since: Moment | None
    probe_at: Moment | None
    reason: str | None


class QueueOut(Shape):
    """The queue: the number of `unfinished` deliveries, and when the oldest of their messages was accepted."""

    unfinished: int
    oldest_accepted_at: Moment | None
    paused_reason: str | None
    disabled: bool
    disabled_reason: str | None
    breaker: BreakerOut


class PauseIn(Shape):
    """The reason, shown in the dashboard and in `pausedReason`."""

    reason: Annotated[str, Meta(min_length=1, max_length=MAX_PAUSE_REASON_CHARS)] = PAUSED.template


class CanceledOut(Shape):
    """The number of canceled deliveries. `done` is false if more remain: repeat the request."""

    canceled: int
    done: bool


@get(f"{ONE}/queue", id="nicobar.endpoint.queue", tags=TAGS, summary="Get endpoint queue")
async def get_queue(endpoint: Endpoint, services: Services) -> QueueOut:
    """Returns the unfinished deliveries of an endpoint, why it is paused or disabled, and its circuit breaker."""
    waiting = next(iter(await services.store.backlog(endpoint.seq)), None)
    breaker = (await services.store.breakers()).get(endpoint.seq, Breaker())
    probe_at_ms = next_probe_at_ms(breaker)
    return QueueOut(
        unfinished=waiting.unfinished if waiting else 0,
        oldest_accepted_at=moment(waiting.oldest_accepted_at_ms) if waiting else None,
        paused_reason=text_of_reason(endpoint.paused_reason),
        disabled=endpoint.disabled,
        disabled_reason=text_of_reason(endpoint.disabled_reason),
        breaker=BreakerOut(
            state=breaker.state,
            failures=breaker.failures,
            failing_since=moment(breaker.failing_since_ms) if breaker.failing_since_ms else None,
            probe_at=moment(probe_at_ms) if probe_at_ms else None,
            reason=text_of_reason(breaker.reason),
        ),
    )


@post(f"{ONE}/pause", id="nicobar.endpoint.pause", tags=TAGS, summary="Pause endpoint", status=204)
async def pause(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: PauseIn,
    services: Services,
    caller: Caller,
) -> None:
    """Stops sending to an endpoint until you resume it. New messages are queued."""

    async def change(edit: Edit) -> None:
        endpoint = endpoint_of(edit.snapshot, application_of(edit.snapshot, caller, app_id), endpoint_id)
        await endpoints.pause(edit, endpoint, data.reason)

    await edited(services, caller, change)


@post(f"{ONE}/resume", id="nicobar.endpoint.resume", tags=TAGS, summary="Resume endpoint", status=204)
async def resume(*, app_id: AppKey, endpoint_id: EndpointKey, services: Services, caller: Caller) -> None:
    """Resumes an endpoint that is paused or on hold, and sends its queued messages. Has no effect on other endpoints.
    A disabled endpoint is rejected (409 `endpoint_disabled`): update it with `disabled: false`.
    """

    async def change(edit: Edit) -> None:
        endpoint = endpoint_of(edit.snapshot, application_of(edit.snapshot, caller, app_id), endpoint_id)
        await endpoints.resume(edit, endpoint)

    await edited(services, caller, change)


@post(
    f"{ONE}/cancel-pending",
    id="nicobar.endpoint.cancel-pending",
    tags=TAGS,
    summary="Cancel pending deliveries",
    status=200,
)
async def cancel_pending(
    *, endpoint: Endpoint, services: Services, caller: Caller, dry_run: DryRun = False
) -> CanceledOut | DryRunOut:
    """Cancels the pending deliveries of an endpoint, but not those in progress. Canceled deliveries can be replayed.
    With `dryRun`, returns the number of deliveries and cancels nothing.
    """
    if dry_run:
        return effect(deliveries=await count_cancelable(services.store, endpoint))
    canceled, is_done = await deliveries.cancel_pending(services, caller, endpoint)
    return CanceledOut(canceled=canceled, done=is_done)


OPERATIONS = (get_queue, pause, resume, cancel_pending)
