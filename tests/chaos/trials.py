"""What a server has to live through: faults of its processes, its clock and its disk. Each lasts until an operator
would have seen it, and afterwards the work has to continue without an operator.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos import plan
from chaos.arena import Arena
from chaos.beside import BESIDE
from chaos.clocks import Clock
from chaos.disk import DiskState, no_file_grows
from chaos.lives import Life
from chaos.plan import Point
from chaos.restoration import restore_a_backup
from chaos.witness import Sign, counter, part
from nicobar.settings import Role

STORE = (part("store"),)
HOUR_MS = 3_600_000
STEPS_MS = (HOUR_MS, -HOUR_MS, 48 * HOUR_MS, -48 * HOUR_MS, 960 * HOUR_MS)
# A server follows a change of its clock within a second.
FOLLOWED_S = 1.2
MAX_CHILD_FROZEN_S = 1.5
MAX_GONE_ON_S = 0.5
# After a fault an event is accepted within this time, on any machine.
RECOVERED_S = 60.0
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Stage:
    """A server that runs, and what is around it."""

    role: Role
    life: Life
    clock: Clock
    chance: random.Random
    arena: Arena

    async def is_well(self) -> bool:
        """Waits until all of it works; whether it did before the server's time was over."""
        until_s = time.monotonic() + self.arena.scene.life_s
        while not self.life.dead and time.monotonic() < until_s:
            if await self.arena.witness.is_ready(self.life.url):
                return True
            await asyncio.sleep(LOOK_S)
        return False

    async def goes_on(self, after: str) -> None:
        """Waits until an event is accepted again."""
        load = self.arena.load
        before, until_s = load.acknowledged, time.monotonic() + RECOVERED_S
        while load.acknowledged == before and not load.enough.is_set() and not self.life.dead:
            if time.monotonic() > until_s:
                self.arena.tally.surprises.append(f"no event was accepted for {RECOVERED_S} s after: {after}")
                return
            await asyncio.sleep(LOOK_S)


async def _child_killed(stage: Stage) -> None:
    for pid in _one_child(stage):
        _signal(pid, signal.SIGKILL)
    await stage.life.dies_within(stage.chance.uniform(0, MAX_GONE_ON_S))


async def _child_frozen(stage: Stage) -> None:
    for pid in _one_child(stage):
        _signal(pid, signal.SIGSTOP)
        try:
            await stage.life.dies_within(stage.chance.uniform(0, MAX_CHILD_FROZEN_S))
        finally:
            _signal(pid, signal.SIGCONT)


def _one_child(stage: Stage) -> list[int]:
    children = stage.life.children()
    return stage.chance.sample(children, k=min(1, len(children)))


def _signal(pid: int, number: signal.Signals) -> None:
    # It may have been replaced meanwhile.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


async def _clock_set(stage: Stage) -> None:
    """Senders whose clock is right are refused meanwhile, which shows; a worker's clock affects no sender."""
    before = await stage.arena.witness.count()
    stage.clock.set(stage.chance.choice(STEPS_MS))
    try:
        if stage.role is Role.WORKER:
            await stage.life.dies_within(FOLLOWED_S)
        else:
            refused = counter('nicobar_requests_refused_total{reason="timestamp_too_')
            await stage.arena.witness.sees(plan.CLOCK.name, [refused], since=before, unless=lambda: stage.life.dead)
            await stage.life.dies_within(stage.chance.uniform(0, FOLLOWED_S))
    finally:
        stage.clock.set(0)
    await stage.life.dies_within(FOLLOWED_S)


def _on_disk(state: DiskState) -> Callable[[Stage], AbstractContextManager[None]]:
    return lambda stage: stage.arena.disk.being(state)


def _without_growth(stage: Stage) -> AbstractContextManager[None]:
    return no_file_grows(stage.life.process.pid)


@contextmanager
def _locked(stage: Stage) -> Iterator[None]:
    with closing(sqlite3.connect(stage.arena.site.database, isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


# In these, a command would find another database, or none.
_ALONE = frozenset({plan.DELETED, plan.REPLACED})


@contextmanager
def _deleted(stage: Stage) -> Iterator[None]:
    with _moved_aside(stage.arena.site.database):
        yield


@contextmanager
def _replaced(stage: Stage) -> Iterator[None]:
    """By another database with the same contents, as a backup that is copied over it."""
    database = stage.arena.site.database
    with _moved_aside(database) as moved:
        copies = [Path(shutil.copy(path, database.with_name(path.name))) for path in moved]
        try:
            yield
        finally:
            for copy in copies:
                copy.unlink()


@contextmanager
def _moved_aside(database: Path) -> Iterator[list[Path]]:
    aside = database.parent.parent / "aside"
    aside.mkdir(exist_ok=True)
    paths = [path for path in database.parent.glob(f"{database.name}*") if path.suffix != ".lock"]
    moved = [path.rename(aside / path.name) for path in paths]
    try:
        yield moved
    finally:
        for path in moved:
            path.rename(database.with_name(path.name))


# How each fault of the store is made; it ends with the block.
_STORE_FAULTS: Mapping[Point, Callable[[Stage], AbstractContextManager[None]]] = {
    plan.DISK_FULL: _on_disk(DiskState.FULL),
    plan.READ_ONLY: _on_disk(DiskState.READ_ONLY),
    plan.WRITES_FAIL: _on_disk(DiskState.WRITES_FAIL),
    plan.SYNCS_FAIL: _on_disk(DiskState.SYNCS_FAIL),
    plan.NEARLY_FULL: _on_disk(DiskState.NEARLY_FULL),
    plan.NO_GROWTH: _without_growth,
    plan.LOCKED: _locked,
    plan.DELETED: _deleted,
    plan.REPLACED: _replaced,
}
# A server is killed in the midst of some, too.
_MAY_DIE = frozenset({*plan.BY_DISK, plan.NO_GROWTH})


def _store_fault(point: Point) -> Callable[[Stage], Awaitable[None]]:
    signs: tuple[Sign, ...] = (part("disk"),) if point == plan.NEARLY_FULL else STORE

    async def suffer(stage: Stage) -> None:
        dies = point in _MAY_DIE and stage.chance.random() < 1 / 2
        site = stage.arena.site
        async with site.calm if point in _ALONE else contextlib.nullcontext():
            # Commands may fail meanwhile.
            with site.outages.lasting(), _STORE_FAULTS[point](stage):
                if await stage.arena.witness.sees(point.name, signs, unless=lambda: stage.life.dead):
                    await stage.life.dies_within(stage.chance.uniform(0, MAX_GONE_ON_S))
                if dies:
                    await stage.life.kill()
        if not dies:
            await stage.goes_on(point.name)

    return suffer


TRIALS: Mapping[Point, Callable[[Stage], Awaitable[None]]] = {
    plan.CHILD_KILLED: _child_killed,
    plan.CHILD_FROZEN: _child_frozen,
    plan.CLOCK: _clock_set,
    plan.RESTORED: lambda stage: restore_a_backup(stage.life, stage.chance, stage.arena),
    **{point: _store_fault(point) for point in _STORE_FAULTS},
    **{point: lambda stage, beside=beside: beside(stage.arena, stage.chance) for point, beside in BESIDE.items()},
}
