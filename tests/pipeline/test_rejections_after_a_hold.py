"""After a hold, rejected events are told from a wrong configuration."""

from __future__ import annotations

import pytest

from nicobar.model import DeliveryState
from support.worker import OK, World, put_on_hold, status, the_endpoint, world


async def healed(it: World) -> None:
    """A hold that ended a moment ago."""
    message_id = await put_on_hold(it)
    it.network.answer = lambda _items: OK
    await it.move(10_000)
    while (await it.delivery(message_id)).state is not DeliveryState.SUCCESS:
        await it.next_recorded()
    await it.move(0)
    assert (await the_endpoint(it)).paused_reason is None
    while not it.network.sent.empty():
        await it.network.next()
    while not it.recorded.empty():
        await it.next_recorded()


async def together(it: World, names: list[str], answer) -> list[str]:
    """Accepts events of as many customers, which leave in one batch that is answered so."""
    it.network.open.clear()
    await it.accept("first", "cus_first")
    await it.network.next()
    ids = [await it.accept(name, f"cus_{name}") for name in names]
    it.network.answer = lambda items: OK if items[0]["name"] == "first" else answer(items)
    it.network.open.set()
    await it.move(0)
    return ids


def rejecting(*bad: str):
    """A firewall that rejects requests with one of these."""
    return lambda items: status(403) if any(item["name"] in bad for item in items) else OK


async def test_always_rejected_event_fails_without_delaying_others(tmp_path):
    async with world(tmp_path) as it:
        bad = await put_on_hold(it, name="bad")
        it.network.answer = rejecting("bad")
        others = [await it.accept(f"n{n}", f"cus_{n}") for n in range(30)]
        for _ in range(3):
            await it.move(10_000)
        await it.move(0)
        assert {(await it.delivery(other)).state for other in others} == {DeliveryState.SUCCESS}, (
            "with the hold's end"
        )
        assert (await it.delivery(bad)).attempts_used == 1
        number = 30
        while (due_at_ms := (await it.delivery(bad)).due_at_ms) is not None:
            await it.move(due_at_ms - 10_000 - it.clock.now_ms())
            other = await it.accept(f"n{number}", f"cus_{number}")
            await it.move(0)
            assert (await it.delivery(other)).state is DeliveryState.SUCCESS
            await it.move(10_000)
            await it.move(0)
            assert (await the_endpoint(it)).paused_reason is None
            number += 1
        delivery = await it.delivery(bad)
        assert delivery.state is DeliveryState.FAILED
        assert str(delivery.reason).startswith("Failed after 8 attempts. Last attempt: Customer.io responded with 4")
        assert it.alerts() == ["endpoint.paused", "endpoint.recovered", "message.attempt.exhausted"]


@pytest.mark.parametrize("bad", [["n0"], ["n19"], ["n7", "n8"], ["n0", "n10", "n19"]])
async def test_a_batch_rejected_after_a_hold_is_split(tmp_path, bad):
    async with world(tmp_path) as it:
        await healed(it)
        names = [f"n{n}" for n in range(20)]
        ids = await together(it, names, rejecting(*bad))
        waiting = [
            name
            for name, message_id in zip(names, ids, strict=True)
            if (await it.delivery(message_id)).state is not DeliveryState.SUCCESS
        ]
        assert waiting == bad
        assert {(await it.delivery(ids[names.index(name)])).attempts_used for name in bad} == {1}
        assert (await the_endpoint(it)).paused_reason is None


async def test_credentials_revoked_soon_after_a_hold_start_another_one(tmp_path):
    async with world(tmp_path) as it:
        await healed(it)
        ids = await together(it, [f"n{n}" for n in range(100)], lambda _items: status(401))
        assert "401" in str((await the_endpoint(it)).paused_reason)
        assert it.network.sent.qsize() <= 10
        deliveries = [await it.delivery(item) for item in ids]
        assert {delivery.state for delivery in deliveries} == {DeliveryState.PENDING}
        assert sorted(delivery.attempts_used for delivery in deliveries)[-3:] == [0, 1, 1]
        assert all([await it.attempts(item) for item in ids]), "each says what was answered"


async def test_single_rejections_soon_after_a_hold_start_another_hold(tmp_path):
    async with world(tmp_path) as it:
        await healed(it)
        it.network.answer = lambda _items: status(401)
        ids = []
        for number in range(3):
            assert (await the_endpoint(it)).paused_reason is None
            ids.append(await it.accept(f"n{number}", f"cus_{number}"))
            await it.next_recorded()
            await it.move(0)
        assert "401" in str((await the_endpoint(it)).paused_reason)
        assert [(await it.delivery(item)).attempts_used for item in ids] == [1, 1, 0]


async def test_single_delivery_uses_one_attempt_on_revoked_credentials(tmp_path):
    async with world(tmp_path) as it:
        await healed(it)
        it.network.answer = lambda _items: status(401)
        it.network.region = status(401)
        message_id = await it.accept("n0", "cus_0")
        for _ in range(20):
            await it.move(0)
            await it.move(3_600_000)
        await it.move(0)
        assert (await the_endpoint(it)).paused_reason
        assert (await it.delivery(message_id)).attempts_used == 1


async def test_long_after_a_hold_the_first_rejection_starts_another_one(tmp_path):
    async with world(tmp_path) as it:
        await healed(it)
        await it.move(600_000)
        message_id = await put_on_hold(it, name="two")
        assert (await it.delivery(message_id)).attempts_used == 0


async def test_a_hold_that_returns_within_the_hour_is_told_again(tmp_path):
    async with world(tmp_path) as it:
        await healed(it)
        await it.move(600_000)
        await put_on_hold(it)
        assert it.alerts() == ["endpoint.paused", "endpoint.recovered", "endpoint.paused"]
        await it.move(0)
        it.network.answer = lambda _items: OK
        await it.move(10_000)
        await it.next_recorded()
        await it.move(0)
        assert it.alerts()[3:] == ["endpoint.recovered"]
