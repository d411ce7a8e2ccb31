"""Places in which one server runs after another, each until it dies."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import click

from chaos.faults import Weather
from chaos.lives import Life
from chaos.load import Load
from chaos.plan import ANYWHERE, FREEZE, HELD, START, STOP, Point, planned
from chaos.scene import Scene
from chaos.site import Site
from chaos.takeovers import Loss
from nicobar.settings import Role

MAX_START_S = 0.1
MAX_STOP_S = 0.2
# A server that was frozen goes on for so long before it is stopped in order.
THAWED_S = 3.0
LOOK_S = 0.1
# A server whose request is held dies within this time.
HELD_S = 3.0
SHOW_DEATHS = 40
FLAGS = ("--sandbox-children=1", "--log-level=warning")


@dataclass(slots=True)
class Tally:
    """What happened in all slots. `kills` by role and point; `postponed` are plans whose point did not come up,
    `turned_away` servers that could not start because the database was away.
    """

    kills: Counter[tuple[Role | None, Point]] = field(default_factory=Counter)
    postponed: int = 0
    turned_away: int = 0
    orphans: int = 0
    surprises: list[str] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    losses: list[Loss] = field(default_factory=list)
    outages_ns: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Arena:
    """What all slots share. `is_over` ends a run early."""

    scene: Scene
    site: Site
    load: Load
    weather: Sequence[Weather]
    tally: Tally
    is_over: Callable[[], bool]


class Slot:
    """Runs servers of one role on one port, with the points of `deck`, which slots of the same role share."""

    def __init__(self, role: Role, port: int, deck: deque[Point], chance: random.Random, arena: Arena) -> None:
        self._role = role
        self._port = port
        self._deck = deck
        self._chance = chance
        self._arena = arena
        self._tally = arena.tally
        self._url = f"http://127.0.0.1:{port}" if role is not Role.WORKER else None

    async def run(self) -> Life:
        """Until each point has had its kills or the run is over; returns the last server, which goes on."""
        life = await self._load()
        while self._deck and not self._arena.is_over():
            point = self._deck.popleft()
            # The next one loads while this one works.
            following = await self._load()
            started_s = time.monotonic()
            died_at = await self._live(life, point)
            if self._was_turned_away(life, started_s):
                self._deck.appendleft(point)
            else:
                self._count(life, point, died_at)
            self._tally.orphans += await asyncio.to_thread(life.bury_orphans)
            life = following
        return await self._last(life)

    async def _last(self, life: Life) -> Life:
        started_s = time.monotonic()
        await life.go(None)
        await life.listening()
        while self._was_turned_away(life, started_s):
            started_s = time.monotonic()
            life = await self._load()
            await life.go(None)
            await life.listening()
        self._open()
        return life

    async def _load(self) -> Life:
        role = [] if self._role is Role.ALL else [f"--role={self._role}"]
        life = await Life.load(
            [*FLAGS, *role, *self._arena.site.flags()],
            self._arena.site.environment(),
            port=self._port,
            directory=self._arena.site.directory,
            number=next(self._tally.numbers),
        )
        self._tally.lives.append(life)
        return life

    def _was_turned_away(self, life: Life, started_s: float) -> bool:
        away = life.process.returncode == 1 and self._arena.site.outages.since(started_s)
        self._tally.turned_away += away
        return away

    def _count(self, life: Life, point: Point, died_at: Point) -> None:
        self._tally.kills[self._role, died_at] += 1
        if died_at != point:
            self._tally.postponed += 1
            self._deck.append(point)
        expected = {STOP: {0, -signal.SIGKILL}, FREEZE: {0}}.get(died_at, {-signal.SIGKILL})
        if life.process.returncode not in expected:
            self._tally.surprises.append(
                f"{self._role}: a server ended with {life.process.returncode} ({died_at.name})"
            )
        if self._tally.kills.total() % SHOW_DEATHS == 0:
            click.echo(
                f"  {self._tally.kills.total()} kills, {self._arena.load.acknowledged} events acknowledged", err=True
            )

    async def _live(self, life: Life, point: Point) -> Point:
        """Lets the server run until it dies at the point; returns where it died."""
        await life.go(planned(self._chance, point))
        listening = asyncio.create_task(life.listening())
        if point == START:
            await life.dies_within(self._chance.uniform(0, MAX_START_S))
            died_at = ANYWHERE if listening.done() else START
            await life.kill()
            await listening
            return died_at
        await listening
        if not life.dead:
            self._open()
        try:
            return await self._end(life, point)
        finally:
            self._close()

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
                    life.process.terminate()
                    await life.dies_within(self._chance.uniform(0, MAX_STOP_S))
                    await life.kill()
                    return STOP
            case _ if point == FREEZE:
                if not await life.dies_within(self._chance.uniform(0, scene.calm_s)):
                    self._lose(life, "frozen")
                    await life.freeze(self._chance.uniform(*scene.freeze_s))
                    await life.dies_within(THAWED_S)
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

    def _open(self) -> None:
        if self._url is not None:
            self._arena.load.doors.open(self._url)

    def _close(self) -> None:
        if self._url is not None:
            self._arena.load.doors.close(self._url)
