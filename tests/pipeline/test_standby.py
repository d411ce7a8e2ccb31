"""With SQLite one process of a database delivers at a time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from nicobar.errors import StoreUnusable
from nicobar.pipeline.standby import STANDBY_MS, Standby
from nicobar.store.migrations import load_migrations
from nicobar.store.postgres.location import PostgresLocation
from nicobar.store.sqlite import apply_migrations
from nicobar.store.sqlite.location import SqliteLocation
from support import postgres
from support.clock import MovingClock
from support.patience import PATIENCE_S
from support.store import run_sql


class Process:
    """What a process does, as far as its place goes."""

    def __init__(self, location, clock, *, broken: bool = False) -> None:
        self.delivers = asyncio.Event()
        self.broken = broken
        self.standby = Standby(location, self.start_parts, clock)

    async def start_parts(self, stack, alone) -> None:
        assert alone
        if self.broken:
            raise RuntimeError("broken on purpose")
        self.delivers.set()
        stack.callback(self.delivers.clear)

    @asynccontextmanager
    async def running(self):
        await self.standby.start()
        stop = asyncio.Event()
        task = asyncio.create_task(self.standby.run(stop))
        try:
            yield self
        finally:
            stop.set()
            await task


@pytest.fixture
def location(tmp_path):
    apply_migrations(tmp_path / "nicobar.db", 1)
    return SqliteLocation(tmp_path / "nicobar.db")


LATEST = load_migrations("sqlite")[-1].number
# What a newer version stores that has changed the tables.
NEWER = "INSERT INTO migrations (number, name, sha256, applied_at_ms, oldest) VALUES (99, 'later', 'x', 1, {oldest})"


async def test_the_next_process_delivers_once_the_first_has_ended(location):
    clock = MovingClock()
    async with Process(location, clock).running() as first:
        assert first.delivers.is_set()
        async with Process(location, clock).running() as second:
            await clock.next_wait()
            clock.move(STANDBY_MS)
            assert not second.delivers.is_set()
    third = Process(location, clock)
    async with third.running():
        assert third.delivers.is_set()


async def test_a_process_that_stands_by_takes_over(location):
    clock = MovingClock()
    first, second = Process(location, clock), Process(location, clock)
    async with second_of(first, second):
        assert not first.delivers.is_set()
        async with asyncio.timeout(PATIENCE_S):
            while not second.delivers.is_set():
                clock.move(STANDBY_MS)
                await asyncio.sleep(0)


@asynccontextmanager
async def second_of(first, second):
    """Within the block the first process has ended, and the second, a standby, takes over."""
    async with first.running():
        await second.standby.start()
        assert not second.delivers.is_set()
    stop = asyncio.Event()
    task = asyncio.create_task(second.standby.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def test_parts_that_do_not_start_leave_the_place_free(location):
    clock = MovingClock()
    with pytest.raises(RuntimeError):
        await Process(location, clock, broken=True).standby.start()
    async with Process(location, clock).running() as other:
        assert other.delivers.is_set()


async def test_an_unexpected_error_does_not_end_delivery_for_good(location):
    clock = MovingClock()
    first, second = Process(location, clock), Process(location, clock, broken=True)
    async with second_of(first, second):
        async with asyncio.timeout(PATIENCE_S):
            while second.standby._failure is None:
                clock.move(STANDBY_MS)
                await asyncio.sleep(0)
        second.broken = False
        async with asyncio.timeout(PATIENCE_S):
            while not second.delivers.is_set():
                clock.move(STANDBY_MS)
                await asyncio.sleep(0)


@pytest.mark.parametrize(("oldest", "may"), [(LATEST, True), (LATEST + 1, False)])
async def test_a_standby_delivers_only_where_a_newer_version_allows_it(location, tmp_path, oldest, may):
    clock = MovingClock()
    first, second = Process(location, clock), Process(location, clock)
    async with second_of(first, second):
        run_sql(tmp_path, NEWER.format(oldest=oldest))
        async with asyncio.timeout(PATIENCE_S):
            while not second.delivers.is_set() and second.standby._failure is None:
                clock.move(STANDBY_MS)
                await asyncio.sleep(0)
        assert second.delivers.is_set() is may
        if not may:
            assert "version that knows migration" in second.standby._failure


async def test_a_worker_of_a_server_s_database_checks_its_version_too():
    url = postgres.cluster().take_database()
    process = Process(PostgresLocation(url), MovingClock())
    postgres.cluster().ask(NEWER.format(oldest=LATEST + 1), url.removeprefix("postgresql:///").partition("?")[0])
    with pytest.raises(StoreUnusable) as caught:
        await process.standby.start()
    assert caught.value.code == "database_newer"
    assert not process.delivers.is_set()
    postgres.cluster().give_back(url)
