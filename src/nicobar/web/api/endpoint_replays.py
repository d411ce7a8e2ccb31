"""`…/endpoint/{endpoint_id}/recover`, `replay-missing`, `bulk-replay`: replays."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from nicobar.clock import unix_ms
from nicobar.model import Endpoint
from nicobar.store import ReplayFilter, TaskKind
from nicobar.use_cases.deliveries import FINAL_STATES
from nicobar.use_cases.endpoints import check_enabled
from nicobar.use_cases.replay_effects import known_effect
from nicobar.use_cases.replays import count_replay, start_replay
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import DryRun
from nicobar.web.api.endpoints import ONE, TAGS
from nicobar.web.api.errors import Invalid
from nicobar.web.api.shapes import Channel, EventTypeName, Moment, Shape, Tag, given_names, moment
from nicobar.web.api.status import MessageStatus, states_of
from nicobar.web.api.tasks import TaskStartedOut, started
from nicobar.web.operations import Response, ResponseSpec, post

NewIds = Annotated[
    bool,
    Meta(
        description="Use new event IDs: the destination processes the events again and may send duplicate emails. "
        "Defaults to false."
    ),
]


class RecoverIn(Shape):
    """The time range of the messages, by acceptance. `until` defaults to now."""

    since: Moment
    until: Moment | None = None


class BulkReplayIn(Shape):
    """The filter. Deliveries must match all given fields. `until` defaults to now. `status` is 0 (success), 2 (fail)
    or 4 (canceled), and defaults to all three.
    """

    since: Moment
    until: Moment | None = None
    event_types: Annotated[list[EventTypeName], Meta(max_length=500)] | None = None
    channel: Channel | None = None
    tag: Tag | None = None
    status: Annotated[int, Meta(ge=0, le=4)] | None = None
    status_code_class: None = None


class ReplayEffectOut(Shape):
    """What a replay would send, by running the current handler on at most 10,000 of the messages within 20 seconds:
    an estimate from `messages` of them if `isEstimate`. `newEvents` are new to the destination, which ignores
    `knownEvents`. `changed` messages would send something else than they did; in `renumbered` ones, the
    number of equal events without a `key` has changed, so that events may be lost or sent twice; `failing` ones would
    send nothing because of an error.
    """

    messages: int
    new_events: int
    known_events: int
    changed: int
    renumbered: int
    failing: int
    is_estimate: bool


class ReplayCountOut(Shape):
    """Preview of a replay. `overtaken` is the number of customers with newer delivered messages: a replay may
    overwrite newer attributes. `earlierIds` is the number of deliveries from an earlier version of Nicobar, which
    derived event IDs differently: the destination processes their events again and may send duplicate emails.
    `effect` is null if the handler cannot be run.
    """

    deliveries: int
    customers: int
    overtaken: int
    oldest_accepted_at: Moment | None
    earlier_ids: int
    effect: ReplayEffectOut | None


async def counted(
    services: Services,
    caller: Caller,
    kind: TaskKind,
    endpoint: Endpoint,
    which: ReplayFilter,
    *,
    new_ids: bool = False,
) -> ReplayCountOut:
    """The effect is only for callers who may run code."""
    count = await count_replay(services.store, kind, endpoint, which)
    effect = None
    if caller.may_write:
        effect = await known_effect(services, kind, endpoint, which, count, new_ids=new_ids)
    return ReplayCountOut(
        deliveries=count.deliveries,
        customers=count.customers,
        overtaken=count.overtaken,
        earlier_ids=count.earlier_ids,
        oldest_accepted_at=moment(count.oldest_accepted_at_ms) if count.oldest_accepted_at_ms else None,
        effect=None if effect is None else ReplayEffectOut(**msgspec.structs.asdict(effect)),
    )


_RESPONSES = {
    202: ResponseSpec(TaskStartedOut, description="The replay has started."),
    200: ResponseSpec(ReplayCountOut, description="Preview, with `dryRun`. Nothing was changed."),
}


@post(
    f"{ONE}/recover",
    id="v1.endpoint.recover",
    tags=TAGS,
    summary="Replay failed deliveries",
    status=202,
    responses=_RESPONSES,
)
async def recover(
    *,
    endpoint: Endpoint,
    data: RecoverIn,
    services: Services,
    caller: Caller,
    dry_run: DryRun = False,
    new_ids: NewIds = False,
) -> Response[TaskStartedOut | ReplayCountOut]:
    """Replays failed deliveries in a time range, in order per customer. Runs as a background task."""
    which = ReplayFilter(since_ms=unix_ms(data.since), until_ms=_until(data.until))
    return await _replay(services, caller, endpoint, TaskKind.RECOVER, which, dry_run=dry_run, new_ids=new_ids)


@post(
    f"{ONE}/replay-missing",
    id="v1.endpoint.replay-missing",
    tags=TAGS,
    summary="Replay missing deliveries",
    status=202,
    responses=_RESPONSES,
)
async def replay_missing(
    *,
    endpoint: Endpoint,
    data: RecoverIn,
    services: Services,
    caller: Caller,
    dry_run: DryRun = False,
    new_ids: NewIds = False,
) -> Response[TaskStartedOut | ReplayCountOut]:
    """Sends messages that match the endpoint's current filter and were never queued for it, for example because they
    are older than the endpoint. Runs as a background task.
    """
    which = ReplayFilter(since_ms=unix_ms(data.since), until_ms=_until(data.until), states=())
    kind = TaskKind.REPLAY_MISSING
    return await _replay(services, caller, endpoint, kind, which, dry_run=dry_run, new_ids=new_ids)


@post(
    f"{ONE}/bulk-replay",
    id="v1.endpoint.bulk-replay",
    tags=TAGS,
    summary="Replay deliveries by filter",
    status=202,
    responses=_RESPONSES,
)
async def bulk_replay(
    *,
    endpoint: Endpoint,
    data: BulkReplayIn,
    services: Services,
    caller: Caller,
    dry_run: DryRun = False,
    new_ids: NewIds = False,
) -> Response[TaskStartedOut | ReplayCountOut]:
    """Replays the finished deliveries that match a filter, including successful ones. Runs as a background task."""
    states = FINAL_STATES if data.status is None else states_of(MessageStatus(data.status), expanded=True)
    if not set(states) <= set(FINAL_STATES):
        raise Invalid(
            "body.status",
            f"Deliveries with the status {data.status} are unfinished and cannot be replayed.",
            "Use 0, 2 or 4.",
        )
    which = ReplayFilter(
        since_ms=unix_ms(data.since),
        until_ms=_until(data.until),
        states=states,
        event_types=given_names(data.event_types),
        channels=(data.channel,) if data.channel else (),
        tag=data.tag,
    )
    return await _replay(services, caller, endpoint, TaskKind.BULK_REPLAY, which, dry_run=dry_run, new_ids=new_ids)


def _until(until: datetime | None) -> int | None:
    return None if until is None else unix_ms(until)


async def _replay(
    services: Services,
    caller: Caller,
    endpoint: Endpoint,
    kind: TaskKind,
    which: ReplayFilter,
    *,
    dry_run: bool,
    new_ids: bool,
) -> Response[TaskStartedOut | ReplayCountOut]:
    check_enabled(endpoint)
    if dry_run:
        return Response(await counted(services, caller, kind, endpoint, which, new_ids=new_ids), status=200)
    task = await start_replay(services, caller, kind, endpoint, which, new_ids=new_ids)
    return Response(started(task), status=202)


OPERATIONS = (recover, replay_missing, bulk_replay)
