"""Messages get their numbers before they are committed. Who reads forward misses none that is committed late."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import errors

from contracts.test_stores import claim, done, endpoint, message
from contracts.test_stores_replays import start
from nicobar.ids import first_id
from nicobar.store import ReplayFilter, TaskKind, TaskStatus
from nicobar.store.history import AttemptFilter, MessageFilter
from nicobar.store.postgres import PostgresStore
from nicobar.store.postgres.connection import TRANSACTION_MS, begin, connect, rollback
from nicobar.store.postgres.hot import append_many
from support import postgres

DAY_MS = 24 * 3_600_000
EMPTY = "DELETE FROM messages; DELETE FROM deliveries; DELETE FROM event_ids"
MISSING = ReplayFilter(states=(), missing=True)


class Reader:
    """A process that reads, and other processes that append, of which some commit late."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = PostgresStore(url)
        self.app_id = ""
        self.place = "msg_"

    async def open(self) -> None:
        await self.store.change([await endpoint(self.store, "ep_1")])
        (app,) = (await self.store.snapshot()).applications
        self.app_id = app.id

    def new(self, number: int, **more):
        return msgspec.structs.replace(message(number, endpoints=()), app_id=self.app_id, **more)

    @contextmanager
    def held(self, *numbers: int, **more):
        """An append that is committed when the block ends."""
        with connect(self.url) as connection:
            session = begin(connection, TRANSACTION_MS, appends=True)
            append_many(session, [(self.new(number, **more), None) for number in numbers])
            yield
            connection.execute("COMMIT")

    async def append(self, number: int, **more) -> None:
        await self.store.append(self.new(number, **more))

    async def poll(self, limit: int = 2) -> list[str]:
        """All that is new since the last time."""
        found: list[str] = []
        while True:
            page = await self.store.messages(self.app_id, MessageFilter(), after=self.place, limit=limit)
            found += [item.id for item in page.items]
            self.place = page.next or (page.items[-1].id if page.items else self.place)
            if page.next is None:
                return found


@pytest.fixture
async def reader(url):
    made = Reader(url)
    await made.open()
    yield made
    await made.store.close()


async def test_a_poller_does_not_pass_an_event_committed_late(reader):
    with reader.held(1, 2):
        await reader.append(3)
        assert await reader.poll() == []
        newest = await reader.store.messages(reader.app_id, MessageFilter(), limit=9)
        assert [item.id for item in newest.items] == ["msg_3"], "the newest come first as soon as they are there"
    assert await reader.poll() == ["msg_1", "msg_2", "msg_3"]
    assert await reader.poll() == []


async def test_an_append_that_was_undone_stalls_nobody(reader):
    await reader.append(1)
    with connect(reader.url) as other:
        append_many(begin(other, TRANSACTION_MS, appends=True), [(reader.new(2), None)])
        await reader.append(3)
        assert await reader.poll() == ["msg_1"]
        rollback(other)
    assert await reader.poll() == ["msg_3"]


async def test_what_other_programs_write_stalls_no_walk(reader):
    """A transaction that is open for as long as it likes."""
    await reader.append(1)
    with psycopg.connect(reader.url) as other:
        other.execute("UPDATE messages SET tags = '[]'; CREATE TABLE theirs (number integer)")
        await reader.append(2)
        await start(reader.store, MISSING, kind=TaskKind.REPLAY_MISSING)
        assert await reader.poll() == ["msg_1", "msg_2"]
        step = await reader.store.expunge_old(before_ms=1, now_ms=DAY_MS, after_seq=0, limit=10)
        assert (step.after_seq, step.done) == (None, 0)
        other.rollback()
        task = await reader.store.work_on_task("qtask_1", now_ms=1_000, limit=10)
        assert (task.status, task.moved) == (TaskStatus.FINISHED, 2)


async def test_a_replay_ends_with_the_events_committed_late(reader):
    with reader.held(1):
        await reader.append(2)
        with reader.held(3):
            await start(reader.store, MISSING, kind=TaskKind.REPLAY_MISSING)
            task = await reader.store.work_on_task("qtask_1", now_ms=1_000, limit=10)
            assert (task.status, task.moved, task.after_seq) == (TaskStatus.RUNNING, 0, 0)
    await reader.append(4)
    task = await reader.store.work_on_task("qtask_1", now_ms=1_000, limit=10)
    assert (task.status, task.moved) == (TaskStatus.FINISHED, 2), "not what came after it was requested"
    (first,) = await claim(reader.store, now_ms=1_000)
    assert first.message.id == "msg_1"


async def test_a_replay_moves_what_is_below_a_late_event(reader):
    await reader.append(1)
    with reader.held(2):
        await reader.append(3)
        await start(reader.store, MISSING, kind=TaskKind.REPLAY_MISSING)
        task = await reader.store.work_on_task("qtask_1", now_ms=1_000, limit=10)
        assert (task.status, task.moved) == (TaskStatus.RUNNING, 1)
    task = await reader.store.work_on_task("qtask_1", now_ms=1_000, limit=10)
    assert (task.status, task.moved) == (TaskStatus.FINISHED, 3)


async def test_retention_does_not_pass_an_event_committed_late(reader):
    """Its next round begins where only messages are left that a clock far ahead has dated."""
    with reader.held(1):
        await reader.append(2, accepted_at_ms=9 * DAY_MS)
        step = await reader.store.forget_old(before_ms=DAY_MS, now_ms=2 * DAY_MS, after_seq=0, limit=10)
        assert (step.settled_seq, step.done) == (0, 0)
    step = await reader.store.forget_old(before_ms=DAY_MS, now_ms=2 * DAY_MS, after_seq=0, limit=10)
    assert (step.settled_seq, step.done) == (2, 1)


@pytest.fixture(scope="module")
def shared_reader():
    url = postgres.cluster().take_database()
    made = Reader(url)
    asyncio.run(made.open())
    asyncio.run(made.store.close())
    yield made
    postgres.cluster().give_back(url)


@settings(max_examples=max(1, settings.default.max_examples // 5))
@given(st.lists(st.sampled_from(["append", "hold", "commit", "poll"]), min_size=4, max_size=12))
def test_a_poller_gets_every_event_once(shared_reader, steps):
    asyncio.run(_poll_between(shared_reader, steps))


async def _poll_between(reader: Reader, steps: list[str]) -> None:
    with psycopg.connect(reader.url, autocommit=True) as connection:
        connection.execute(EMPTY)
    reader.store, reader.place = PostgresStore(reader.url), "msg_"
    got: list[str] = []
    with ExitStack() as all_held:
        held: list[ExitStack] = []
        for number, step in enumerate(steps):
            if step == "append":
                await reader.append(number)
            elif step == "hold":
                held.append(all_held.enter_context(ExitStack()))
                held[-1].enter_context(reader.held(number))
            elif step == "commit" and held:
                held.pop(0).close()
            elif step == "poll":
                got += await reader.poll()
    got += await reader.poll()
    await reader.store.close()
    assert got == [f"msg_{number}" for number, step in enumerate(steps) if step in {"append", "hold"}]


MOVED_CLOCK = """
CREATE SCHEMA moved;
CREATE FUNCTION moved.clock_timestamp() RETURNS timestamptz LANGUAGE sql
    AS $$ SELECT to_timestamp(current_setting('moved.now_s')::float8) $$;
"""


@pytest.fixture
def at(url):
    """The database with another time, in seconds, which the test sets."""
    with psycopg.connect(url) as connection:
        connection.execute(MOVED_CLOCK)

    def moved(now_s: float) -> str:
        options = f"-c search_path=moved,pg_catalog,public -c moved.now_s={now_s}"
        return f"{url}&options={options.replace(' ', '%20').replace('=', '%3D')}"

    yield moved
    with psycopg.connect(url) as connection:
        connection.execute("DROP SCHEMA moved CASCADE")


async def test_attempts_are_read_forward_a_minute_after_they_ended(at):
    """By the database's clock."""
    ended_s = 1_800_000_000
    for now_s, found in [(ended_s + 60, []), (ended_s + 61, ["atmpt"])]:
        store = PostgresStore(at(now_s))
        if not found:
            await store.change([await endpoint(store, "ep_1")])
            (app,) = (await store.snapshot()).applications
            await store.append(msgspec.structs.replace(message(1), app_id=app.id))
            (claimed,) = await claim(store)
            await store.record([done(claimed, attempt=first_id("atmpt", ended_s * 1000))])
        page = await store.attempts_of_endpoint("ep_1", AttemptFilter(), after="", limit=10)
        newest = await store.attempts_of_endpoint("ep_1", AttemptFilter(), limit=10)
        await store.close()
        assert [item.attempt.id.partition("_")[0] for item in page.items] == found
        assert len(newest.items) == 1


# As a version that announces nothing appends. The name of its connections has no number.
OLDER_APPEND = """
    INSERT INTO messages (id, app_id, source_id, event_id, event_type, occurred_at_ms, accepted_at_ms, body)
    VALUES ('msg_2', %s, 'src', 'evt_2', 'a.b', 1, 1, '{}')
"""


@pytest.mark.parametrize(("passed_s", "found"), [(0, ["msg_1"]), (59, ["msg_1"]), (61, ["msg_1", "msg_3"])])
async def test_a_late_event_of_an_older_version_is_waited_for(reader, at, passed_s, found):
    """For a minute, in which that version's write has ended or was undone."""
    with psycopg.connect(reader.url, application_name="nicobar") as older:
        (begun_s,) = older.execute("SELECT CAST(extract(epoch FROM now()) AS float8)").fetchone()
        await reader.append(1, accepted_at_ms=int((begun_s - 61) * 1000))
        older.execute(OLDER_APPEND, [reader.app_id])
        await reader.append(3, accepted_at_ms=int((begun_s + passed_s) * 1000))
        own, reader.store = reader.store, PostgresStore(at(begun_s + passed_s))
        try:
            assert await reader.poll() == found
        finally:
            await reader.store.close()
            reader.store = own
        older.commit()
    assert await reader.poll() == ([] if passed_s == 61 else ["msg_2", "msg_3"])


def test_lines_of_the_audit_log_appear_in_their_order(reader):
    line = {"at_ms": 1, "actor": "a", "action": "b", "app_id": None, "subject": "c", "detail": ""}
    with connect(reader.url) as one, connect(reader.url) as other:
        begin(one, TRANSACTION_MS).run("add_audit", line)
        session = begin(other, TRANSACTION_MS, lock_ms=50)
        with pytest.raises(errors.LockNotAvailable):
            session.run("add_audit", line)
        rollback(other)
        one.execute("COMMIT")
        assert begin(other, TRANSACTION_MS, lock_ms=50).run("add_audit", line) == 1
