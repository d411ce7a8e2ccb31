"""What doctor says about a PostgreSQL server, each with what to do."""

from __future__ import annotations

import psycopg
import pytest

from nicobar.clock import SystemClock
from nicobar.errors import StoreUnusable
from nicobar.store.findings import Level
from nicobar.store.location import locate
from nicobar.store.postgres import apply_migrations, examination
from nicobar.store.postgres.connection import connect
from support import postgres
from support.clock import MovingClock


@pytest.fixture
def role(url):
    """The URL for a user with no rights of its own."""
    server, database = postgres.cluster(), url.removeprefix("postgresql:///").partition("?")[0]
    server.ask("CREATE ROLE plain LOGIN")
    server.ask("GRANT CONNECT ON DATABASE " + database + " TO plain")
    yield url.replace("user=postgres", "user=plain")
    server.ask("DROP OWNED BY plain", database)
    server.ask("DROP ROLE plain")


def found(url, clock=None):
    return {finding.name: finding for finding in locate(url).examine(clock or SystemClock())}


def run(url, *statements):
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_good_server_needs_nothing(url):
    findings = found(url)
    bad = {name: finding for name, finding in findings.items() if finding.level is Level.BAD}
    # The tests' server is quick instead of safe.
    assert set(bad) == {"durability"}
    assert "fsync is off" in bad["durability"].detail
    assert "processes fit in" in findings["connections"].detail
    assert findings["standby"].level is Level.NOTE
    assert findings["pooler"].level is Level.GOOD
    assert all(finding.fix for finding in findings.values() if finding.level is not Level.GOOD)


def test_a_user_without_rights_is_told_which_tables(role):
    finding = found(role)["permissions"]
    assert finding.level is Level.BAD
    assert "alert_results, alert_targets, answers, applications" in finding.detail


def test_tables_of_another_owner_are_named(url, role):
    run(url, "GRANT ALL ON ALL TABLES IN SCHEMA public TO plain", "GRANT CREATE ON SCHEMA public TO plain")
    finding = found(role)["permissions"]
    assert (finding.level, "another user owns tables" in finding.detail) == (Level.BAD, True)
    run(url, "GRANT postgres TO plain")
    assert found(role)["permissions"].level is Level.GOOD
    run(url, "REVOKE postgres FROM plain")


def test_standbys_are_unknown_without_the_right_to_see_them(url, role):
    assert "unknown" in found(role)["standby"].detail
    run(url, "GRANT pg_monitor TO plain")
    assert "none" in found(role)["standby"].detail


@pytest.mark.parametrize(
    ("counts", "detail", "level"),
    [
        ((True, 2, 1), "1 of 2 synchronous", Level.GOOD),
        ((True, 2, 0), "2, asynchronous", Level.NOTE),
    ],
)
def test_a_synchronous_standby_is_told_from_an_asynchronous_one(counts, detail, level):
    finding = examination._standbys(*counts)
    assert (finding.level, detail in finding.detail) == (level, True)


def test_a_clock_that_differs_is_reported(url):
    ahead = MovingClock(SystemClock().now_ms() + 65_000)
    finding = found(url, ahead)["server clock"]
    assert (finding.level, finding.detail[:2]) == (Level.BAD, "-6")


def test_a_user_with_too_few_connections_is_reported(url, role):
    run(url, "ALTER ROLE plain CONNECTION LIMIT 5")
    finding = found(role)["connections"]
    assert (finding.level, " of 5;" in finding.detail) == (Level.BAD, True)


def test_settings_that_lose_events_are_reported(url, monkeypatch):
    assert "synchronous_commit is off" in examination._durability("off", fsync=True, full_pages=True).detail
    assert "full_page_writes is off" in examination._durability("on", fsync=True, full_pages=False).detail
    assert examination._durability("on", fsync=True, full_pages=True).level is Level.GOOD


def test_a_read_only_database_is_reported(url):
    database = url.removeprefix("postgresql:///").partition("?")[0]
    run(url, f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    finding = found(url)["writes"]
    assert (finding.level, "read-only" in finding.detail) == (Level.BAD, True)
    # Written by hand: the database itself is read-only now.
    run(url, "SET default_transaction_read_only = off", f"ALTER DATABASE {database} RESET ALL")


def test_a_standby_a_pooler_and_an_old_server_are_reported():
    assert "is a standby" in examination._writable(is_standby=True, is_read_only=True).detail
    assert "pooler" in examination._pooler(is_direct=False).detail
    assert examination._version(140_009, "14.9").level is Level.BAD
    assert examination._encoding("LATIN1").level is Level.BAD


def test_a_database_without_tables_is_examined():
    url = postgres.cluster().create_database()
    assert found(url)["permissions"].level is Level.GOOD
    apply_migrations(url, 1)
    with connect(url):
        assert found(url)["permissions"].level is Level.GOOD
    postgres.cluster().drop_database(url)


def test_a_server_that_does_not_answer_is_named():
    with pytest.raises(StoreUnusable) as caught:
        found("postgresql://127.0.0.1:1/shop")
    assert caught.value.code == "database_unreachable"
