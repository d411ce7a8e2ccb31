"""What leaves when, and with what: at once, in each customer's order, in batches."""

from __future__ import annotations

import pytest

from nicobar.model import DeliveryState
from support.worker import OK, status, world


async def test_an_event_leaves_at_once_without_the_clock_moving(tmp_path):
    async with world(tmp_path) as it:
        await it.accept("one")
        assert await it.network.next() == ["one"]
        assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS


async def test_deliveries_queued_during_a_request_leave_in_one_batch(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("first", "cus_0")
        assert await it.network.next() == ["first"]
        for number in range(5):
            await it.accept(f"n{number}", f"cus_{number + 1}")
        it.network.open.set()
        assert await it.network.next() == [f"n{number}" for number in range(5)]


async def test_a_customer_s_events_keep_order_without_blocking_other_customers(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(503) if items[0]["name"] == "a1" else OK
        first = await it.accept("a1", "cus_a")
        assert await it.network.next() == ["a1"]
        assert (await it.next_recorded()).attempt.state is DeliveryState.PENDING
        await it.accept("a2", "cus_a")
        await it.accept("b1", "cus_b")
        assert await it.network.next() == ["b1"]
        assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        delivery = await it.delivery(first)
        assert (delivery.attempts_used, delivery.due_at_ms) == (1, it.clock.now_ms() + 5_000)
        it.network.answer = lambda _items: OK
        await it.move(5_000)
        assert await it.network.next() == ["a1"]
        assert await it.network.next() == ["a2"]


async def test_final_failure_releases_the_customers_next_delivery(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(422) if items[0]["name"] == "a1" else OK
        await it.accept("a1")
        await it.accept("a2")
        # They share a request if the second one was stored before the first was claimed.
        while (sent := await it.network.next()) != ["a2"]:
            assert sent in (["a1"], ["a1", "a2"])
        assert [(await it.next_recorded()).attempt.state for _ in range(2)] == [
            DeliveryState.FAILED,
            DeliveryState.SUCCESS,
        ]


@pytest.mark.parametrize("bad", [0, 3, 9])
async def test_only_the_call_that_breaks_a_batch_fails(tmp_path, bad):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("first", "cus_first")
        await it.network.next()
        for number in range(10):
            await it.accept(f"n{number}", f"cus_{number}")
        it.network.answer = lambda items: status(400) if any(item["name"] == f"n{bad}" for item in items) else OK
        it.network.open.set()
        states = {}
        for _ in range(11):
            entry = await it.next_recorded()
            states[entry.message.customer_key] = entry.attempt.state
        failed = [key for key, state in states.items() if state is not DeliveryState.SUCCESS]
        assert failed == [f"cus_{bad}"]
        assert states[f"cus_{bad}"] is DeliveryState.FAILED


async def test_a_parcel_that_breaks_does_not_send_the_others_twice(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("first", "cus_0")
        await it.network.next()
        # Each nearly a tenth of a request, so that the page becomes several.
        ids = {f"n{n}": await it.accept(f"n{n}", f"cus_{n + 1}", "x" * 30_000) for n in range(40)}
        it.network.breaks_on = "n20"
        it.network.open.set()
        states = {}
        for _ in range(41):
            item = await it.next_recorded()
            states[item.message.id] = item.attempt.state
        sent = [name for _ in range(it.network.sent.qsize()) for name in await it.network.next()]
        assert sorted(sent) == sorted(ids), "each once"
        waiting = [name for name, message_id in ids.items() if states[message_id] is DeliveryState.PENDING]
        assert "n20" in waiting
        assert len(waiting) < 20
        assert {(await it.delivery(ids[name])).attempts_used for name in waiting} == {1}


async def test_a_second_half_is_not_sent_after_a_deferred_first(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(400) if len(items) > 1 else status(503)
        await it.accept("a,b,c,d")
        assert await it.network.next() == ["a", "b", "c", "d"]
        assert await it.network.next() == ["a", "b"]
        assert await it.network.next() == ["a"]
        assert (await it.next_recorded()).attempt.state is DeliveryState.PENDING
        assert it.network.sent.empty()
