"""One event that the destination alone keeps failing does not hold up its customer for hours."""

from __future__ import annotations

import pytest

from nicobar.model import DeliveryState, Level
from support.store import STORES
from support.worker import OK, World, another_worker, status, world

MINUTE_MS = 60_000
IDENTIFYING = """function handler(webhook) {
  const name = webhook.payload.data.name;
  webhook.payload = [nicobar.identify({plan: name}), nicobar.event(name)];
  return webhook;
}"""


def poisoned(items):
    return status(500) if any(item["name"] == "bad" for item in items if "name" in item) else OK


async def minutes(it: World, count: int) -> None:
    for _ in range(count):
        await it.move(MINUTE_MS)
    await it.move(0)


async def poison(it: World) -> list[str]:
    """An event that fails, and two of its customer behind it."""
    it.network.answer = poisoned
    ids = [await it.accept(name) for name in ("bad", "second", "third")]
    await it.move(0)
    return ids


async def states(it: World, ids: list[str]) -> list[str]:
    return [(await it.delivery(message_id)).state.value for message_id in ids]


@pytest.mark.parametrize(("kind", "database"), [("customerio", name) for name in STORES] + [("http", "sqlite")])
async def test_a_customer_s_later_events_go_on_after_half_an_hour(tmp_path, kind, database):
    async with world(tmp_path, kind=kind, database=database) as it:
        ids = await poison(it)
        for number in range(3):
            await it.accept("other", f"cus_{number}")
        await minutes(it, 28)
        assert await states(it, ids) == ["pending"] * 3
        await minutes(it, 3)
        assert await states(it, ids) == ["pending", "success", "success"]
        delivery = await it.delivery(ids[0])
        assert delivery.overtaken_at_ms is not None
        later = await it.accept("later")
        await it.move(0)
        assert await states(it, [later]) == ["success"]


async def test_a_look_while_the_event_is_sent_delays_nothing(tmp_path):
    async with world(tmp_path) as it:
        asked = status(503, **{"retry-after": "1795"})
        it.network.answer = lambda items: asked if items[0]["name"] == "bad" else OK
        ids = [await it.accept(name) for name in ("bad", "second")]
        await it.move(0)
        for number in range(3):
            await it.accept("other", f"cus_{number}")
        await it.move(0)
        it.network.open.clear()
        await it.move(1_795_000)
        await it.clock_looked_at()
        it.clock.move(6_000)
        await it.clock_looked_at()
        it.network.open.set()
        await minutes(it, 2)
        assert await states(it, ids) == ["pending", "success"]


async def test_two_successes_of_others_are_not_enough(tmp_path):
    async with world(tmp_path, kind="http") as it:
        ids = await poison(it)
        for number in range(2):
            await it.accept("other", f"cus_{number}")
        await minutes(it, 40)
        assert await states(it, ids) == ["pending"] * 3


async def test_successes_before_the_first_failure_do_not_count(tmp_path):
    async with world(tmp_path, kind="http") as it:
        for number in range(5):
            await it.accept("other", f"cus_{number}")
        await it.move(1_000)
        ids = await poison(it)
        await minutes(it, 40)
        assert await states(it, ids) == ["pending"] * 3


async def test_without_other_events_the_harmless_call_decides(tmp_path):
    async with world(tmp_path) as it:
        ids = await poison(it)
        await minutes(it, 31)
        assert await states(it, ids) == ["pending", "success", "success"]
        assert it.network.checks == 1


async def test_a_bad_harmless_call_lets_nothing_overtake(tmp_path):
    async with world(tmp_path) as it:
        it.network.region = status(503)
        ids = await poison(it)
        await minutes(it, 40)
        assert await states(it, ids) == ["pending"] * 3
        it.network.region = OK
        await minutes(it, 2)
        assert await states(it, ids) == ["pending"] * 3, "not its answer"


@pytest.mark.parametrize("number", [503, 408])
async def test_an_outage_lets_nothing_overtake(tmp_path, number):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(number)
        ids = [await it.accept(name, f"cus_{n}") for n in range(3) for name in ("first", "second")]
        await minutes(it, 90)
        it.network.answer = lambda _items: OK
        await minutes(it, 7)
        assert await states(it, ids) == ["success"] * 6
        assert {(await it.delivery(message_id)).overtaken_at_ms for message_id in ids} == {None}


async def test_a_throttled_event_is_overtaken_too(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(429) if "bad" in {item["name"] for item in items} else OK
        ids = [await it.accept(name) for name in ("bad", "second")]
        for number in range(3):
            await it.move(2_000)
            await it.accept("other", f"cus_{number}")
        await minutes(it, 32)
        assert await states(it, ids) == ["pending", "success"]


@pytest.mark.parametrize("database", STORES)
async def test_a_restart_keeps_the_time_of_the_first_failure(tmp_path, database):
    async with world(tmp_path, database=database) as it:
        ids = await poison(it)
        for number in range(3):
            await it.accept("other", f"cus_{number}")
        await minutes(it, 20)
        async with another_worker(it) as again:
            again.network.answer = poisoned
            await minutes(again, 9)
            assert await states(again, ids) == ["pending"] * 3
            await minutes(again, 2)
            assert await states(again, ids) == ["pending", "success", "success"]


async def test_an_overtaken_delivery_sends_its_events_only(tmp_path):
    async with world(tmp_path, handler=IDENTIFYING) as it:
        ids = await poison(it)
        for number in range(3):
            await it.accept("other", f"cus_{number}")
        await minutes(it, 31)
        assert (await it.delivery(ids[2])).state is DeliveryState.SUCCESS
        while not it.network.sent.empty():
            it.network.sent.get_nowait()
        it.network.answer = lambda _items: OK
        await it.move((await it.delivery(ids[0])).due_at_ms - it.clock.now_ms())
        assert [item["action"] for item in await it.network.sent.get()] == ["event"]
        await it.move(0)
        assert (await it.delivery(ids[0])).state is DeliveryState.SUCCESS
        last = max(await it.attempts(ids[0]), key=lambda attempt: attempt.id)
        warnings = [verdict for verdict in last.verdicts if verdict.rule == "overtaken"]
        assert [verdict.level for verdict in warnings] == [Level.WARNING]


async def test_an_overtaken_delivery_without_events_is_not_sent(tmp_path):
    only = IDENTIFYING.replace(", nicobar.event(name)", "")
    async with world(tmp_path, handler=only) as it:
        it.network.answer = lambda items: status(500) if items[0]["attributes"]["plan"] == "bad" else OK
        ids = [await it.accept("bad")]
        await it.move(0)
        ids.append(await it.accept("second"))
        await minutes(it, 31)
        assert await states(it, ids) == ["pending", "success"]
        await it.move((await it.delivery(ids[0])).due_at_ms - it.clock.now_ms())
        await it.move(0)
        delivery = await it.delivery(ids[0])
        assert (delivery.state, delivery.reason.code) == (DeliveryState.CANCELED, "overtaken")
