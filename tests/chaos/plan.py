"""Where a server can be told to die. The harness plans, the launcher `chaos.server` obeys."""

from __future__ import annotations

from enum import StrEnum

from nicobar.model import Record

# The environment variable with the path of the file where the launcher notes where it died.
NOTE_VARIABLE = "CHAOS_NOTE"


class Moment(StrEnum):
    """`before` and `after` the commit for stored data, otherwise the call."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


class Point(Record):
    """A place on an event's way."""

    stage: str
    moment: Moment

    @property
    def name(self) -> str:
        return f"{self.stage}, {self.moment}"


class Plan(Record):
    """Die when the point is passed for the `time`-th time, counted from 1."""

    point: Point
    time: int


POINTS = tuple(
    Point(stage=stage, moment=moment)
    for stage, moment in (
        ("receive", Moment.AFTER),
        ("verify", Moment.AFTER),
        ("store", Moment.BEFORE),
        ("store", Moment.AFTER),
        ("claim", Moment.BEFORE),
        ("claim", Moment.AFTER),
        ("transform", Moment.DURING),
        ("check", Moment.AFTER),
        ("batch", Moment.AFTER),
        ("send", Moment.BEFORE),
        ("send", Moment.DURING),
        ("send", Moment.AFTER),
        ("record", Moment.BEFORE),
        ("record", Moment.AFTER),
    )
)
