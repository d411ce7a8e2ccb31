"""What only PostgreSQL promises: many connections at once, and a server of somebody else's."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

import msgspec
import psycopg
import pytest
from psycopg.pq import ExecStatus

from contracts.test_stores import claim, done, endpoint, message
from nicobar.errors import StoreUnavailable, StoreUnusable
from nicobar.model import DeliveryState
from nicobar.store import Claim, ReplayFilter
from nicobar.store.migrations import load_migrations
from nicobar.store.postgres import PostgresStore, apply_migrations
from nicobar.store.postgres.connection import SQL, connect, transaction
from nicobar.store.postgres.hot import append_many, record
from nicobar.store.sqlite import connection as sqlite_connection
from nicobar.store.sqlite import migrate as sqlite_migrate
from support import postgres

NOW_MS = 1_700_000_000_000


@pytest.fixture
def empty_url():
    made = postgres.cluster().create_database()
    yield made
    postgres.cluster().drop_database(made)


@pytest.fixture
async def stores(url):
    """Two processes' stores of one database, with an endpoint."""
    both = [PostgresStore(url), PostgresStore(url)]
    await both[0].change([await endpoint(both[0], "ep_1")])
    yield both
    for store in both:
        await store.close()


def refusal(url: str) -> str:
    with pytest.raises(StoreUnusable) as caught:
        apply_migrations(url, 1)
    assert caught.value.fix
    return caught.value.code


def test_processes_that_start_at_once_migrate_once(empty_url):
    with ThreadPoolExecutor(8) as threads:
        applied = list(threads.map(lambda _: apply_migrations(empty_url, 1), range(8)))
    numbers = sorted(len(migrated.names) for migrated in applied)
    assert numbers == [0] * 7 + [len(load_migrations("postgres"))]


def test_another_program_s_tables_are_left_alone(empty_url):
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE TABLE users (letters text)")
    assert refusal(empty_url) == "not_ours"


def test_a_database_of_a_newer_version_is_refused(url):
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO migrations VALUES (99, 'later', 'x', 1, 99)")
    assert refusal(url) == "database_newer"


def test_an_unreachable_server_is_named_without_its_password():
    with pytest.raises(StoreUnusable) as caught:
        apply_migrations("postgresql://nicobar:hidden@127.0.0.1:1/shop", 1)
    assert caught.value.code == "database_unreachable"
    assert "127.0.0.1:1/shop" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_database_of_another_encoding_is_refused():
    server = postgres.cluster()
    server.ask("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
    try:
        assert refusal(server.url("latin")) == "postgres_encoding"
    finally:
        server.ask("DROP DATABASE latin WITH (FORCE)")


def test_both_databases_have_the_same_tables_and_columns(url, tmp_path):
    sqlite_migrate.apply_migrations(tmp_path / "a.db", 1)
    connection = sqlite_connection.connect(tmp_path / "a.db")
    in_sqlite = {
        table: {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    }
    connection.close()
    in_postgres: dict[str, set[str]] = {}
    with psycopg.connect(url) as other:
        query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        for table, column in other.execute(query):
            in_postgres.setdefault(table, set()).add(column)
    del in_postgres["event_ids"]  # SQLite, without partitions, has an index of messages for that
    assert in_postgres == in_sqlite
    latest = [load_migrations(database)[-1].number for database in ("sqlite", "postgres")]
    assert len(set(latest)) == 1


def test_text_that_is_compared_is_compared_byte_by_byte(url):
    """All text but what is only stored."""
    stored = {"applied_at_ms", "body", "channels", "content", "credential_references", "detail", "disabled_reason"}
    stored |= {"event_types", "filter", "params", "password_hash", "paused_reason", "reason", "result", "settings"}
    stored |= {"secret_references", "tags", "variables", "was", "code", "installation_id", "key_id", "name", "sha256"}
    stored |= {"accepted_ids", "customer_email", "customer_name", "retry_after_ms", "public_headers"}
    stored |= {"variable_references"}
    query = """
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'
    """
    with psycopg.connect(url) as connection:
        found = {(table, column) for table, column in connection.execute(query) if column not in stored}
    assert not found


@pytest.mark.parametrize("name", sorted(SQL))
def test_every_query_is_understood(checked, name):
    text = SQL[name].as_string(None).replace("%%", "%")
    numbers: dict[str, int] = {}
    numbered = re.sub(r"%\((\w+)\)s", lambda match: f"${numbers.setdefault(match[1], len(numbers) + 1)}", text)
    result = checked.pgconn.prepare(b"", numbered.encode())
    assert result.status == ExecStatus.COMMAND_OK, result.error_message


@pytest.fixture(scope="module")
def checked():
    made = postgres.cluster().take_database()
    with connect(made) as connection:
        yield connection
    postgres.cluster().give_back(made)


async def test_events_of_several_processes_are_each_stored_once(stores):
    async def put(number):
        return await stores[number % 2].append(message(number, "cus", event_id=f"evt_{number // 2}"))

    appended = await asyncio.gather(*(put(number) for number in range(200)))
    assert sum(not item.duplicate for item in appended) == 100
    assert len({item.message_id for item in appended}) == 100
    assert sum(item.unfinished for item in await stores[0].backlog()) == 100


async def test_an_event_id_is_known_when_its_message_is_gone(stores, url):
    await stores[0].append(message(1, event_id="same", body=b"a"))
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM messages")
    other = msgspec.structs.replace(message(2, event_id="same", body=b"b"), source_id="other")
    for again in (message(2, event_id="same", body=b"a"), other):
        appended = await stores[1].append(again)
        assert (appended.message_id, appended.duplicate, appended.taken) == ("msg_1", True, False)
    assert await stores[0].message("msg_2") is None


@pytest.mark.parametrize("order", ["append first", "record first"])
async def test_an_event_appended_during_a_record_becomes_due(stores, url, order):
    """Appending takes no lock, so it is committed before, between and after the statements of the record."""
    await stores[0].append(message(1, "cus"))
    (first,) = await claim(stores[0])
    with connect(url) as appending, connect(url) as recording:
        with transaction(appending, 10_000) as session:
            append_many(session, [(message(2, "cus"), None)])
            if order == "record first":
                with transaction(recording, 10_000) as other:
                    record(other, [done(first)])
        if order == "append first":
            with transaction(recording, 10_000) as other:
                record(other, [done(first)])
    (second,) = await claim(stores[1])
    assert second.message.id == "msg_2"
    assert await claim(stores[0]) == []


async def test_an_event_committed_late_waits_for_the_one_being_sent(stores, url):
    with connect(url) as late:
        with transaction(late, 10_000) as session:
            append_many(session, [(message(1, "cus"), None)])
            await stores[0].append(message(2, "cus"))
            (first,) = await claim(stores[0])
            assert first.message.id == "msg_2"
        assert await claim(stores[0]) == []
    await stores[0].record([done(first)])
    assert [item.message.id for item in await claim(stores[1])] == ["msg_1"]


async def test_claims_of_several_processes_never_share_a_delivery(stores):
    for number in range(60):
        await stores[0].append(message(number, f"cus_{number % 20}"))
    claimed: list[str] = []
    while True:
        pages = await asyncio.gather(*(claim(store, limit=3) for store in stores * 3))
        page = [item for part in pages for item in part]
        if not page:
            break
        keys = [item.message.customer_key for item in page]
        assert len(keys) == len(set(keys)), "one of a customer at a time"
        claimed += [item.message.id for item in page]
        ended = [done(item, attempt=f"atmpt_{item.message.id}") for item in page]
        await asyncio.gather(*(stores[number % 2].record([item]) for number, item in enumerate(ended)))
    assert sorted(claimed) == sorted(f"msg_{number}" for number in range(60))
    for number in range(20):
        mine = [item for item in claimed if int(item.removeprefix("msg_")) % 20 == number]
        assert mine == sorted(mine, key=lambda item: int(item.removeprefix("msg_")))


async def test_a_group_that_holds_an_impossible_event_stores_the_others(stores):
    events = [message(number) for number in range(30)]
    events[7] = message(7, event_id="evt_\x00")
    results = await asyncio.gather(*(stores[0].append(event) for event in events), return_exceptions=True)
    assert [number for number, result in enumerate(results) if isinstance(result, Exception)] == [7]
    assert results[7].code == "value_invalid"


async def test_retention_keeps_a_message_that_is_being_replayed(stores, url):
    await stores[0].append(message(1, None))
    await stores[0].append(message(2, None))
    claimed = await claim(stores[0])
    await stores[0].record([done(item) for item in claimed])
    with connect(url) as replaying, transaction(replaying, 10_000) as session:
        values = {"message_seqs": [claimed[0].message.seq], "endpoint_seq": 1, "now_ms": NOW_MS, "new_ids": False}
        session.run(
            "replay_deliveries", values | {"edition": 0, "replay_key": "", "task_seq": None, "order_keys": "{}"}
        )
        forgetting = asyncio.create_task(
            stores[1].forget_old(before_ms=NOW_MS * 2, now_ms=NOW_MS * 2, after_seq=0, limit=10)
        )
        await asyncio.wait([forgetting], timeout=0.1)
    await forgetting
    assert await stores[0].message("msg_1") is not None
    assert (await stores[0].deliveries("msg_1"))[0].state is DeliveryState.PENDING


async def test_a_connection_that_broke_is_replaced(stores, url):
    await stores[0].append(message(1, None))
    await stores[0].snapshot()
    postgres.cluster().ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'nicobar%'"
    )
    failed = 0
    for _ in range(30):
        try:
            await stores[0].append(message(2, None))
            await stores[0].snapshot()
            await stores[0].claim(Claim(endpoint_seq=1, term=0, now_ms=NOW_MS, limit=1, max_bytes=100, lease_ms=10))
        except StoreUnavailable:
            failed += 1
    assert failed <= 3 * 4, "each connection fails once"
    assert await stores[0].message("msg_2") is not None


async def test_workers_take_nothing_while_an_older_version_delivers(stores, url):
    await stores[0].add_worker("a", alone=False)
    with connect(url) as older:
        # The lock of a version whose only worker delivers for all endpoints.
        older.execute("SELECT pg_advisory_lock(1851941235)")
        assert await stores[0].take_leases(["endpoint/1"], "a", sent_again_at_ms=1) == []
    assert len(await stores[0].take_leases(["endpoint/1"], "a", sent_again_at_ms=1)) == 1


async def test_a_count_may_read_all_there_is_while_events_come(stores):
    for number in range(5):
        await stores[0].append(message(number, f"cus_{number}"))
    await stores[0].record([done(item) for item in await claim(stores[0])])
    count = await stores[1].count_replay(1, ReplayFilter(states=(DeliveryState.SUCCESS,)))
    assert (count.deliveries, count.customers) == (5, 5)
