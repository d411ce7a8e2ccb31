"""Counters of the queue: exact, whichever process writes, and read at a cost that does not grow with what waits."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing

import msgspec
import psycopg
import pytest
from psycopg import sql

from contracts.test_stores import claim, done, endpoint, message
from nicobar.model import DeliveryState
from nicobar.reasons import plain
from nicobar.store.history import MessageFilter
from nicobar.store.migrations import load_migrations
from nicobar.store.postgres import PostgresStore
from nicobar.store.postgres import apply_migrations as migrate_postgres
from nicobar.store.postgres import connection as postgres_connection
from nicobar.store.postgres.hot import append_many
from nicobar.store.sqlite import apply_migrations as migrate_sqlite
from nicobar.store.sqlite import connection as sqlite_connection
from nicobar.store.tables.base import NO_VALUES
from nicobar.store.tables.store import TableStore
from support import postgres
from support.store import run_sql

PENDING, SENDING = DeliveryState.PENDING, DeliveryState.SENDING
ENDPOINT = """INSERT INTO endpoints (seq, id, app_id, name, connector, settings, sealed_credentials,
    credential_references, event_types, variables, disabled)
    SELECT 1, 'ep_1', id, 'e', 'http', '{}', '', '{}', '[]', '{}', FALSE FROM applications"""
MESSAGES = """INSERT INTO messages (seq, id, app_id, source_id, event_id, event_type, customer_key, occurred_at_ms,
    accepted_at_ms, body) SELECT n, 'msg_' || n, applications.id, 's', 'evt_' || n, 'a.b', 'cus_' || n, n, n, ''
    FROM applications, numbers"""
DELIVERIES = """INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease, due_at_ms, customer_key,
    position) SELECT n, 1, 'pending', 0, 0, n, 'cus_' || n, n FROM numbers"""
LOOK = 100
FEW, MANY = 1_000, 100_000


def fill(count: int) -> list[str]:
    """Statements that make so many deliveries wait."""
    numbers = f"WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
    return [ENDPOINT, *(text.replace("SELECT", f"{numbers} SELECT", 1) for text in (MESSAGES, DELIVERIES))]


async def test_the_changes_of_an_earlier_version_are_counted(store, tmp_path):
    await store.change([await endpoint(store, "ep_1")])
    for number in range(4):
        await store.append(message(number, None))
    run_sql(tmp_path, "UPDATE deliveries SET state = 'sending' WHERE message_seq <= 2")
    run_sql(tmp_path, "UPDATE deliveries SET state = 'success' WHERE message_seq = 1")
    run_sql(tmp_path, "DELETE FROM deliveries WHERE message_seq = 4")
    assert await store.unfinished("ep_1") == {PENDING: 1, SENDING: 1}
    (backlog,) = await store.backlog()
    assert (backlog.unfinished, backlog.oldest_accepted_at_ms) == (2, 10)


def test_an_upgrade_of_sqlite_counts_what_is_there(tmp_path, monkeypatch):
    path = tmp_path / "a.db"
    with monkeypatch.context() as patch:
        patch.setattr("nicobar.store.migrations.load_migrations", lambda name: load_migrations(name)[:10])
        migrate_sqlite(path, 1)
    with closing(sqlite_connection.connect(path)) as connection:
        for statement in fill(20):
            connection.execute(statement)
        connection.execute("UPDATE deliveries SET state = 'sending' WHERE message_seq < 4")
    migrate_sqlite(path, 2)
    with closing(sqlite_connection.connect(path)) as connection:
        assert connection.execute("SELECT * FROM queue_counts").fetchall() == [(1, 0, 17, 3)]


@pytest.mark.slow
def test_an_upgrade_of_postgresql_counts_what_is_there(monkeypatch):
    url = postgres.cluster().create_database()
    with monkeypatch.context() as patch:
        patch.setattr("nicobar.store.migrations.load_migrations", lambda name: load_migrations(name)[:1])
        migrate_postgres(url, 1)
    with psycopg.connect(url) as connection:
        for statement in fill(20):
            connection.execute(statement)
        connection.execute("UPDATE deliveries SET state = 'sending' WHERE message_seq < 4")
    migrate_postgres(url, 2)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT * FROM queue_counts").fetchall() == [(1, 0, 17, 3)]
    postgres.cluster().drop_database(url)


@pytest.mark.slow
async def test_counters_are_exact_after_many_connections_wrote_at_once(url):
    stores = [PostgresStore(url) for _ in range(3)]
    await stores[0].change([await endpoint(stores[0], "ep_1"), await endpoint(stores[0], "ep_2")])

    async def deliver(store: PostgresStore, endpoint_seq: int) -> None:
        for _ in range(10):
            claimed = await claim(store, limit=5, endpoint_seq=endpoint_seq)
            states = [DeliveryState.SUCCESS, DeliveryState.FAILED, PENDING]
            ended = [done(item, state, due_at_ms=1) for item, state in zip(claimed, states, strict=False)]
            await store.record([msgspec.structs.replace(one, attempt=None) for one in ended])
            await store.cancel_pending(endpoint_seq, now_ms=100, limit=1, reason=plain("not wanted"))

    appends = [stores[n % 3].append(message(n, f"cus_{n % 7}", endpoints=(1, 2))) for n in range(150)]
    await asyncio.gather(*appends, *(deliver(store, seq) for store in stores for seq in (1, 2)))
    with psycopg.connect(url) as connection:
        counted = connection.execute(
            """SELECT endpoint_seq, count(*) FROM deliveries WHERE state IN ('pending', 'sending')
            GROUP BY 1 ORDER BY 1"""
        ).fetchall()
    assert [(item.endpoint_seq, item.unfinished) for item in await stores[0].backlog()] == counted
    for store in stores:
        await store.close()


@pytest.mark.slow
async def test_no_transaction_waits_for_another_because_of_a_count(url):
    store = PostgresStore(url)
    await store.change([await endpoint(store, "ep_1")])
    connections = [postgres_connection.connect(url) for _ in range(16)]
    for number, connection in enumerate(connections):
        session = postgres_connection.begin(connection, 10_000, lock_ms=1_000)
        append_many(session, [(message(number), None)])
    for connection in connections:
        connection.execute("COMMIT")
        connection.close()
    assert await store.unfinished("ep_1") == {PENDING: 16}
    await store.close()


class OneSession:
    """A database of one session."""

    def __init__(self, session) -> None:
        self._session = session

    async def read(self, work):
        return work(self._session)


async def look_at_the_pages(store: TableStore, now_ms: int) -> None:
    """What metrics, the queue's page, the overview and the worker ask about what waits."""
    ((seq, unfinished, oldest_ms),) = [msgspec.structs.astuple(item) for item in await store.backlog()]
    assert (seq, oldest_ms) == (1, 1)
    assert await store.backlog(1)
    assert await store.unfinished("ep_1") == {PENDING: unfinished}
    waits = await store.waits("ep_1", now_ms=now_ms)
    assert (waits.due, waits.later, waits.more) == (LOOK, LOOK, unfinished - 2 * LOOK)
    found = await store.attempted("ep_1", MessageFilter(), (PENDING, SENDING), after="", limit=5)
    assert [item.message.id for item in found.items] == [f"msg_{n}" for n in range(1, 6)]
    assert await store.next_due_at_ms(1) == 1
    assert await store.due_times() == {1: 1}


async def test_sqlite_reads_of_what_waits_the_same_however_much(tmp_path, monkeypatch):
    monkeypatch.setattr("nicobar.store.history.MAX_LOOK", LOOK)
    steps = {}
    for count in (FEW, MANY):
        path = tmp_path / f"{count}.db"
        migrate_sqlite(path, 1)
        with closing(sqlite_connection.connect(path)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            for statement in fill(count):
                connection.execute(statement)
            steps[count] = 0

            def step(count=count) -> int:
                steps[count] += 1
                return 0

            connection.set_progress_handler(step, 1)
            session = sqlite_connection.SqliteSession(connection)
            await look_at_the_pages(TableStore(OneSession(session)), count // 2)
    assert steps[MANY] == pytest.approx(steps[FEW], rel=0.01)


@pytest.mark.slow
async def test_postgresql_reads_of_what_waits_a_bounded_number_of_pages(monkeypatch):
    monkeypatch.setattr("nicobar.store.history.MAX_LOOK", LOOK)
    url = postgres.cluster().take_database()
    with psycopg.connect(url, autocommit=True) as filling:
        # The numbers of the messages are given by a sequence, as the store gives them.
        numbered = f"SELECT setval('messages_seq_seq', {MANY})"
        for statement in [*fill(MANY), numbered, "ANALYZE"]:
            filling.execute(statement)
    with postgres_connection.connect(url) as connection:
        read: dict[str, int] = {}
        session = Measured(connection, read)
        await look_at_the_pages(TableStore(OneSession(session)), MANY // 2)
    # Two looks of LOOK rows each, which read a page of the table and three of indexes for a row at most.
    assert max(read.values()) <= 8 * LOOK, read
    assert read["backlog"] <= 20
    assert read["queue_counts"] <= 5
    postgres.cluster().drop_database(url)


class Measured(postgres_connection.PostgresSession):
    """A session that notes how many pages each statement reads."""

    def __init__(self, connection, read: dict[str, int]) -> None:
        super().__init__(connection)
        self._measured, self._read = connection, read

    def rows(self, name, values=NO_VALUES):
        known = {key: value for key, value in values.items() if not isinstance(value, tuple)}
        known |= {key: [str(item) for item in value] for key, value in values.items() if isinstance(value, tuple)}
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {postgres_connection.SQL[name].as_string(None)}"
        ((plan,),) = self._measured.execute(sql.SQL(explain), known).fetchall()
        top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
        self._read[name] = top["Shared Hit Blocks"] + top["Shared Read Blocks"]
        return super().rows(name, values)

    def row(self, name, values=NO_VALUES):
        return next(iter(self.rows(name, values)), None)
