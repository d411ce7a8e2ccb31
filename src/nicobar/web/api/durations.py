"""Durations and retry schedules in bodies, as in the public Svix API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from nicobar.errors import UserError
from nicobar.retry_schedule import MAX_RETRIES, check_schedule
from nicobar.web.api.errors import Invalid
from nicobar.web.api.shapes import Shape

_MS_NANOS = 1_000_000


class Duration(Shape):
    """A duration."""

    secs: Annotated[int, Meta(ge=0, examples=[300])]
    nanos: Annotated[int, Meta(ge=0, lt=1_000_000_000, examples=[0])] = 0


RetrySchedule = Annotated[
    list[Duration],
    Meta(
        max_length=MAX_RETRIES,
        description="Delays before the retries, each from 1 s to 24 h and 7 days in total. Maximum 20; `[]` for no "
        "retries.",
    ),
]


def durations(delays_ms: Sequence[int] | None) -> list[Duration] | None:
    """A retry schedule as the API returns it."""
    if delays_ms is None:
        return None
    return [Duration(secs=delay_ms // 1000, nanos=delay_ms % 1000 * _MS_NANOS) for delay_ms in delays_ms]


def delays_of(schedule: Sequence[Duration] | UnsetType | None) -> tuple[int, ...] | None:
    """The delays in milliseconds of the field `retrySchedule`; None for the default. Raises Invalid."""
    if schedule is None or isinstance(schedule, UnsetType):
        return None
    delays_ms = tuple(item.secs * 1000 + item.nanos // _MS_NANOS for item in schedule)
    try:
        check_schedule(delays_ms)
    except UserError as error:
        raise Invalid("body.retrySchedule", error.detail, error.fix, code=error.code) from error
    return delays_ms


def changed_delays(schedule: Sequence[Duration] | UnsetType | None) -> tuple[int, ...] | UnsetType | None:
    """The delays of a field that may be omitted. Raises Invalid."""
    return UNSET if isinstance(schedule, UnsetType) else delays_of(schedule)
