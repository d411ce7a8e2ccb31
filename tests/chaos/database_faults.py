"""Faults of a PostgreSQL server while many processes work on it."""

from __future__ import annotations

import asyncio
import os
import random
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
from chaos.restoration import MAX_GAP_S
from chaos.witness import part

if TYPE_CHECKING:
    # Its library is loaded only where it is used.
    from support.postgres import Cluster

LOOK_S = 0.1
STORE = (part("store"),)
READ_ONLY_S = 1.5
# A server that was stopped or frozen answers again within this time.
RECOVERING_S = 60.0
_CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()"
_SET_READ_ONLY = "ALTER SYSTEM SET default_transaction_read_only = on"
_RESET_READ_ONLY = "ALTER SYSTEM RESET default_transaction_read_only"
_RELOAD = "SELECT pg_reload_conf()"
_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
_REFUSE = """CREATE OR REPLACE FUNCTION chaos_full() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"""


class DatabaseFaults:
    """Makes the faults of `deck` spread over the other kills and faults, of which there are `others`."""

    def __init__(
        self, cluster: Cluster, deck: deque[Point], arena: Arena, chance: random.Random, *, others: int
    ) -> None:
        self._cluster = cluster
        self._database = arena.site.database_url.removeprefix("postgresql:///").partition("?")[0]
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

    async def _shows(self, point: Point) -> None:
        tally = self._arena.tally
        await self._arena.witness.sees(point.name, STORE, refused=lambda: tally.turned_away)

    async def _wait(self) -> None:
        await asyncio.sleep(self._chance.uniform(0, self._arena.scene.max_outage_s))

    async def stop(self) -> None:
        await asyncio.to_thread(self._cluster.quit)
        try:
            await self._shows(plan.DB_STOPPED)
            await self._wait()
        finally:
            await asyncio.to_thread(self._cluster.start)

    async def restart(self) -> None:
        """In order: it ends the sessions, and is back at once."""
        await asyncio.to_thread(self._cluster.stop)
        await asyncio.to_thread(self._cluster.start)

    async def freeze(self) -> None:
        with _stopped(self._cluster.postmaster):
            await self._shows(plan.DB_FROZEN)
            await self._wait()

    async def cut(self) -> None:
        await self._ask(_CUT)

    async def make_read_only(self) -> None:
        """Either it changes nothing, or it has to be seen."""
        load = self._arena.load
        await self._ask(_SET_READ_ONLY)
        await self._ask(_RELOAD)
        try:
            before = load.acknowledged
            await asyncio.sleep(READ_ONLY_S)
            await self._arena.witness.sees(
                plan.DB_READ_ONLY.name, STORE, unless=lambda: load.acknowledged > before or load.enough.is_set()
            )
        finally:
            await self._ask(_RESET_READ_ONLY)
            await self._ask(_RELOAD)

    async def refuse_writes(self) -> None:
        """Whatever writes gets the error of a full disk."""
        tables = [str(table) for (table,) in await self._ask(_TABLES)]
        await self._ask(_REFUSE)
        for table in tables:
            await self._ask(
                f"CREATE TRIGGER chaos_full BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION chaos_full()"
            )
        try:
            await self._shows(plan.DB_FULL)
            await self._wait()
        finally:
            for table in tables:
                await self._ask(f"DROP TRIGGER IF EXISTS chaos_full ON {table}")

    async def _lose_servers(self) -> None:
        """Those that are starting, too: one that found the database half restored would write to it."""
        for _ in range(2):
            for life in [*self._arena.tally.lives]:
                self._arena.load.doors.close(life.url)
                await life.kill()
            await asyncio.sleep(LOOK_S)  # for one that was just let in

    async def restore(self) -> None:
        """All servers are lost with the database; a dump that was made while they ran takes its place."""
        arena, url = self._arena, self._arena.site.database_url
        site, load = arena.site, arena.load
        async with site.calm:
            # What is acknowledged before the dump begins is in it.
            marks = load.marks()
            dump = await asyncio.to_thread(self._cluster.dump, url)
            await asyncio.sleep(self._chance.uniform(0, MAX_GAP_S))
            arena.gate.clear()
            try:
                await self._lose_servers()
                load.rewind(marks)
                await asyncio.to_thread(self._cluster.restore, url, dump)
                await site.run("restore")
                # The secrets and the handler may be newer than the dump.
                await site.apply()
                await site.run("resume", "--all")
            finally:
                arena.gate.set()
            for bring_back in [*arena.revivals]:
                await bring_back()

    async def _ask(self, statement: str) -> list[tuple[object, ...]]:
        """As soon as the server answers."""
        import psycopg  # noqa: PLC0415 - only here

        until_s = time.monotonic() + RECOVERING_S
        while True:
            try:
                return await asyncio.to_thread(self._cluster.ask, statement, self._database)
            except psycopg.OperationalError as error:
                if time.monotonic() > until_s:
                    raise click.ClickException(f"The database's server does not answer: {error}") from error
                await asyncio.sleep(LOOK_S)


_MAKE: Mapping[Point, Callable[[DatabaseFaults], Awaitable[None]]] = {
    plan.DB_STOPPED: DatabaseFaults.stop,
    plan.DB_RESTARTED: DatabaseFaults.restart,
    plan.DB_FROZEN: DatabaseFaults.freeze,
    plan.DB_CUT: DatabaseFaults.cut,
    plan.DB_READ_ONLY: DatabaseFaults.make_read_only,
    plan.DB_FULL: DatabaseFaults.refuse_writes,
    plan.DB_RESTORED: DatabaseFaults.restore,
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
