"""How a claim shares out its places: to new deliveries, to those due longest, and to chains of one customer."""

from __future__ import annotations

import random

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint, message
from nicobar.model import DeliveryState
from nicobar.pipeline.new_shares import NewShares
from nicobar.store import Shares
from nicobar.store.leases import endpoint_lease

CHAINS = Shares(chains=True)
NOW_MS = 1_000_000
PENDING = DeliveryState.PENDING


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1")])
    return store


async def append(store, *numbers, customer=None, at_ms=10):
    """Messages of one customer, or each of its own."""
    for number in numbers:
        await store.append(message(number, customer or f"cus_{number}", accepted_at_ms=at_ms))


async def names(store, **values):
    return [int(item.message.id.removeprefix("msg_")) for item in await claim(store, **values)]


def untried(claimed):
    return msgspec.structs.replace(done(claimed, PENDING, spent=False), attempt=None, reason=None)


async def end(store, *claimed):
    assert await store.record([done(item, attempt=f"atmpt_{item.message.id}") for item in claimed]) == len(claimed)


async def test_a_customer_s_deliveries_are_claimed_together_in_order(store):
    await append(store, 1, 2, 3, 4, customer="a")
    await append(store, 5)
    page = await claim(store, shares=CHAINS)
    assert [item.message.id for item in page] == [f"msg_{number}" for number in range(1, 6)]
    assert [item.order_key for item in page] == ["a"] * 4 + ["cus_5"]
    assert await claim(store, now_ms=120, shares=CHAINS) == []
    await end(store, *page)
    assert await store.next_due_at_ms(1) is None


async def test_the_oldest_fill_a_page_whoever_s_they_are(store):
    await append(store, 1, 2, customer="a")
    await append(store, 3)
    await append(store, 4, 5, 6, customer="b")
    await append(store, 7, customer="a")
    await append(store, 8)
    assert await names(store, shares=CHAINS, limit=5) == [1, 2, 3, 4, 5]


async def test_deliveries_behind_one_not_final_return_untried(store):
    await append(store, *range(1, 6), customer="a")
    first, second, *rest = await claim(store, shares=CHAINS)
    later = done(second, PENDING, due_at_ms=500, attempt="atmpt_2")
    assert await store.record([done(first), later, *(untried(item) for item in rest)]) == 5
    assert await store.next_due_at_ms(1) == 500
    (alone,) = await claim(store, now_ms=500, shares=CHAINS)
    assert (alone.message.id, alone.attempts_used) == ("msg_2", 1), "what has failed is sent alone"
    await end(store, alone)
    page = await claim(store, now_ms=500, shares=CHAINS)
    assert [(item.message.id, item.attempts_used) for item in page] == [("msg_3", 0), ("msg_4", 0), ("msg_5", 0)]
    assert await store.attempts("msg_3", "ep_1") == []


async def test_untried_deliveries_are_due_after_their_first_was_erased(store):
    await append(store, 1, 2, 3, customer="a")
    first, *rest = await claim(store, shares=CHAINS)
    assert await store.expunge_message("msg_1", now_ms=100)
    later = done(first, PENDING, due_at_ms=500)
    assert await store.record([later, *(untried(item) for item in rest)]) == 2
    assert await names(store, shares=CHAINS) == [2, 3]


async def test_a_chain_whose_worker_is_gone_is_claimed_in_order_again(store):
    await append(store, 1, 2, 3, customer="a")
    held = await claim(store, shares=CHAINS)
    await store.add_worker("worker", alone=True)
    await store.take_leases([endpoint_lease(1)], "worker", sent_again_at_ms=140)
    assert await claim(store, now_ms=130, shares=CHAINS, term=1) == []
    again = await claim(store, now_ms=140, shares=CHAINS, term=1)
    assert [item.message.id for item in again] == ["msg_1", "msg_2", "msg_3"]
    assert await store.record([done(item, attempt=f"late_{item.message.id}") for item in held]) == 0
    await end(store, *again)


@pytest.mark.parametrize("chains", [False, True])
async def test_what_was_held_behind_another_waits_for_it(store, chains):
    await append(store, 1, 2, 3, customer="a")
    first, *rest = await claim(store, shares=CHAINS)
    await store.record([done(first, PENDING, due_at_ms=500)])
    shares = Shares(chains=chains)
    assert await claim(store, now_ms=200, shares=shares) == []
    assert await store.next_due_at_ms(1) == 500, "no worker is kept busy by it"
    assert await store.record([done(item, attempt=f"late_{item.message.id}") for item in rest]) == 0
    assert await names(store, now_ms=500, shares=shares) == [1]


async def test_strays_of_a_chain_are_released_in_order(store):
    await append(store, 1, 2, 3, customer="a")
    await claim(store, shares=CHAINS)
    assert await store.release_strays(1, term=0, under_way=(), after_ms=110) == 3
    assert await names(store) == [1]
    assert await store.release_strays(1, term=0, under_way=(), after_ms=110) == 1
    assert await names(store, shares=CHAINS) == [1, 2, 3]


async def test_a_chain_is_bounded_by_places_and_bytes(store):
    for number in range(1, 6):
        await store.append(message(number, "a", body=b"x" * 40))
    (first, second) = await claim(store, shares=CHAINS, max_bytes=100)
    await store.record([done(first), untried(second)])
    assert await names(store, shares=CHAINS, limit=3) == [2, 3, 4]


async def test_a_freed_delivery_keeps_its_place_by_acceptance(store):
    for number in range(1, 4):
        await append(store, number, customer="a", at_ms=10 + number)
    await append(store, 4, at_ms=20)
    for expected in (1, 2, 3, 4):
        (one,) = await claim(store, limit=1)
        assert one.message.id == f"msg_{expected}"
        await end(store, one)


async def test_new_deliveries_get_their_share_beside_a_backlog(store):
    await append(store, *range(20))
    await append(store, 20, 21, 22, 23, at_ms=NOW_MS - 1_000)
    wanted = {"now_ms": NOW_MS, "limit": 10}
    assert await names(store, shares=Shares(oldest_new=1, newest_new=1), **wanted) == [20, 23, *range(8)]
    assert await names(store, shares=Shares(oldest_new=2), **wanted) == [21, 22, *range(8, 16)]
    assert await names(store, shares=Shares(oldest_new=2), **wanted) == [*range(16, 20)], "unused places"


async def test_only_untried_heads_count_as_new(store):
    await append(store, *range(12))
    await append(store, 12, 13, customer="a", at_ms=NOW_MS - 1_000)
    await append(store, 14, at_ms=NOW_MS - 1_000)
    claimed = await claim(store, now_ms=NOW_MS, limit=4, shares=Shares(newest_new=2))
    assert [item.message.id for item in claimed] == ["msg_12", "msg_14", "msg_0", "msg_1"]
    await store.record([done(claimed[1], PENDING, due_at_ms=NOW_MS, attempt="atmpt_14")])
    assert await names(store, now_ms=NOW_MS, limit=4, shares=Shares(newest_new=2)) == [2, 3, 4, 5]


async def test_a_replay_takes_no_share_of_new_deliveries(store):
    await append(store, *range(3), at_ms=NOW_MS - 1_000)
    await end(store, *await claim(store, now_ms=NOW_MS))
    await append(store, *range(3, 9))
    for number in range(3):
        await store.resend(f"msg_{number}", "ep_1", now_ms=NOW_MS, new_ids=False)
    assert await names(store, now_ms=NOW_MS, limit=3, shares=Shares(oldest_new=2)) == [3, 4, 5]


async def test_no_first_attempt_waits_much_longer_than_first_in_first_out(store):
    """A backlog of a few customers with many events and many with few, beside new events that never end."""
    customers = random.Random(7).choices(range(20), weights=[40, 20, *[2] * 18], k=200)
    for number, customer in enumerate(customers):
        await append(store, number, customer=f"cus_{customer}")
    share, page_of, claims = NewShares(), {}, 0
    while len(page_of) < len(customers):
        await append(store, *range(1_000 + 3 * claims, 1_003 + 3 * claims), at_ms=NOW_MS + claims)
        oldest, newest = share.of(10)
        shares = Shares(oldest_new=oldest, newest_new=newest, chains=True)
        page = await claim(store, now_ms=NOW_MS + claims, limit=10, shares=shares)
        old = [item.message for item in page if item.message.accepted_at_ms < NOW_MS]
        page_of |= {int(message.id.removeprefix("msg_")): claims for message in old}
        await end(store, *page)
        claims += 1
    assert [number for number, page in page_of.items() if page > number // 10 * 1.25 + 2] == []
