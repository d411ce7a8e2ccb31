"""Attempt statistics of endpoints and applications."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from nicobar.model import Application, DeliveryState, Endpoint
from nicobar.store.history import TALLY_MS
from nicobar.use_cases.services import Services
from nicobar.use_cases.statistics import (
    DAY_MS,
    STEP_MS,
    Counts,
    Period,
    by_event_type,
    by_point,
    count,
    latest_points,
    make_range,
)
from nicobar.web.api.listing import TIME, EventTypes, ms_of
from nicobar.web.api.paging import names
from nicobar.web.api.shapes import Moment, Shape, moment
from nicobar.web.operations import get
from nicobar.web.parameters import Name

TAGS = ["Statistics"]
DEFAULT_DAYS = 28

Since = Annotated[
    str | None, Meta(description="Start time (RFC 3339). Defaults to 28 days before the end.", extra_json_schema=TIME)
]
Until = Annotated[str | None, Meta(description="End time (RFC 3339). Defaults to now.", extra_json_schema=TIME)]


class EndpointStats(Shape):
    """Finished deliveries to an endpoint in a time range by result, and unfinished deliveries of messages accepted in
    it. `withWarnings` (an addition to the Svix API) is part of `success`.
    """

    success: int
    with_warnings: int
    pending: int
    sending: int
    fail: int
    canceled: int


class EndpointAttemptStats(Shape):
    """Attempts by result. Attempts that were retried count as failed. `withWarnings` (an addition to the Svix API) is
    part of `success`.
    """

    success: int
    with_warnings: int
    fail: int
    canceled: int


class EventTypeStats(Shape):
    """Attempts of one event type by result. `withWarnings` (an addition to the Svix API) is part of `success`."""

    success: int
    with_warnings: int
    failure: int
    canceled: int


class AppAttemptStatsOut(Shape):
    """Attempts of an application by result, in total and by event type."""

    by_event_type: dict[str, EventTypeStats] = field(name="by_event_type")
    total_success: int = field(name="total_success")
    total_failure: int = field(name="total_failure")
    total_canceled: int = field(name="total_canceled")
    since: Moment
    until: Moment


class AttemptStatisticsData(Shape):
    """One number per period, earliest first. `withWarningsCount` (an addition to the Svix API) is part of
    `successCount`.
    """

    success_count: list[int]
    with_warnings_count: list[int]
    failure_count: list[int]
    canceled_count: list[int]


class AttemptStatisticsOut(Shape):
    """Attempts by result and period. Start and end are those of whole periods in UTC."""

    start_date: Moment
    end_date: Moment
    period: Period
    data: AttemptStatisticsData


@get(
    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/stats",
    id="v1.endpoint.get-stats",
    tags=TAGS,
    summary="Get endpoint statistics",
)
async def endpoint_stats(
    *,
    application: Application,
    endpoint: Endpoint,
    services: Services,
    since: Since = None,
    until: Until = None,
) -> EndpointStats:
    """Counts the deliveries of an endpoint by status. The time range is rounded to 5 minutes. Resent deliveries count
    once per result.
    """
    ended = await _count(services, application, endpoint, since, until)
    waiting = await services.store.unfinished(
        endpoint.id,
        since_ms=None if since is None else ms_of(since, "query.since"),
        until_ms=None if until is None else ms_of(until, "query.until"),
    )
    return EndpointStats(
        success=ended.success,
        with_warnings=ended.warned,
        pending=waiting.get(DeliveryState.PENDING, 0),
        sending=waiting.get(DeliveryState.SENDING, 0),
        fail=ended.exhausted,
        canceled=ended.canceled,
    )


@get(
    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/attempt-stats",
    id="v1.endpoint.get-attempt-stats",
    tags=TAGS,
    summary="Get endpoint attempt statistics",
)
async def endpoint_attempt_stats(
    *,
    application: Application,
    endpoint: Endpoint,
    services: Services,
    since: Since = None,
    until: Until = None,
) -> EndpointAttemptStats:
    """Counts the attempts of an endpoint by result. The time range is rounded to 5 minutes."""
    ended = await _count(services, application, endpoint, since, until)
    return EndpointAttemptStats(
        success=ended.success, with_warnings=ended.warned, fail=ended.failure, canceled=ended.canceled
    )


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
    summary="Get application attempt statistics",
)
async def application_attempts(
    *,
    application: Application,
    services: Services,
    since: Annotated[str, Meta(description="Start time (RFC 3339).", extra_json_schema=TIME)],
    until: Annotated[str, Meta(description="End time (RFC 3339).", extra_json_schema=TIME)],
    event_types: EventTypes = None,
) -> AppAttemptStatsOut:
    """Counts the attempts of an application by result and event type. The time range is rounded to 5 minutes."""
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
            event_type: EventTypeStats(
                success=counts.success,
                with_warnings=counts.warned,
                failure=counts.failure,
                canceled=counts.canceled,
            )
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
    summary="Get application attempts over time",
)
async def application_attempts_over_time(
    *,
    application: Application,
    services: Services,
    start: Annotated[
        str | None,
        Name("startDate"),
        Meta(
            description="Start time (RFC 3339). Defaults to 28 days before the end, or 1 day for 5-minute periods.",
            extra_json_schema=TIME,
        ),
    ] = None,
    end: Annotated[
        str | None, Name("endDate"), Meta(description="End time (RFC 3339). Defaults to now.", extra_json_schema=TIME)
    ] = None,
    period: Annotated[Period | None, Meta(description="Length of a period. Defaults to one day.")] = None,
    event_types: EventTypes = None,
) -> AttemptStatisticsOut:
    """Counts the attempts of an application by result and period. Returns at most the latest 2,016 periods."""
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
            with_warnings_count=[point.warned for point in points],
            failure_count=[point.failure for point in points],
            canceled_count=[point.canceled for point in points],
        ),
    )


OPERATIONS = (
    endpoint_stats,
    endpoint_attempt_stats,
    application_attempts,
    application_attempts_over_time,
)
