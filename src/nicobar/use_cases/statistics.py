"""Counts of tries, made into what the API and the dashboard show. Plain functions over plain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from nicobar.model import DeliveryState, Record
from nicobar.store.history import TALLY_MS, Tally

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
    """How tries ended: `failure` counts those, too, that another try followed; `exhausted` those that none did."""

    success: int = 0
    failure: int = 0
    exhausted: int = 0
    canceled: int = 0


def make_range(since_ms: int | None, until_ms: int | None, now_ms: int, *, step_ms: int, default_ms: int) -> Range:
    """The range that was asked for, widened to whole steps; it ends now and is `default_ms` long where nothing is
    said. One that ends before it begins is empty.
    """
    end_ms = _held(now_ms + 1 if until_ms is None else until_ms)
    begin_ms = _held(end_ms - default_ms if since_ms is None else since_ms)
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


def _held(time_ms: int) -> int:
    """A time that can be shown, widened to a step or not."""
    return min(max(time_ms, 0), _MAX_TIME_MS)


def count(tallies: Iterable[Tally]) -> Counts:
    """All of the tallies together."""
    by_state: dict[DeliveryState, int] = {}
    for tally in tallies:
        by_state[tally.state] = by_state.get(tally.state, 0) + tally.attempts
    exhausted = by_state.get(DeliveryState.FAILED, 0)
    return Counts(
        success=by_state.get(DeliveryState.SUCCESS, 0),
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
    return {event_type: count(ones) for event_type, ones in found.items()}
