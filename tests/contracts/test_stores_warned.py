"""What every store promises about deliveries that succeeded with warnings."""

from __future__ import annotations

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint
from contracts.test_stores_replays import post
from nicobar.model import WARNED, DeliveryState, Level, Verdict
from nicobar.reasons import plain
from nicobar.store import Resent
from nicobar.store.history import TALLY_MS, MessageFilter


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1")])
    return store


def found(level: Level, text: str = "why") -> Verdict:
    return Verdict(level=level, reason=plain(text), source="docs")


def ended(claimed, *levels: Level, state=DeliveryState.SUCCESS, attempt: str, **more):
    finished = done(claimed, state, attempt=attempt, **more)
    tried = msgspec.structs.replace(finished.attempt, verdicts=tuple(map(found, levels)))
    return msgspec.structs.replace(finished, attempt=tried)


async def outcome(store, number: int) -> str:
    (delivery,) = await store.deliveries(f"msg_{number}")
    return delivery.outcome


async def test_only_warnings_of_a_success_flag_it(store):
    kinds = [(Level.WARNING,), (Level.CORRECTION, Level.ADDITION), (Level.ADDITION, Level.WARNING), ()]
    for number, levels in enumerate(kinds):
        await post(store, number, f"cus_{number}")
        (claimed,) = await claim(store)
        await store.record([ended(claimed, *levels, attempt=f"atmpt_{number}")])
    assert [await outcome(store, number) for number in range(4)] == [WARNED, "success", WARNED, "success"]


async def test_the_last_attempt_decides(store):
    await post(store, 1)
    (first,) = await claim(store)
    retried = {"state": DeliveryState.PENDING, "due_at_ms": 200}
    await store.record([ended(first, Level.WARNING, attempt="atmpt_1", **retried)])
    assert await outcome(store, 1) == "pending"
    (again,) = await claim(store, now_ms=200)
    await store.record([ended(again, Level.WARNING, attempt="atmpt_2")])
    assert await outcome(store, 1) == WARNED
    assert await store.resend("msg_1", "ep_1", now_ms=300, new_ids=False) is Resent.QUEUED
    assert await outcome(store, 1) == "pending"
    (resent,) = await claim(store, now_ms=300)
    await store.record([ended(resent, attempt="atmpt_3")])
    assert await outcome(store, 1) == "success"


async def test_lists_find_deliveries_with_warnings(store):
    (app,) = (await store.snapshot()).applications
    for number, levels in enumerate([(Level.WARNING,), (), (Level.WARNING,)]):
        await post(store, number, f"cus_{number}")
        (claimed,) = await claim(store)
        await store.record([ended(claimed, *levels, attempt=f"atmpt_{number}")])
    await post(store, 3, "cus_3")

    async def listed(states=(), *, warned: bool) -> list[str]:
        which = MessageFilter(warned=warned, states=states)
        page = await store.moments(app.id, which, limit=10)
        at_endpoint = await store.attempted("ep_1", MessageFilter(warned=warned), states, limit=10)
        assert [item.message.id for item in page.items] == [item.message.id for item in at_endpoint.items]
        return [item.message.id for item in page.items]

    assert await listed(warned=True) == ["msg_2", "msg_0"]
    assert await listed(warned=False) == ["msg_3", "msg_1"]
    assert await listed((DeliveryState.SUCCESS,), warned=False) == ["msg_1"]


async def test_attempts_with_warnings_are_counted(store):
    (app,) = (await store.snapshot()).applications
    for number, levels in enumerate([(Level.WARNING,), (), (Level.CORRECTION,)]):
        await post(store, number, f"cus_{number}")
        (claimed,) = await claim(store)
        await store.record([ended(claimed, *levels, attempt=f"atmpt_{number}")])
    (tally,) = await store.tallies(app.id, since_ms=0, until_ms=TALLY_MS, step_ms=TALLY_MS)
    assert (tally.attempts, tally.warned) == (3, 1)


async def test_a_canceled_replay_gives_the_warning_back(store):
    await post(store, 1)
    (claimed,) = await claim(store)
    await store.record([ended(claimed, Level.WARNING, attempt="atmpt_1")])
    assert await store.resend("msg_1", "ep_1", now_ms=300, new_ids=False) is Resent.QUEUED
    (resent,) = await claim(store, now_ms=300)
    untried = msgspec.structs.replace(done(resent, DeliveryState.PENDING, due_at_ms=400), attempt=None)
    await store.record([untried])
    (again,) = await claim(store, now_ms=400)
    await store.record([ended(again, Level.WARNING, attempt="atmpt_2")])
    assert await outcome(store, 1) == WARNED
