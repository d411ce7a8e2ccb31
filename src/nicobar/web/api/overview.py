"""`/api/v1/app/{app_id}/stats/overview` (an addition to the Svix API): attempts by hour, and the backlog."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from nicobar.model import Application, DeliveryState
from nicobar.store import Snapshot
from nicobar.store.history import Tally
from nicobar.use_cases.services import Services
from nicobar.use_cases.statistics import DAY_MS, HOUR_MS, by_point, count, make_range
from nicobar.web.api.shapes import EndpointId, Moment, Shape, moment
from nicobar.web.api.statistics import TAGS
from nicobar.web.operations import get


class OverviewPoint(Shape):
    """The attempts of one hour by result, and the average and maximum time from acceptance to delivery (null without
    deliveries). `withWarnings` is part of `success`.
    """

    at: Moment
    success: int
    with_warnings: int
    retried: int
    failed: int
    canceled: int
    average_latency_ms: int | None
    max_latency_ms: int | None


class OverviewEndpoint(Shape):
    """The unfinished deliveries of an endpoint, and when the oldest of their messages was accepted. `noIdentity`
    counts, up to 10,000, canceled deliveries that are sent once a later event identifies their customer.
    """

    id: EndpointId
    unfinished: int
    oldest_accepted_at: Moment | None
    no_identity: int


class OverviewOut(Shape):
    """Attempts by hour, and the current backlog by endpoint."""

    hours: list[OverviewPoint]
    endpoints: list[OverviewEndpoint]


@get(
    "/api/v1/app/{app_id}/stats/overview",
    id="nicobar.application.overview",
    tags=TAGS,
    summary="Get overview",
)
async def overview(
    *,
    application: Application,
    snapshot: Snapshot,
    services: Services,
    hours: Annotated[int, Meta(ge=1, le=168, description="Number of hours. Defaults to 24. Maximum 168.")] = 24,
) -> OverviewOut:
    """Returns attempts by hour, and the current backlog of each endpoint. An addition to the Svix API."""
    now_ms = services.clock.now_ms()
    since_ms = (now_ms // HOUR_MS - hours + 1) * HOUR_MS
    span = make_range(since_ms, now_ms + 1, now_ms, step_ms=HOUR_MS, default_ms=DAY_MS)
    tallies = await services.store.tallies(
        application.id, since_ms=span.since_ms, until_ms=span.until_ms, step_ms=span.step_ms
    )
    backlog = {waiting.endpoint_seq: waiting for waiting in await services.store.backlog()}
    unidentified = await services.store.count_unidentified(application.id)
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
                no_identity=unidentified.get(endpoint.id, 0),
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
        with_warnings=counts.warned,
        retried=counts.failure - counts.exhausted,
        failed=counts.exhausted,
        canceled=counts.canceled,
        average_latency_ms=delivered.latency_ms // delivered.attempts if delivered else None,
        max_latency_ms=delivered.latency_max_ms if delivered else None,
    )


OPERATIONS = (overview,)
