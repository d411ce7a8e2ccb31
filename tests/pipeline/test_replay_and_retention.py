"""The parts that work in the background, over a real database with a clock that a test moves."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest

from contracts.test_stores import claim, endpoint
from contracts.test_stores_replays import finish, post, start
from nicobar.errors import ConfigurationError
from nicobar.model import DeliveryState
from nicobar.pipeline.replay import PAGE_DELIVERIES, POLL_MS, Replayer
from nicobar.pipeline.retention import CANCEL_AT_ONCE, DAY_MS, LOOK_MS, ROUND_MS, STEP_MESSAGES, Maintainer, Remover
from nicobar.store import CleanUp, RemoveEndpoint, TaskStatus
from support.clock import MovingClock
from support.patience import PATIENCE_S
from support.store import failing_store

NOW_MS = 1_789_000_000_000


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    return store


@asynccontextmanager
async def running(work):
    stop = asyncio.Event()
    task = asyncio.create_task(work(stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await task


async def until_idle(clock: MovingClock, wait_ms: int) -> None:
    """Moves the clock through the short pauses, until the long wait begins."""
    async with asyncio.timeout(PATIENCE_S):
        while not clock.quiet or min(clock._wakes_ms) - clock.steady_ms() < wait_ms:
            if clock.quiet:
                clock.move(min(clock._wakes_ms) - clock.steady_ms())
            else:
                await clock.next_wait()


async def counted(store) -> int:
    """The number of attempts in the statistics."""
    (app,) = (await store.snapshot()).applications
    tallies = await store.tallies(app.id, since_ms=0, until_ms=2 * NOW_MS, step_ms=3_600_000)
    return sum(tally.attempts for tally in tallies)


class Nobody:
    """No endpoint says what identifies people."""

    def identity_rule(self, _endpoint_seq):
        return None


async def test_replay_proceeds_by_pages_and_wakes_its_endpoint(store):
    count = PAGE_DELIVERIES + 5
    for number in range(1, count + 1):
        await post(store, number, f"c{number}")
    await finish(store, count=count)
    task = await start(store)
    clock, woken = MovingClock(), []
    replayer = Replayer(replays=store, people=Nobody(), clock=clock, on_moved=woken.extend)
    async with running(replayer.run):
        await until_idle(clock, POLL_MS)
        assert (await store.task(task.id)).status is TaskStatus.FINISHED
        assert (await store.task(task.id)).moved == count
        assert woken == [1, 1]
        again = await start(store, task_id="qtask_2")
        clock.move(POLL_MS)
        await until_idle(clock, POLL_MS)
        assert (await store.task(again.id)).status is TaskStatus.FINISHED, "one that another process has made"


async def test_database_failure_does_not_stop_replays(store):
    await post(store, 1)
    await finish(store)
    task = await start(store)
    clock = MovingClock()
    async with running(Replayer(replays=store, people=Nobody(), clock=clock, on_moved=lambda _seqs: None).run):
        with failing_store(store, "open_tasks"):
            await until_idle(clock, POLL_MS)
        clock.move(POLL_MS)
        await until_idle(clock, POLL_MS)
        assert (await store.task(task.id)).status is TaskStatus.FINISHED


async def test_a_replay_that_fails_does_not_stop_the_others(store, monkeypatch):
    await post(store, 1)
    await finish(store)
    failing, following = await start(store), await start(store, task_id="qtask_2")
    work = store.work_on_task

    async def work_unless_failing(task_id, **values):
        if task_id == failing.id:
            raise ConfigurationError("value_invalid", "The database cannot store a value.")
        return await work(task_id, **values)

    monkeypatch.setattr(store, "work_on_task", work_unless_failing)
    clock = MovingClock()
    replayer = Replayer(replays=store, people=Nobody(), clock=clock, on_moved=lambda _seqs: None)
    while await replayer.turn():
        pass
    assert (await store.task(following.id)).status is TaskStatus.FINISHED
    assert (await store.task(failing.id)).status is TaskStatus.RUNNING


async def test_payloads_are_deleted_before_ids_which_stay_30_days(store):
    clock = MovingClock(NOW_MS)
    ages_days = [0, 6, 8, 29, 31, 40]
    for number, days in enumerate(ages_days, 1):
        await post(store, number, f"c{number}", accepted_at_ms=NOW_MS - days * DAY_MS)
    await post(store, 9, "waits", accepted_at_ms=NOW_MS - 100 * DAY_MS, endpoints=(2,))
    await finish(store, DeliveryState.SUCCESS, count=6, now_ms=NOW_MS)
    async with running(Maintainer(store=store, clock=clock, retention_days=7).run):
        await until_idle(clock, ROUND_MS)
        found = [await store.message(f"msg_{number}") for number in (1, 2, 3, 4, 5, 6, 9)]
        assert [item and item.body for item in found] == [b"{}", b"{}", b"", b"", None, None, b"{}"]
        assert await counted(store) == 6
        took = CleanUp(ended_at_ms=NOW_MS, took_at_ms=NOW_MS, emptied=2, forgotten=2)
        assert await store.last_clean_up() == took
        clock.move(ROUND_MS)
        await until_idle(clock, ROUND_MS)
        assert await store.last_clean_up() == msgspec.structs.replace(took, ended_at_ms=NOW_MS + ROUND_MS)
        clock.move(2 * DAY_MS)
        await until_idle(clock, ROUND_MS)
        found = [await store.message(f"msg_{number}") for number in (1, 2, 3, 4, 9)]
        assert [item and item.body for item in found] == [b"{}", b"", b"", None, b"{}"]
        clock.move(6 * DAY_MS)
        await until_idle(clock, ROUND_MS)
        assert await counted(store) == 0, "the counts of attempts go with them"


async def test_old_waiting_messages_are_skipped_and_deleted_within_a_day(store, monkeypatch):
    for number in range(1, 4):
        await post(store, number, None, accepted_at_ms=NOW_MS - 20 * DAY_MS)
    await post(store, 4, None, accepted_at_ms=NOW_MS, endpoints=())
    expunge_old, begun = store.expunge_old, []

    async def spied(**options):
        begun.append(options["after_seq"])
        return await expunge_old(**options)

    monkeypatch.setattr(store, "expunge_old", spied)
    clock = MovingClock(NOW_MS)
    async with running(Maintainer(store=store, clock=clock, retention_days=7).run):
        await until_idle(clock, ROUND_MS)
        await finish(store, DeliveryState.SUCCESS, count=3, now_ms=NOW_MS)
        clock.move(ROUND_MS)
        await until_idle(clock, ROUND_MS)
        assert begun == [0, 3]
        clock.move(DAY_MS)
        await until_idle(clock, ROUND_MS)
        assert begun == [0, 3, 0]
        assert [(await store.message(f"msg_{number}")).body for number in (1, 2, 3, 4)] == [b"", b"", b"", b"{}"]


async def test_a_fast_clock_delays_cleanup_by_one_day_at_most(store):
    count = STEP_MESSAGES + 50
    for number in range(1, count + 1):
        await post(store, number, None, accepted_at_ms=NOW_MS + 60 * DAY_MS, endpoints=())
    for number in range(count + 1, count + 11):
        await post(store, number, None, accepted_at_ms=NOW_MS, endpoints=())
    # Once their time has come, those of the clock that was ahead are young ones.
    clock = MovingClock(NOW_MS + 61 * DAY_MS)
    async with running(Maintainer(store=store, clock=clock, retention_days=7).run):
        await until_idle(clock, ROUND_MS)
        assert await store.message(f"msg_{count + 1}") is None
        assert (await store.message("msg_1")).body == b"{}"


async def test_after_a_full_round_cleanup_stops_at_young_messages(store, monkeypatch):
    for number in range(1, 2 * STEP_MESSAGES + 1):
        await post(store, number, None, accepted_at_ms=NOW_MS, endpoints=())
    expunge_old, steps = store.expunge_old, []

    async def spied(**options):
        steps.append(await expunge_old(**options))
        return steps[-1]

    monkeypatch.setattr(store, "expunge_old", spied)
    clock = MovingClock(NOW_MS)
    async with running(Maintainer(store=store, clock=clock, retention_days=7).run):
        await until_idle(clock, ROUND_MS)
        assert len(steps) == 3, "once a day it goes to the end"
        clock.move(ROUND_MS)
        await until_idle(clock, ROUND_MS)
        assert len(steps) == 4


async def test_a_cleanup_round_lets_others_write_between_short_steps(store):
    count = 2 * STEP_MESSAGES + 1
    for number in range(1, count + 1):
        await post(store, number, None, accepted_at_ms=NOW_MS - 100 * DAY_MS, endpoints=())
    clock = MovingClock(NOW_MS)
    async with running(Maintainer(store=store, clock=clock, retention_days=7).run):
        await clock.next_wait()
        assert await store.message("msg_1") is None
        assert await store.message(f"msg_{count}") is not None, "the rest waits for its turn"
        await post(store, count + 1, "a", accepted_at_ms=NOW_MS)
        assert len(await claim(store, now_ms=NOW_MS)) == 1
        await until_idle(clock, ROUND_MS)
        assert await store.message(f"msg_{count}") is None


async def unfinished(store) -> int:
    return sum(waiting.unfinished for waiting in await store.backlog())


async def test_deleted_endpoints_backlog_is_canceled_despite_a_crash(store):
    count = 2 * CANCEL_AT_ONCE + 5
    await asyncio.gather(*(post(store, number, f"c{number % 7}") for number in range(1, count + 1)))
    clock = MovingClock(NOW_MS)
    async with running(Remover(store=store, clock=clock).run):
        await until_idle(clock, LOOK_MS)
        assert await unfinished(store) == count
        await store.change([RemoveEndpoint(endpoint_id="ep_1")])
        clock.move(LOOK_MS)
        async with asyncio.timeout(PATIENCE_S):
            while not clock.quiet:
                await clock.next_wait()
        assert await unfinished(store) == count - CANCEL_AT_ONCE, "the rest waits for its turn"
        await post(store, count + 1, "z", endpoints=(1, 2))
        assert len(await claim(store, endpoint_seq=2, now_ms=NOW_MS)) == 1
    async with running(Remover(store=store, clock=clock).run):  # another process
        await until_idle(clock, LOOK_MS)
        assert await unfinished(store) == 1
        (delivery,) = await store.deliveries(f"msg_{count}")
        assert (delivery.state, str(delivery.reason)) == (DeliveryState.CANCELED, "endpoint removed")


async def test_endpoints_that_were_removed_together_are_cleared_together(store):
    for number in range(1, 4):
        await post(store, number, f"c{number}", endpoints=(1, 2))
    await store.change([RemoveEndpoint(endpoint_id="ep_1"), RemoveEndpoint(endpoint_id="ep_2")])
    clock = MovingClock(NOW_MS)
    async with running(Remover(store=store, clock=clock).run):
        await until_idle(clock, LOOK_MS)
        assert await unfinished(store) == 0
