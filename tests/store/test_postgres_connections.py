"""How connections to PostgreSQL are named, made, and given up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from types import SimpleNamespace

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from contracts.test_stores import endpoint, message
from nicobar.errors import StoreUnavailable, StoreUnusable
from nicobar.store import Claim, group_commit
from nicobar.store.postgres import PostgresStore, apply_migrations, connection, database
from nicobar.store.postgres.connection import TRANSACTION_MS, begin, connect, transaction
from nicobar.store.postgres.hot import append_many
from nicobar.store.postgres.location import PostgresLocation
from support import postgres


@pytest.fixture
async def store(url):
    """With an endpoint."""
    made = PostgresStore(url)
    await made.change([await endpoint(made, "ep_1")])
    yield made
    await made.close()


@pytest.mark.parametrize(
    "password",
    [
        "hid%zzden",
        "hid/den",
        "1/den",
        "hid#den",
        "hid?den",
        "hid@den",
        "hid[den",
        "hid%00den",
        "100%hidden",
        "hidden",
    ],
)
def test_no_part_of_a_password_is_shown(password):
    url = f"postgresql://nicobar:{password}@127.0.0.1:1/shop"
    with pytest.raises(StoreUnusable) as caught:
        apply_migrations(url, 1)
    assert not [part for part in ("hid", "den") if part in str(caught.value) + name_of(url)]


def name_of(url: str) -> str:
    """The shown name, or the refusal."""
    try:
        return PostgresLocation(url).name
    except StoreUnusable as error:
        return f"{error.code} {error} {error.__context__ if not error.__suppress_context__ else ''}"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://nicobar:hid#den@db.example:5432/shop", "postgresql://db.example:5432/shop"),
        ("postgres://nicobar@a.example,b.example/shop?password=hidden", "postgresql://a.example,b.example/shop"),
        ("postgresql://a.example:1,[::1]:2/shop", "postgresql://a.example:1,[::1]:2/shop"),
        ("postgresql:///shop?host=/run/postgresql", "postgresql:///shop"),
        ("postgresql:///shop?host=db.example&port=1", "postgresql://db.example:1/shop"),
    ],
)
def test_a_database_is_named_by_host_port_and_name(url, name):
    assert PostgresLocation(url).name == name


def test_a_password_in_the_driver_s_error_is_replaced(monkeypatch):
    def fail(*_, **__):
        raise psycopg.OperationalError("no access with 'hid@den' (hid%40den)")

    monkeypatch.setattr(psycopg.Connection, "connect", fail)
    with pytest.raises(psycopg.OperationalError) as caught:
        connect("postgresql://nicobar:hid%40den@127.0.0.1:1/shop")
    assert str(caught.value) == "no access with '***' (***)"
    assert caught.value.__suppress_context__


async def test_only_the_blocked_event_of_a_group_is_refused(store, url, monkeypatch):
    monkeypatch.setattr(database, "APPEND_LOCK_MS", 50)
    with connect(url) as other, transaction(other, TRANSACTION_MS) as session:
        append_many(session, [(message(99, event_id="evt_7"), None)])
        events = [store.append(message(number)) for number in range(30)]
        results = await asyncio.gather(*events, return_exceptions=True)
    refused = [number for number, result in enumerate(results) if isinstance(result, Exception)]
    assert refused == [7]
    assert isinstance(results[7], StoreUnavailable)
    assert await store.message("msg_29") is not None


async def test_a_group_that_is_blocked_whole_is_halved_few_times(store, url, monkeypatch):
    monkeypatch.setattr(database, "APPEND_LOCK_MS", 10)
    monkeypatch.setattr(database, "HALVED_LOCK_MS", 1)
    monkeypatch.setattr(group_commit, "MAX_BLOCKED", 3)
    tries = []
    monkeypatch.setattr(database._Writer, "is_blocked", lambda _, error: tries.append(error) or True)
    with connect(url) as other, transaction(other, TRANSACTION_MS):
        other.execute("LOCK TABLE messages")
        results = await asyncio.gather(*(store.append(message(n)) for n in range(64)), return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert len(tries) < 64


async def test_a_transaction_that_is_abandoned_is_undone(store, url, monkeypatch):
    with contextlib.closing(connect(url)) as abandoned:
        with monkeypatch.context() as patched:
            patched.setattr(connection, "IDLE_MS", 50)
            append_many(begin(abandoned, TRANSACTION_MS), [(message(99, event_id="evt_7"), None)])
        appended = await store.append(message(7))
    assert (appended.message_id, appended.duplicate) == ("msg_7", False)


async def test_the_first_event_after_a_restart_is_stored(store, url):
    await store.append(message(1))
    await store.snapshot()
    name = url.removeprefix("postgresql:///").partition("?")[0]
    postgres.cluster().ask(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'")
    assert (await store.append(message(2))).message_id == "msg_2"
    assert await store.message("msg_2") is not None


async def test_a_reconnection_that_failed_is_tried_again(url, monkeypatch):
    monkeypatch.setattr(database, "MAX_WRITERS", 1)
    monkeypatch.setattr(database, "MAX_READERS", 1)
    store = PostgresStore(url)
    await store.change([await endpoint(store, "ep_1")])
    await store.append(message(1))
    name = url.removeprefix("postgresql:///").partition("?")[0]
    postgres.cluster().ask(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'")
    calls = (
        lambda: store.append(message(2)),
        store.snapshot,
        lambda: store.claim(
            Claim(endpoint_seq=1, term=0, now_ms=message(2).accepted_at_ms, limit=9, max_bytes=999, lease_ms=9)
        ),
    )
    with monkeypatch.context() as patched:
        patched.setattr(connection, "connect", unreachable)
        for call in (*calls, *calls):
            with pytest.raises(StoreUnavailable):
                await call()
    for call in calls:
        await call()
    await store.close()


def test_a_connection_whose_begin_fails_is_closed(url, monkeypatch):
    monkeypatch.setattr(connection, "IDLE_MS", -5)
    with contextlib.closing(connect(url)) as opened:
        with pytest.raises(psycopg.Error):
            begin(opened, TRANSACTION_MS)
        assert opened.closed


@pytest.fixture
def late(url, monkeypatch):
    """A transaction and the clock by which it is measured."""
    clock = SimpleNamespace(now_s=100.0)
    clock.monotonic = lambda: clock.now_s
    monkeypatch.setattr(connection, "time", clock)
    with contextlib.closing(connect(url)) as opened:
        yield opened, begin(opened, TRANSACTION_MS), clock


def test_late_statements_get_what_is_left_of_the_transaction_s_time(late):
    opened, session, clock = late
    clock.now_s += 4
    session.row("server")
    assert opened.execute("SHOW statement_timeout").fetchone() == ("15s",)
    clock.now_s += 13
    session.row("server")
    assert opened.execute("SHOW statement_timeout").fetchone() == ("3s",)


def test_statements_of_a_short_transaction_have_most_of_its_time(url):
    with contextlib.closing(connect(url)) as opened:
        begin(opened, 2_000)
        assert opened.execute("SHOW statement_timeout").fetchone() == ("1500ms",)


def test_a_transaction_without_time_left_is_undone(late):
    opened, _, clock = late
    connection.rollback(opened)

    def write_slowly():
        with transaction(opened, TRANSACTION_MS) as session:
            append_many(session, [(message(1), None)])
            clock.now_s += 20

    with pytest.raises(psycopg.OperationalError, match="too long"):
        write_slowly()
    assert opened.info.transaction_status is TransactionStatus.IDLE
    with transaction(opened, TRANSACTION_MS, reading=True) as session:
        assert session.row("message_seq", {"id": "msg_1"}) is None


async def test_a_group_of_events_without_time_left_is_refused(store, monkeypatch):
    clock = SimpleNamespace(now_s=100.0)
    clock.monotonic = lambda: clock.now_s
    monkeypatch.setattr(connection, "time", clock)

    def slowly(session, group):
        appended = append_many(session, group)
        clock.now_s += 20
        return appended

    with monkeypatch.context() as patched:
        patched.setattr(database, "append_many", slowly)
        with pytest.raises(StoreUnavailable):
            await store.append(message(1))
    assert not (await store.append(message(1))).duplicate


@contextlib.contextmanager
def hung(url: str):
    """Within the block the database's backends do not run."""
    name = url.removeprefix("postgresql:///").partition("?")[0]
    pids = [pid for (pid,) in postgres.cluster().ask(f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}'")]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_server_that_hangs_before_a_transaction_is_given_up(url, monkeypatch):
    with contextlib.closing(connect(url)) as opened, hung(url):
        monkeypatch.setattr(connection, "ANSWER_S", 0.05)
        with pytest.raises(connection.NotBegun):
            begin(opened, TRANSACTION_MS)
        assert opened.closed


def test_a_server_that_hangs_within_a_transaction_is_given_up(url, monkeypatch):
    with contextlib.closing(connect(url)) as opened:
        session = begin(opened, TRANSACTION_MS)
        opened.bound_s = 0.05
        with hung(url), pytest.raises(psycopg.OperationalError, match="did not respond"):
            session.row("server")
        assert opened.closed


async def test_a_store_whose_server_hangs_refuses_and_closes(store, url, monkeypatch):
    await store.append(message(1))
    with hung(url):
        monkeypatch.setattr(connection, "ANSWER_S", 0.05)
        monkeypatch.setattr(connection, "connect", unreachable)
        with pytest.raises(StoreUnavailable):
            await store.append(message(2))
        await store.close()


def unreachable(_url: str):
    raise psycopg.OperationalError("unreachable")
