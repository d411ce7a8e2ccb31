"""What every store promises about sending again."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint, message
from nicobar.model import DeliveryState
from nicobar.reasons import plain
from nicobar.store import Audited, NewTask, RemoveEndpoint, ReplayFilter, Resent, TaskKind, TaskStatus
from nicobar.store.history import AuditFilter

FAILED, SUCCESS, PENDING = DeliveryState.FAILED, DeliveryState.SUCCESS, DeliveryState.PENDING
ATTEMPTS = itertools.count(1)


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    return store


async def post(store, number: int, customer: str | None = "a", **more):
    (app,) = (await store.snapshot()).applications
    values = {"event_type": "a.b", "accepted_at_ms": number, **more}
    made = msgspec.structs.replace(message(number, customer, endpoints=values.pop("endpoints", (1,))), **values)
    await store.append(msgspec.structs.replace(made, app_id=app.id))


async def finish(store, state=FAILED, *, failure="why", now_ms=1_000, count=1) -> list[str]:
    """Claims and finishes so many, one after the other; returns their messages in the order of sending."""
    sent = []
    for _ in range(count):
        for item in await claim(store, now_ms=now_ms, limit=1):
            ended = done(item, state, attempt=f"atmpt_{next(ATTEMPTS)}", at_ms=now_ms)
            await store.record([msgspec.structs.replace(ended, failure=failure)])
            sent.append(item.message.id)
    return sent


async def start(store, which=None, *, kind=TaskKind.BULK_REPLAY, new_ids=False, task_id="qtask_1"):
    (app,) = (await store.snapshot()).applications
    return await store.add_task(
        NewTask(
            id=task_id,
            app_id=app.id,
            endpoint_seq=1,
            endpoint_id="ep_1",
            kind=kind,
            filter=which or ReplayFilter(),
            new_ids=new_ids,
            expected=0,
            created_at_ms=1_000,
        )
    )


async def work(store, task_id="qtask_1", *, limit=100):
    """Works on the replay until it ends."""
    pages = 0
    while (task := await store.work_on_task(task_id, now_ms=1_000, limit=limit)).status in {
        TaskStatus.RUNNING,
        TaskStatus.CANCELING,
    }:
        pages += 1
        assert pages < 100
    return task


async def test_a_resent_delivery_keeps_its_place_behind_what_waits_and_before_what_comes(store):
    for number in (1, 2):
        await post(store, number)
    assert await finish(store) == ["msg_1"]
    assert await store.resend("msg_1", "ep_1", now_ms=1_000, new_ids=False) is Resent.QUEUED
    await post(store, 3)
    assert await finish(store, SUCCESS, count=3) == ["msg_2", "msg_1", "msg_3"]
    assert [delivery.state for delivery in await store.deliveries("msg_1")] == [SUCCESS]


async def test_two_resent_one_after_the_other_go_in_the_order_in_which_they_were_asked_for(store):
    for number in (1, 2, 3):
        await post(store, number)
    await finish(store, count=2)
    for message_id in ("msg_2", "msg_1"):
        assert await store.resend(message_id, "ep_1", now_ms=1_000, new_ids=False) is Resent.QUEUED
    assert await finish(store, SUCCESS, count=3) == ["msg_3", "msg_2", "msg_1"]


async def test_a_resent_delivery_begins_its_schedule_anew_and_asks_for_new_ids_only_if_told(store):
    await post(store, 1)
    (first,) = await claim(store)
    await store.record([done(first, FAILED)])
    await store.resend("msg_1", "ep_1", now_ms=1_000, new_ids=False)
    (again,) = await claim(store, now_ms=1_000)
    assert (again.tries, again.edition, again.manual) == (0, 0, True)
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


async def test_one_that_waits_for_its_next_try_is_due_at_once(store):
    await post(store, 1)
    (one,) = await claim(store)
    await store.record([done(one, PENDING, due_at_ms=9_000)])
    assert await store.resend("msg_1", "ep_1", now_ms=1_000, new_ids=False) is Resent.HASTENED
    (again,) = await claim(store, now_ms=1_000)
    assert (again.message.id, again.tries) == ("msg_1", 1)


async def test_what_waits_behind_another_is_being_sent_or_is_not_there_stays(store):
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


async def test_a_message_that_an_endpoint_never_got_can_be_sent_to_it(store):
    await post(store, 1, endpoints=())
    assert await store.resend("msg_1", "ep_2", now_ms=1_000, new_ids=False) is Resent.QUEUED
    (one,) = await claim(store, endpoint_seq=2, now_ms=1_000)
    assert one.message.id == "msg_1"


async def test_a_replay_moves_what_fits_its_filter_and_nothing_else(store):
    await post(store, 1, "a")
    await post(store, 2, "b", event_type="c.d")
    await post(store, 3, "c", tags=("t",))
    await post(store, 4, "d", channels=("x",))
    await finish(store, failure="one", count=2)
    await finish(store, failure="two", count=1)
    await finish(store, SUCCESS, count=1)
    filters = {
        ReplayFilter(): 3,
        ReplayFilter(event_types=("c.d",)): 1,
        ReplayFilter(customer_key="a"): 1,
        ReplayFilter(customer_key="nobody"): 0,
        ReplayFilter(failure="one"): 2,
        ReplayFilter(tag="t"): 1,
        ReplayFilter(channels=("x", "y"), states=(SUCCESS,)): 1,
        ReplayFilter(since_ms=2): 2,
        ReplayFilter(until_ms=2): 1,
        ReplayFilter(states=(SUCCESS, FAILED)): 4,
        ReplayFilter(states=(PENDING,)): 0,
    }
    for which, count in filters.items():
        assert (await store.count_replay(1, which)).deliveries == count, which
    await start(store, ReplayFilter(failure="one"))
    task = await work(store)
    assert (task.status, task.moved) == (TaskStatus.FINISHED, 2)
    assert sorted(item.message.id for item in await claim(store, now_ms=1_000)) == ["msg_1", "msg_2"]


async def test_a_replay_sends_a_customer_s_deliveries_in_order_with_nothing_new_in_between(store):
    for number in range(1, 9):
        await post(store, number, "a" if number % 2 else "b")
    await finish(store, count=8)
    await start(store)
    await store.work_on_task("qtask_1", now_ms=1_000, limit=1)
    await post(store, 20, "a")
    await work(store, limit=1)
    sent = await finish(store, SUCCESS, count=9)
    assert [item for item in sent if item in {"msg_1", "msg_3", "msg_5", "msg_7", "msg_20"}] == [
        "msg_1",
        "msg_3",
        "msg_5",
        "msg_7",
        "msg_20",
    ]
    assert [item for item in sent if item in {"msg_2", "msg_4", "msg_6", "msg_8"}] == [
        "msg_2",
        "msg_4",
        "msg_6",
        "msg_8",
    ]


async def test_a_page_of_a_replay_is_as_many_whole_customers_as_it_takes_and_no_more(store):
    for number in range(1, 31):
        await post(store, number, f"c{number % 10}")
    await finish(store, count=30)
    await start(store)
    moved = [(await store.work_on_task("qtask_1", now_ms=1_000, limit=4)).moved for _ in range(5)]
    assert moved == [6, 12, 18, 24, 30]
    assert (await work(store, limit=4)).status is TaskStatus.FINISHED
    sent = [int(item.removeprefix("msg_")) for item in await finish(store, SUCCESS, count=30)]
    for customer in range(10):
        mine = [item for item in sent if item % 10 == customer]
        assert (len(mine), mine) == (3, sorted(mine))


async def test_a_page_of_a_replay_looks_at_a_bounded_number_of_messages(store, monkeypatch):
    monkeypatch.setattr("nicobar.store.replays.MAX_LOOK_MESSAGES", 3)
    for number in range(1, 11):
        await post(store, number, f"c{number}", event_type="a.b" if number in {5, 10} else "c.d")
    await finish(store, count=10)
    await start(store, ReplayFilter(event_types=("a.b",)))
    pages = [await store.work_on_task("qtask_1", now_ms=1_000, limit=9) for _ in range(4)]
    assert [page.moved for page in pages] == [0, 1, 1, 2]
    assert [page.status for page in pages] == [TaskStatus.RUNNING] * 3 + [TaskStatus.FINISHED]


async def test_a_replay_waits_behind_what_was_waiting(store):
    await post(store, 1)
    await finish(store)
    await post(store, 2)
    await start(store)
    await work(store)
    assert await finish(store, SUCCESS, count=2) == ["msg_2", "msg_1"]


async def test_what_a_replay_has_sent_it_does_not_send_again(store):
    for number in range(1, 5):
        await post(store, number, "a")
    await finish(store, SUCCESS, count=4)
    await start(store, ReplayFilter(states=(SUCCESS,)))
    await store.work_on_task("qtask_1", now_ms=1_000, limit=1)
    await finish(store, SUCCESS, count=4)
    assert (await work(store, limit=1)).moved == 4
    assert await claim(store, now_ms=1_000) == []


async def test_a_replay_of_what_is_missing_makes_the_deliveries(store):
    await post(store, 1, endpoints=(2,))
    await post(store, 2, endpoints=(1, 2))
    await post(store, 3, endpoints=(2,), event_type="c.d")
    which = ReplayFilter(missing=True, event_types=("a.b",))
    assert (await store.count_replay(1, which)).deliveries == 1
    await start(store, which, kind=TaskKind.REPLAY_MISSING)
    assert (await work(store)).moved == 1
    assert await finish(store, SUCCESS, count=2) == ["msg_2", "msg_1"]


async def test_a_replay_covers_what_was_there_when_it_was_asked_for(store):
    await post(store, 1, "a")
    await finish(store)
    await start(store)
    await post(store, 2, "b")
    await finish(store)
    assert (await work(store)).moved == 1


async def test_a_replay_puts_nothing_into_the_queue_of_an_endpoint_that_was_removed(store):
    await post(store, 1)
    await post(store, 2, endpoints=(2,))
    await finish(store)
    await start(store)
    await start(store, ReplayFilter(missing=True), kind=TaskKind.REPLAY_MISSING, task_id="qtask_2")
    await store.change([RemoveEndpoint(endpoint_id="ep_1")])
    for task_id in ("qtask_1", "qtask_2"):
        task = await work(store, task_id)
        assert (task.status, task.moved) == (TaskStatus.FINISHED, 0)
    assert [delivery.state for delivery in await store.deliveries("msg_1")] == [FAILED]
    assert [delivery.endpoint_id for delivery in await store.deliveries("msg_2")] == ["ep_2"]


async def test_a_count_tells_whose_attributes_may_be_set_back(store):
    await post(store, 1, "a")
    await post(store, 2, "b")
    await finish(store, count=2)
    await post(store, 3, "a")
    await finish(store, SUCCESS)
    count = await store.count_replay(1, ReplayFilter())
    assert (count.deliveries, count.customers, count.overtaken, count.oldest_accepted_at_ms) == (2, 2, 1, 1)


async def test_a_canceled_replay_gives_back_what_it_found_where_it_was_not_tried(store):
    for number in range(1, 5):
        await post(store, number, f"c{number}")
    await finish(store, failure="one", count=2, now_ms=700)
    await finish(store, failure="two", count=2, now_ms=800)
    found = {number: (await store.deliveries(f"msg_{number}"))[0] for number in range(1, 5)}
    (app,) = (await store.snapshot()).applications
    groups = await store.failure_groups(app.id)
    await post(store, 9, "c4", accepted_at_ms=2_000)
    await start(store)
    await store.work_on_task("qtask_1", now_ms=1_000, limit=3)
    assert await finish(store, SUCCESS, count=1) == ["msg_1"]
    assert (await store.cancel_task("qtask_1", now_ms=1_000)).status is TaskStatus.CANCELING
    task = await work(store, limit=1)
    assert (task.status, task.moved) == (TaskStatus.CANCELED, 1)
    assert (await store.deliveries("msg_1"))[0].state is SUCCESS
    for number in range(2, 5):
        assert (await store.deliveries(f"msg_{number}"))[0] == found[number]
    left = await store.failure_groups(app.id)
    assert [(item.failure, item.count) for item in left] == [("two", 2), ("one", 1)]
    assert left[0] == groups[0]
    assert (await store.count_replay(1, ReplayFilter())).deliveries == 3, "recover finds them again"
    assert [item.message.id for item in await claim(store, now_ms=2_000)] == ["msg_9"]
    assert await store.open_tasks() == []
    assert (await store.cancel_task("qtask_1", now_ms=1_000)).status is TaskStatus.CANCELED
    assert await store.cancel_task("qtask_9", now_ms=1_000) is None


async def test_a_replay_that_has_moved_everything_is_canceled_while_something_of_it_is_unsent(store):
    for number in range(1, 5):
        await post(store, number, f"c{number}")
    await finish(store, count=4)
    found = [(await store.deliveries(f"msg_{number}"))[0] for number in (2, 3, 4)]
    await start(store)
    assert (await work(store)).status is TaskStatus.FINISHED
    assert await finish(store, SUCCESS) == ["msg_1"]
    assert (await store.cancel_task("qtask_1", now_ms=1_000)).status is TaskStatus.CANCELING
    assert [open_task.id for open_task in await store.open_tasks()] == ["qtask_1"]
    task = await work(store, limit=2)
    assert (task.status, task.moved) == (TaskStatus.CANCELED, 1)
    assert [(await store.deliveries(f"msg_{number}"))[0] for number in (2, 3, 4)] == found
    assert (await store.cancel_task("qtask_1", now_ms=1_000)).status is TaskStatus.CANCELED
    await start(store, task_id="qtask_2")
    assert (await work(store, "qtask_2")).moved == 3
    assert len(await finish(store, SUCCESS, count=3)) == 3
    assert (await store.cancel_task("qtask_2", now_ms=1_000)).status is TaskStatus.FINISHED, "nothing is left"


@pytest.mark.parametrize("finished", [True, False])
async def test_a_cancel_stands_in_the_audit_log_once_however_often_it_is_asked_for(store, finished):
    await post(store, 1)
    await finish(store)
    await post_one_more(store)
    await start(store)
    if finished:
        await work(store)
    said = Audited(at_ms=1_000, actor="a", action="task.cancel", app_id=None, subject="qtask_1")
    for _ in range(3):
        await store.cancel_task("qtask_1", now_ms=1_000, audit_line=said)
    await work(store)
    await store.cancel_task("qtask_1", now_ms=1_000, audit_line=said)
    assert len((await store.audit(AuditFilter(), limit=9)).items) == 1


async def post_one_more(store):
    """So that a replay still runs once it has moved what it finds."""
    await post(store, 99, "z", endpoints=(2,), event_type="c.d")


async def cancel(store, task_id="qtask_1"):
    await store.cancel_task(task_id, now_ms=1_000)
    return await work(store, task_id)


@pytest.mark.parametrize("state", [SUCCESS, FAILED, DeliveryState.CANCELED])
async def test_whatever_a_delivery_was_before_a_replay_it_is_after_its_cancel(store, state):
    await post(store, 1, "a")
    await post(store, 2, "a")
    await finish(store, state, count=2)
    found = [(await store.deliveries(f"msg_{number}"))[0] for number in (1, 2)]
    await start(store, ReplayFilter(states=(SUCCESS, FAILED, DeliveryState.CANCELED)), new_ids=True)
    await store.work_on_task("qtask_1", now_ms=1_000, limit=1)
    await post(store, 3, "a")
    assert (await cancel(store)).moved == 0
    assert [(await store.deliveries(f"msg_{number}"))[0] for number in (1, 2)] == found
    assert await finish(store, SUCCESS, count=9) == ["msg_3"], "the customer's next one is not held up"
    await store.resend("msg_1", "ep_1", now_ms=1_000, new_ids=True)
    (again,) = await claim(store, now_ms=1_000)
    assert again.edition == 1, "the ids that were never used are not counted"


async def test_what_a_canceled_replay_has_made_and_not_tried_is_missing_again(store):
    for number in range(1, 4):
        await post(store, number, f"c{number}", endpoints=(2,))
    which = ReplayFilter(missing=True, event_types=("a.b",))
    await post_one_more(store)
    await start(store, which, kind=TaskKind.REPLAY_MISSING)
    await store.work_on_task("qtask_1", now_ms=1_000, limit=3)
    assert len(await finish(store, SUCCESS, count=1)) == 1
    task = await cancel(store)
    assert (task.status, task.moved) == (TaskStatus.CANCELED, 1)
    assert (await store.count_replay(1, which)).deliveries == 2
    assert [delivery.endpoint_id for delivery in await store.deliveries("msg_3")] == ["ep_2"]


async def test_between_the_pages_of_a_cancel_nothing_of_a_customer_leaves_who_is_not_through(store):
    for number in range(1, 4):
        await post(store, number, "a")
    await finish(store, count=3)
    await post_one_more(store)
    await start(store)
    await store.work_on_task("qtask_1", now_ms=1_000, limit=3)
    await post(store, 4, "a")
    await store.cancel_task("qtask_1", now_ms=1_000)
    sent = []
    for _ in range(4):
        task = await store.work_on_task("qtask_1", now_ms=1_000, limit=1)
        sent += await finish(store, SUCCESS, count=9)
    assert (task.status, task.moved) == (TaskStatus.CANCELED, 0)
    assert sent == ["msg_4"]
    assert [(await store.deliveries(f"msg_{number}"))[0].state for number in (1, 2, 3)] == [FAILED] * 3


async def test_what_was_sent_meanwhile_is_not_given_back_even_if_it_spent_no_try(store):
    for number in range(1, 6):
        await post(store, number, f"c{number}")
    await finish(store, count=5)
    await post_one_more(store)
    await start(store)
    await store.work_on_task("qtask_1", now_ms=1_000, limit=5)
    held, returned, hastened = await claim(store, now_ms=1_000, limit=3, lease_ms=5_000)
    probe = done(held, PENDING, due_at_ms=1_000, spent=False, attempt="atmpt_probe")
    nothing_left = msgspec.structs.replace(
        done(returned, PENDING, due_at_ms=1_000, spent=False), attempt=None, reason=plain("not sent")
    )
    put_off = msgspec.structs.replace(done(hastened, PENDING, due_at_ms=9_000, spent=False), attempt=None)
    await store.record([probe, nothing_left, put_off])
    await store.resend(hastened.message.id, "ep_1", now_ms=1_000, new_ids=False)
    assert (await cancel(store)).moved == 2, "one was sent, of one somebody wants it"
    states = [(await store.deliveries(f"msg_{number}"))[0].state for number in range(1, 6)]
    assert states == [PENDING, FAILED, PENDING, FAILED, FAILED]


@pytest.mark.parametrize("missing", [True, False])
async def test_what_was_under_way_at_a_cancel_and_comes_back_untried_is_given_back_then(store, missing):
    await post(store, 1, "a", endpoints=(2,) if missing else (1,))
    await finish(store, count=1)
    found = await store.deliveries("msg_1")
    await post_one_more(store)
    await start(store, ReplayFilter(missing=missing, event_types=("a.b",)))
    await store.work_on_task("qtask_1", now_ms=1_000, limit=1)
    await post(store, 2, "a")
    (held,) = await claim(store, now_ms=1_000)
    task = await cancel(store)
    assert (task.status, task.moved) == (TaskStatus.CANCELED, 1), "it may be on its way"
    back = done(held, PENDING, due_at_ms=1_000, spent=False)
    assert await store.record([msgspec.structs.replace(back, attempt=None)]) == 1
    assert await store.deliveries("msg_1") == found
    assert (await store.task("qtask_1")).moved == 0
    assert await finish(store, SUCCESS, count=9) == ["msg_2"], "the customer's next one goes"


@pytest.mark.parametrize("crashes", [True, False])
async def test_what_may_have_been_sent_when_a_process_died_is_not_given_back(store, crashes):
    await post(store, 1)
    await finish(store)
    await post(store, 2, "b")
    await start(store)
    await store.work_on_task("qtask_1", now_ms=1_000, limit=1)
    (sent,) = await claim(store, now_ms=1_000, limit=1, lease_ms=5)
    assert sent.message.id == "msg_2"
    await claim(store, now_ms=1_000, limit=1, lease_ms=5)
    if crashes:
        await store.release_leases()
    else:
        (again, _) = await claim(store, now_ms=2_000, lease_ms=5)
        later = msgspec.structs.replace(done(again, PENDING, due_at_ms=2_000, spent=False), attempt=None)
        await store.record([later])
    assert (await cancel(store)).moved == 1
    assert (await store.deliveries("msg_1"))[0].state in {PENDING, DeliveryState.SENDING}


async def test_what_was_expunged_or_canceled_in_the_queue_is_not_given_back(store):
    for number in range(1, 4):
        await post(store, number, f"c{number}")
    await finish(store, failure="ada@northpine.example", count=3)
    await post_one_more(store)
    await start(store)
    await store.work_on_task("qtask_1", now_ms=1_000, limit=3)
    await store.expunge_message("msg_1", now_ms=1_000)
    assert await store.cancel_pending(1, now_ms=1_000, limit=1, reason=plain("not wanted")) == 1
    await cancel(store)
    states = [(await store.deliveries(f"msg_{number}"))[0] for number in range(1, 4)]
    assert [(state.state, str(state.reason)) for state in states] == [
        (DeliveryState.CANCELED, "expunged"),
        (DeliveryState.CANCELED, "not wanted"),
        (FAILED, "why"),
    ]


async def test_a_replay_that_was_canceled_does_not_make_an_earlier_one_send_again(store):
    for number in range(1, 4):
        await post(store, number, "a")
    await finish(store, SUCCESS, count=3)
    which = ReplayFilter(states=(SUCCESS,))
    await start(store, which)
    await store.work_on_task("qtask_1", now_ms=1_000, limit=1)
    assert len(await finish(store, SUCCESS, count=3)) == 3
    await start(store, which, task_id="qtask_2")
    await store.work_on_task("qtask_2", now_ms=1_000, limit=1)
    assert (await cancel(store, "qtask_2")).moved == 0
    assert (await work(store)).moved == 3
    assert await claim(store, now_ms=1_000) == []


async def test_tasks_are_listed_both_ways(store):
    for number in range(5):
        await start(store, task_id=f"qtask_{number}")
    (app,) = (await store.snapshot()).applications
    newest = await store.tasks(app_ids=[app.id], before_seq=None, after_seq=None, limit=2)
    assert [item.id for item in newest] == ["qtask_4", "qtask_3"]
    older = await store.tasks(app_ids=[app.id], before_seq=newest[-1].seq, after_seq=None, limit=2)
    assert [item.id for item in older] == ["qtask_2", "qtask_1"]
    newer = await store.tasks(app_ids=[app.id], before_seq=None, after_seq=older[0].seq, limit=9)
    assert [item.id for item in newer] == ["qtask_3", "qtask_4"]
    assert await store.tasks(app_ids=["app_other"], before_seq=None, after_seq=None, limit=9) == []
    assert (await store.task("qtask_2")).kind is TaskKind.BULK_REPLAY
    assert await store.task("qtask_9") is None


async def test_waiting_deliveries_can_be_canceled_and_what_is_being_sent_goes_on(store):
    for number in range(1, 5):
        await post(store, number, "a")
    (sending,) = await claim(store)
    canceled = 0
    while step := await store.cancel_pending(1, now_ms=1_000, limit=2, reason=plain("not wanted")):
        canceled += step
    assert canceled == 3
    assert await store.record([done(sending)]) == 1
    assert {(await store.deliveries(f"msg_{number}"))[0].state for number in (2, 3, 4)} == {DeliveryState.CANCELED}


async def test_failures_that_are_alike_are_one_group(store):
    for number in range(1, 6):
        await post(store, number, f"c{number}")
    await finish(store, failure="line 3: x", count=3, now_ms=1_000)
    await finish(store, failure="line 9: y", count=2, now_ms=2_000)
    (app,) = (await store.snapshot()).applications
    groups = await store.failure_groups(app.id)
    assert [
        (group.failure, group.count, group.first_at_ms, group.last_at_ms, group.message_id) for group in groups
    ] == [
        ("line 9: y", 2, 2_000, 2_000, "msg_5"),
        ("line 3: x", 3, 1_000, 1_000, "msg_3"),
    ]
    assert await store.failure_groups(app.id, "ep_2") == []
    await start(store, ReplayFilter(failure="line 3: x"))
    assert (await work(store)).moved == 3
    assert [failure_group.failure for failure_group in await store.failure_groups(app.id, "ep_1")] == ["line 9: y"]


async def test_a_purge_empties_what_an_application_has_page_by_page_and_no_other_s(store):
    (app,) = (await store.snapshot()).applications
    for number in range(1, 6):
        await post(store, number, body=b"Ada")
    await store.append(message(9, body=b"Ada"))
    await store.expunge_message("msg_2", now_ms=10)
    await store.add_task(NewTask(id="qtask_1", app_id=app.id, kind=TaskKind.PURGE, created_at_ms=10))
    await post(store, 6, body=b"Ada")
    first = await store.work_on_task("qtask_1", now_ms=20, limit=3)
    assert (first.status, first.moved) == (TaskStatus.RUNNING, 3)
    done = await work(store, limit=3)
    assert (done.status, done.moved) == (TaskStatus.FINISHED, 4)
    kept = [(await store.message(f"msg_{number}")).body for number in (1, 2, 3, 4, 5, 6, 9)]
    assert kept == [b"", b"", b"", b"", b"", b"Ada", b"Ada"]
    assert [delivery.state for delivery in await store.deliveries("msg_1")] == [DeliveryState.CANCELED]


async def test_of_tasks_that_only_found_something_the_latest_are_kept(store, monkeypatch):
    monkeypatch.setattr("nicobar.store.replays.MAX_RESULTS", 2)
    await start(store, task_id="qtask_0")
    for number in range(1, 5):
        task = NewTask(
            id=f"qtask_{number}", app_id="", kind=TaskKind.EVENT_TYPES, created_at_ms=1, result={"n": number}
        )
        assert (await store.add_task(task)).status is TaskStatus.FINISHED
    kept = [await store.task(f"qtask_{number}") for number in range(5)]
    assert [item.result if item else None for item in kept] == [None, None, None, {"n": 3}, {"n": 4}]
    assert [open_task.id for open_task in await store.open_tasks()] == ["qtask_0"]


async def test_what_another_endpoint_sent_under_earlier_ids_counts(store, tmp_path):
    for number, endpoints in ((1, (1,)), (2, (1,)), (3, (1, 2)), (4, (1,))):
        await post(store, number, endpoints=endpoints)
    for number in range(1, 5):
        (one,) = await claim(store, limit=1)
        state = DeliveryState.CANCELED if number == 2 else SUCCESS
        await store.record([done(one, state, attempt=f"atmpt_{number}")])
    assert await store.cancel_pending(2, now_ms=100, limit=9, reason=plain("not wanted")) == 1
    with closing(sqlite3.connect(tmp_path / "nicobar.db", isolation_level=None)) as connection:
        # As an upgrade leaves deliveries of the version before; the last one was sent again since.
        connection.execute("UPDATE deliveries SET replay_key = NULL WHERE message_seq < 4")
    await store.change([RemoveEndpoint(endpoint_id="ep_1")])
    for customer_key in (None, "a"):
        missing = ReplayFilter(missing=True, event_types=("a.b",), customer_key=customer_key)
        count = await store.count_replay(2, missing)
        assert (count.deliveries, count.earlier_ids) == (3, 1)
        canceled = ReplayFilter(states=(DeliveryState.CANCELED,), customer_key=customer_key)
        count = await store.count_replay(2, canceled)
        assert (count.deliveries, count.earlier_ids) == (1, 1), "canceled here, sent there"
