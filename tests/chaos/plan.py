"""Where a server can be told to die, and what else goes wrong. The harness plans, the launcher obeys."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from enum import StrEnum

from nicobar.model import Record
from nicobar.settings import Role

# The launcher's environment variable: leases are shortened too.
QUICK_VARIABLE = "CHAOS_QUICK"


class Moment(StrEnum):
    """`before` and `after` the commit for stored data, otherwise the call. `held`: the call takes long. `whole`: not
    a place on an event's way.
    """

    BEFORE = "before"
    DURING = "during"
    HELD = "held"
    AFTER = "after"
    WHOLE = "whole"


class Point(Record):
    """A place on an event's way, or a fault."""

    stage: str
    moment: Moment

    @property
    def name(self) -> str:
        return self.stage if self.moment is Moment.WHOLE else f"{self.stage}, {self.moment}"


class Plan(Record):
    """Die when the point is passed for the `time`-th time, counted from 1."""

    point: Point
    time: int


class Wiring(Record):
    """What is changed in a server: where and when it dies, the file where it notes that, and the one where it notes
    its requests; the file with its clock's error; and whether handlers can run.
    """

    plan: Plan | None
    note: str
    requests: str
    clock: str | None
    no_sandbox: bool


class Birth(Record):
    """A process for the launcher to start: the arguments of `nicobar`, its whole environment, and the files for what
    it prints.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str]
    out: str
    errors: str
    server: Wiring | None = None


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


def _fault(stage: str) -> Point:
    return Point(stage=stage, moment=Moment.WHOLE)


# By the harness's own hand, at any moment: while the server starts, runs, and stops in order.
START = _fault("killed while it starts")
ANYWHERE = _fault("killed at any moment")
STOP = _fault("killed while it stops")
OUTSIDE = (START, ANYWHERE, STOP)
# Stopped for longer than a lease lasts, then continued.
FREEZE = _fault("frozen")
# Faults that a server has to live through.
CHILD_KILLED = _fault("sandbox process killed")
CHILD_FROZEN = _fault("sandbox process frozen")
CLOCK = _fault("clock set and set back")
DISK_FULL = _fault("disk full")
READ_ONLY = _fault("disk read-only")
WRITES_FAIL = _fault("writes fail")
SYNCS_FAIL = _fault("syncs fail")
NO_GROWTH = _fault("file size limited")
NEARLY_FULL = _fault("disk nearly full")
LOCKED = _fault("database locked by another process")
DELETED = _fault("database deleted, then put back")
REPLACED = _fault("database replaced, then put back")
RESTORED = _fault("killed, and a backup restored")
# Faults of a server that starts beside the others.
DAMAGED = _fault("server on a damaged database")
LOG_MISSING = _fault("server on a database whose log was deleted")
FOREIGN_KEY = _fault("server with another key")
SECOND_WORKER = _fault("second worker on the database")
NO_SANDBOX = _fault("server whose sandbox cannot start")
BY_DISK = (DISK_FULL, READ_ONLY, WRITES_FAIL, SYNCS_FAIL)
BY_HAND = (CHILD_KILLED, CHILD_FROZEN, CLOCK)
# Each of them takes long, or is the same every time.
RARE = (NEARLY_FULL, LOCKED, DELETED, REPLACED, RESTORED, DAMAGED, LOG_MISSING, SECOND_WORKER)
RARE_ANYWHERE = (FOREIGN_KEY, NO_SANDBOX)
RARE_SHARE = 7
# Faults of the database's server.
DB_STOPPED = _fault("database stopped at once")
DB_RESTARTED = _fault("database restarted")
DB_FROZEN = _fault("database frozen")
DB_CUT = _fault("all connections cut")
DB_READ_ONLY = _fault("database read-only by default")
DB_FULL = _fault("database's disk full")
DB_RESTORED = _fault("database lost, and a dump restored")
BY_DATABASE = (DB_STOPPED, DB_RESTARTED, DB_FROZEN, DB_CUT, DB_READ_ONLY, DB_FULL, DB_RESTORED)
# Many webhooks arrive at once when a server is back; deliveries are sent in few, large requests.
_MAX_TIME = {"receive": 20, "verify": 20, "store": 10}
_MAX_TIME_ELSEWHERE = 6


def points(role: Role, *, many: bool, without: Collection[Point] = ()) -> tuple[Point, ...]:
    """What happens to a server of that role."""
    found = {
        Role.ALL: (*RECEIVING, *DELIVERING, *OUTSIDE, FREEZE, *BY_HAND),
        Role.WEB: (*RECEIVING, *OUTSIDE, FREEZE, CLOCK, *RARE_ANYWHERE),
        Role.WORKER: (*DELIVERING, HELD, *OUTSIDE, FREEZE, *BY_HAND),
    }[role]
    if not many:
        found = (*found, *BY_DISK, NO_GROWTH, *RARE, *RARE_ANYWHERE)
    return tuple(point for point in found if point not in without)


def times(point: Point, kills: int) -> int:
    """How often it happens in a run with so many kills at each point."""
    return max(1, kills // RARE_SHARE) if point in {*RARE, *RARE_ANYWHERE, DB_RESTORED} else kills


def shuffled(chance: random.Random, wanted: Mapping[Point, int]) -> list[Point]:
    """Each so many times, in rounds."""
    rounds = max(wanted.values(), default=0)
    # What is rare is spread over the rounds.
    firsts = {point: chance.random() for point in wanted}
    deck: list[Point] = []
    for number in range(rounds):
        due = [
            point
            for point, count in wanted.items()
            if int((number + 1) * count / rounds + firsts[point]) > int(number * count / rounds + firsts[point])
        ]
        deck += chance.sample(due, k=len(due))
    return deck


def planned(chance: random.Random, point: Point) -> Plan | None:
    """The plan for a server; None for what the harness does."""
    if point.moment is Moment.WHOLE:
        return None
    most = 1 if point == HELD else _MAX_TIME.get(point.stage, _MAX_TIME_ELSEWHERE)
    return Plan(point=point, time=chance.randint(1, most))
