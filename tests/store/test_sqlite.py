"""What only the SQLite file promises."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tracemalloc

import pytest

from nicobar.errors import StoreBusy, StoreUnavailable, StoreUnusable
from nicobar.model import DeliveryState
from nicobar.store import Claim, NewMessage, ReplayFilter, Resent
from nicobar.store.installation import fix_for
from nicobar.store.migrations import Migrated, load_migrations
from nicobar.store.queries import load_queries
from nicobar.store.sqlite import SqliteStore, apply_migrations
from nicobar.store.sqlite.connection import connect
from nicobar.store.sqlite.errors import unavailable


def message(number: int, body: bytes = b"{}") -> NewMessage:
    return NewMessage(
        id=f"msg_{number}",
        app_id="app",
        source_id="src",
        event_id=f"evt_{number}",
        event_type="a",
        customer_key=None,
        occurred_at_ms=1,
        accepted_at_ms=1,
        body=body,
        endpoint_seqs=(),
    )


def refusal(path) -> str:
    with pytest.raises(StoreUnusable) as caught:
        apply_migrations(path, 1)
    assert caught.value.fix
    return caught.value.code


def test_migrations_are_applied_once(tmp_path):
    assert apply_migrations(tmp_path / "a.db", 1).names == tuple(
        f"{migration.number:04}_{migration.name}" for migration in load_migrations("sqlite")
    )
    assert apply_migrations(tmp_path / "a.db", 1) == Migrated(names=())


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(b"my letters " * 1000)
    assert refusal(path) == "not_a_database"
    assert path.read_bytes() == b"my letters " * 1000


def test_another_program_s_database_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE letters (a)")
    connection.close()
    assert refusal(tmp_path / "a.db") == "not_ours"


def test_a_database_of_a_newer_version_is_refused(tmp_path):
    apply_migrations(tmp_path / "a.db", 1)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("INSERT INTO migrations VALUES (99, 'later', 'x', 1, 99)")
    connection.close()
    assert refusal(tmp_path / "a.db") == "database_newer"


def test_a_changed_migration_is_refused(tmp_path):
    apply_migrations(tmp_path / "a.db", 1)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE migrations SET sha256 = 'x'")
    connection.close()
    assert refusal(tmp_path / "a.db") == "migration_changed"


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path / "file" / "a.db") == "not_writable"
    assert refusal(tmp_path) == "not_writable"


def test_the_migrations_are_numbered_without_a_gap():
    numbers = [migration.number for migration in load_migrations("sqlite")]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_each_query_says_what_it_promises(database):
    for name, sql in load_queries(database).items():
        assert sql.startswith("-- "), name


async def test_a_full_disk_refuses_the_write_and_recovers(tmp_path):
    store = await SqliteStore.open(tmp_path / "a.db", now_ms=1)
    await store.append(message(1))
    connection = store._database._writer.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable):
        await store.append(message(2, os.urandom(100_000)))
    assert (await store.message("msg_1")) is not None
    connection.execute("PRAGMA max_page_count = 1000000")
    await store.append(message(2, os.urandom(100_000)))
    assert (await store.message("msg_2")) is not None
    await store.close()


async def test_writes_over_the_limit_are_rejected_and_others_stored(tmp_path):
    store = await SqliteStore.open(tmp_path / "a.db", now_ms=1, max_waiting=5)
    results = await asyncio.gather(*(store.append(message(n)) for n in range(300)), return_exceptions=True)
    kept = [result for result in results if not isinstance(result, BaseException)]
    assert any(isinstance(result, StoreBusy) for result in results)
    for item in kept:
        assert await store.message(item.message_id) is not None
    await store.close()


async def test_a_closed_store_says_so(tmp_path):
    store = await SqliteStore.open(tmp_path / "a.db", now_ms=1)
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.append(message(1))


CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_sqlite import message
from nicobar.store.sqlite import SqliteStore
async def main():
    store = await SqliteStore.open(Path(sys.argv[1]), now_ms=1)
    async def one(start):
        for n in range(start, 1_000_000, 20):
            print((await store.append(message(n))).message_id, flush=True)
    await asyncio.gather(*(one(start) for start in range(20)))
asyncio.run(main())
"""


async def test_no_acknowledged_message_is_lost_by_a_kill(tmp_path):
    here = os.path.dirname(__file__)  # noqa: PTH120 - handed on as text
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "a.db"), here], stdout=subprocess.PIPE, text=True
    )
    acknowledged = [child.stdout.readline().strip() for _ in range(500)]
    os.kill(child.pid, signal.SIGKILL)
    rest, _ = child.communicate()
    acknowledged += rest.split("\n")[:-1]
    store = await SqliteStore.open(tmp_path / "a.db", now_ms=1)
    for message_id in acknowledged:
        assert await store.message(message_id) is not None, message_id
    assert len(acknowledged) >= 500
    await store.close()


async def test_a_count_of_a_replay_holds_no_customers_in_memory(tmp_path):
    store = await SqliteStore.open(tmp_path / "a.db", now_ms=1)
    count = 20_000

    def fill(session):
        connection = session.connection
        (app_id,) = connection.execute("SELECT id FROM applications").fetchone()
        connection.execute(
            "INSERT INTO endpoints (seq, id, app_id, name, connector, settings, sealed_credentials, "
            "credential_references, event_types, variables, disabled) "
            "VALUES (1, 'ep_1', ?, 'e', 'http', '{}', x'', '{}', '[]', '{}', 0)",
            (app_id,),
        )
        for number in range(1, count + 1):
            connection.execute(
                "INSERT INTO messages (seq, id, app_id, source_id, event_id, event_type, customer_key, "
                "occurred_at_ms, accepted_at_ms, body) VALUES (?, ?, ?, 's', ?, 'a', ?, 1, 1, x'')",
                (number, f"msg_{number}", app_id, f"evt_{number}", f"{number:0200}"),
            )
            connection.execute(
                "INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease) "
                "VALUES (?, 1, 'failed', 1, 1)",
                (number,),
            )

    await store._database.write(fill)
    tracemalloc.start()
    counted = await store.count_replay(1, ReplayFilter())
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (counted.deliveries, counted.customers, counted.overtaken) == (count, count, 0)
    # All of the keys are 5 MB.
    assert most_bytes < 1_000_000
    await store.close()


async def test_upgrade_keeps_the_ids_of_unfinished_deliveries(tmp_path, monkeypatch):
    path = tmp_path / "a.db"
    before = [migration for migration in load_migrations("sqlite") if migration.number <= 8]
    with monkeypatch.context() as patch:
        patch.setattr("nicobar.store.migrations.load_migrations", lambda _: before)
        apply_migrations(path, 1)
    with sqlite3.connect(path) as connection:
        connection.executescript("""
            INSERT INTO endpoints (seq, id, app_id, name, connector, settings, sealed_credentials,
                credential_references, event_types, variables, disabled)
                VALUES (1, 'ep_1', (SELECT id FROM applications), 'a', 'http', '{}', x'', '{}', '[]', '{}', 0);
            INSERT INTO messages (seq, id, app_id, source_id, event_id, event_type, occurred_at_ms, accepted_at_ms,
                body) VALUES (1, 'msg_1', 'app', 'src', 'evt_1', 'a', 1, 1, x'7b7d'),
                (2, 'msg_2', 'app', 'src', 'evt_2', 'a', 1, 1, x'7b7d'),
                (3, 'msg_3', 'app', 'src', 'evt_3', 'a', 1, 1, x'7b7d');
            INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease, due_at_ms, edition)
                VALUES (1, 1, 'pending', 1, 0, 5, 2), (2, 1, 'success', 1, 0, NULL, 2),
                (3, 1, 'canceled', 1, 0, NULL, 2);
            UPDATE messages SET app_id = (SELECT id FROM applications);
        """)
    connection.close()
    store = await SqliteStore.open(path, now_ms=1)
    (retried,) = await store.claim(Claim(endpoint_seq=1, term=0, now_ms=10, limit=9, max_bytes=99, lease_ms=5))
    assert (retried.message.id, retried.replay_key, retried.edition) == ("msg_1", None, 2)
    every = ReplayFilter(states=(DeliveryState.SUCCESS, DeliveryState.CANCELED))
    count = await store.count_replay(1, every)
    assert (count.deliveries, count.earlier_ids) == (2, 1), "nothing was sent of what was canceled"
    assert await store.resend("msg_2", "ep_1", now_ms=10, new_ids=False) is Resent.QUEUED
    (replayed,) = await store.claim(Claim(endpoint_seq=1, term=0, now_ms=10, limit=9, max_bytes=99, lease_ms=5))
    assert (replayed.message.id, replayed.replay_key) == ("msg_2", "")
    assert (await store.count_replay(1, every)).earlier_ids == 0
    await store.close()


async def test_the_configuration_is_read_while_another_process_writes(tmp_path):
    path = tmp_path / "a.db"
    apply_migrations(path, 1)
    store = SqliteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        assert (await store.snapshot()).applications[0].uid == "default"
    finally:
        other.close()
        await store.close()


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("INSERT INTO tests.children VALUES (7, 1)", "conflict"),
        ("INSERT INTO tests.children VALUES (NULL, NULL)", "store_unavailable"),
        ("INSERT INTO tests.children VALUES (NULL, -1)", "store_unavailable"),
    ],
)
def test_only_a_missing_reference_is_explained_as_one(statement, code):
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        """
        PRAGMA foreign_keys = ON;
        ATTACH ':memory:' AS tests;
        CREATE TABLE tests.parents (id INTEGER PRIMARY KEY);
        CREATE TABLE tests.children (parent INTEGER REFERENCES parents (id), n INTEGER NOT NULL CHECK (n > 0));
        """
    )
    with pytest.raises(sqlite3.IntegrityError) as caught:
        connection.execute(statement)
    connection.close()
    assert unavailable(caught.value).code == code


def test_the_limit_of_open_files_is_named(tmp_path):
    path = tmp_path / "a.db"
    apply_migrations(path, 1)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    # As many as are open: opening the next file fails.
    open_files = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files[0] + 1, before[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                open_files.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(sqlite3.OperationalError) as caught:
            connect(path, create=False)
        error = unavailable(caught.value)
        of_file = fix_for(OSError(errno.EMFILE, "Too many open files"), "otherwise")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for handle in open_files:
            os.close(handle)
    assert "RLIMIT_NOFILE" in error.fix
    assert "RLIMIT_NOFILE" in of_file
    assert "RLIMIT_NOFILE" not in unavailable(caught.value).fix, "once files can be opened, it is another cause"
