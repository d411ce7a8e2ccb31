"""Where a server can be told to die. The harness plans, the launcher `chaos.server` obeys."""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import StrEnum

from nicobar.model import Record
from nicobar.settings import Role

# The environment variables for the launcher: the file where it notes where it died, the file where it notes its
# requests, and whether leases are shortened too.
NOTE_VARIABLE = "CHAOS_NOTE"
REQUESTS_VARIABLE = "CHAOS_REQUESTS"
QUICK_VARIABLE = "CHAOS_QUICK"


class Moment(StrEnum):
    """`before` and `after` the commit for stored data, otherwise the call. `held`: the call takes long."""

    BEFORE = "before"
    DURING = "during"
    HELD = "held"
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


RECEIVING = tuple(
    Point(stage=stage, moment=moment)
    for stage, moment in (
        ("receive", Moment.AFTER),
        ("verify", Moment.AFTER),
        ("store", Moment.BEFORE),
        ("store", Moment.AFTER),
    )
)
DELIVERING = tuple(
    Point(stage=stage, moment=moment)
    for stage, moment in (
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
# While the destination holds the request for longer than another worker needs to take over.
HELD = Point(stage="send", moment=Moment.HELD)
# By the harness's own hand, at any moment: while the server starts, runs, and stops in order.
START = Point(stage="start", moment=Moment.DURING)
ANYWHERE = Point(stage="anywhere", moment=Moment.DURING)
STOP = Point(stage="stop", moment=Moment.DURING)
OUTSIDE = (START, ANYWHERE, STOP)
# Stopped for longer than a lease lasts, then continued.
FREEZE = Point(stage="freeze", moment=Moment.DURING)
# The database's server ends at once, and starts again.
DATABASE = Point(stage="database", moment=Moment.DURING)
# Many webhooks arrive at once when a server is back; deliveries are sent in few, large requests.
_MAX_TIME = {"receive": 20, "verify": 20, "store": 10}
_MAX_TIME_ELSEWHERE = 6


def points(role: Role, *, many: bool) -> tuple[Point, ...]:
    """Where a server of that role dies; one of many can be frozen, too, since others go on."""
    own = {Role.ALL: (*RECEIVING, *DELIVERING), Role.WEB: RECEIVING, Role.WORKER: DELIVERING}[role]
    if not many:
        return (*own, *OUTSIDE)
    return (*own, *([HELD] if role is Role.WORKER else []), *OUTSIDE, FREEZE)


def shuffled(chance: random.Random, kinds: Sequence[Point], kills: int) -> list[Point]:
    """Each kind so many times, in rounds."""
    return [point for _ in range(kills) for point in chance.sample(kinds, k=len(kinds))]


def planned(chance: random.Random, point: Point) -> Plan | None:
    """The plan for a server; None for what the harness does."""
    if point in {*OUTSIDE, FREEZE}:
        return None
    most = 1 if point == HELD else _MAX_TIME.get(point.stage, _MAX_TIME_ELSEWHERE)
    return Plan(point=point, time=chance.randint(1, most))
