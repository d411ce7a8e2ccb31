"""What is done with many deliveries asks the database as often as what is done with few."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint, message
from nicobar.model import DeliveryState
from nicobar.reasons import plain
from nicobar.store import NewTask, ReplayFilter, Store, TaskKind
from nicobar.store.history import MAX_PAGE, AttemptFilter, MessageFilter
from support.asked_statements import counted

FEW, MANY = 10, 50
FAILED = DeliveryState.FAILED
NUMBERS = itertools.count(1)
ALL = ReplayFilter(states=(FAILED, DeliveryState.SUCCESS, DeliveryState.CANCELED))


class Made:
    """A store whose statements are counted, with some deliveries."""

    def __init__(self, store: Store, app_id: str) -> None:
        self.store, self.asked = counted(store)
        self.app_id = app_id

    async def append(self, count: int, customer: str | None = None) -> list[str]:
        """Of one customer, or each of another one."""
        numbers = [next(NUMBERS) for _ in range(count)]
        made = [message(number, customer or f"cus_{number}") for number in numbers]
        await asyncio.gather(*(self.store.append(msgspec.structs.replace(one, app_id=self.app_id)) for one in made))
        return [one.id for one in made]

    async def finish(self, state: DeliveryState = FAILED) -> None:
        while claimed := await claim(self.store, now_ms=10_000, limit=MANY, max_bytes=10_000_000):
            ended = [done(item, state, attempt=f"atmpt_{next(NUMBERS)}") for item in claimed]
            await self.store.record([msgspec.structs.replace(one, failure="why") for one in ended])

    async def start(self, which: ReplayFilter = ALL, kind: TaskKind = TaskKind.BULK_REPLAY) -> str:
        task = NewTask(
            id=f"qtask_{next(NUMBERS)}",
            app_id=self.app_id,
            endpoint_seq=1,
            endpoint_id="ep_1",
            kind=kind,
            filter=which,
            new_ids=False,
            expected=0,
            created_at_ms=1_000,
        )
        return (await self.store.add_task(task)).id


@pytest.fixture
async def made(store):
    await store.change([await endpoint(store, "ep_1")])
    (app,) = (await store.snapshot()).applications
    return Made(store, app.id)


async def a_replay(made: Made, count: int) -> Callable[[], Awaitable[object]]:
    await made.append(count)
    await made.finish()
    task_id = await made.start()
    return lambda: made.store.work_on_task(task_id, now_ms=1_000, limit=MANY)


async def a_replay_of_one_customer(made: Made, count: int) -> Callable[[], Awaitable[object]]:
    await made.append(count, "cus")
    await made.finish()
    task_id = await made.start(ReplayFilter(states=(FAILED,), customer_key="cus"))
    return lambda: made.store.work_on_task(task_id, now_ms=1_000, limit=MANY)


async def a_canceled_replay(made: Made, count: int) -> Callable[[], Awaitable[object]]:
    step = await a_replay(made, count)
    task = await step()
    await made.store.cancel_task(task.id, now_ms=1_000)
    return step


async def a_cancel(made: Made, count: int) -> Callable[[], Awaitable[object]]:
    await made.append(count)
    return lambda: made.store.cancel_pending(1, now_ms=1_000, limit=1_000, reason=plain("not wanted"))


async def a_purge(made: Made, count: int) -> Callable[[], Awaitable[object]]:
    await made.append(count)
    await made.finish()
    task_id = await made.start(kind=TaskKind.PURGE)
    return lambda: made.store.work_on_task(task_id, now_ms=1_000, limit=MANY)


async def an_erasure(made: Made, count: int) -> Callable[[], Awaitable[object]]:
    await made.append(count, "cus")
    await made.finish()
    await made.append(1, "cus")
    return lambda: made.store.expunge_customer(made.app_id, "cus", now_ms=1_000, limit=1_000)


async def retention(made: Made, count: int) -> Callable[[], Awaitable[object]]:
    await made.append(count)
    await made.finish()
    return lambda: made.store.expunge_old(before_ms=1_000, now_ms=1_000, after_seq=0, limit=1_000)


async def forgetting(made: Made, count: int) -> Callable[[], Awaitable[object]]:
    await made.append(count)
    await made.finish()
    return lambda: made.store.forget_old(before_ms=1_000, now_ms=1_000, after_seq=0, limit=1_000)


async def a_list_of_messages(made: Made, count: int) -> Callable[[], Awaitable[object]]:
    await made.append(count)
    return lambda: made.store.moments(made.app_id, MessageFilter(), limit=MAX_PAGE)


async def a_list_of_attempts(made: Made, count: int) -> Callable[[], Awaitable[object]]:
    await made.append(count)
    await made.finish()
    return lambda: made.store.attempts_of_endpoint("ep_1", AttemptFilter(), limit=MAX_PAGE)


@pytest.mark.parametrize(
    "work",
    [
        a_replay,
        a_replay_of_one_customer,
        a_canceled_replay,
        a_cancel,
        a_purge,
        an_erasure,
        retention,
        forgetting,
        a_list_of_messages,
        a_list_of_attempts,
    ],
)
async def test_many_deliveries_take_as_many_statements_as_few(made, work):
    asked = []
    for count in (FEW, MANY):
        step = await work(made, count)
        made.asked.clear()
        await step()
        asked.append(list(made.asked))
        await made.finish(DeliveryState.SUCCESS)
        await made.store.forget_old(before_ms=10_000, now_ms=10_000, after_seq=0, limit=1_000)
    assert asked[0] == asked[1], asked
    assert len(asked[0]) <= 22  # an erasure, which has most tables to clear
