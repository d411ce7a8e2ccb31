"""Faults of a PostgreSQL server while many processes work on it."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from chaos import plan
from chaos.arena import Arena
from chaos.lives import PARENT, processes
from chaos.plan import Point
from chaos.witness import part

if TYPE_CHECKING:
    # Its library is loaded only where it is used.
    from support.postgres import Cluster

LOOK_S = 0.1
STORE = (part("store"),)
READ_ONLY_S = 1.5
# Until the server has ended its processes and started again after one of them could not write.
RECOVERING_S = 60.0
_CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()"
_SET_READ_ONLY = "ALTER SYSTEM SET default_transaction_read_only = on"
_RESET_READ_ONLY = "ALTER SYSTEM RESET default_transaction_read_only"
_RELOAD = "SELECT pg_reload_conf()"


class DatabaseFaults:
    """Makes the faults of `deck` spread over the other kills and faults, of which there are `others`."""

    def __init__(
        self, cluster: Cluster, deck: deque[Point], arena: Arena, chance: random.Random, *, others: int
    ) -> None:
        self._cluster = cluster
        self._deck = deck
        self._arena = arena
        self._chance = chance
        self._others = others

    async def run(self, others_done: Callable[[], bool]) -> None:
        count, tally = len(self._deck), self._arena.tally
        for number in range(count):
            at = number + self._others * (number + self._chance.random()) / count
            while tally.kills.total() < at and not others_done():
                await asyncio.sleep(LOOK_S)
            if self._arena.is_over():
                return
            point = self._deck.popleft()
            tally.outages_ns.append(time.monotonic_ns())
            with self._arena.site.outages.lasting():
                await _MAKE[point](self)
            tally.kills[None, point] += 1

    async def _wait(self) -> None:
        await asyncio.sleep(self._chance.uniform(0, self._arena.scene.max_outage_s))

    async def stop(self) -> None:
        await asyncio.to_thread(self._cluster.quit)
        try:
            await self._arena.witness.sees(plan.DB_STOPPED.name, STORE)
            await self._wait()
        finally:
            await asyncio.to_thread(self._cluster.start)

    async def restart(self) -> None:
        """In order: it ends the sessions, and is back at once."""
        await asyncio.to_thread(self._cluster.stop)
        await asyncio.to_thread(self._cluster.start)

    async def freeze(self) -> None:
        with _stopped(self._cluster.postmaster):
            await self._arena.witness.sees(plan.DB_FROZEN.name, STORE)
            await self._wait()

    async def cut(self) -> None:
        await self._ask(_CUT)

    async def make_read_only(self) -> None:
        """Either it changes nothing, or it has to be seen."""
        load = self._arena.load
        await self._ask(_SET_READ_ONLY, _RELOAD)
        try:
            before = load.acknowledged
            await asyncio.sleep(READ_ONLY_S)
            if load.acknowledged == before and not load.enough.is_set():
                await self._arena.witness.sees(plan.DB_READ_ONLY.name, STORE, unless=load.enough.is_set)
        finally:
            await self._ask(_RESET_READ_ONLY, _RELOAD)

    async def refuse_writes(self) -> None:
        """None of its processes can write to a file any more, as on a full disk. It ends them all, and recovers."""
        for pid in processes(PARENT, self._cluster.postmaster):
            with suppress(ProcessLookupError):
                _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, most))
        await self._ask("CREATE TEMPORARY TABLE recovered ()")

    async def _ask(self, *statements: str) -> None:
        """As soon as the server answers."""
        import psycopg  # noqa: PLC0415 - only here

        until_s = time.monotonic() + RECOVERING_S
        for statement in statements:
            while True:
                try:
                    await asyncio.to_thread(self._cluster.ask, statement)
                    break
                except psycopg.OperationalError as error:
                    if time.monotonic() > until_s:
                        raise click.ClickException(f"The database's server does not come back: {error}") from error
                    await asyncio.sleep(LOOK_S)


_MAKE: Mapping[Point, Callable[[DatabaseFaults], Awaitable[None]]] = {
    plan.DB_STOPPED: DatabaseFaults.stop,
    plan.DB_RESTARTED: DatabaseFaults.restart,
    plan.DB_FROZEN: DatabaseFaults.freeze,
    plan.DB_CUT: DatabaseFaults.cut,
    plan.DB_READ_ONLY: DatabaseFaults.make_read_only,
    plan.DB_WRITES_FAIL: DatabaseFaults.refuse_writes,
}


@contextmanager
def _stopped(postmaster: int) -> Iterator[None]:
    """The server and all of its processes stand still."""
    frozen: list[int] = []
    try:
        os.kill(postmaster, signal.SIGSTOP)
        frozen.append(postmaster)
        for pid in processes(PARENT, postmaster):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                frozen.append(pid)
        yield
    finally:
        for pid in frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
