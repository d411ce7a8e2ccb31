"""One process of a database delivers at a time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from nicobar.pipeline.sender import SENDING_MS, UNCONFIRMED_MS
from nicobar.pipeline.standby import STANDBY_MS, Standby
from nicobar.store.sqlite import apply_migrations
from nicobar.store.sqlite.location import SqliteLocation
from support.clock import MovingClock
from support.patience import PATIENCE_S
from support.worker import world


class Process:
    """What a process does, as far as its place goes."""

    def __init__(self, location, clock, *, broken: bool = False) -> None:
        self.delivers = asyncio.Event()
        self.broken = broken
        self.standby = Standby(location, self.start_parts, clock)

    async def start_parts(self, stack, place) -> None:
        if self.broken:
            raise RuntimeError("broken on purpose")
        self.place = place
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
    apply_migrations(tmp_path / "a.db", 1)
    return SqliteLocation(tmp_path / "a.db")


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


async def test_a_process_whose_place_is_lost_stops_and_stands_by(location):
    clock = MovingClock()
    async with Process(location, clock).running() as process:
        process.standby._lose(process.place)
        async with asyncio.timeout(PATIENCE_S):
            while process.delivers.is_set():
                await asyncio.sleep(0)
        # No other process is active.
        async with asyncio.timeout(PATIENCE_S):
            while not process.delivers.is_set():
                clock.move(STANDBY_MS)
                await asyncio.sleep(0)


async def test_parts_that_do_not_start_leave_the_place_free(location):
    clock = MovingClock()
    with pytest.raises(RuntimeError):
        await Process(location, clock, broken=True).standby.start()
    async with Process(location, clock).running() as other:
        assert other.delivers.is_set()


async def test_a_lost_place_is_not_held_and_says_so_at_once(location):
    async with Process(location, MovingClock()).running() as process:
        told = []
        process.place.on_lost(lambda: told.append(process.place.is_held()))
        assert process.place.is_held()
        process.standby._lose(process.place)
        process.standby._lose(process.place)
        process.place.on_lost(lambda: told.append(process.place.is_held()))
        assert told == [False, False]


async def test_a_worker_that_lost_its_place_sends_nothing_more(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("one", "cus_1")
        await it.network.next()
        await it.accept("two", "cus_2")
        it.worker.abort()
        async with asyncio.timeout(PATIENCE_S):
            await it.worker.stop(1_000_000)
        it.network.open.set()
        assert it.network.sent.empty()
        assert it.recorded.empty()


async def test_a_worker_that_lost_its_place_releases_no_lease(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("one", "cus_1")
        await it.network.next()
        it.worker.abort()
        async with asyncio.timeout(PATIENCE_S):
            await it.worker.stop(1_000_000)
        assert await it.store.release_leases() == 1


async def test_a_request_waits_until_the_place_is_confirmed(tmp_path):
    held = asyncio.Event()
    async with world(tmp_path, may_send=held.is_set) as it:
        await it.accept("one")
        await waits_for_place(it)
        assert it.network.sent.empty()
        held.set()
        it.clock.move(UNCONFIRMED_MS)
        assert await it.network.next() == ["one"]


async def test_a_delivery_whose_place_stays_unconfirmed_is_requeued(tmp_path):
    async with world(tmp_path, may_send=lambda: False) as it:
        message_id = await it.accept("one")
        await waits_for_place(it)
        it.clock.move(SENDING_MS)
        await waits_for_place(it)
        assert not list(await it.attempts(message_id))
        assert it.network.sent.empty()
        it.worker.abort()


async def waits_for_place(it):
    """Returns once a request waits for the place."""
    async with asyncio.timeout(PATIENCE_S):
        while it.clock.now_ms() + UNCONFIRMED_MS not in it.clock._wakes_ms:
            await it.clock.next_wait()


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


async def test_a_worker_that_ended_follows_no_change(tmp_path):
    async with world(tmp_path) as it:
        assert it.worker._follow in it.worker._configuration._listeners
        await it.worker.stop(1_000)
        assert it.worker._follow not in it.worker._configuration._listeners
