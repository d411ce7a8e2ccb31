"""Deliveries are retried on the schedule, and then fail."""

from __future__ import annotations

import pytest

from nicobar.model import BreakerState, DeliveryState
from nicobar.reasons import plain
from nicobar.sandbox import Broken, Failure
from support.worker import OK, Sometimes, status, the_endpoint, world


async def test_delivery_fails_after_the_whole_schedule(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(500)
        message_id = await it.accept("one")
        ids = set()
        for tried in range(8):
            ids |= {item["id"] for item in await it.network.sent.get()}
            entry = await it.next_recorded()
            delivery = await it.delivery(message_id)
            if tried < 7:
                assert (entry.attempt.state, delivery.attempts_used) == (DeliveryState.PENDING, tried + 1)
                await it.move(delivery.due_at_ms - it.clock.now_ms())
        assert (entry.attempt.state, delivery.due_at_ms) == (DeliveryState.FAILED, None)
        assert str(entry.attempt.reason).startswith("Failed after 8 attempts")
        assert len(ids) == 1, "the same id on every try"


async def test_killed_handler_is_retried_on_the_schedule(tmp_path):
    sandbox = Sometimes(Broken(failure=Failure.CRASHED, reason=plain("The process ended."), may_pass=True))
    async with world(tmp_path, sandbox=sandbox) as it:
        message_id = await it.accept("one")
        item = await it.next_recorded()
        delivery = await it.delivery(message_id)
        assert (item.attempt.state, delivery.attempts_used) == (DeliveryState.PENDING, 1)
        assert delivery.due_at_ms == it.clock.now_ms() + 5_000
        sandbox.result = None
        await it.move(5_000)
        assert await it.network.next() == ["one"]


@pytest.mark.parametrize("number", [301, 308, 400, 401, 404, 409, 422, 451])
async def test_an_http_endpoint_retries_on_the_schedule(tmp_path, number):
    async with world(tmp_path, kind="http") as it:
        it.network.answer = lambda _items: status(number)
        ids = [await it.accept(f"n{n}", f"cus_{n}") for n in range(6)]
        for _ in ids:
            assert (await it.next_recorded()).attempt.state is DeliveryState.PENDING
        await it.move(0)
        assert {breaker.state for breaker in (await it.store.breakers()).values()} <= {BreakerState.CLOSED}
        assert {(await it.delivery(item)).attempts_used for item in ids} == {1}
        it.network.answer = lambda _items: OK
        await it.move(6_000)
        for _ in ids:
            assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        assert (await the_endpoint(it)).paused_reason is None
