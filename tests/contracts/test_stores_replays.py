"""What every store promises about replays, the tasks that they are, and what they choose from."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint, message
from nicobar.errors import ConfigurationError
from nicobar.model import DeliveryState
from nicobar.reasons import plain
from nicobar.store import NewTask, RemoveEndpoint, ReplayFilter, TaskKind, TaskStatus
from support.store import run_sql

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


async def test_a_replay_keeps_a_customer_s_deliveries_together_in_order(store):
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


async def test_a_step_of_a_replay_moves_whole_customers(store):
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


async def test_a_step_of_a_replay_reads_a_bounded_number_of_messages(store, monkeypatch):
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


async def test_a_replay_covers_messages_that_existed_at_its_request(store):
    await post(store, 1, "a")
    await finish(store)
    await start(store)
    await post(store, 2, "b")
    await finish(store)
    assert (await work(store)).moved == 1


async def test_a_replay_queues_nothing_for_a_deleted_endpoint(store):
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


async def test_canceling_leaves_deliveries_being_sent_alone(store):
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


async def test_a_purge_empties_one_application_step_by_step(store):
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
    # As an upgrade leaves deliveries of the version before; the last one was sent again since.
    run_sql(tmp_path, "UPDATE deliveries SET replay_key = NULL WHERE message_seq < 4")
    await store.change([RemoveEndpoint(endpoint_id="ep_1")])
    for customer_key in (None, "a"):
        missing = ReplayFilter(missing=True, event_types=("a.b",), customer_key=customer_key)
        count = await store.count_replay(2, missing)
        assert (count.deliveries, count.earlier_ids) == (3, 1)
        canceled = ReplayFilter(states=(DeliveryState.CANCELED,), customer_key=customer_key)
        count = await store.count_replay(2, canceled)
        assert (count.deliveries, count.earlier_ids) == (1, 1), "canceled here, sent there"


async def test_a_filter_with_a_null_character_is_refused(store):
    for which in (ReplayFilter(customer_key="a\0b"), ReplayFilter(tag="\0"), ReplayFilter(channels=("x\0",))):
        with pytest.raises(ConfigurationError) as caught:
            await start(store, which)
        assert caught.value.code == "value_invalid"
    assert await store.open_tasks() == []
