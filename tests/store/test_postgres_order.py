"""Events committed between the statements of others: every delivery becomes due, each customer's in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.test_stores import claim, done, endpoint, message
from nicobar.model import DeliveryState
from nicobar.reasons import plain
from nicobar.store import NewTask, ReplayFilter, Resent, TaskKind, TaskStatus
from nicobar.store.postgres import PostgresStore, hot
from nicobar.store.postgres.connection import Connection, PostgresSession, connect, transaction
from nicobar.store.tables.store import TableStore
from support import postgres

PATIENCE_MS = 10_000
FINISHED = (DeliveryState.SUCCESS, DeliveryState.FAILED, DeliveryState.CANCELED)
# Of each customer's deliveries that are in order, the first one is due and the others wait for it.
ASTRAY = """
    SELECT message_seq, due_at_ms FROM (
        SELECT message_seq, due_at_ms,
            row_number() OVER (PARTITION BY endpoint_seq, customer_key ORDER BY position, message_seq) AS number
        FROM deliveries WHERE state IN ('pending', 'sending') AND position > 0 AND customer_key IS NOT NULL
    ) AS o WHERE (number = 1) <> (due_at_ms IS NOT NULL)
"""
EMPTY = "DELETE FROM messages; DELETE FROM event_ids; DELETE FROM deliveries; DELETE FROM attempts; DELETE FROM tasks"


def _nothing(_statement: str) -> None:
    """No other transaction interrupts."""


class InterruptedSession(PostgresSession):
    """Names each statement before it runs."""

    def __init__(self, connection, before: Callable[[str], None]) -> None:
        super().__init__(connection)
        self._before = before

    def rows(self, name, values=None):
        self._before(name)
        return super().rows(name, values or {})

    def row(self, name, values=None):
        self._before(name)
        return super().row(name, values or {})

    def run(self, name, values=None):
        self._before(name)
        return super().run(name, values or {})


class InterruptedDatabase:
    """A process that others interrupt between two statements."""

    def __init__(self, url: str) -> None:
        self._connection = connect(url)
        self.before: Callable[[str], None] = _nothing

    async def write(self, work):
        with transaction(self._connection, PATIENCE_MS):
            return work(InterruptedSession(self._connection, self._run_before))

    read = survey = write

    def _run_before(self, statement: str) -> None:
        self.before(statement)

    async def claim(self, asked):
        return await self.write(lambda session: hot.claim(session, asked))

    async def record(self, finished):
        return await self.write(lambda session: hot.record(session, finished))

    async def close(self):
        self._connection.close()


class Appending:
    """A process that appends events, some of which are committed late."""

    def __init__(self, url: str, app_id: str) -> None:
        self._url, self._app_id = url, app_id
        self._idle: list[Connection] = []
        self._open: list[tuple[ExitStack, Connection]] = []

    def append(self, number: int, customer: str | None) -> None:
        self.hold(number, customer)
        self.let_go()

    def hold(self, number: int, customer: str | None) -> None:
        connection = self._idle.pop() if self._idle else connect(self._url)
        stack = ExitStack()
        session = stack.enter_context(transaction(connection, PATIENCE_MS))
        new = msgspec.structs.replace(message(number, customer), app_id=self._app_id)
        hot.append_many(session, [(new, None)])
        self._open.append((stack, connection))

    def let_go(self) -> None:
        """Commits what was held last."""
        if self._open:
            stack, connection = self._open.pop()
            stack.close()
            self._idle.append(connection)

    def let_all_go(self) -> None:
        while self._open:
            self.let_go()

    def close(self) -> None:
        self.let_all_go()
        for connection in self._idle:
            connection.close()


class World:
    """An interrupted store, and the process that interrupts it."""

    def __init__(self, url: str, app_id: str) -> None:
        self.url, self.app_id = url, app_id
        self.database = InterruptedDatabase(url)
        self.store = TableStore(self.database)
        self.others = Appending(url, app_id)
        self._own = psycopg.connect(url, autocommit=True)

    async def close(self) -> None:
        self.others.close()
        self._own.close()
        await self.store.close()

    def once_before(self, statement: str, work: Callable[[], None]) -> None:
        def before(name):
            if name == statement:
                self.database.before = _nothing
                work()

        self.database.before = before

    def ask(self, query: str) -> list[tuple[object, ...]]:
        return self._own.execute(query).fetchall()

    def run(self, statements: str) -> None:
        self._own.execute(statements)

    async def finish(self) -> list[str]:
        """Sends until nothing is due; the messages in the order in which they were claimed."""
        sent: list[str] = []
        while page := await claim(self.store):
            keys = [item.message.customer_key for item in page if item.message.customer_key]
            assert len(keys) == len(set(keys)), "one of a customer at a time"
            sent += [item.message.id for item in page]
            await self.store.record([done(item, attempt=f"last_{len(sent)}_{item.message.id}") for item in page])
        assert self.ask("SELECT message_seq FROM deliveries WHERE state IN ('pending', 'sending')") == []
        return sent


async def _make(url: str) -> World:
    store = PostgresStore(url)
    await store.change([await endpoint(store, "ep_1")])
    (app,) = (await store.snapshot()).applications
    await store.close()
    return World(url, app.id)


@pytest.fixture
async def world():
    url = postgres.cluster().take_database()
    made = await _make(url)
    yield made
    await made.close()
    postgres.cluster().give_back(url)


@pytest.fixture
def few_ordered(monkeypatch):
    """Two events are put in order at once."""
    monkeypatch.setattr("nicobar.store.postgres.connection.MAX_ORDERED", 2)


async def test_an_event_committed_before_the_next_is_freed_delays_nobody(world):
    world.others.append(1, "cus")
    (first,) = await claim(world.store)
    world.others.append(2, "cus")
    assert await claim(world.store) == []
    world.once_before("free_next", lambda: world.others.append(3, "cus"))
    await world.store.record([done(first)])
    assert await world.finish() == ["msg_2", "msg_3"]


async def test_an_event_committed_during_a_resend_delays_nobody(world):
    world.others.append(1, "cus")
    await world.finish()
    world.once_before("replay_deliveries", lambda: world.others.append(2, "cus"))
    assert await world.store.resend("msg_1", "ep_1", now_ms=100, new_ids=False) is Resent.QUEUED
    assert await world.finish() == ["msg_1", "msg_2"]


async def test_events_beyond_those_put_in_order_at_once_are_sent(world, few_ordered):
    for number, customer in enumerate(["cus", "cus", "other", "other", "cus", "cus"], 1):
        world.others.append(number, customer)
    (first,) = await claim(world.store, limit=1)
    await world.store.record([done(first)])
    sent = await world.finish()
    assert [name for name in sent if name in {"msg_2", "msg_5", "msg_6"}] == ["msg_2", "msg_5", "msg_6"]
    assert len(sent) == 5


async def test_an_event_erased_before_it_was_in_order_delays_nobody(world, few_ordered):
    for number, customer in enumerate(["a", "b", "c", "d", "cus", "cus"], 1):
        world.others.append(number, customer)
    assert await world.store.expunge_message("msg_5", now_ms=100)
    assert await world.finish() == ["msg_1", "msg_2", "msg_3", "msg_4", "msg_6"]


async def test_a_resent_delivery_follows_all_events_accepted_before(world, few_ordered):
    world.others.append(1, "cus")
    await world.finish()
    for number in range(2, 8):
        world.others.append(number, "cus")
    assert await world.store.resend("msg_1", "ep_1", now_ms=100, new_ids=False) is Resent.QUEUED
    assert await world.finish() == [*(f"msg_{number}" for number in range(2, 8)), "msg_1"]


@pytest.fixture
def ordered(world, monkeypatch):
    """How often each transaction has put two events in order; it may three times."""
    monkeypatch.setattr("nicobar.store.postgres.connection.MAX_ORDERED", 2)
    monkeypatch.setattr("nicobar.store.postgres.connection.MAX_ORDERINGS", 3)
    counts: list[int] = []

    def count(statement: str) -> None:
        if statement == "lock_queues":
            counts.append(0)
        counts[-1:] = [counts[-1] + 1] if statement == "order_appended" else counts[-1:]

    world.database.before = count
    return counts


async def test_a_resend_behind_many_events_takes_several_transactions(world, ordered):
    world.others.append(1, "cus")
    await world.finish()
    for number in range(2, 16):
        world.others.append(number, "cus")
    ordered.clear()
    assert await world.store.resend("msg_1", "ep_1", now_ms=100, new_ids=False) is Resent.QUEUED
    assert ordered == [3, 3, 2]
    assert await world.finish() == [*(f"msg_{number}" for number in range(2, 16)), "msg_1"]


@pytest.mark.parametrize("canceled", [False, True])
async def test_a_replay_behind_many_events_takes_several_transactions(world, ordered, canceled):
    world.others.append(1, "cus")
    await world.finish()
    await add_replay(world, 1)
    if canceled:
        await world.store.work_on_task("qtask_1", now_ms=100, limit=9)
        await world.store.cancel_task("qtask_1", now_ms=100)
    for number in range(2, 16):
        world.others.append(number, "cus")
    ordered.clear()
    steps = [await world.store.work_on_task("qtask_1", now_ms=100, limit=9) for _ in range(3)]
    last = TaskStatus.CANCELED if canceled else TaskStatus.FINISHED
    assert [step.status for step in steps] == [TaskStatus.CANCELING if canceled else TaskStatus.RUNNING] * 2 + [last]
    assert ordered == [3, 3, 2]
    again = [] if canceled else ["msg_1"]
    assert await world.finish() == [*(f"msg_{number}" for number in range(2, 16)), *again]


async def add_replay(world, number: int) -> str:
    """A replay of all that is finished."""
    task = NewTask(
        id=f"qtask_{number}",
        app_id=world.app_id,
        endpoint_seq=1,
        endpoint_id="ep_1",
        kind=TaskKind.BULK_REPLAY,
        filter=ReplayFilter(states=FINISHED),
        created_at_ms=100,
    )
    return (await world.store.add_task(task)).id


async def test_a_late_event_is_not_sent_beside_the_one_being_sent(world):
    world.others.hold(1, "cus")
    world.others.append(2, "cus")
    world.others.append(3, "cus")
    (second,) = await claim(world.store)
    world.others.let_go()
    assert await claim(world.store) == []
    await world.store.expunge_message("msg_3", now_ms=100)
    assert await claim(world.store) == []
    await world.store.record([done(second)])
    assert await world.finish() == ["msg_1"]


class Story:
    """One random run: what the store does, and what happens between its statements."""

    def __init__(self, world: World, data: st.DataObject) -> None:
        self.world, self.data = world, data
        self.count = self.tries = self.tasks = 0
        self.held: list[object] = []
        self.moved: set[str] = set()
        self.sent: list[str] = []
        world.database.before = self.interrupt

    def draw(self, *choices):
        return self.data.draw(st.sampled_from(choices))

    def interrupt(self, _statement: str) -> None:
        what = self.draw("nothing", "nothing", "nothing", "append", "hold", "let go")
        if what == "let go":
            self.world.others.let_go()
        elif what != "nothing":
            self.count += 1
            customer = self.draw("a", "b")
            if what == "append":
                self.world.others.append(self.count, customer)
            else:
                self.moved.add(f"msg_{self.count}")
                self.world.others.hold(self.count, customer)

    async def claim(self) -> None:
        claimed = await claim(self.world.store, limit=self.draw(1, 2))
        self.sent += [item.message.id for item in claimed]
        self.held += claimed

    async def record(self) -> None:
        if self.held:
            item = self.held.pop(self.draw(*range(len(self.held))))
            state = self.draw(*FINISHED, DeliveryState.PENDING)
            self.tries += 1
            due_at_ms = 100 if state is DeliveryState.PENDING else None
            if due_at_ms is not None:
                self.moved.add(item.message.id)
            await self.world.store.record([done(item, state, due_at_ms=due_at_ms, attempt=f"atmpt_{self.tries}")])

    def any_message(self) -> str:
        message_id = f"msg_{self.draw(*range(1, self.count + 1))}" if self.count else "msg_none"
        self.moved.add(message_id)
        return message_id

    async def resend(self) -> None:
        await self.world.store.resend(self.any_message(), "ep_1", now_ms=100, new_ids=False)

    async def erase(self) -> None:
        await self.world.store.expunge_message(self.any_message(), now_ms=100)

    async def cancel(self) -> None:
        await self.world.store.cancel_pending(1, now_ms=100, limit=self.draw(1, 3), reason=plain("why"))

    async def replay(self) -> None:
        self.tasks += 1
        task_id = await add_replay(self.world, self.tasks)
        self.moved |= {f"msg_{number}" for number in range(1, self.count + 1)}
        limit = self.draw(1, 2)
        if self.draw("cancel", "finish") == "cancel":
            await self.world.store.work_on_task(task_id, now_ms=100, limit=limit)
            await self.world.store.cancel_task(task_id, now_ms=100)
        while True:
            moved = await self.world.store.work_on_task(task_id, now_ms=100, limit=limit)
            if moved.status not in {TaskStatus.RUNNING, TaskStatus.CANCELING}:
                return

    async def run(self) -> None:
        for _ in range(self.data.draw(st.integers(3, 12))):
            mostly = (self.claim, self.record)
            step = self.draw(*mostly, *mostly, self.resend, self.erase, self.cancel, self.replay)
            await step()
            assert self.world.ask(ASTRAY) == []
        self.world.database.before = _nothing
        self.world.others.let_all_go()
        if self.held:
            last = [done(item, attempt=f"held_{item.message.id}") for item in self.held]
            await self.world.store.record(last)
        self.sent += await self.world.finish()
        of_customer: dict[object, set[object]] = {}
        for message_id, customer_key in self.world.ask("SELECT id, customer_key FROM messages"):
            of_customer.setdefault(customer_key, set()).add(message_id)
        for message_ids in of_customer.values():
            mine = message_ids - self.moved
            places = [int(message_id.removeprefix("msg_")) for message_id in self.sent if message_id in mine]
            assert places == sorted(places)


@pytest.fixture(scope="module")
def shared_world():
    url = postgres.cluster().take_database()
    made = asyncio.run(_make(url))
    yield made
    asyncio.run(made.close())
    postgres.cluster().give_back(url)


@pytest.mark.slow
@settings(max_examples=max(1, settings.default.max_examples // 4))
@given(st.data())
def test_whatever_is_committed_in_between_every_delivery_is_sent(shared_world, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nicobar.store.postgres.connection.MAX_ORDERED", 2)
        shared_world.run(EMPTY)
        try:
            asyncio.run(Story(shared_world, data).run())
        finally:
            shared_world.database.before = _nothing
            shared_world.others.let_all_go()
