"""What every store promises about a single delivery that is sent again."""

from __future__ import annotations

import pytest

from contracts.test_stores import claim, done, endpoint
from contracts.test_stores_replays import FAILED, PENDING, SUCCESS, finish, post, start, work
from nicobar.store import Resent


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    return store


async def test_a_resend_is_queued_before_later_events(store):
    for number in (1, 2):
        await post(store, number)
    assert await finish(store) == ["msg_1"]
    assert await store.resend("msg_1", "ep_1", now_ms=1_000, new_ids=False) is Resent.QUEUED
    await post(store, 3)
    assert await finish(store, SUCCESS, count=3) == ["msg_2", "msg_1", "msg_3"]
    assert [delivery.state for delivery in await store.deliveries("msg_1")] == [SUCCESS]


async def test_resends_are_delivered_in_the_order_of_their_requests(store):
    for number in (1, 2, 3):
        await post(store, number)
    await finish(store, count=2)
    for message_id in ("msg_2", "msg_1"):
        assert await store.resend(message_id, "ep_1", now_ms=1_000, new_ids=False) is Resent.QUEUED
    assert await finish(store, SUCCESS, count=3) == ["msg_3", "msg_2", "msg_1"]


async def test_a_resend_restarts_the_schedule_and_keeps_ids_by_default(store):
    await post(store, 1)
    (first,) = await claim(store)
    await store.record([done(first, FAILED)])
    await store.resend("msg_1", "ep_1", now_ms=1_000, new_ids=False)
    (again,) = await claim(store, now_ms=1_000)
    assert (again.attempts_used, again.edition, again.manual) == (0, 0, True)
    assert await store.record([done(first, SUCCESS, attempt="atmpt_x")]) == 0, "the old lease holds no longer"
    await store.record([done(again, FAILED, attempt="atmpt_2")])
    await store.resend("msg_1", "ep_1", now_ms=1_000, new_ids=True)
    (third,) = await claim(store, now_ms=1_000)
    assert third.edition == 1


async def test_new_ids_are_named_by_what_requested_them(store):
    await post(store, 1)
    keys = []
    for new_ids in (False, True, False, True, True):
        await finish(store)
        await store.resend("msg_1", "ep_1", now_ms=1_000, new_ids=new_ids)
        keys.append((await store.deliveries("msg_1"))[0].replay_key)
    assert keys[0] == ""
    assert keys[1] == keys[2], "a resend without new ids keeps those that were requested before"
    assert len({"", *keys[2:]}) == 4
    await finish(store)
    await start(store, new_ids=True)
    await work(store)
    (again,) = await claim(store, now_ms=1_000)
    assert again.replay_key == "qtask_1"


async def test_a_resend_makes_a_waiting_retry_due(store):
    await post(store, 1)
    (one,) = await claim(store)
    await store.record([done(one, PENDING, due_at_ms=9_000)])
    assert await store.resend("msg_1", "ep_1", now_ms=1_000, new_ids=False) is Resent.HASTENED
    (again,) = await claim(store, now_ms=1_000)
    assert (again.message.id, again.attempts_used) == ("msg_1", 1)


async def test_a_resend_leaves_queued_and_sending_deliveries_alone(store):
    for number in (1, 2):
        await post(store, number)
    assert await store.resend("msg_2", "ep_1", now_ms=1_000, new_ids=False) is Resent.BEHIND
    (delivery,) = await store.deliveries("msg_2")
    assert (delivery.behind, delivery.behind_until_ms) == ("msg_1", 1)
    await claim(store)
    assert await store.resend("msg_1", "ep_1", now_ms=1_000, new_ids=False) is Resent.SENDING
    assert await store.resend("msg_9", "ep_1", now_ms=1_000, new_ids=False) is Resent.UNKNOWN
    assert await store.resend("msg_1", "ep_9", now_ms=1_000, new_ids=False) is Resent.UNKNOWN
    await finish(store, now_ms=2_000)
    await store.expunge_message("msg_1", now_ms=3_000)
    assert await store.resend("msg_1", "ep_1", now_ms=3_000, new_ids=False) is Resent.EXPUNGED


async def test_a_message_without_a_delivery_can_be_sent(store):
    await post(store, 1, endpoints=())
    assert await store.resend("msg_1", "ep_2", now_ms=1_000, new_ids=False) is Resent.QUEUED
    (one,) = await claim(store, endpoint_seq=2, now_ms=1_000)
    assert one.message.id == "msg_1"
