"""What every store promises about time that is set, about what is old, and about what people want gone."""

from __future__ import annotations

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint, message
from contracts.test_stores_replays import finish, post, start, work
from nicobar.model import Breaker, BreakerState, DeliveryState, RequestRecord
from nicobar.reasons import plain
from nicobar.store import ReplayFilter, TaskStatus
from nicobar.store.leases import endpoint_lease

PENDING = DeliveryState.PENDING
NOW_MS = 10_000


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    return store


async def put_off(store, due_at_ms: int, *, lease_ms=50) -> None:
    (one,) = await claim(store, lease_ms=lease_ms)
    await store.record([done(one, PENDING, due_at_ms=due_at_ms)])


async def test_a_clock_set_forward_shifts_retries_and_leases(store):
    await post(store, 1, "a", accepted_at_ms=100)
    await put_off(store, 5_100)
    await post(store, 2, "b", accepted_at_ms=100)
    assert len(await claim(store, lease_ms=600)) == 1
    # It is 100; the clock is set to 3,600,100.
    await post(store, 3, "c", accepted_at_ms=3_600_100)
    assert await store.shift_times([1], after_ms=100, by_ms=3_600_000) == 2
    assert [item.message.id for item in await claim(store, now_ms=3_600_100, lease_ms=9_000)] == ["msg_3"]
    assert len(await claim(store, now_ms=3_600_699)) == 0
    assert [item.message.id for item in await claim(store, now_ms=3_600_700, lease_ms=9_000)] == ["msg_2"]
    assert [item.message.id for item in await claim(store, now_ms=3_605_099, lease_ms=9_000)] == []
    assert [item.message.id for item in await claim(store, now_ms=3_605_100)] == ["msg_1"]


async def test_a_clock_set_back_stalls_no_delivery(store):
    await post(store, 1, "a", accepted_at_ms=100)
    await put_off(store, 7_200_000)
    await post(store, 2, "b", accepted_at_ms=7_199_000)
    # It is 7,199,000; the clock is set to 3,599,000.
    assert await store.shift_times([1], after_ms=3_599_000, by_ms=-3_600_000) == 2
    assert [item.message.id for item in await claim(store, now_ms=3_599_000, lease_ms=9_000)] == ["msg_2"]
    assert await claim(store, now_ms=3_599_999) == []
    assert [item.message.id for item in await claim(store, now_ms=3_600_000)] == ["msg_1"]


async def test_what_somebody_wants_at_a_time_stays_at_that_time(store):
    await post(store, 1, "a", accepted_at_ms=100, deliver_at_ms=50_000)
    await post(store, 2, "a", accepted_at_ms=100)
    assert [item.message.id for item in await claim(store)] == ["msg_2"], "it holds up nobody"
    for by_ms in (-3_600_000, 3_600_000):
        await store.shift_times([1], after_ms=0, by_ms=by_ms)
    await store.bound_times([1], now_ms=500, latest_ms=1_000)
    assert "msg_1" not in [item.message.id for item in await claim(store, now_ms=49_999, lease_ms=1)]
    assert "msg_1" in [item.message.id for item in await claim(store, now_ms=50_000)]


async def test_nothing_waits_longer_than_anything_may(store):
    await post(store, 1, accepted_at_ms=100)
    await put_off(store, 10**13)
    assert await store.bound_times([1], now_ms=1_000, latest_ms=5_000) == 1
    assert await store.next_due_at_ms(1) == 5_000


async def test_untried_deliveries_are_due_at_the_next_start(store):
    # The clock was an hour ahead when they came.
    for number in (1, 2, 3):
        await post(store, number, f"c{number}", accepted_at_ms=3_600_000)
    await post(store, 4, "c1", accepted_at_ms=3_600_000)
    (tried, _) = await claim(store, now_ms=3_600_000, limit=2, lease_ms=50)
    await store.record([done(tried, PENDING, due_at_ms=3_605_000)])
    await store.add_worker("a", alone=True)
    await store.take_leases([endpoint_lease(1)], "a", sent_again_at_ms=5_000)
    assert await store.bound_times([1], now_ms=5_000, latest_ms=10**7) == 1
    assert [item.message.id for item in await claim(store, now_ms=5_000, term=1)] == ["msg_2", "msg_3"]
    assert await store.next_due_at_ms(1) == 5_050


async def test_a_breaker_is_kept(store):
    assert await store.breakers() == {}
    kept = Breaker(
        state=BreakerState.OPEN, failures=5, failing_since_ms=1, opens=2, probe_at_ms=9, reason=plain("503")
    )
    await store.keep_breaker(1, Breaker(failures=1), term=0)
    await store.keep_breaker(1, kept, term=0)
    assert await store.breakers() == {1: kept}


async def steps(step, before_ms: int, limit: int = 2) -> int:
    done_, after_seq = 0, 0
    while after_seq is not None:
        result = await step(before_ms=before_ms, now_ms=NOW_MS, after_seq=after_seq, limit=limit)
        done_, after_seq = done_ + result.done, result.after_seq
    return done_


async def test_old_payloads_and_attempts_go_and_their_ids_stay(store):
    for number in range(1, 8):
        await post(store, number, f"c{number}", accepted_at_ms=number)
    await finish(store, count=5)
    assert await steps(store.expunge_old, 7) == 5, "what is not finished stays, and so does what is not old"
    old, waiting = await store.message("msg_1"), await store.message("msg_6")
    assert (old.body, old.event_id, waiting.body) == (b"", "evt_1", b"{}")
    assert old.expunged_at_ms == NOW_MS
    assert await store.attempts("msg_1", "ep_1") == []
    (delivery,) = await store.deliveries("msg_1")
    assert (delivery.state, str(delivery.reason)) == (DeliveryState.FAILED, "expunged")
    assert await steps(store.expunge_old, 7) == 0
    (app,) = (await store.snapshot()).applications
    again = msgspec.structs.replace(new(1, app.id), id="msg_again")
    appended = await store.append(again)
    assert (appended.message_id, appended.duplicate, appended.taken) == ("msg_1", True, False)


async def test_what_is_older_still_is_forgotten_whole(store):
    for number in range(1, 6):
        await post(store, number, f"c{number}", accepted_at_ms=number)
    await finish(store, count=4)
    assert await steps(store.forget_old, 4) == 3
    assert await store.message("msg_1") is None
    assert await store.deliveries("msg_1") == []
    assert await store.message("msg_4") is not None
    (app,) = (await store.snapshot()).applications
    assert not (await store.append(new(1, app.id))).duplicate


async def test_new_messages_are_numbered_after_deleted_ones(store):
    for number in (1, 2, 3):
        await post(store, number, None, endpoints=())
    last = (await store.message("msg_3")).seq
    assert await steps(store.forget_old, NOW_MS) >= 2
    assert await steps(store.forget_old, NOW_MS) == 0
    await post(store, 4, None, endpoints=())
    assert (await store.message("msg_4")).seq > last
    await steps(store.forget_old, NOW_MS)
    assert await store.message("msg_3") is None


async def test_messages_dated_ahead_do_not_stop_retention(store):
    for number in range(1, 9):
        ahead = 3 <= number <= 6
        await post(store, number, None, endpoints=(), accepted_at_ms=NOW_MS + 10**9 if ahead else number)
    assert await steps(store.expunge_old, 9) == 4
    assert await steps(store.forget_old, 8) == 3
    assert [(await store.message(f"msg_{number}")) is None for number in (1, 2, 3, 7)] == [True, True, False, True]


async def test_a_retention_step_says_up_to_where_it_is_done(store):
    for number, accepted_at_ms in enumerate((1, 2, NOW_MS + 1, 3, 600, 700), 1):
        await post(store, number, f"c{number}", accepted_at_ms=accepted_at_ms)
    assert await finish(store, count=1) == ["msg_1"]
    asked = {"before_ms": 500, "now_ms": NOW_MS}
    for step in (store.expunge_old, store.forget_old):
        whole = await step(**asked, after_seq=0, limit=9)
        assert (whole.after_seq, whole.settled_seq, whole.done) == (None, 4, 1), "msg_2 and msg_4 are not finished"
        assert (await step(**asked, after_seq=0, limit=2)).after_seq is not None
        behind = await step(**asked, after_seq=4, limit=1)
        assert (behind.after_seq, behind.settled_seq) == (None, 4)
        behind = await step(**asked, after_seq=6, limit=1)
        assert (behind.after_seq, behind.settled_seq) == (None, 6)


async def test_a_whole_walk_continues_after_young_messages(store):
    for number in range(1, 7):
        await post(store, number, None, endpoints=(), accepted_at_ms=900 if number < 5 else number)
    asked = {"before_ms": 500, "now_ms": NOW_MS, "limit": 2}
    for step in (store.expunge_old, store.forget_old):
        assert (await step(**asked, after_seq=0)).after_seq is None
        assert (await step(**asked, after_seq=0, full=True)).after_seq == 2
        assert (await step(**asked, after_seq=2, full=True)).after_seq == 4
    assert (await store.expunge_old(**asked, after_seq=4, full=True)).done == 2
    assert (await store.expunge_old(**asked, after_seq=6, full=True)).after_seq is None


def new(number, app_id):
    return msgspec.structs.replace(message(number), app_id=app_id)


async def test_one_message_is_expunged_with_what_its_attempts_say(store):
    await post(store, 1, "a", body=b'{"mail":"ada@northpine.example"}', customer_email="ada@northpine.example")
    await post(store, 2, "a")
    (one,) = await claim(store)
    sent = RequestRecord(method="POST", url="https://a.example", headers={}, body="ada@northpine.example")
    ended = done(one, PENDING, due_at_ms=500)
    said = msgspec.structs.replace(ended.attempt, requests=(sent,), response="ada@northpine.example")
    await store.record([msgspec.structs.replace(ended, attempt=said)])
    assert await store.expunge_message("msg_1", now_ms=700)
    gone = await store.message("msg_1")
    assert (gone.body, gone.expunged_at_ms, gone.event_id) == (b"", 700, "evt_1")
    assert (gone.customer_email, gone.customer_name) == (None, None)
    (attempt,) = await store.attempts("msg_1", "ep_1")
    assert (attempt.requests, attempt.response, attempt.console, str(attempt.reason)) == ((), "", (), "expunged")
    (delivery,) = await store.deliveries("msg_1")
    assert (delivery.state, str(delivery.reason)) == (DeliveryState.CANCELED, "expunged")
    assert [item.message.id for item in await claim(store, now_ms=700)] == ["msg_2"], "it holds up nobody"
    assert not await store.expunge_message("msg_9", now_ms=700)


async def test_an_attempt_after_an_expunge_restores_no_data(store):
    await post(store, 1, "a")
    (one,) = await claim(store)
    await store.expunge_message("msg_1", now_ms=700)
    sent = RequestRecord(method="POST", url="https://a.example", headers={}, body="ada@northpine.example")
    ended = done(one, DeliveryState.FAILED)
    said = msgspec.structs.replace(
        ended.attempt, requests=(sent,), response="ada@", reason=plain("ada@"), console=("ada@",)
    )
    assert await store.record([msgspec.structs.replace(ended, attempt=said)]) == 0
    (attempt,) = await store.attempts("msg_1", "ep_1")
    assert (attempt.requests, attempt.response, attempt.console, str(attempt.reason)) == ((), "", (), "expunged")


async def test_everything_of_one_customer_is_expunged_and_nothing_of_another(store):
    for number in range(1, 6):
        await post(store, number, "a" if number < 4 else "b")
    await finish(store, count=1)
    (app,) = (await store.snapshot()).applications
    assert [await store.expunge_customer(app.id, "a", now_ms=700, limit=2) for _ in range(3)] == [2, 1, 0]
    for number in range(1, 4):
        gone = await store.message(f"msg_{number}")
        assert (gone.body, gone.customer_key, gone.event_id) == (b"", None, f"evt_{number}")
    assert (await store.message("msg_4")).customer_key == "b"
    assert [item.message.id for item in await claim(store, now_ms=1_000)] == ["msg_4"]


async def test_a_replay_forgets_the_key_of_an_expunged_customer(store):
    for number, customer in ((1, "a"), (2, "b"), (3, "expunged")):
        await post(store, number, customer)
    await finish(store, count=3)
    await start(store, ReplayFilter(customer_key="a"), task_id="qtask_0")
    assert (await work(store, "qtask_0")).status is TaskStatus.FINISHED
    for number, customer in ((1, "a"), (2, "b"), (3, None)):
        await start(store, ReplayFilter(customer_key=customer), task_id=f"qtask_{number}")
    (app,) = (await store.snapshot()).applications
    await store.expunge_customer(app.id, "a", now_ms=700, limit=9)
    tasks = [await store.task(f"qtask_{number}") for number in range(4)]
    assert [task.filter.customer_key for task in tasks] == ["expunged", "expunged", "b", None]
    running = TaskStatus.RUNNING
    assert [task.status for task in tasks] == [TaskStatus.FINISHED, TaskStatus.CANCELING, running, running]
    ended = await work(store, "qtask_1")
    assert (ended.status, ended.moved) == (TaskStatus.CANCELED, 0), "it becomes a replay of nobody else"
