"""Failure groups (an addition to the Svix API): failed deliveries with the same cause, and their replay."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from nicobar.model import Application, Endpoint
from nicobar.store import FailureGroup, Snapshot, TaskKind
from nicobar.use_cases.endpoints import check_enabled
from nicobar.use_cases.replays import group_filter, replay_group
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.deletion_preview import DryRun
from nicobar.web.api.endpoint_replays import ReplayCountOut, counted
from nicobar.web.api.errors import not_found
from nicobar.web.api.lookups import MAX_KEY_CHARS, endpoint_of
from nicobar.web.api.shapes import EndpointId, MessageId, Moment, Shape, moment, text_of_reason
from nicobar.web.api.tasks import BackgroundTaskOut
from nicobar.web.api.tasks import shown as task_shown
from nicobar.web.operations import Response, ResponseSpec, get, post
from nicobar.web.parameters import Name

TAGS = ["Failure Group"]
MAX_FAILURE_CHARS = 2_000


class FailureGroupOut(Shape):
    """Failed deliveries of one endpoint with the same cause. `failure` identifies the group. `reason` and `messageId`
    are those of the latest failure.
    """

    endpoint_id: EndpointId
    failure: str
    count: int
    first_at: Moment
    last_at: Moment
    reason: str
    message_id: MessageId


class FailureGroupsOut(Shape):
    """The failure groups, latest first. Maximum 500."""

    data: list[FailureGroupOut]


class GroupIn(Shape):
    """The failure group, identified by `failure`. With `newIds`, a replay uses new event IDs: the destination
    processes the events again. Defaults to false.
    """

    failure: Annotated[str, Meta(min_length=1, max_length=MAX_FAILURE_CHARS)]
    new_ids: bool = False


def shown(group: FailureGroup) -> FailureGroupOut:
    return FailureGroupOut(
        endpoint_id=group.endpoint_id,
        failure=group.failure,
        count=group.count,
        first_at=moment(group.first_at_ms),
        last_at=moment(group.last_at_ms),
        reason=text_of_reason(group.reason) or "",
        message_id=group.message_id,
    )


@get(
    "/api/v1/app/{app_id}/failure-group",
    id="nicobar.failure-group.list",
    tags=TAGS,
    summary="List failure groups",
)
async def list_failure_groups(
    *,
    application: Application,
    snapshot: Snapshot,
    services: Services,
    of_endpoint: Annotated[
        Annotated[str, Meta(max_length=MAX_KEY_CHARS, description="Filter by endpoint, by ID or uid.")] | None,
        Name("endpoint_id"),
    ] = None,
) -> FailureGroupsOut:
    """Lists failed deliveries grouped by endpoint and cause, with the number of each."""
    endpoint_id = None if of_endpoint is None else endpoint_of(snapshot, application, of_endpoint).id
    groups = await services.store.failure_groups(application.id, endpoint_id)
    return FailureGroupsOut(data=[shown(group) for group in groups])


@post(
    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/failure-group/count",
    id="nicobar.failure-group.count",
    tags=TAGS,
    summary="Preview failure group replay",
    status=200,
    needs=Needs.READING,
)
async def count_failure_group(
    *, endpoint: Endpoint, services: Services, caller: Caller, data: GroupIn
) -> ReplayCountOut:
    """Returns what a replay of the failure group would do."""
    return await counted(services, caller, TaskKind.BULK_REPLAY, endpoint, group_filter(data.failure))


@post(
    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/failure-group/replay",
    id="nicobar.failure-group.replay",
    tags=TAGS,
    summary="Replay failure group",
    status=202,
    responses={
        202: ResponseSpec(BackgroundTaskOut, description="The replay has started."),
        200: ResponseSpec(ReplayCountOut, description="Preview, with `dryRun`. Nothing was changed."),
    },
)
async def replay_failure_group(
    *,
    endpoint: Endpoint,
    services: Services,
    caller: Caller,
    data: GroupIn,
    dry_run: DryRun = False,
) -> Response[BackgroundTaskOut | ReplayCountOut]:
    """Replays all deliveries of a failure group, in order per customer. Runs as a background task."""
    if dry_run:
        check_enabled(endpoint)
        which = group_filter(data.failure)
        found = await counted(services, caller, TaskKind.BULK_REPLAY, endpoint, which, new_ids=data.new_ids)
        if not found.deliveries:
            raise not_found("failure group", data.failure)
        return Response(found, status=200)
    task = await replay_group(services, caller, endpoint, data.failure, new_ids=data.new_ids)
    if task is None:
        raise not_found("failure group", data.failure)
    return Response(task_shown(task), status=202)


OPERATIONS = (list_failure_groups, count_failure_group, replay_failure_group)
