"""Counts of attempts, as the API and the dashboard show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from nicobar.model import Application, DeliveryState, Json, Record
from nicobar.store import NewTask, Snapshot, Task, TaskKind
from nicobar.store.history import TALLY_MS, Tally
from nicobar.use_cases.edit import OperationServices

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MAX_POINTS = 2_016  # a week of five minutes
_MAX_TIME_MS = 250_000_000_000_000  # in the year 9892


class Period(StrEnum):
    """How long a data point is, as the public Svix API names it."""

    ONE_DAY = "OneDay"
    ONE_HOUR = "OneHour"
    FIVE_MINUTES = "FiveMinutes"


STEP_MS = {Period.ONE_DAY: DAY_MS, Period.ONE_HOUR: HOUR_MS, Period.FIVE_MINUTES: TALLY_MS}


class Range(Record):
    """From `since_ms` up to but without `until_ms`, both at the beginning of a step of `step_ms`."""

    since_ms: int
    until_ms: int
    step_ms: int

    @property
    def points(self) -> int:
        return (self.until_ms - self.since_ms) // self.step_ms


class Counts(Record):
    """How attempts ended: `failure` counts also those that were retried, `exhausted` those that were not. `warned` is
    the part of `success` that had warnings.
    """

    success: int = 0
    warned: int = 0
    failure: int = 0
    exhausted: int = 0
    canceled: int = 0


def make_range(since_ms: int | None, until_ms: int | None, now_ms: int, *, step_ms: int, default_ms: int) -> Range:
    """The requested range, widened to whole steps. By default it ends now and is `default_ms` long. It is empty if it
    ends before it begins.
    """
    end_ms = _in_bounds(now_ms + 1 if until_ms is None else until_ms)
    begin_ms = _in_bounds(end_ms - default_ms if since_ms is None else since_ms)
    last_ms = -(-end_ms // step_ms) * step_ms
    first_ms = begin_ms // step_ms * step_ms
    return Range(since_ms=last_ms if begin_ms >= end_ms else first_ms, until_ms=last_ms, step_ms=step_ms)


def latest_points(span: Range) -> Range:
    """The last MAX_POINTS steps of the range."""
    return Range(
        since_ms=max(span.since_ms, span.until_ms - MAX_POINTS * span.step_ms),
        until_ms=span.until_ms,
        step_ms=span.step_ms,
    )


def _in_bounds(time_ms: int) -> int:
    """A time that can be shown, widened to a step or not."""
    return min(max(time_ms, 0), _MAX_TIME_MS)


def count(tallies: Iterable[Tally]) -> Counts:
    """All of the tallies together."""
    by_state: dict[DeliveryState, int] = {}
    warned = 0
    for tally in tallies:
        warned += tally.warned
        by_state[tally.state] = by_state.get(tally.state, 0) + tally.attempts
    exhausted = by_state.get(DeliveryState.FAILED, 0)
    return Counts(
        success=by_state.get(DeliveryState.SUCCESS, 0),
        warned=warned,
        failure=exhausted + by_state.get(DeliveryState.PENDING, 0),
        exhausted=exhausted,
        canceled=by_state.get(DeliveryState.CANCELED, 0),
    )


def by_point(tallies: Sequence[Tally], span: Range) -> list[list[Tally]]:
    """The tallies of each step of the range, first to last; empty where nothing happened."""
    points: list[list[Tally]] = [[] for _ in range(span.points)]
    for tally in tallies:
        points[(tally.at_ms - span.since_ms) // span.step_ms].append(tally)
    return points


def by_event_type(tallies: Iterable[Tally]) -> dict[str, Counts]:
    found: dict[str, list[Tally]] = {}
    for tally in tallies:
        found.setdefault(tally.event_type, []).append(tally)
    return {event_type: count(of_type) for event_type, of_type in found.items()}


async def count_usage(services: OperationServices, applications: Iterable[Application], span: Range) -> Task:
    """Counts the attempts of each application; the task that holds the counts has ended."""
    counted: list[Json] = []
    for application in {entry.id: entry for entry in applications}.values():
        tallies = await services.store.tallies_by_type(application.id, since_ms=span.since_ms, until_ms=span.until_ms)
        counted.append(
            {
                "appId": application.id,
                "appUid": None if application.uid == application.id else application.uid,
                "messageDestinations": sum(tally.attempts for tally in tallies),
            }
        )
    return await _keep(services, TaskKind.APP_STATS, {"appStats": counted})


async def gather_event_types(services: OperationServices, snapshot: Snapshot) -> Task:
    """Gathers the event types that the endpoints of each application name; the task that holds them has ended."""
    gathered: list[Json] = []
    for application in snapshot.applications:
        own = [endpoint for endpoint in snapshot.endpoints if endpoint.app_id == application.id]
        gathered.append(
            {
                "appId": application.id,
                "explicitlySubscribedEventTypes": [*sorted({name for item in own for name in item.event_types})],
                "hasCatchAllEndpoint": any(not item.event_types for item in own),
            }
        )
    return await _keep(services, TaskKind.EVENT_TYPES, {"event_types": gathered})


async def _keep(services: OperationServices, kind: TaskKind, result: Json) -> Task:
    """Stores the result where clients read it."""
    now_ms = services.clock.now_ms()
    task = NewTask(id=services.ids.new("qtask"), app_id="", kind=kind, created_at_ms=now_ms, result=result)
    return await services.store.add_task(task)
