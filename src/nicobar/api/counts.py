"""Counts of tries, made into what the API and the dashboard show. Plain functions over plain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from nicobar.api.errors import Invalid
from nicobar.model import DeliveryState, Record
from nicobar.store.history import TALLY_MS, Tally

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MAX_POINTS = 2_016  # a week of five minutes
MAX_RANGE_MS = 366 * DAY_MS


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


def make_range(
    since_ms: int | None,
    until_ms: int | None,
    now_ms: int,
    *,
    step_ms: int,
    default_ms: int,
    points: bool = False,
) -> Range:
    """The range that was asked for, widened to whole steps; it ends now and is `default_ms` long where nothing is
    said. Raises Invalid for one that is empty or too long, also for one of too many steps where each is a `point`.
    """
    end_ms = now_ms + 1 if until_ms is None else until_ms
    begin_ms = end_ms - default_ms if since_ms is None else since_ms
    found = Range(since_ms=begin_ms // step_ms * step_ms, until_ms=-(-end_ms // step_ms) * step_ms, step_ms=step_ms)
    if begin_ms >= end_ms:
        raise Invalid("query", "The range ends before it begins.", "Let it begin earlier, or end later.")
    if end_ms - begin_ms > MAX_RANGE_MS or (points and found.points > MAX_POINTS):
        raise Invalid("query", "The range is too long.", "Ask for a shorter range, or a longer period.")
    return found


def count(tallies: Iterable[Tally]) -> Counts:
    """All of the tallies together."""
    by_state: dict[DeliveryState, int] = {}
    for one in tallies:
        by_state[one.state] = by_state.get(one.state, 0) + one.attempts
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
    for one in tallies:
        points[(one.at_ms - span.since_ms) // span.step_ms].append(one)
    return points


def by_event_type(tallies: Iterable[Tally]) -> dict[str, Counts]:
    found: dict[str, list[Tally]] = {}
    for one in tallies:
        found.setdefault(one.event_type, []).append(one)
    return {event_type: count(ones) for event_type, ones in found.items()}
