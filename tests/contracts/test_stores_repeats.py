"""What every store promises about calls that are sent once more."""

from __future__ import annotations

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint
from contracts.test_stores_replays import post
from nicobar.store import RemoveEndpoint, RepeatChange, RepeatEnd
from nicobar.store.repeats import REPEAT_AFTER_MS

DUE = 1_000


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    return store


def kept(person: str = "id:1", content: bytes = b"alone", order: str | None = "a", **more) -> RepeatChange:
    values = {"due_at_ms": DUE, "joined": content, "alone": content, **more}
    return RepeatChange(person=person, order_key=order, **values)


async def sent(store, number: int, *changes: RepeatChange, order: str | None = "a") -> None:
    """A delivery whose result has these changes."""
    await post(store, number, order)
    (claimed,) = await claim(store)
    finished = done(claimed, attempt=f"atmpt_{number}")
    await store.record([msgspec.structs.replace(finished, repeats=changes)])


async def due(store, now_ms: int = DUE, term: int = 0) -> dict[str, bytes]:
    return {item.person: item.content for item in await store.due_repeats(1, term=term, now_ms=now_ms, limit=10)}


async def settle(store, *ended: RepeatEnd, now_ms: int = DUE, term: int = 0) -> None:
    await store.settle_repeats(1, term=term, now_ms=now_ms, ended=ended)


async def test_a_repeat_is_kept_with_its_delivery_s_result(store):
    await sent(store, 1, kept(), kept("id:2", b"two", due_at_ms=DUE + 1))
    assert await due(store, DUE - 1) == {}
    assert await due(store) == {"id:1": b"alone"}
    assert await due(store, DUE + 1) == {"id:1": b"alone", "id:2": b"two"}
    assert await store.next_repeat_at_ms(1) == DUE
    assert await store.next_repeat_at_ms(2) is None
    assert await due(store, term=1) == {}, "without the lease"


async def test_a_result_without_its_lease_keeps_no_repeat(store):
    await post(store, 1)
    (claimed,) = await claim(store)
    await claim(store, now_ms=200)  # the lease has ended
    await store.record([msgspec.structs.replace(done(claimed), repeats=(kept(),))])
    assert await due(store) == {}


async def test_a_newer_call_replaces_joins_or_removes_a_repeat(store):
    await sent(store, 1, kept())
    (known,) = await store.repeats_of_people(1, ["id:1"], [])
    await sent(store, 2, kept(due_at_ms=DUE + 5, turn=known.turn, joined=b"both"))
    assert await due(store) == {}
    assert await due(store, DUE + 5) == {"id:1": b"both"}
    await sent(store, 3, kept(turn=known.turn, joined=b"both of before"))
    assert await due(store) == {"id:1": b"alone"}
    await sent(store, 4, RepeatChange(person="id:1"))
    assert await due(store) == {}


async def test_repeats_are_found_by_person_and_by_order(store):
    await sent(store, 1, kept(), kept("id:2", order=None))
    assert [item.person for item in await store.repeats_of_people(1, ["id:2"], [])] == ["id:2"]
    assert [item.person for item in await store.repeats_of_people(1, [], ["a"])] == ["id:1"]
    assert await store.repeats_of_people(2, ["id:1"], ["a"]) == []


async def test_an_unfinished_delivery_in_the_order_comes_first(store):
    await sent(store, 1, kept())
    await post(store, 2)
    assert await due(store) == {}
    await claim(store)
    assert await due(store) == {}
    await post(store, 3, "b")
    (again, _) = await claim(store, now_ms=200)
    await store.record([done(again, attempt="atmpt_2")])
    assert await due(store) == {"id:1": b"alone"}


async def test_a_settled_repeat_is_forgotten_later_unless_replaced(store):
    await sent(store, 1, kept(), kept("id:2"), kept("id:3"))
    (one, two, three) = await store.due_repeats(1, term=0, now_ms=DUE, limit=10)
    over = RepeatEnd(person="id:1", turn=one.turn, due_at_ms=DUE + 60, sent_at_ms=DUE)
    await settle(store, over, RepeatEnd(person="id:2", turn=two.turn))
    await settle(store, RepeatEnd(person="id:3", turn=three.turn), term=1)
    assert await due(store) == {"id:3": b"alone"}
    assert [item.is_sent for item in await store.repeats_of_people(1, ["id:1"], [])] == [True]
    await settle(store, over, now_ms=DUE + 60)
    assert await store.repeats_of_people(1, ["id:1"], []) == []
    await sent(store, 2, kept("id:3", b"new", turn=three.turn))
    await settle(store, RepeatEnd(person="id:3", turn=three.turn))
    assert await due(store) == {"id:3": b"new"}


async def test_a_deleted_message_takes_its_order_s_repeats_along(store):
    (app,) = (await store.snapshot()).applications
    await sent(store, 1, kept())
    await sent(store, 2, kept(content=b"newer"), kept("id:2", order=None))
    await sent(store, 3, kept("id:3", order="b"), order="b")
    await store.expunge_message("msg_1", now_ms=5)
    assert await due(store) == {"id:2": b"alone", "id:3": b"alone"}
    await store.expunge_customer(app.id, "a", now_ms=5, limit=10)
    assert await due(store) == {"id:3": b"alone"}
    await store.expunge_old(before_ms=50, now_ms=50, after_seq=0, limit=10)
    assert await due(store) == {}


async def test_erased_values_leave_no_repeat_of_others(store):
    (app,) = (await store.snapshot()).applications
    await sent(store, 1, kept(content=b'{"friend":"ada@northpine.example"}'), kept("id:2"))
    await store.hide_values(app.id, ["ada@northpine.example"], now_ms=5)
    assert await due(store) == {"id:2": b"alone"}


async def test_deleted_endpoints_and_restores_leave_no_repeat(store):
    await sent(store, 1, kept(), kept("id:2"))
    assert await store.forget_repeats(limit=10) == 0
    (found, *_) = (await store.snapshot()).endpoints
    await store.change([RemoveEndpoint(endpoint_id=found.id)])
    assert await store.forget_repeats(limit=1) == 1
    assert await store.forget_repeats(limit=10) == 1
    await store.change([await endpoint(store, "ep_3")])
    await store.renew_terms()
    assert await store.next_repeat_at_ms(1) is None


async def test_a_clock_that_is_set_moves_repeats(store):
    await sent(store, 1, kept(), kept("id:2", due_at_ms=DUE + 50))
    await store.shift_times([1], after_ms=DUE, by_ms=1_000)
    assert await due(store) == {"id:1": b"alone"}
    assert await due(store, DUE + 1_050) == {"id:1": b"alone", "id:2": b"alone"}
    await sent(store, 2, kept(due_at_ms=10**9))
    await store.bound_times([1], now_ms=10**6, latest_ms=10**12)
    assert await due(store, 10**6 + REPEAT_AFTER_MS) == {"id:1": b"alone", "id:2": b"alone"}


async def test_recent_orders_are_those_of_latest_attempts(store):
    await sent(store, 1)
    await sent(store, 2, order=None)
    found = await store.recent_orders(1, since_ms=99)
    assert (found.order_keys, found.is_whole) == ({"a", None}, True)
    assert not (await store.recent_orders(1, since_ms=100)).order_keys


async def test_a_merge_counts_what_is_to_be_sent_once_more(store):
    await sent(store, 1, kept())
    assert await store.unfinished_among(1, ["a", "b"]) == {"a"}
