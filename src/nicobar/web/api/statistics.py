"""How attempts ended: of an endpoint, and of an application over time."""

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


OPERATIONS = (
    endpoint_stats,
    endpoint_attempt_stats,
    application_attempts,
    application_attempts_over_time,
)
