"""Counts across applications, and background tasks that count attempts."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from nicobar.clock import unix_ms
from nicobar.store import Snapshot
from nicobar.store.history import TALLY_MS
from nicobar.use_cases.services import Services
from nicobar.use_cases.statistics import DAY_MS, count_usage, gather_event_types, make_range
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.lookups import find
from nicobar.web.api.paging import NoPlay
from nicobar.web.api.shapes import Moment, Shape, Uid
from nicobar.web.api.statistics import TAGS
from nicobar.web.api.tasks import TaskStartedOut, started
from nicobar.web.operations import get, post, put


class EndpointCountOut(Shape):
    """The number of endpoints."""

    active: int
    disabled: int


class AppCountOut(Shape):
    """The number of applications."""

    count: int


class AppUsageStatsIn(Shape):
    """The time range and the applications (IDs or uids). `appIds` defaults to all."""

    since: Moment
    until: Moment
    app_ids: Annotated[list[Uid], Meta(max_length=1_000)] | None = None


class AppUsageStatsOut(TaskStartedOut):
    """The background task, and the requested applications that do not exist."""

    unresolved_app_ids: list[str]


@get(
    "/api/v1/stats/endpoint/count",
    id="v1.statistics.endpoint-count",
    tags=TAGS,
    summary="Count endpoints",
    needs=Needs.OWN,
)
async def endpoint_count(
    *,
    snapshot: Snapshot,
    caller: Caller,
    exclude_svix_play: NoPlay = None,  # noqa: ARG001 - there are none
) -> EndpointCountOut:
    """Counts the endpoints of all applications within the token's scope."""
    seen = [endpoint for endpoint in snapshot.endpoints if caller.sees(endpoint.app_id)]
    disabled = sum(item.disabled for item in seen)
    return EndpointCountOut(active=len(seen) - disabled, disabled=disabled)


@get(
    "/api/v1/app/stats/count-active",
    id="v1.application.count-active",
    tags=TAGS,
    summary="Count active applications",
    needs=Needs.OWN,
)
async def count_active_applications(
    *,
    snapshot: Snapshot,
    caller: Caller,
    exclude_disabled: Annotated[
        bool, Meta(description="Exclude applications whose endpoints are all disabled. Defaults to false.")
    ] = False,
    exclude_svix_play: NoPlay = None,  # noqa: ARG001 - there are none
) -> AppCountOut:
    """Counts the applications with at least one endpoint, within the token's scope."""
    active = {endpoint.app_id for endpoint in snapshot.endpoints if not (exclude_disabled and endpoint.disabled)}
    return AppCountOut(count=sum(caller.sees(app_id) for app_id in active))


@post(
    "/api/v1/stats/usage/app",
    id="v1.statistics.aggregate-app-stats",
    tags=TAGS,
    summary="Aggregate application statistics",
    status=202,
    needs=Needs.READING,
)
async def aggregate_app_stats(*, snapshot: Snapshot, services: Services, data: AppUsageStatsIn) -> AppUsageStatsOut:
    """Counts the attempts of applications. The time range is rounded to 5 minutes. The returned task is finished."""
    wanted = {key: find(snapshot.applications, key) for key in data.app_ids or ()}
    applications = snapshot.applications if data.app_ids is None else [item for item in wanted.values() if item]
    span = make_range(
        unix_ms(data.since), unix_ms(data.until), services.clock.now_ms(), step_ms=TALLY_MS, default_ms=DAY_MS
    )
    task = await count_usage(services, applications, span)
    return AppUsageStatsOut(
        **msgspec.structs.asdict(started(task)),
        unresolved_app_ids=[key for key, found in wanted.items() if found is None],
    )


@put(
    "/api/v1/stats/usage/event-types",
    id="v1.statistics.aggregate-event-types",
    tags=TAGS,
    summary="Aggregate event types",
    status=202,
    needs=Needs.READING,
)
async def aggregate_event_types(*, snapshot: Snapshot, services: Services) -> TaskStartedOut:
    """Lists the event types in the endpoint filters of each application. The returned task is finished."""
    return started(await gather_event_types(services, snapshot))


OPERATIONS = (endpoint_count, count_active_applications, aggregate_app_stats, aggregate_event_types)
