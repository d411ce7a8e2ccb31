"""`…/endpoint/{endpoint_id}/recover`, `replay-missing`, `bulk-replay`: sending again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from nicobar.model import Endpoint
from nicobar.store import ReplayCount, ReplayFilter, TaskKind
from nicobar.use_cases.deliveries import FINAL_STATES
from nicobar.use_cases.endpoints import check_enabled
from nicobar.use_cases.replays import count_replay, start_replay
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import DryRun
from nicobar.web.api.endpoints import ONE, TAGS
from nicobar.web.api.errors import Invalid
from nicobar.web.api.shapes import Channel, EventTypeName, Moment, Shape, Tag, given_names, moment, unix_ms
from nicobar.web.api.status import MessageStatus, states_of
from nicobar.web.api.tasks import TaskStartedOut, started
from nicobar.web.operations import Response, ResponseSpec, post

NewIds = Annotated[
    bool, Meta(description="Give the events new ids: destinations accept them as new, and emails go out again.")
]


class RecoverIn(Shape):
    """Of which time, by acceptance."""

    since: Moment
    until: Moment | None = None


class BulkReplayIn(Shape):
    """Which deliveries; all that is given has to fit. `status` is 0 (success), 2 (fail) or 4 (canceled)."""

    since: Moment
    until: Moment | None = None
    event_types: Annotated[list[EventTypeName], Meta(max_length=500)] | None = None
    channel: Channel | None = None
    tag: Tag | None = None
    status: Annotated[int, Meta(ge=0, le=4)] | None = None
    status_code_class: None = None


class ReplayCountOut(Shape):
    """What a replay would do. `overtaken` counts the customers to whom something newer was delivered since: their
    attributes may be set back. `earlierIds` counts the deliveries of an earlier version, which derived event ids
    differently: the destination accepts their events as new ones, and emails go out again.
    """

    deliveries: int
    customers: int
    overtaken: int
    oldest_accepted_at: Moment | None
    earlier_ids: int


def counted(count: ReplayCount) -> ReplayCountOut:
    return ReplayCountOut(
        deliveries=count.deliveries,
        customers=count.customers,
        overtaken=count.overtaken,
        earlier_ids=count.earlier_ids,
        oldest_accepted_at=moment(count.oldest_accepted_at_ms) if count.oldest_accepted_at_ms else None,
    )


_RESPONSES = {
    202: ResponseSpec(TaskStartedOut, description="It was asked for."),
    200: ResponseSpec(ReplayCountOut, description="What it would do."),
}


@post(
    f"{ONE}/recover",
    id="v1.endpoint.recover",
    tags=TAGS,
    summary="Recover Failed Deliveries",
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
    """Sends what failed again, in each customer's order."""
    which = ReplayFilter(since_ms=unix_ms(data.since), until_ms=_until(data.until))
    return await _replay(services, caller, endpoint, TaskKind.RECOVER, which, dry_run=dry_run, new_ids=new_ids)


@post(
    f"{ONE}/replay-missing",
    id="v1.endpoint.replay-missing",
    tags=TAGS,
    summary="Send Missing Deliveries",
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
    """Sends what the endpoint would get today and never got."""
    which = ReplayFilter(since_ms=unix_ms(data.since), until_ms=_until(data.until), states=())
    kind = TaskKind.REPLAY_MISSING
    return await _replay(services, caller, endpoint, kind, which, dry_run=dry_run, new_ids=new_ids)


@post(
    f"{ONE}/bulk-replay",
    id="v1.endpoint.bulk-replay",
    tags=TAGS,
    summary="Replay Deliveries",
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
    """Sends what a filter finds again, whatever became of it."""
    states = FINAL_STATES if data.status is None else states_of(MessageStatus(data.status), expanded=True)
    if not set(states) <= set(FINAL_STATES):
        raise Invalid("body.status", "What is not finished cannot be replayed.", "Ask for 0, 2 or 4.")
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
        return Response(counted(await count_replay(services.store, kind, endpoint, which)), status=200)
    task = await start_replay(services, caller, kind, endpoint, which, new_ids=new_ids)
    return Response(started(task), status=202)


OPERATIONS = (recover, replay_missing, bulk_replay)
