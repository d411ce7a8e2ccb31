"""Places in which one server runs after another, each until it dies."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import deque

import click

from chaos.arena import Arena
from chaos.clocks import Clock
from chaos.lives import Life
from chaos.plan import ANYWHERE, FREEZE, HELD, START, STOP, Moment, Point, planned
from chaos.takeovers import Loss
from chaos.trials import TRIALS, Stage
from nicobar.settings import Role

MAX_START_S = 0.1
MAX_STOP_S = 0.2
LOOK_S = 0.1
# A server that the database turned away is started again after this time, as by a supervisor.
AGAIN_S = 1.0
# A server whose request is held dies within this time.
HELD_S = 3.0
# How much a server has to live through before it is killed.
MAX_TRIALS = 4
SHOW_DEATHS = 40


class Slot:
    """Runs servers of one role on one port, with the points of `deck`, which slots of the same role share."""

    def __init__(self, role: Role, port: int, deck: deque[Point], chance: random.Random, arena: Arena) -> None:
        self._role = role
        self._port = port
        self._deck = deck
        self._chance = chance
        self._arena = arena
        self._tally = arena.tally
        self._clock = Clock(arena.site.directory / f"clock-{port}")
        # The last server, which goes on.
        self.last: Life | None = None

    async def run(self) -> None:
        """Until each point has had its turns or the run is over, and the last server runs."""
        while self._deck and not self._arena.is_over():
            await self._arena.gate.wait()
            life, point = self._new_life(), self._deck.popleft()
            started_s = time.monotonic()
            point, died_at = await self._live(life, point)
            if await self._was_turned_away(life, started_s):
                self._deck.appendleft(point)
            else:
                self._count_end(life, point, died_at, started_s)
            self._tally.orphans += await asyncio.to_thread(life.bury_orphans)
        await self._start_last()
        self._arena.revivals.append(self._start_last)

    async def _start_last(self) -> None:
        if self.last is not None:
            self._close(self.last)
        self.last = None
        while self.last is None:
            await self._arena.gate.wait()
            life, started_s = self._new_life(), time.monotonic()
            await life.go(None)
            await life.listening()
            if not await self._was_turned_away(life, started_s):
                self._open(life)
                self.last = life

    def _new_life(self) -> Life:
        site = self._arena.site
        return self._arena.plan_server(
            site.flags(), site.environment(), role=self._role, port=self._port, clock=self._clock.path
        )

    async def _was_turned_away(self, life: Life, started_s: float) -> bool:
        away = life.process.returncode == 1 and self._arena.site.outages.since(started_s)
        if away:
            self._tally.turned_away += 1
            await asyncio.sleep(AGAIN_S)
        return away

    def _count_end(self, life: Life, point: Point, died_at: Point, started_s: float) -> None:
        if died_at not in TRIALS:
            self._count(died_at)
        if died_at != point:
            self._tally.postponed += 1
            self._deck.append(point)
        expected = {STOP: {0, -signal.SIGKILL}, FREEZE: {0}}.get(died_at, {-signal.SIGKILL})
        if self._arena.site.outages.since(started_s):
            expected = expected | {-signal.SIGKILL}
        if life.process.returncode not in expected:
            self._tally.surprises.append(
                f"{self._role}: a server ended with {life.process.returncode} ({died_at.name})"
            )

    def _count(self, point: Point) -> None:
        self._tally.kills[self._role, point] += 1
        total = self._tally.kills.total()
        if total % SHOW_DEATHS == 0:
            click.echo(f"  {total} kills and faults, {self._arena.load.acknowledged} events acknowledged", err=True)

    async def _live(self, life: Life, point: Point) -> tuple[Point, Point]:
        """Lets the server run until it dies; returns the last point that it was to meet, and where it died."""
        await life.go(planned(self._chance, point))
        listening = asyncio.create_task(life.listening())
        if point == START:
            await life.dies_within(self._chance.uniform(0, MAX_START_S))
            died_at = ANYWHERE if listening.done() else START
            await life.kill()
            await listening
            return point, died_at
        await listening
        if not life.dead:
            self._open(life)
        try:
            trials = 0
            while point in TRIALS:
                if not await self._try(life, point):
                    await life.kill()
                    return point, ANYWHERE
                if life.dead:
                    return point, point
                trials += 1
                point = self._next_outside(trials)
            return point, await self._end(life, point)
        finally:
            self._close(life)

    async def _try(self, life: Life, point: Point) -> bool:
        """Whether the server was well before, so that what it shows then is the fault."""
        stage = Stage(role=self._role, life=life, clock=self._clock, chance=self._chance, arena=self._arena)
        if not await stage.is_well():
            return False
        await TRIALS[point](stage)
        self._count(point)
        return True

    def _next_outside(self, trials: int) -> Point:
        """What can happen to a server that runs already; in the end a kill."""
        found = next(
            (
                point
                for point in self._deck
                if point.moment is Moment.WHOLE and point != START and (point not in TRIALS or trials < MAX_TRIALS)
            ),
            None,
        )
        if found is None:
            return ANYWHERE
        self._deck.remove(found)
        return found

    async def _end(self, life: Life, point: Point) -> Point:
        scene = self._arena.scene
        if self._role is Role.WORKER and point in {ANYWHERE, STOP, FREEZE}:
            await self._has_sent(life)
        match point:
            case _ if point == ANYWHERE:
                await life.dies_within(self._chance.uniform(0, scene.calm_s))
            case _ if point == STOP:
                if not await life.dies_within(self._chance.uniform(0, scene.calm_s / 2)):
                    self._lose(life, "stopped")
                    life.process.send_signal(signal.SIGTERM)
                    await life.dies_within(self._chance.uniform(0, MAX_STOP_S))
                    await life.kill()
                    return STOP
            case _ if point == FREEZE:
                if not await life.dies_within(self._chance.uniform(0, scene.calm_s)):
                    self._lose(life, "frozen")
                    await life.freeze(self._chance.uniform(*scene.freeze_s))
                    await life.dies_within(scene.thawed_s)
                    self._lose(life, "stopped")
                    await life.stop()
                    return FREEZE
            case _ if point == HELD:
                await self._hold(life)
            case _:
                await life.dies_within(scene.life_s)
        self._lose(life, "killed")
        await life.kill()
        return life.died_at() or ANYWHERE

    async def _hold(self, life: Life) -> None:
        """Lets the destination that the server sends to hold a request, until the server has died of it."""
        scene = self._arena.scene
        until_s = time.monotonic() + scene.life_s
        while not life.dead and time.monotonic() < until_s:
            sendings = life.sendings()
            if sendings:
                place = self._arena.site.destinations.index(sendings[-1].to)
                await self._arena.weather[place].hold(scene.hold_ms)
            await life.dies_within(HELD_S if sendings else LOOK_S)

    async def _has_sent(self, life: Life) -> None:
        """Returns when the worker has something to lose."""
        until_s = time.monotonic() + self._arena.scene.life_s
        while not life.dead and not life.sendings() and time.monotonic() < until_s:
            await life.dies_within(LOOK_S)

    def _lose(self, life: Life, how: str) -> None:
        """Notes that a worker is lost now."""
        if self._role is Role.WORKER:
            self._tally.losses.append(Loss(how=how, worker=life.number, at_ns=time.monotonic_ns()))

    def _open(self, life: Life) -> None:
        self._arena.running.add(life)
        self._arena.witness.open(life.url, life.number)
        if self._role is not Role.WORKER:
            self._arena.load.doors.open(life.url, self._clock)

    def _close(self, life: Life) -> None:
        self._arena.running.discard(life)
        self._arena.witness.close(life.url)
        self._arena.load.doors.close(life.url)
