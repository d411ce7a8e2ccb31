"""What every store promises about workers and what they hold."""

from __future__ import annotations

import asyncio

import pytest

from contracts.test_stores import claim, done, endpoint, message
from nicobar.errors import LeaseLost
from nicobar.model import Breaker, DeliveryState
from nicobar.store import Lease
from nicobar.store.leases import endpoint_lease

ONE, TWO = endpoint_lease(1), endpoint_lease(2)


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    for worker_id in ("a", "b"):
        await store.add_worker(worker_id, alone=False)
    return store


async def take(store, worker_id: str, *names: str, at_ms: int = 1_000):
    return await store.take_leases(names, worker_id, sent_again_at_ms=at_ms)


async def end(store, worker_id: str) -> None:
    """What others do once a worker's beat no longer changes."""
    beats = (await store.beat("worker_unknown")).by_worker
    assert await store.remove_silent_worker(worker_id, beat=beats[worker_id])


async def test_a_beat_rises_and_shows_those_of_others(store):
    first = await store.beat("a")
    second = await store.beat("a")
    assert first.by_worker == {"a": 2, "b": 1}
    assert second.by_worker == {"a": 3, "b": 1}


async def test_a_removed_worker_never_returns(store):
    await end(store, "a")
    assert (await store.beat("a")).by_worker == {"b": 1}
    assert await take(store, "a", ONE) == []


async def test_a_worker_whose_beat_changed_is_not_removed(store):
    (known,) = [(await store.beat("b")).by_worker["a"]]
    await store.beat("a")
    assert not await store.remove_silent_worker("a", beat=known)
    assert "a" in (await store.beat("a")).by_worker


async def test_a_worker_that_leaves_keeps_what_it_holds(store):
    await take(store, "a", ONE)
    assert (await store.beat("a")).leaving == frozenset()
    assert (await store.beat("a", leaving=True)).leaving == {"a"}
    beats = await store.beat("b")
    assert (beats.leaving, set(beats.by_worker)) == ({"a"}, {"a", "b"})
    assert await take(store, "b", ONE) == []
    await store.remove_worker("a")
    assert (await store.beat("b")).leaving == frozenset()


async def test_a_worker_that_is_alone_removes_all_others(store):
    await take(store, "a", ONE)
    await store.add_worker("c", alone=True)
    assert (await store.beat("c")).by_worker == {"c": 2}
    assert await take(store, "c", ONE) == [Lease(name=ONE, holder="c", term=2)]


async def test_a_lease_has_one_holder_and_its_term_rises(store):
    assert await take(store, "a", ONE, "retention") == [
        Lease(name=ONE, holder="a", term=1),
        Lease(name="retention", holder="a", term=1),
    ]
    assert await take(store, "b", ONE, TWO) == [Lease(name=TWO, holder="b", term=1)]
    assert await take(store, "a", ONE) == [], "it has it already"
    assert await store.give_up_leases([ONE, TWO], "a", after_ms=0) == [Lease(name=ONE, holder="", term=2)]
    assert await take(store, "b", ONE) == [Lease(name=ONE, holder="b", term=3)]
    assert {lease.name: lease.holder for lease in await store.leases()} == {ONE: "b", TWO: "b", "retention": "a"}


async def test_a_lease_taken_at_once_by_many_has_one_holder(store):
    names = [endpoint_lease(number) for number in range(120)]
    taken = await asyncio.gather(*(take(store, worker, *names) for worker in "ab" * 3))
    assert sorted(lease.name for part in taken for lease in part) == sorted(names)


async def test_every_change_of_a_lease_changes_the_version(store):
    versions = [(await store.beat("a")).version]
    for change in (take(store, "a", ONE), store.give_up_leases([ONE], "a", after_ms=0), take(store, "b", ONE)):
        await change
        versions.append((await store.beat("a")).version)
    assert len(set(versions)) == 4
    assert (await store.beat("b")).version == versions[-1]


async def test_nothing_is_claimed_under_another_term(store):
    await store.append(message(1))
    await take(store, "a", ONE)
    for term in (0, 2):
        with pytest.raises(LeaseLost):
            await claim(store, term=term)
    assert len(await claim(store, term=1)) == 1
    assert await claim(store, term=1) == []


async def test_an_endpoint_that_nobody_has_taken_has_term_zero(store):
    with pytest.raises(LeaseLost):
        await claim(store, term=1)
    assert await claim(store, term=0) == []


async def test_what_a_dead_worker_was_sending_waits_and_the_rest_does_not(store):
    await take(store, "a", ONE)
    for number, customer in ((1, "x"), (2, "x"), (3, "y")):
        await store.append(message(number, customer))
    (sent,) = await claim(store, term=1, limit=1, lease_ms=10_000)
    await end(store, "a")
    await take(store, "b", ONE, at_ms=500)
    assert [item.message.id for item in await claim(store, term=2, lease_ms=10_000)] == ["msg_3"]
    assert await claim(store, now_ms=499, term=2) == []
    (again,) = await claim(store, now_ms=500, term=2, lease_ms=10_000)
    assert (again.message.id, again.attempts_used) == (sent.message.id, 0)


async def test_a_second_take_over_makes_nothing_wait_longer(store):
    await take(store, "a", ONE)
    await store.append(message(1))
    assert await claim(store, term=1, lease_ms=600_000)
    await end(store, "a")
    await take(store, "b", ONE, at_ms=1_000)
    # The second one ends before it could send again.
    await end(store, "b")
    await store.add_worker("c", alone=False)
    await take(store, "c", ONE, at_ms=2_000)
    assert await store.due_times() == {1: 1_000}


async def test_results_of_a_former_holder_change_no_delivery(store):
    await take(store, "a", ONE)
    await store.append(message(1))
    (first,) = await claim(store, term=1)
    await end(store, "a")
    await take(store, "b", ONE, at_ms=500)
    assert await store.record([done(first)]) == 0
    assert (await store.deliveries("msg_1"))[0].state is DeliveryState.SENDING
    assert [attempt.id for attempt in await store.attempts("msg_1", "ep_1")] == ["atmpt_1"]
    (second,) = await claim(store, now_ms=500, term=2)
    assert await store.record([done(first, attempt="atmpt_2")]) == 0
    assert await store.record([done(second, attempt="atmpt_3")]) == 1


async def test_what_a_worker_gives_up_is_due_at_once(store):
    await take(store, "a", ONE)
    await store.append(message(1))
    (first,) = await claim(store, term=1, lease_ms=10_000)
    await store.give_up_leases([ONE], "a", after_ms=0)
    assert (await store.deliveries("msg_1"))[0].state is DeliveryState.PENDING
    assert await store.record([done(first)]) == 0
    await take(store, "b", ONE)
    assert len(await claim(store, now_ms=1, term=3)) == 1


@pytest.mark.parametrize("released", ["a hand-over", "strays"])
async def test_what_was_taken_over_waits_whatever_its_holder_releases(store, released):
    await take(store, "a", ONE)
    await store.append(message(1))
    await claim(store, term=1, lease_ms=600_000)
    await end(store, "a")
    await take(store, "b", ONE, at_ms=15_000)
    if released == "strays":
        assert await store.release_strays(1, term=2, under_way=[], after_ms=16_000) == 0
    else:
        await store.give_up_leases([ONE], "b", after_ms=16_000)
    assert await store.next_due_at_ms(1) == 15_000
    assert (await store.deliveries("msg_1"))[0].state is DeliveryState.SENDING


async def test_a_take_over_leaves_other_endpoints_alone(store):
    await take(store, "a", ONE)
    await take(store, "b", TWO)
    await store.append(message(1, endpoints=(1, 2)))
    await claim(store, term=1)
    (other,) = await claim(store, term=1, endpoint_seq=2)
    await end(store, "a")
    await take(store, "b", ONE)
    assert await store.record([done(other)]) == 1


async def test_clock_changes_of_one_holder_move_no_other_endpoint(store):
    await store.append(message(1, endpoints=(1, 2)))
    for seq in (1, 2):
        (one,) = await claim(store, endpoint_seq=seq)
        ended = done(one, DeliveryState.PENDING, due_at_ms=7_000, attempt=f"atmpt_{seq}")
        await store.record([ended])
    assert await store.shift_times([1], after_ms=100, by_ms=3_000) == 1
    assert await store.bound_times([2], now_ms=100, latest_ms=5_000) == 1
    assert await store.due_times() == {1: 10_000, 2: 5_000}
    assert await store.shift_times([], after_ms=100, by_ms=3_000) == 0


async def test_strays_are_due_at_once_and_what_is_under_way_is_not(store):
    await take(store, "a", ONE)
    for number in (1, 2):
        await store.append(message(number, f"c{number}"))
    known, stray = await claim(store, term=1, lease_ms=10_000)
    under_way = [known.message.seq]
    assert await store.release_strays(1, term=2, under_way=under_way, after_ms=0) == 0
    assert await store.release_strays(1, term=1, under_way=under_way, after_ms=0) == 1
    assert await store.record([done(stray)]) == 0
    assert [item.message.id for item in await claim(store, term=1)] == ["msg_2"]
    assert await store.record([done(known, attempt="atmpt_2")]) == 1


async def test_a_breaker_of_a_former_holder_is_not_stored(store):
    await take(store, "a", ONE)
    await store.keep_breaker(1, Breaker(failures=1), term=1)
    await store.keep_breaker(1, Breaker(failures=2), term=0)
    assert await store.breakers() == {1: Breaker(failures=1)}


async def test_a_worker_that_ends_leaves_its_leases_to_others(store):
    await take(store, "a", ONE)
    await store.remove_worker("a")
    assert [lease.term for lease in await take(store, "b", ONE)] == [2]


async def test_after_a_restore_no_worker_from_before_holds_anything(store):
    (before,) = await take(store, "a", ONE)
    await store.append(message(1, accepted_at_ms=70))
    (sent,) = await claim(store, term=before.term)
    await store.renew_terms()
    assert (await store.beat("worker_unknown")).by_worker == {}
    with pytest.raises(LeaseLost):
        await claim(store, term=before.term, now_ms=9_000)
    await store.add_worker("new", alone=False)
    (after,) = await take(store, "new", ONE)
    assert after.term > before.term + 1_000
    (again,) = await claim(store, term=after.term, now_ms=9_000)
    assert again.message.id == sent.message.id
    assert await store.newest_accepted_at_ms() == 70
