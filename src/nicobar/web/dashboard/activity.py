"""The last 24 hours of an application or an endpoint: attempts per hour by outcome, and delivery latency."""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.model import Record
from nicobar.store.history import Tally
from nicobar.use_cases.statistics import DAY_MS, HOUR_MS, Counts, Range, by_point, count, make_range
from nicobar.web.dashboard.context import Context
from nicobar.web.dashboard.filters import percentile

HOURS = 24
MAX_LATENCIES = 1_000
# In the chart's own units; the chart is stretched to the page's width.
BAR_WIDTH, BAR_GAP, HEIGHT = 10, 2, 100


class Segment(Record):
    """A part of a bar: `outcome` is `delivered`, `warned`, `retried`, `failed` or `canceled`."""

    outcome: str
    count: int
    y: float
    height: float


class Bar(Record):
    """One hour of the chart."""

    at_ms: int
    x: int
    counts: Counts
    segments: tuple[Segment, ...]

    @property
    def retried(self) -> int:
        return self.counts.failure - self.counts.exhausted


class Day(Record):
    """`counts` covers all 24 hours; `highest` is the highest hourly count. Percentiles cover the latest `measured`
    deliveries; None without deliveries. `error_percent` is the share of failed attempts, including those that are
    retried; None without attempts.
    """

    bars: tuple[Bar, ...]
    counts: Counts
    highest: int
    p50_ms: int | None
    p95_ms: int | None
    measured: int

    @property
    def error_percent(self) -> float | None:
        return error_percent(self.counts)

    @property
    def is_quiet(self) -> bool:
        return self.highest == 0


def error_percent(counts: Counts) -> float | None:
    tried = counts.success + counts.failure
    return None if not tried else 100 * counts.failure / tried


async def last_day(context: Context, app_id: str, endpoint_id: str | None = None) -> Day:
    """The current state; the running hour is the last bar."""
    span = hours_until(context.now_ms())
    store = context.services.store
    tallies = await store.tallies(
        app_id, since_ms=span.since_ms, until_ms=span.until_ms, step_ms=span.step_ms, endpoint_id=endpoint_id
    )
    took_ms = await store.latencies(app_id, since_ms=span.since_ms, limit=MAX_LATENCIES, endpoint_id=endpoint_id)
    return day_of(span, tallies, took_ms)


def hours_until(now_ms: int) -> Range:
    since_ms = (now_ms // HOUR_MS - HOURS + 1) * HOUR_MS
    return make_range(since_ms, now_ms + 1, now_ms, step_ms=HOUR_MS, default_ms=DAY_MS)


def day_of(span: Range, tallies: Sequence[Tally], took_ms: Sequence[int]) -> Day:
    hours = [count(point) for point in by_point(tallies, span)]
    highest = max((_total(hour) for hour in hours), default=0)
    return Day(
        bars=tuple(
            _bar(number, span.since_ms + number * HOUR_MS, hour, highest) for number, hour in enumerate(hours)
        ),
        counts=count(tallies),
        highest=highest,
        p50_ms=percentile(took_ms, 0.5),
        p95_ms=percentile(took_ms, 0.95),
        measured=len(took_ms),
    )


def _total(counts: Counts) -> int:
    return counts.success + counts.failure + counts.canceled


def _bar(number: int, at_ms: int, counts: Counts, highest: int) -> Bar:
    segments: list[Segment] = []
    top = float(HEIGHT)
    for outcome, many in (
        ("delivered", counts.success - counts.warned),
        ("warned", counts.warned),
        ("canceled", counts.canceled),
        ("retried", counts.failure - counts.exhausted),
        ("failed", counts.exhausted),
    ):
        if not many:
            continue
        # A count of 1 among very many stays visible.
        height = max(1.0, HEIGHT * many / highest)
        top = max(0.0, top - height)
        segments.append(Segment(outcome=outcome, count=many, y=round(top, 2), height=round(height, 2)))
    return Bar(at_ms=at_ms, x=number * BAR_WIDTH + BAR_GAP // 2, counts=counts, segments=tuple(segments))
