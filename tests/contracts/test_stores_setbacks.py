"""What every store promises about deliveries that fail: they are hastened after an outage, and may be overtaken."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint
from contracts.test_stores_replays import post
from nicobar.model import DeliveryState, Outage, Setbacks
from nicobar.store import Claimed, Resent

OUTAGE = Outage(since_ms=1_000, until_ms=2_000)
ATTEMPTS = itertools.count(1)


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    return store


async def fail(store, number: int, customer: str | None = "a", due_at_ms: int = 500_000, **setbacks) -> Claimed:
    """A delivery that has failed in the outage."""
    await post(store, number, customer)
    (claimed,) = await claim(store, now_ms=1_500)
    had = Setbacks(**{"failing_since_ms": 1_500, "failed_at_ms": 1_500, **setbacks})
    finished = done(
        claimed, DeliveryState.PENDING, due_at_ms=due_at_ms, attempt=f"atmpt_{next(ATTEMPTS):03}", at_ms=1_500
    )
    await store.record([msgspec.structs.replace(finished, setbacks=had)])
    return claimed


async def succeed(store, number: int, at_ms: int = 1_600) -> None:
    await post(store, number, f"other_{number}")
    (claimed,) = await claim(store, now_ms=1_500)
    await store.record([done(claimed, attempt=f"atmpt_{next(ATTEMPTS):03}", at_ms=at_ms)])


async def hasten(store, *, now_ms: int = 3_000, over_ms: int = 10_000, limit: int = 10, term: int = 0) -> int:
    return await store.hasten_failed(1, term=term, outage=OUTAGE, now_ms=now_ms, over_ms=over_ms, limit=limit)


async def overtake(
    store, *, now_ms: int = 100_000, responds: bool = False, limit: int = 10, term: int = 0
) -> list[str]:
    of = {"before_ms": now_ms - 50_000, "now_ms": now_ms, "responds": responds, "limit": limit}
    return [item.message_id for item in await store.overtake(1, term=term, **of)]


async def due(store, number: int) -> int | None:
    (delivery,) = await store.deliveries(f"msg_{number}")
    return delivery.due_at_ms


async def test_setbacks_come_back_with_the_next_claim(store):
    had = Setbacks(failing_since_ms=1, failed_at_ms=2, back_at_ms=3, throttled_since_ms=4, throttling_shown_at_ms=5)
    await fail(store, 1, **msgspec.structs.asdict(had))
    (again,) = await claim(store, now_ms=500_000)
    assert again.setbacks == had
    await store.record([done(again, DeliveryState.FAILED, attempt="atmpt_last")])
    assert await store.resend("msg_1", "ep_1", now_ms=600_000, new_ids=False) is Resent.QUEUED
    (resent,) = await claim(store, now_ms=600_000)
    assert resent.setbacks == Setbacks()


async def test_deliveries_of_an_outage_are_hastened_in_steps(store):
    for number in range(5):
        await fail(store, number, f"cus_{number}")
    assert await hasten(store, limit=2) == 2
    assert [await due(store, number) for number in range(5)] == [3_000, 8_000, 500_000, 500_000, 500_000]
    assert [await hasten(store, limit=2) for _ in range(2)] == [2, 1]
    assert [await due(store, number) for number in range(5)] == [3_000, 8_000, 3_000, 8_000, 3_000]
    claimed = {item.message.id: item.setbacks.back_at_ms for item in await claim(store, now_ms=8_000)}
    assert set(claimed.values()) == {500_000}


@pytest.mark.parametrize(
    "had",
    [
        {"failed_at_ms": 999},
        {"failed_at_ms": 2_001},
        {"back_at_ms": 400_000},
        {"throttled_since_ms": 1_500},
        {"failed_at_ms": None},
    ],
)
async def test_only_what_the_outage_put_off_is_hastened(store, had):
    await fail(store, 1, **had)
    await post(store, 2, "b", deliver_at_ms=400_000)
    assert await hasten(store) == 0


async def test_hastening_delays_nothing(store):
    for number in range(2):
        await fail(store, number, f"cus_{number}", due_at_ms=3_001)
    assert await hasten(store, limit=2) == 2
    assert [await due(store, number) for number in range(2)] == [3_000, 3_001]


async def test_only_the_holder_hastens_and_overtakes(store):
    await fail(store, 1)
    for number in range(2, 5):
        await succeed(store, number)
    assert (await hasten(store, term=1), await overtake(store, term=1)) == (0, [])
    assert (await hasten(store), await due(store, 1)) == (1, 3_000)


async def test_three_others_since_the_first_failure_overtake(store):
    await fail(store, 1)
    await post(store, 10, "a")
    for number in range(2, 4):
        await succeed(store, number)
    await succeed(store, 4, at_ms=1_499)
    assert await overtake(store) == []
    await succeed(store, 5)
    assert await overtake(store) == ["msg_1"]
    (behind,) = await claim(store, now_ms=100_000)
    assert behind.message.id == "msg_10"
    await store.record([done(behind, attempt="atmpt_behind")])
    assert await store.failing_since_ms(1) is None
    (delivery,) = await store.deliveries("msg_1")
    assert (delivery.overtaken_at_ms, delivery.due_at_ms) == (100_000, 500_000)
    (late,) = await claim(store, now_ms=500_000, limit=1)
    assert (late.message.id, late.setbacks.overtaken_at_ms) == ("msg_1", 100_000)


async def test_an_overtaken_delivery_that_is_replayed_is_in_order_again(store):
    await fail(store, 1)
    for number in range(2, 5):
        await succeed(store, number)
    assert await overtake(store) == ["msg_1"]
    (late,) = await claim(store, now_ms=500_000)
    await store.record([done(late, DeliveryState.FAILED, attempt="atmpt_late")])
    assert await store.resend("msg_1", "ep_1", now_ms=500_000, new_ids=False) is Resent.QUEUED
    await post(store, 20, "a")
    (first,) = await claim(store, now_ms=500_000)
    assert (first.message.id, first.setbacks.overtaken_at_ms) == ("msg_1", None)


async def test_a_response_is_enough_where_no_other_failed(store):
    await fail(store, 1)
    assert await store.failing_since_ms(1) == 1_500
    assert await overtake(store, responds=True) == ["msg_1"]
    await fail(store, 2, "b")
    assert await overtake(store, responds=True) == []


@pytest.mark.parametrize(
    "had", [{"failing_since_ms": 60_000}, {"back_at_ms": 600_000}, {"due_at_ms": 100_000}, {"customer": None}]
)
async def test_what_is_about_to_be_attempted_is_not_overtaken(store, had):
    await fail(store, 1, **had)
    for number in range(2, 5):
        await succeed(store, number, at_ms=70_000)
    assert await overtake(store) == []


async def test_times_of_failures_move_with_the_clock(store):
    await fail(store, 1, back_at_ms=400_000, throttled_since_ms=1_400)
    assert await store.shift_times([1], after_ms=2_000, by_ms=-1_000) == 1
    (again,) = await claim(store, now_ms=500_000)
    assert again.setbacks == Setbacks(
        failing_since_ms=500, failed_at_ms=500, back_at_ms=399_000, throttled_since_ms=400
    )


async def test_times_of_failures_move_with_the_clock_where_it_is_due(store):
    await fail(store, 1, due_at_ms=2_000, throttled_since_ms=1_400)
    assert await store.shift_times([1], after_ms=2_000, by_ms=9_000) == 0
    (again,) = await claim(store, now_ms=11_000)
    assert again.setbacks == Setbacks(failing_since_ms=10_500, failed_at_ms=10_500, throttled_since_ms=10_400)
