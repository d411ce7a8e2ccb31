"""A 429 is no failure of the event: it costs no attempt."""

from __future__ import annotations

import pytest

from nicobar.connectors import Deferred
from nicobar.model import DeliveryState, Setbacks
from nicobar.pipeline.retry import settle
from nicobar.reasons import plain
from support.store import STORES
from support.worker import OK, status, world

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS


@pytest.mark.parametrize(("asked", "wait_ms"), [("2", 2_000), ("1.5", 1_500), ("0", 1_000), ("3600", 3_600_000)])
async def test_retry_after_of_a_429_is_honored_each_time(tmp_path, asked, wait_ms):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(429, **{"retry-after": asked})
        message_id = await it.accept("one")
        for _ in range(3):
            await it.network.next()
            await it.move(0)
            delivery = await it.delivery(message_id)
            assert (delivery.attempts_used, delivery.due_at_ms - it.clock.now_ms()) == (0, wait_ms)
            await it.move(wait_ms)
        it.network.answer = lambda _items: OK
        await it.network.next()


@pytest.mark.parametrize("asked", [{}, {"retry-after": "soon"}, {"retry-after": "-5"}])
async def test_a_429_that_asks_for_nothing_is_soon_retried(tmp_path, asked):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(429, **asked)
        message_id = await it.accept("one")
        waits = []
        for _ in range(4):
            await it.network.next()
            await it.move(0)
            delivery = await it.delivery(message_id)
            waits.append(delivery.due_at_ms - it.clock.now_ms())
            assert delivery.attempts_used == 0
            await it.move(waits[-1])
        assert waits == [5_000, 5_000, 10_000, 20_000]


@pytest.mark.parametrize("asked", ["-5", "1.5", "2", "soon"])
async def test_retry_after_of_a_503_does_not_shorten_the_schedule(tmp_path, asked):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(503, **{"retry-after": asked})
        message_id = await it.accept("one")
        for tries, wait_ms in ((1, 5_000), (2, 300_000)):
            await it.network.next()
            await it.next_recorded()
            delivery = await it.delivery(message_id)
            assert (delivery.attempts_used, delivery.due_at_ms - it.clock.now_ms()) == (tries, wait_ms)
            await it.move(wait_ms)


@pytest.mark.parametrize("database", STORES)
async def test_throttling_writes_at_most_one_attempt_a_minute(tmp_path, database):
    async with world(tmp_path, database=database) as it:
        it.network.answer = lambda _items: status(429, **{"retry-after": "5"})
        message_id = await it.accept("one")
        await it.move(0)
        for _ in range(36):
            await it.move(5_000)
        await it.move(0)
        assert it.network.sent.qsize() == 37
        attempts = await it.attempts(message_id)
        assert len(attempts) == 4
        assert {attempt.status for attempt in attempts} == {429}
        it.network.answer = lambda _items: OK
        await it.move(5_000)
        await it.move(0)
        assert (await it.delivery(message_id)).state is DeliveryState.SUCCESS


async def test_five_days_of_429_fail_the_delivery(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(429, **{"retry-after": "43200"})
        message_id = await it.accept("one")
        for _ in range(10):
            await it.move(0)
            assert (await it.delivery(message_id)).state is DeliveryState.PENDING
            await it.move(DAY_MS // 2)
        await it.move(0)
        delivery = await it.delivery(message_id)
        assert delivery.state is DeliveryState.FAILED
        assert "5 days" in str(delivery.reason)
        assert "429" in str(delivery.reason)


async def test_another_answer_starts_the_five_days_anew(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(429, **{"retry-after": "43200"})
        message_id = await it.accept("one")
        for number in range(14):
            await it.move(0)
            answer = status(503) if number == 7 else status(429, **{"retry-after": "43200"})
            it.network.answer = lambda _items, answer=answer: answer
            await it.move(DAY_MS // 2)
        await it.move(0)
        delivery = await it.delivery(message_id)
        assert (delivery.state, delivery.attempts_used) == (DeliveryState.PENDING, 1)


@pytest.mark.parametrize("is_under_way", [False, True])
async def test_a_clock_set_forward_ends_no_throttling(tmp_path, is_under_way):
    """By six days: while the delivery is due, or while it is being sent."""
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(429, **{"retry-after": "2"})
        message_id = await it.accept("one")
        await it.network.next()
        if is_under_way:
            await it.move(0)
            it.network.open.clear()
        await it.move(2_000)
        if is_under_way:
            await it.network.next()
        it.clock.set_by(6 * DAY_MS)
        it.network.open.set()
        await it.clock_looked_at()
        await it.move(0)
        delivery = await it.delivery(message_id)
        assert (delivery.state, delivery.attempts_used) == (DeliveryState.PENDING, 0)
        assert delivery.due_at_ms - it.clock.now_ms() == 2_000


@pytest.mark.parametrize("days", [40, -40])
def test_a_worker_with_another_clock_ends_no_throttling(days):
    throttled = [Deferred(reason=plain("429"), throttled=True)]
    setbacks = Setbacks()
    for at_ms in (DAY_MS, DAY_MS + 60_000, DAY_MS + days * DAY_MS, DAY_MS + days * DAY_MS + 60_000, DAY_MS + 120_000):
        settled = settle(throttled, 0, 100 * DAY_MS + at_ms, 0, setbacks=setbacks)
        assert settled.state is DeliveryState.PENDING
        setbacks = settled.setbacks
