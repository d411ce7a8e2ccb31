"""Counts: of an endpoint, of an application over time, and what a first page shows."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, field

from nicobar.model import Application, DeliveryState, Endpoint
from nicobar.store import Snapshot
from nicobar.store.history import TALLY_MS, Tally
from nicobar.use_cases.services import Services
from nicobar.use_cases.statistics import (
    DAY_MS,
    HOUR_MS,
    STEP_MS,
    Counts,
    Period,
    by_event_type,
    by_point,
    count,
    count_usage,
    gather_event_types,
    latest_points,
    make_range,
)
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.listing import TIME, EventTypes, ms_of
from nicobar.web.api.lookups import find
from nicobar.web.api.paging import NoPlay, names
from nicobar.web.api.shapes import EndpointId, Moment, Shape, Uid, moment, unix_ms
from nicobar.web.api.tasks import TaskStartedOut, started
from nicobar.web.operations import get, post, put
from nicobar.web.parameters import Name

TAGS = ["Statistics"]
DEFAULT_DAYS = 28

Since = Annotated[
    str | None, Meta(description="Start time; defaults to 28 days before the end.", extra_json_schema=TIME)
]
Until = Annotated[str | None, Meta(description="End time; defaults to now.", extra_json_schema=TIME)]


class EndpointStats(Shape):
    """How deliveries to an endpoint ended in a time, and those of messages of that time that have not."""

    success: int
    pending: int
    sending: int
    fail: int
    canceled: int


class EndpointAttemptStats(Shape):
    """How tries ended; a try that another one followed has failed."""

    success: int
    fail: int
    canceled: int


class EventTypeStats(Shape):
    """How the tries of one event type ended."""

    success: int
    failure: int
    canceled: int


class AppAttemptStatsOut(Shape):
    """How the tries of an application ended, in all and by event type."""

    by_event_type: dict[str, EventTypeStats] = field(name="by_event_type")
    total_success: int = field(name="total_success")
    total_failure: int = field(name="total_failure")
    total_canceled: int = field(name="total_canceled")
    since: Moment
    until: Moment


class AttemptStatisticsData(Shape):
    """A number for each period, the first to the last."""

    success_count: list[int]
    failure_count: list[int]
    canceled_count: list[int]


class AttemptStatisticsOut(Shape):
    """How tries ended, period by period. The ends are those of whole periods, in UTC."""

    start_date: Moment
    end_date: Moment
    period: Period
    data: AttemptStatisticsData


class EndpointCountOut(Shape):
    """How many endpoints there are."""

    active: int
    disabled: int


class AppCountOut(Shape):
    """How many applications there are."""

    count: int


class AppUsageStatsIn(Shape):
    """Of which time, and of which applications (ids or uids); of all of them without `appIds`."""

    since: Moment
    until: Moment
    app_ids: Annotated[list[Uid], Meta(max_length=1_000)] | None = None


class AppUsageStatsOut(TaskStartedOut):
    """The task, and which of the applications there are not."""

    unresolved_app_ids: list[str]


class OverviewPoint(Shape):
    """An hour: how its tries ended, and how long after their acceptance events were delivered, on average and at
    most; null where none was.
    """

    at: Moment
    success: int
    retried: int
    failed: int
    canceled: int
    average_latency_ms: int | None
    max_latency_ms: int | None


class OverviewEndpoint(Shape):
    """What waits for an endpoint, and since when."""

    id: EndpointId
    unfinished: int
    oldest_accepted_at: Moment | None


class OverviewOut(Shape):
    """What happened hour by hour, and what waits now."""

    hours: list[OverviewPoint]
    endpoints: list[OverviewEndpoint]


@get(
    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/stats",
    id="v1.endpoint.get-stats",
    tags=TAGS,
    summary="Endpoint Stats",
)
async def endpoint_stats(
    *,
    application: Application,
    endpoint: Endpoint,
    services: Services,
    since: Since = None,
    until: Until = None,
) -> EndpointStats:
    """How deliveries ended, counted in steps of five minutes; one that was sent again counts each time."""
    ended = await _count(services, application, endpoint, since, until)
    waiting = await services.store.unfinished(
        endpoint.id,
        since_ms=None if since is None else ms_of(since, "query.since"),
        until_ms=None if until is None else ms_of(until, "query.until"),
    )
    return EndpointStats(
        success=ended.success,
        pending=waiting.get(DeliveryState.PENDING, 0),
        sending=waiting.get(DeliveryState.SENDING, 0),
        fail=ended.exhausted,
        canceled=ended.canceled,
    )


@get(
    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/attempt-stats",
    id="v1.endpoint.get-attempt-stats",
    tags=TAGS,
    summary="Endpoint Attempt Stats",
)
async def endpoint_attempt_stats(
    *,
    application: Application,
    endpoint: Endpoint,
    services: Services,
    since: Since = None,
    until: Until = None,
) -> EndpointAttemptStats:
    """How tries ended, counted in steps of five minutes."""
    ended = await _count(services, application, endpoint, since, until)
    return EndpointAttemptStats(success=ended.success, fail=ended.failure, canceled=ended.canceled)


async def _count(
    services: Services,
    application: Application,
    endpoint: Endpoint,
    since: str | None,
    until: str | None,
) -> Counts:
    span = make_range(
        None if since is None else ms_of(since, "query.since"),
        None if until is None else ms_of(until, "query.until"),
        services.clock.now_ms(),
        step_ms=TALLY_MS,
        default_ms=DEFAULT_DAYS * DAY_MS,
    )
    return count(
        await services.store.tallies_by_type(
            application.id, since_ms=span.since_ms, until_ms=span.until_ms, endpoint_id=endpoint.id
        )
    )


@get(
    "/api/v1/app/{app_id}/stats/attempts",
    id="v1.application.stats.attempts",
    tags=TAGS,
    summary="App Attempt Stats",
)
async def application_attempts(
    *,
    application: Application,
    services: Services,
    since: Annotated[str, Meta(description="From this time on.", extra_json_schema=TIME)],
    until: Annotated[str, Meta(description="Up to this time.", extra_json_schema=TIME)],
    event_types: EventTypes = None,
) -> AppAttemptStatsOut:
    """How an application's tries ended, counted in steps of five minutes."""
    span = make_range(
        ms_of(since, "query.since"),
        ms_of(until, "query.until"),
        services.clock.now_ms(),
        step_ms=TALLY_MS,
        default_ms=DEFAULT_DAYS * DAY_MS,
    )
    tallies = await services.store.tallies_by_type(
        application.id, since_ms=span.since_ms, until_ms=span.until_ms, event_types=names(event_types)
    )
    every = count(tallies)
    return AppAttemptStatsOut(
        by_event_type={
            event_type: EventTypeStats(success=counts.success, failure=counts.failure, canceled=counts.canceled)
            for event_type, counts in by_event_type(tallies).items()
        },
        total_success=every.success,
        total_failure=every.failure,
        total_canceled=every.canceled,
        since=moment(span.since_ms),
        until=moment(span.until_ms),
    )


@get(
    "/api/v1/stats/app/{app_id}/attempt",
    id="v1.stats.app-attempts",
    tags=TAGS,
    summary="App Attempts Over Time",
)
async def application_attempts_over_time(
    *,
    application: Application,
    services: Services,
    start: Annotated[
        str | None,
        Name("startDate"),
        Meta(description="From this time on; 28 days before the end.", extra_json_schema=TIME),
    ] = None,
    end: Annotated[
        str | None, Name("endDate"), Meta(description="Up to this time; now.", extra_json_schema=TIME)
    ] = None,
    period: Annotated[Period | None, Meta(description="How long a data point is; a day.")] = None,
    event_types: EventTypes = None,
) -> AttemptStatisticsOut:
    """How an application's tries ended, a number for each period; of a long time the latest 2,016."""
    period = period or Period.ONE_DAY
    default_ms = DAY_MS if period is Period.FIVE_MINUTES else DEFAULT_DAYS * DAY_MS
    span = make_range(
        None if start is None else ms_of(start, "query.startDate"),
        None if end is None else ms_of(end, "query.endDate"),
        services.clock.now_ms(),
        step_ms=STEP_MS[period],
        default_ms=default_ms,
    )
    span = latest_points(span)
    tallies = await services.store.tallies(
        application.id,
        since_ms=span.since_ms,
        until_ms=span.until_ms,
        step_ms=span.step_ms,
        event_types=names(event_types),
    )
    points = [count(point) for point in by_point(tallies, span)]
    return AttemptStatisticsOut(
        start_date=moment(span.since_ms),
        end_date=moment(span.until_ms),
        period=period,
        data=AttemptStatisticsData(
            success_count=[point.success for point in points],
            failure_count=[point.failure for point in points],
            canceled_count=[point.canceled for point in points],
        ),
    )


@get(
    "/api/v1/stats/endpoint/count",
    id="v1.statistics.endpoint-count",
    tags=TAGS,
    summary="Endpoint Count",
    needs=Needs.OWN,
)
async def endpoint_count(
    *,
    snapshot: Snapshot,
    caller: Caller,
    exclude_svix_play: NoPlay = None,  # noqa: ARG001 - there are none
) -> EndpointCountOut:
    """How many endpoints there are, of all applications that the token sees."""
    seen = [endpoint for endpoint in snapshot.endpoints if caller.sees(endpoint.app_id)]
    disabled = sum(item.disabled for item in seen)
    return EndpointCountOut(active=len(seen) - disabled, disabled=disabled)


@get(
    "/api/v1/app/stats/count-active",
    id="v1.application.count-active",
    tags=TAGS,
    summary="Count Active Applications",
    needs=Needs.OWN,
)
async def count_active_applications(
    *,
    snapshot: Snapshot,
    caller: Caller,
    exclude_disabled: Annotated[
        bool, Meta(description="Exclude applications whose endpoints are all disabled.")
    ] = False,
    exclude_svix_play: NoPlay = None,  # noqa: ARG001 - there are none
) -> AppCountOut:
    """How many applications have an endpoint, of those that the token sees."""
    having = {endpoint.app_id for endpoint in snapshot.endpoints if not (exclude_disabled and endpoint.disabled)}
    return AppCountOut(count=sum(caller.sees(app_id) for app_id in having))


@post(
    "/api/v1/stats/usage/app",
    id="v1.statistics.aggregate-app-stats",
    tags=TAGS,
    summary="Aggregate App Stats",
    status=202,
    needs=Needs.READING,
)
async def aggregate_app_stats(*, snapshot: Snapshot, services: Services, data: AppUsageStatsIn) -> AppUsageStatsOut:
    """Counts the tries of all applications, or of these, in steps of five minutes. The task has ended by then."""
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
    summary="Aggregate Event Types",
    status=202,
    needs=Needs.READING,
)
async def aggregate_event_types(*, snapshot: Snapshot, services: Services) -> TaskStartedOut:
    """Gathers the event types that the endpoints of each application name; the task that answers has ended."""
    return started(await gather_event_types(services, snapshot))


@get(
    "/api/v1/app/{app_id}/stats/overview",
    id="nicobar.application.overview",
    tags=TAGS,
    summary="Overview",
)
async def overview(
    *,
    application: Application,
    snapshot: Snapshot,
    services: Services,
    hours: Annotated[int, Meta(ge=1, le=168, description="How far back.")] = 24,
) -> OverviewOut:
    """Ours: what happened hour by hour, and what waits now."""
    now_ms = services.clock.now_ms()
    since_ms = (now_ms // HOUR_MS - hours + 1) * HOUR_MS
    span = make_range(since_ms, now_ms + 1, now_ms, step_ms=HOUR_MS, default_ms=DAY_MS)
    tallies = await services.store.tallies(
        application.id, since_ms=span.since_ms, until_ms=span.until_ms, step_ms=span.step_ms
    )
    backlog = {waiting.endpoint_seq: waiting for waiting in await services.store.backlog()}
    return OverviewOut(
        hours=[
            _hour(span.since_ms + number * HOUR_MS, point) for number, point in enumerate(by_point(tallies, span))
        ],
        endpoints=[
            OverviewEndpoint(
                id=endpoint.id,
                unfinished=backlog[endpoint.seq].unfinished if endpoint.seq in backlog else 0,
                oldest_accepted_at=moment(backlog[endpoint.seq].oldest_accepted_at_ms)
                if endpoint.seq in backlog
                else None,
            )
            for endpoint in snapshot.endpoints
            if endpoint.app_id == application.id
        ],
    )


def _hour(at_ms: int, point: list[Tally]) -> OverviewPoint:
    counts = count(point)
    delivered = next((item for item in point if item.state is DeliveryState.SUCCESS), None)
    return OverviewPoint(
        at=moment(at_ms),
        success=counts.success,
        retried=counts.failure - counts.exhausted,
        failed=counts.exhausted,
        canceled=counts.canceled,
        average_latency_ms=delivered.latency_ms // delivered.attempts if delivered else None,
        max_latency_ms=delivered.latency_max_ms if delivered else None,
    )


OPERATIONS = (
    endpoint_stats,
    endpoint_attempt_stats,
    application_attempts,
    application_attempts_over_time,
    endpoint_count,
    count_active_applications,
    aggregate_app_stats,
    aggregate_event_types,
    overview,
)
