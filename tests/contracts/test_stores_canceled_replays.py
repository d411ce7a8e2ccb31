"""What every store promises about a replay that is canceled."""

from __future__ import annotations

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint
from contracts.test_stores_replays import FAILED, PENDING, SUCCESS, finish, post, start, work
from nicobar.model import DeliveryState
from nicobar.reasons import plain
from nicobar.store import Audited, ReplayFilter, TaskKind, TaskStatus
from nicobar.store.history import AuditFilter
from nicobar.store.leases import endpoint_lease


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    return store


async def test_a_canceled_replay_restores_untried_deliveries(store):
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


async def test_a_finished_replay_with_unsent_deliveries_can_be_canceled(store):
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
async def test_repeated_cancels_write_one_audit_line(store, finished):
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
async def test_a_cancel_restores_every_state(store, state):
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


async def test_a_cancel_deletes_deliveries_the_replay_created(store):
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


async def test_a_customer_waits_until_a_cancel_restored_all_deliveries(store):
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


async def test_deliveries_sent_before_a_cancel_are_not_restored(store):
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
async def test_deliveries_that_return_untried_after_a_cancel_are_restored(store, missing):
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
async def test_deliveries_possibly_sent_by_a_dead_process_are_not_restored(store, crashes):
    await post(store, 1)
    await finish(store)
    await post(store, 2, "b")
    await start(store)
    await store.work_on_task("qtask_1", now_ms=1_000, limit=1)
    (sent,) = await claim(store, now_ms=1_000, limit=1, lease_ms=5)
    assert sent.message.id == "msg_2"
    await claim(store, now_ms=1_000, limit=1, lease_ms=5)
    if crashes:
        await store.add_worker("a", alone=True)
        await store.take_leases([endpoint_lease(1)], "a", sent_again_at_ms=0)
        await claim(store, now_ms=1_000, term=1, lease_ms=5)
    else:
        (again, _) = await claim(store, now_ms=2_000, lease_ms=5)
        later = msgspec.structs.replace(done(again, PENDING, due_at_ms=2_000, spent=False), attempt=None)
        await store.record([later])
    assert (await cancel(store)).moved == 1
    assert (await store.deliveries("msg_1"))[0].state in {PENDING, DeliveryState.SENDING}


async def test_expunged_and_canceled_deliveries_are_not_restored(store):
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


async def test_a_canceled_replay_does_not_revive_an_earlier_one(store):
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
