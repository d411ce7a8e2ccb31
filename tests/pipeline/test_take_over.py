"""A worker takes over from another one that ends in the middle of a request. Each has a clock of its own."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from nicobar.connectors.transport import TIMEOUT_MS
from nicobar.ids import IdFactory
from nicobar.model import DeliveryState
from nicobar.pipeline.leases import BEAT_MS, DEAD_MS
from nicobar.pipeline.sender import SENDING_MS, UNCONFIRMED_MS
from support.clock import MovingClock
from support.patience import PATIENCE_S
from support.worker import working, world


@asynccontextmanager
async def two_workers(tmp_path, database, **more):
    """Both on one database; the first has the endpoint."""
    async with world(tmp_path, alone=False, database=database, **more) as first:
        clock = MovingClock(first.clock.now_ms())
        async with working(first.store, clock, IdFactory(clock.now_ms), alone=False) as second:
            yield first, second


async def time_passes(it, by_ms: int) -> None:
    """Beat by beat, each once the worker has nothing left to do."""
    for _ in range(by_ms // BEAT_MS):
        it.clock.move(BEAT_MS)
        await rests(it)


async def rests(it) -> None:
    keeper = it.worker.leases
    async with asyncio.timeout(PATIENCE_S):
        # What waits: the beat, what looks at the queues, and the lanes.
        while not (
            it.clock.quiet
            and it.clock.waiting >= 2 + len(it.worker._lanes)
            and keeper._acting is None
            and not keeper._wake.is_set()
        ):
            await asyncio.sleep(0)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def database(request):
    return request.param


async def test_customers_of_unknown_outcome_wait_and_others_do_not(tmp_path, database):
    async with two_workers(tmp_path, database) as (first, second):
        first.network.open.clear()
        sent = await first.accept("sent", "cus_a")
        assert await first.network.next() == ["sent"]
        second.count = first.count
        await second.accept("next", "cus_a")
        await second.accept("other", "cus_b")
        # From here on no time passes for the first one.
        await time_passes(second, DEAD_MS + BEAT_MS)
        assert await second.network.next() == ["other"]
        await second.next_recorded()
        await time_passes(second, TIMEOUT_MS - 2 * BEAT_MS)
        assert second.network.sent.empty(), "the first one's request may still be under way"
        await time_passes(second, BEAT_MS)
        second.clock.move(BEAT_MS)
        assert await second.network.next() == ["sent", "next"]
        await second.next_recorded()
        assert (await second.delivery(sent)).state is DeliveryState.SUCCESS


async def test_the_answer_that_a_former_holder_gets_changes_nothing(tmp_path, database):
    async with two_workers(tmp_path, database) as (first, second):
        first.network.open.clear()
        sent = await first.accept("sent", "cus_a")
        await first.network.next()
        await time_passes(second, DEAD_MS + BEAT_MS)
        first.network.open.set()
        await first.next_recorded()
        assert (await first.delivery(sent)).state is DeliveryState.SENDING
        assert len(await first.attempts(sent)) == 1, "the attempt is kept"
        await time_passes(second, TIMEOUT_MS - BEAT_MS)
        second.clock.move(BEAT_MS)
        assert await second.network.next() == ["sent"]
        await second.next_recorded()
        assert (await second.delivery(sent)).state is DeliveryState.SUCCESS
        assert len(await first.attempts(sent)) == 2


async def test_a_frozen_worker_that_wakes_sends_nothing(tmp_path, database):
    async with two_workers(tmp_path, database) as (first, second):
        first.network.open.clear()
        await first.accept("one", "cus_a")
        await first.network.next()
        second.count = first.count
        await time_passes(second, DEAD_MS + BEAT_MS)
        await second.accept("two", "cus_b")
        assert await second.network.next() == ["two"]
        # The first one wakes; it has not heard of anything.
        first.clock.move(DEAD_MS + BEAT_MS - 1)
        first.count = second.count
        await first.accept("three", "cus_c")
        second.worker.wake([1])
        assert await second.network.next() == ["three"]
        first.clock.move(BEAT_MS)
        await rests(first)
        assert first.network.sent.empty()
        assert first.worker._lanes == {}


async def test_a_worker_that_stops_hands_over_at_once(tmp_path, database):
    async with two_workers(tmp_path, database) as (first, second):
        await first.worker.stop(0)
        second.count = first.count
        await time_passes(second, BEAT_MS)
        await second.accept("one")
        assert await second.network.next() == ["one"]
        await second.next_recorded()


async def test_a_request_waits_until_the_beat_is_confirmed(tmp_path):
    held = asyncio.Event()
    async with world(tmp_path, may_send=held.is_set) as it:
        await it.accept("one")
        await waits_for_confirmation(it)
        assert it.network.sent.empty()
        held.set()
        it.clock.move(UNCONFIRMED_MS)
        assert await it.network.next() == ["one"]


async def test_a_delivery_whose_worker_stays_unconfirmed_is_requeued(tmp_path):
    async with world(tmp_path, may_send=lambda: False) as it:
        message_id = await it.accept("one")
        await waits_for_confirmation(it)
        it.clock.move(SENDING_MS)
        await waits_for_confirmation(it)
        assert not list(await it.attempts(message_id))
        assert it.network.sent.empty()


async def test_a_page_that_waits_is_requeued_when_its_worker_stops(tmp_path):
    async with world(tmp_path, may_send=lambda: False) as it:
        message_id = await it.accept("one")
        await waits_for_confirmation(it)
        await it.worker.stop(1_000_000)
        delivery = await it.delivery(message_id)
        assert (delivery.state, delivery.attempts_used) == (DeliveryState.PENDING, 0)


async def waits_for_confirmation(it) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while it.clock.now_ms() + UNCONFIRMED_MS not in it.clock._wakes_ms:
            await it.clock.next_wait()
