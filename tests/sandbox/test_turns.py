"""Who runs next: a slow neighbor delays no other application for longer than a slice."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import statistics
from dataclasses import dataclass, field

import pytest

from nicobar.errors import SandboxError
from nicobar.sandbox import Bounds, Job
from nicobar.sandbox.pool import SandboxPool
from nicobar.sandbox.turns import QUICK_SLICE_US, SLICE_JOBS, SLICE_US, SLOW_US, TRIAL_US, Slice, Turns
from support.patience import PATIENCE_S
from support.sandbox_jobs import job

# The kernel ends an event that hangs after this CPU time.
HANGS_US = Bounds().cpu_ms * 1_000
QUICK_US = 300
GOOD = "function handler(w) { w.payload = {a: 1}; return w; }"


@dataclass(eq=False)
class Event:
    job: Job
    arrived_us: int
    request: object = field(default_factory=object)
    is_wanted: bool = True


@dataclass
class _Running:
    part: Slice[Event]
    started_us: int
    ends_us: int

    def look_us(self, now_us: int) -> int:
        """When it ends, or may be interrupted."""
        if self.part.is_known_slow:
            return self.ends_us
        return min(self.ends_us, now_us + QUICK_SLICE_US)


@dataclass
class Machine:
    """The pool's scheduling in simulated time: each place has a processor of its own."""

    cost_us: dict[str, int]
    places: int = 2
    waited_us: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.turns: Turns[Event] = Turns(self.places)

    def run(self, arrivals: list[tuple[int, str, str]]) -> None:
        """Runs events, each from its arrival at a time, of an application and a code, to the end of the last."""
        order = itertools.count()
        agenda: list[tuple[int, int, Event | _Running]] = [
            (at_us, next(order), Event(job(code, app_id=app, code_id=code), at_us)) for at_us, app, code in arrivals
        ]
        heapq.heapify(agenda)
        while agenda:
            now_us, _, what = heapq.heappop(agenda)
            if isinstance(what, Event):
                self.turns.add(what)
            elif now_us < what.ends_us and not self.turns.is_waited_for(what.part):
                heapq.heappush(agenda, (what.look_us(now_us), next(order), what))
            else:
                self._end(what, now_us)
            while (part := self.turns.next()) is not None:
                ends_us = now_us + self.cost_us[part.code_id] * len(part.items)
                running = _Running(part, now_us, ends_us)
                heapq.heappush(agenda, (running.look_us(now_us), next(order), running))

    def _end(self, running: _Running, now_us: int) -> None:
        """At its end, or earlier: then its events wait again."""
        part = running.part
        if now_us < running.ends_us:
            self.turns.paces.learn(part.app_id, part.code_id, now_us - running.started_us)
            self.turns.put_back(part.items)
        else:
            self.turns.paces.learn(part.app_id, part.code_id, self.cost_us[part.code_id])
            for event in part.items:
                self.waited_us.setdefault(part.code_id, []).append(now_us - event.arrived_us)
        self.turns.ended(part)


def stream(app: str, code: str, count: int, every_us: int, start_us: int = 0) -> list[tuple[int, str, str]]:
    return [(start_us + number * every_us, app, code) for number in range(count)]


def p99(values: list[int]) -> float:
    return statistics.quantiles(values, n=100)[-1]


@pytest.mark.parametrize("places", [1, 2, 4])
@pytest.mark.parametrize(("neighbors", "endpoints"), [(1, 1), (1, 4), (6, 2)])
def test_hanging_neighbors_never_hold_up_quick_code(places, neighbors, endpoints):
    quick = stream("app_quick", "quick", 400, 10_000, start_us=2 * HANGS_US)
    known = [(0, "app_quick", "quick")]
    hanging = [
        arrival
        for app in range(neighbors)
        for code in range(endpoints)
        for arrival in stream(f"app_{app}", f"hangs {app} {code}", 64, 0, start_us=HANGS_US)
    ]
    cost_us = {"quick": QUICK_US} | {code: HANGS_US for _, _, code in hanging}
    alone, beside = Machine(cost_us, places), Machine(cost_us, places)
    alone.run([*known, *quick])
    beside.run([*known, *hanging, *quick])
    assert p99(beside.waited_us["quick"]) <= 3 * p99(alone.waited_us["quick"]) + 50_000
    assert max(beside.waited_us["quick"]) <= QUICK_SLICE_US + SLICE_US


def test_new_code_waits_for_a_short_trial_of_other_new_code():
    """Its neighbors' events arrived before, and none was timed yet either: that is where it waited longest."""
    hanging = [arrival for code in "abcd" for arrival in stream(f"app_{code}", code, 64, 0)]
    machine = Machine(dict.fromkeys("abcd", HANGS_US) | {"new": QUICK_US})
    machine.run([*hanging, (1, "app_new", "new")])
    assert machine.waited_us["new"] == [4 * QUICK_SLICE_US + QUICK_US - 1]


def test_new_code_goes_before_code_that_is_known_to_be_slow():
    hanging = [arrival for code in "abcd" for arrival in stream(f"app_{code}", code, 64, 0)]
    machine = Machine(dict.fromkeys("abcd", HANGS_US) | {"new": QUICK_US})
    machine.run([*hanging, (9 * HANGS_US, "app_new", "new")])
    assert machine.waited_us["new"][0] <= HANGS_US + QUICK_US


def test_an_application_s_own_endpoints_take_turns_too():
    machine = Machine({"hangs": HANGS_US, "new": QUICK_US})
    machine.run([*stream("app_1", "hangs", 64, 0), (1, "app_1", "new")])
    assert machine.waited_us["new"] == [QUICK_SLICE_US + QUICK_US - 1]


def test_everything_runs_in_the_end():
    codes = {"hangs": HANGS_US, "hangs too": HANGS_US, "slow": 2 * SLOW_US, "quick": QUICK_US}
    machine = Machine(codes)
    machine.run([arrival for code in codes for app in "ab" for arrival in stream(app, code, 20, 1_000)])
    assert {code: len(waited) for code, waited in machine.waited_us.items()} == dict.fromkeys(codes, 40)


def test_quick_code_keeps_all_places_busy():
    machine = Machine({"quick": 1_000}, places=4)
    machine.turns.paces.learn("app_1", "quick", 1_000)
    machine.run(stream("app_1", "quick", 64, 0))
    assert max(machine.waited_us["quick"]) == 64 // 4 * 1_000


def take(turns: Turns[Event]) -> Slice[Event]:
    part = turns.next()
    assert part is not None
    turns.ended(part)
    return part


def events(count: int, code: str = "a", **more: object) -> list[Event]:
    request = object()
    return [Event(job(code, code_id=code, **more), 0, request) for _ in range(count)]


def test_slice_has_as_many_events_as_its_time_allows():
    sizes = {}
    for pace_us in (None, 1, SLICE_US / 4, SLOW_US, SLOW_US + 1):
        turns: Turns[Event] = Turns(2)
        if pace_us is not None:
            for _ in range(2):
                turns.paces.learn("", "a", pace_us)
        for event in events(100):
            turns.add(event)
        sizes[pace_us] = len(take(turns).items)
    assert sizes == {None: 1, 1: SLICE_JOBS, SLICE_US / 4: 4, SLOW_US: 1, SLOW_US + 1: 1}


def test_slices_never_mix_callers_or_exceed_their_bytes():
    turns: Turns[Event] = Turns(2)
    turns.paces.learn("", "a", 1)
    for event in [*events(3), *events(2), *events(4, body=b"x" * 3 * 1024 * 1024)]:
        turns.add(event)
    assert [len(take(turns).items) for _ in range(6)] == [3, 2, 1, 1, 1, 1]


def test_unwanted_events_are_not_run():
    turns: Turns[Event] = Turns(2)
    waiting = events(3)
    for event in waiting:
        turns.add(event)
    for event in waiting[:2]:
        event.is_wanted = False
    assert take(turns).items == waiting[2:]
    assert turns.next() is None


@pytest.mark.parametrize("unwanted", ["first", "last"])
def test_code_nobody_waits_for_holds_up_no_slow_code(unwanted):
    turns: Turns[Event] = Turns(2)
    turns.paces.learn("", "slow", HANGS_US)
    (slow,), (new,) = events(1, "slow"), events(1, "new")
    for event in (new, slow) if unwanted == "first" else (slow, new):
        turns.add(event)
    new.is_wanted = False
    assert take(turns).items == [slow]


def test_compiling_makes_no_code_slow():
    turns: Turns[Event] = Turns(2)
    for _ in range(2):
        turns.paces.learn("", "a", 2 * SLOW_US, is_compiled=False)
        assert turns.paces.get("", "a") == TRIAL_US
    turns.paces.learn("", "a", 2 * SLOW_US)
    assert turns.paces.get("", "a") == 2 * SLOW_US
    turns.paces.learn("", "b", 2 * QUICK_SLICE_US, is_compiled=False)
    assert turns.paces.get("", "b") == 2 * QUICK_SLICE_US


async def test_quick_code_stays_quick_whose_process_never_stays():
    """More applications take turns than processes are kept, so each turn compiles the code again."""
    async with SandboxPool(children=2) as pool:
        for _ in range(8):
            results = await pool.run([job(GOOD, app_id="app")] * SLICE_JOBS)
            assert len(results) == SLICE_JOBS
            while pool._idle:
                await pool._children.end(pool._idle.popitem()[0])
        assert pool._turns.paces.get("app", GOOD) < TRIAL_US


def test_code_that_was_slow_once_is_quick_again_after_a_while():
    turns: Turns[Event] = Turns(2)
    turns.paces.learn("", "a", HANGS_US)
    slices = 0
    while turns.paces.get("", "a") > SLOW_US:
        turns.paces.learn("", "a", QUICK_US)
        slices += 1
    assert slices < 20


async def test_quick_code_that_hangs_once_makes_way():
    """Both places are taken by code that was quick until now, and never ends; the other still runs."""
    code = "function handler(w) { while (w.payload.hang); w.payload = 1; return w; }"
    bounds = Bounds(run_ms=600_000, cpu_ms=600_000, wall_ms=600_000)
    async with SandboxPool(children=2, bounds=bounds) as pool:
        for app_id in ("app_1", "app_2", "app_3"):
            while (pool._turns.paces.get(app_id, code) or HANGS_US) > SLOW_US:
                await pool.run([job(code, app_id=app_id, body=b"{}")])
        hanging = [
            asyncio.create_task(pool.run([job(code, app_id=app_id, body=b'{"hang":true}')]))
            for app_id in ("app_1", "app_2")
        ]
        while pool._turns._running < 2:
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            await pool.run([job(code, app_id="app_3", body=b"{}")])
        assert not any(task.done() for task in hanging)
    outcomes = await asyncio.gather(*hanging, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [SandboxError] * 2
