"""Which schedule the retries of a delivery follow, and how many deliveries are in flight."""

from __future__ import annotations

import asyncio

import pytest

from nicobar.model import DeliveryState
from nicobar.pipeline.lane import MAX_PARALLEL_DELIVERIES
from support.patience import PATIENCE_S
from support.worker import status, world

GLOBAL, OF_ENDPOINT, OF_TYPE = (7_000,), (60_000, 120_000), (3_000, 4_000)


async def wait_ms(it) -> int | None:
    """How long the delivery waits after an attempt that just failed; None if it has failed for good."""
    entry = await it.next_recorded()
    delivery = await it.delivery(entry.message.id)
    return None if delivery.state is DeliveryState.FAILED else delivery.due_at_ms - it.clock.now_ms()


@pytest.mark.parametrize(
    ("globally", "endpoint", "event_type", "waits"),
    [
        (GLOBAL, None, None, [7_000, None]),
        (GLOBAL, OF_ENDPOINT, None, [60_000, 120_000, None]),
        (GLOBAL, OF_ENDPOINT, OF_TYPE, [3_000, 4_000, None]),
        (None, None, OF_TYPE, [3_000, 4_000, None]),
        (GLOBAL, (), None, [None]),
        (GLOBAL, OF_ENDPOINT, (), [None]),
    ],
)
async def test_the_most_specific_schedule_applies(tmp_path, globally, endpoint, event_type, waits):
    async with world(tmp_path, kind="http", retry_after_ms=globally) as it:
        await it.put_schedule(endpoint=endpoint, event_type=event_type)
        it.network.answer = lambda _items: status(404)
        await it.accept("one")
        for expected in waits:
            assert await wait_ms(it) == expected
            await it.move(expected or 0)


async def test_a_changed_schedule_applies_to_later_attempts(tmp_path):
    async with world(tmp_path, kind="http") as it:
        it.network.answer = lambda _items: status(404)
        await it.accept("one")
        assert await wait_ms(it) == 5_000
        await it.put_schedule(endpoint=(1_000, 2_000))
        await it.move(4_000)
        assert it.recorded.empty(), "what waits already keeps its time"
        await it.move(1_000)
        assert await wait_ms(it) == 2_000
        await it.put_schedule(endpoint=(1_000,), event_type=None)
        await it.move(2_000)
        assert await wait_ms(it) is None


async def test_a_slow_receiver_gets_many_requests_at_once(tmp_path):
    async with world(tmp_path, kind="http") as it:
        it.network.open.clear()
        for number in range(MAX_PARALLEL_DELIVERIES + 1):
            await it.accept(f"n{number}", f"cus_{number}")
        for _ in range(MAX_PARALLEL_DELIVERIES):
            await it.network.next()
        assert it.network.sent.empty()
        assert MAX_PARALLEL_DELIVERIES >= 64
        it.network.open.set()
        async with asyncio.timeout(PATIENCE_S):
            await it.network.next()
