"""What every store promises about calls that are repeated."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint
from contracts.test_stores_replays import post
from nicobar.store import RemoveEndpoint, RepeatChange, RepeatEnd
from nicobar.store.repeats import MAX_LATE_MS, REPEAT_AFTER_MS
from support.store import run_sql

DUE = 1_000
PLACE = "workspace"


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    return store


def kept(person: str = "id:1", content: bytes | None = b"one", **more) -> RepeatChange:
    return RepeatChange(person=person, **{"order_key": "a", "due_at_ms": DUE, "content": content, **more})


@dataclass(frozen=True)
class Steps:
    """These changes, which depend on nothing that is kept; what was kept is noted in `seen`."""

    made: tuple[RepeatChange, ...]
    order_key: str | None = "a"
    people: tuple[str, ...] = ()
    place: str = PLACE
    beside: tuple[int, ...] = ()
    seen: dict[str, bytes] = field(default_factory=dict)

    def changes(self, known):
        self.seen.update({person: item.content for person, item in known.items()})
        return self.made


async def sent(store, number: int, *changes: RepeatChange, order: str | None = "a", **more) -> dict[str, bytes]:
    """A delivery whose result has these changes; returns what was kept before."""
    steps = Steps(changes, order, **more)
    await post(store, number, order)
    (claimed,) = await claim(store)
    finished = done(claimed, attempt=f"atmpt_{number}")
    await store.record([msgspec.structs.replace(finished, repeats=steps)])
    return steps.seen


async def due(store, now_ms: int = DUE, term: int = 0) -> dict[str, bytes]:
    return {item.person: item.content for item in await store.due_repeats(1, term=term, now_ms=now_ms, limit=10)}


async def settle(store, *ended: RepeatEnd, now_ms: int = DUE, term: int = 0) -> None:
    await store.settle_repeats(1, term=term, now_ms=now_ms, ended=ended)


async def test_a_repeat_is_kept_with_its_delivery_s_result(store):
    await sent(store, 1, kept(), kept("id:2", b"two", due_at_ms=DUE + 1))
    assert await due(store, DUE - 1) == {}
    assert await due(store) == {"id:1": b"one"}
    assert await due(store, DUE + 1) == {"id:1": b"one", "id:2": b"two"}
    assert await store.next_repeat_at_ms(1) == DUE
    assert await store.next_repeat_at_ms(2) is None
    assert await due(store, term=1) == {}, "without the lease"


async def test_a_result_without_its_lease_keeps_no_repeat(store):
    await post(store, 1)
    (claimed,) = await claim(store)
    await claim(store, now_ms=200)  # the lease has ended
    await store.record([msgspec.structs.replace(done(claimed), repeats=Steps((kept(),)))])
    assert await due(store) == {}


async def test_a_newer_call_replaces_or_removes_a_repeat(store):
    await sent(store, 1, kept())
    assert await sent(store, 2, kept(content=b"both", due_at_ms=DUE + 5), people=("id:1",)) == {"id:1": b"one"}
    assert await due(store) == {}
    assert await due(store, DUE + 5) == {"id:1": b"both"}
    await sent(store, 3, kept(content=None))
    assert await due(store, DUE + 5) == {}


async def test_repeats_are_found_by_person_and_by_order(store):
    await sent(store, 1, kept(), kept("id:2", order_key=None))
    assert await sent(store, 2, order=None, people=("id:2", "id:3")) == {"id:2": b"one"}
    assert await sent(store, 3) == {"id:1": b"one"}
    assert await sent(store, 4, place="other", people=("id:1",)) == {}


async def test_a_page_s_deliveries_see_what_earlier_ones_keep(store):
    await post(store, 1)
    await post(store, 2, "b")
    steps = [Steps((kept(content=name),)) for name in (b"a", b"b")]
    finished = [
        msgspec.structs.replace(done(item, attempt=item.message.id), repeats=own)
        for item, own in zip(await claim(store), steps, strict=True)
    ]
    await store.record(finished)
    assert [own.seen for own in steps] == [{}, {"id:1": b"a"}]
    assert await due(store) == {"id:1": b"b"}


async def test_nothing_is_repeated_beside_or_after_an_older_version(store, tmp_path):
    """A worker of version 14 may have sent newer values, and stores nothing here."""
    await store.add_worker("new", alone=False)
    await sent(store, 1, kept())
    assert await due(store) == {"id:1": b"one"}
    run_sql(tmp_path, "INSERT INTO workers (id, beat) VALUES ('old', 1)")
    await sent(store, 2, kept("id:2"), order="b")
    assert await due(store) == {}
    await store.remove_worker("new")
    await store.remove_silent_worker("old", beat=1)
    assert await store.next_repeat_at_ms(1) is None
    await sent(store, 3, kept())
    assert await due(store) == {"id:1": b"one"}


async def test_an_unfinished_delivery_in_the_order_comes_first(store):
    await sent(store, 1, kept())
    await post(store, 2)
    assert await due(store) == {}
    await claim(store)
    assert await due(store) == {}
    await post(store, 3, "b")
    (again, _) = await claim(store, now_ms=200)
    await store.record([done(again, attempt="atmpt_2")])
    assert await due(store) == {"id:1": b"one"}


async def test_the_last_endpoint_of_a_workspace_sends_it(store):
    await sent(store, 1, kept())
    (before,) = await store.due_repeats(1, term=0, now_ms=DUE, limit=10)
    await post(store, 2, endpoints=(2,))
    (claimed,) = await claim(store, endpoint_seq=2)
    steps = Steps((kept(content=b"both"),), beside=(1,))
    await store.record([msgspec.structs.replace(done(claimed, attempt="atmpt_2"), repeats=steps)])
    assert await due(store) == {}
    found = await store.due_repeats(2, term=0, now_ms=DUE, limit=10)
    assert [item.content for item in found] == [b"both"]
    await post(store, 3, endpoints=(1,))
    assert await store.due_repeats(2, term=0, now_ms=DUE, limit=10) == found
    assert await store.due_repeats(2, term=0, now_ms=DUE, limit=10, beside=[1]) == []
    await settle(store, RepeatEnd(place=PLACE, person="id:1", turn=before.turn))
    assert await store.due_repeats(2, term=0, now_ms=DUE, limit=10) == found
    await store.expunge_message("msg_1", now_ms=5)
    assert await store.due_repeats(2, term=0, now_ms=DUE, limit=10) == []


async def test_a_settled_repeat_is_deleted_later_unless_replaced(store):
    await sent(store, 1, kept(), kept("id:2"), kept("id:3"))
    (one, two, three) = await store.due_repeats(1, term=0, now_ms=DUE, limit=10)
    over = RepeatEnd(place=PLACE, person="id:1", turn=one.turn, due_at_ms=DUE + 60, sent_at_ms=DUE)
    await settle(store, over, RepeatEnd(place=PLACE, person="id:2", turn=two.turn))
    await settle(store, RepeatEnd(place=PLACE, person="id:3", turn=three.turn), term=1)
    assert await due(store) == {"id:3": b"one"}
    assert await sent(store, 4, order=None, people=("id:1",)) == {"id:1": b"one"}
    await settle(store, over, now_ms=DUE + 60)
    assert await sent(store, 5, order=None, people=("id:1",)) == {}
    await sent(store, 2, kept("id:3", b"new"))
    await settle(store, RepeatEnd(place=PLACE, person="id:3", turn=three.turn))
    assert await due(store) == {"id:3": b"new"}


async def test_a_repeat_that_waited_for_a_day_is_deleted(store):
    await sent(store, 1, kept(), kept("id:2", due_at_ms=DUE + 1))
    now_ms = DUE + MAX_LATE_MS + 1
    assert await due(store, now_ms) == {"id:2": b"one"}
    await settle(store, now_ms=now_ms)
    assert await sent(store, 2) == {"id:2": b"one"}


async def test_a_deleted_message_ends_its_order_s_repeats(store):
    (app,) = (await store.snapshot()).applications
    await sent(store, 1, kept())
    await sent(store, 2, kept(content=b"newer"), kept("id:2", order_key=None))
    await sent(store, 3, kept("id:3", order_key="b"), order="b")
    await store.expunge_message("msg_1", now_ms=5)
    assert await due(store) == {"id:2": b"one", "id:3": b"one"}
    await store.expunge_customer(app.id, "a", now_ms=5, limit=10)
    assert await due(store) == {"id:3": b"one"}


async def test_retention_deletes_repeats_of_old_messages_only(store):
    await sent(store, 1, kept(), kept("id:2", order_key=None))
    await sent(store, 60, kept())
    await store.expunge_old(before_ms=50, now_ms=70, after_seq=0, limit=10)
    assert await due(store) == {"id:1": b"one"}
    await sent(store, 61, order="b")
    await store.forget_old(before_ms=70, now_ms=70, after_seq=0, limit=10)
    assert await due(store) == {}


async def test_erased_values_leave_no_repeat_of_others(store):
    (app,) = (await store.snapshot()).applications
    await sent(store, 1, kept(content=b'{"friend":"ada@northpine.example"}'), kept("id:2"))
    await store.hide_values(app.id, ["ada@northpine.example"], now_ms=5)
    assert await due(store) == {"id:2": b"one"}


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
    assert await due(store) == {"id:1": b"one"}
    assert await due(store, DUE + 1_050) == {"id:1": b"one", "id:2": b"one"}
    await sent(store, 2, kept(due_at_ms=10**9))
    await store.bound_times([1], now_ms=10**6, latest_ms=10**12)
    assert await due(store, 10**6 + REPEAT_AFTER_MS) == {"id:1": b"one", "id:2": b"one"}


async def test_recent_orders_are_those_of_latest_attempts(store):
    await sent(store, 1)
    await sent(store, 2, order=None)
    found = await store.recent_orders(1, since_ms=99)
    assert (found.order_keys, found.is_whole) == ({"a", None}, True)
    assert not (await store.recent_orders(1, since_ms=100)).order_keys


async def test_a_merge_counts_what_is_to_be_repeated(store):
    await sent(store, 1, kept())
    assert await store.unfinished_among(1, ["a", "b"]) == {"a"}
