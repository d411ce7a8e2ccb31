"""An outage ends for all customers at once; without one, no schedule is shortened."""

from __future__ import annotations

import itertools

import pytest

from nicobar.model import Breaker, DeliveryState
from support.store import STORES, failing_store
from support.worker import OK, World, another_worker, breaker, status, world

STEP_MS = 1_000
WITHIN_MS = 20_000


def fails_bad(items):
    return status(500) if "bad" in {item["name"] for item in items} else OK


async def pass_time(it: World, for_ms: int, step_ms: int = STEP_MS) -> None:
    for _ in range(for_ms // step_ms):
        await it.move(step_ms)
    await it.move(0)


async def are_delivered(it: World, ids: list[str]) -> bool:
    return {(await it.delivery(message_id)).state for message_id in ids} == {DeliveryState.SUCCESS}


async def delivered_within(it: World, ids: list[str]) -> int:
    """How long it takes until all are delivered."""
    begun_ms = it.clock.now_ms()
    while not await are_delivered(it, ids) and it.clock.now_ms() - begun_ms <= WITHIN_MS:
        await it.move(STEP_MS)
        await it.move(0)
    return it.clock.now_ms() - begun_ms


async def fail_for(it: World, outage_ms: int, customers: int) -> list[str]:
    """The destination fails so long, while each customer has an event a second; it is well after that."""
    it.network.answer = lambda _items: status(503)
    ids = []
    for second in range(outage_ms // 1_000):
        for customer in range(customers):
            ids.append(await it.accept(f"n{second}", f"cus_{customer}"))
            await it.move(0)
        await pass_time(it, 1_000)
    it.network.answer = lambda _items: OK
    return ids


async def is_no_wait_shortened(it: World, ids: list[str]) -> bool:
    for message_id in ids:
        attempts = sorted(await it.attempts(message_id), key=lambda attempt: attempt.id)
        for earlier, later in itertools.pairwise(attempts):
            if later.started_at_ms < earlier.next_try_at_ms:
                return False
    return True


@pytest.mark.parametrize(
    ("customers", "outage_ms", "how"),
    [
        (3, 8_000, {"jitter": 1.0, "database": "postgres"}),
        (3, 8_000, {"jitter": -1.0, "kind": "http"}),
        (4, 20_000, {"jitter": 1.0}),
        (4, 20_000, {"jitter": -1.0}),
        (2, 8_000, {"jitter": 0.0}),
    ],
)
async def test_a_few_customers_have_all_soon_after_an_outage(tmp_path, customers, outage_ms, how):
    async with world(tmp_path, **how) as it:
        ids = await fail_for(it, outage_ms, customers)
        assert await delivered_within(it, ids) <= WITHIN_MS
        await it.move(0)
        assert await breaker(it) == Breaker()


async def test_customers_who_failed_together_are_delivered_soon_too(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("first", "cus_first")
        await it.network.next()
        ids = [await it.accept(f"n{number}", f"cus_{number}") for number in range(3)]
        it.network.answer = lambda _items: status(503)
        it.network.open.set()
        await pass_time(it, 8_000)
        it.network.answer = lambda _items: OK
        assert await delivered_within(it, ids) <= WITHIN_MS


@pytest.mark.parametrize(("after_ms", "database"), [(1_000, "sqlite"), (6_000, "sqlite"), (6_000, "postgres")])
async def test_a_restart_within_an_outage_changes_nothing(tmp_path, database, after_ms):
    async with world(tmp_path, database=database) as it:
        ids = await fail_for(it, after_ms, 3)
        async with another_worker(it) as again:
            again.network.answer = lambda _items: status(503)
            await pass_time(again, 8_000 - after_ms)
            again.network.answer = lambda _items: OK
            assert await delivered_within(again, ids) <= WITHIN_MS


async def test_a_restart_at_the_end_of_an_outage_loses_nothing(tmp_path):
    async with world(tmp_path) as it:
        ids = await fail_for(it, 8_000, 3)
        with failing_store(it.store, "hasten_failed"):
            await pass_time(it, 20_000)
        assert not await are_delivered(it, ids)
        async with another_worker(it) as again:
            assert await delivered_within(again, ids) <= WITHIN_MS


@pytest.mark.parametrize("kind", ["customerio", "http"])
async def test_a_destination_failing_every_second_request_shortens_nothing(tmp_path, kind):
    async with world(tmp_path, kind=kind) as it:
        answers = iter([status(503), OK] * 2_000)
        it.network.answer = lambda _items: next(answers)
        ids = []
        for second in range(30):
            ids += [await it.accept(f"n{second}", f"cus_{second}_{customer}") for customer in range(2)]
            await it.move(20_000)
        await it.move(0)
        assert await is_no_wait_shortened(it, ids)
        assert not it.alerts()


async def test_one_event_that_fails_among_others_keeps_its_schedule(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = fails_bad
        ids = [await it.accept("bad", "cus_bad")]
        await it.move(0)
        for second in range(60):
            ids.append(await it.accept("good", f"cus_{second}"))
            await it.move(10_000)
        await it.move(0)
        assert await is_no_wait_shortened(it, ids)
        assert (await it.delivery(ids[0])).attempts_used == 3


@pytest.mark.parametrize("database", STORES)
async def test_a_hastened_attempt_that_fails_costs_nothing(tmp_path, database):
    async with world(tmp_path, database=database) as it:
        it.network.answer = lambda _items: status(503)
        bad = await it.accept("bad", "cus_bad")
        await it.move(0)
        await it.move(5_000)
        await it.move(0)
        before = await it.delivery(bad)
        assert before.attempts_used == 2
        for customer in range(3):
            await it.accept("good", f"cus_{customer}")
            await it.move(0)
        it.network.answer = fails_bad
        await pass_time(it, 30_000)
        after = await it.delivery(bad)
        assert len(await it.attempts(bad)) > 2
        assert (after.attempts_used, after.due_at_ms) == (2, before.due_at_ms)


async def test_a_404_for_everything_is_an_outage_of_an_http_endpoint(tmp_path):
    async with world(tmp_path, kind="http") as it:
        it.network.answer = lambda _items: status(404)
        ids = [await it.accept(f"n{number}", f"cus_{number}") for number in range(3)]
        await pass_time(it, 8_000)
        assert {(await it.delivery(message_id)).attempts_used for message_id in ids} == {2}
        it.network.answer = lambda _items: OK
        ids.append(await it.accept("new", "cus_new"))
        assert await delivered_within(it, ids) <= WITHIN_MS


async def test_credentials_replaced_in_an_outage_do_not_hide_it(tmp_path):
    async with world(tmp_path) as it:
        ids = await fail_for(it, 8_000, 3)
        await it.change_endpoint(credentials={"site_id": "site", "api_key": "another"})
        assert await delivered_within(it, ids) <= WITHIN_MS


async def test_a_403_within_an_outage_does_not_hide_it(tmp_path):
    async with world(tmp_path) as it:
        ids = await fail_for(it, 4_000, 3)
        it.network.answer = lambda _items: status(503)
        await pass_time(it, 2_000)
        it.network.answer = lambda _items: status(403)
        await pass_time(it, 15_000)
        it.network.answer = lambda _items: OK
        assert await delivered_within(it, ids) <= WITHIN_MS


async def test_a_failing_chain_of_one_customer_is_no_outage(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("first", "cus_other")
        await it.network.next()
        ids = [await it.accept(name) for name in ("bad", "second", "third")]
        it.network.answer = fails_bad
        it.network.open.set()
        await pass_time(it, 60_000)
        assert not it.alerts()
        assert [(await it.delivery(message_id)).attempts_used for message_id in ids] == [2, 0, 0]
