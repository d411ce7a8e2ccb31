"""What `nicobar doctor` checks of a PostgreSQL server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from nicobar.clock import Clock
from nicobar.store.findings import Finding, Level
from nicobar.store.postgres.connection import TRANSACTION_MS, Connection, PostgresSession, connect, transaction
from nicobar.store.postgres.database import MAX_CONNECTIONS
from nicobar.store.postgres.errors import unusable
from nicobar.store.postgres.migrate import MIN_POSTGRES
from nicobar.store.postgres.url import shown
from nicobar.store.session import Row
from nicobar.store.tables.base import existing

# Due times are compared by each machine's clock, the age of rows by the server's.
MAX_CLOCK_DIFFERENCE_MS = 2_000
# A worker has one more connection, on which it hears of new work.
PROCESS_CONNECTIONS = MAX_CONNECTIONS + 1
_NTP = "Synchronize both clocks by NTP."


def examine(url: str, clock: Clock) -> list[Finding]:
    """Raises StoreUnusable where the server cannot be reached."""
    with (
        unusable(shown(url)),
        contextlib.closing(connect(url)) as connection,
        transaction(connection, TRANSACTION_MS, reading=True) as session,
    ):
        began_ms = clock.now_ms()
        server = existing(session.row("examine_server"))
        middle_ms = (began_ms + clock.now_ms()) // 2
        return list(_findings(connection, session, server, middle_ms))


def _findings(connection: Connection, session: PostgresSession, server: Row, now_ms: int) -> Iterator[Finding]:
    number, version, encoding, is_standby, is_read_only, server_ms, commit, fsync, full_pages, backend = server
    yield _version(number, version)
    yield _encoding(encoding)
    yield _writable(is_standby=is_standby, is_read_only=is_read_only)
    yield _permissions(*existing(session.row("examine_permissions")))
    yield _clock(server_ms - now_ms)
    yield _connections(*existing(session.row("examine_connections")))
    yield _durability(commit, fsync=fsync, full_pages=full_pages)
    yield _standbys(*existing(session.row("examine_standbys")))
    yield _pooler(is_direct=backend == connection.info.backend_pid)


def _version(number: int, version: str) -> Finding:
    if number < MIN_POSTGRES * 10_000:
        return _bad("server", f"PostgreSQL {version} is too old.", f"Use PostgreSQL {MIN_POSTGRES} or newer.")
    return _good("server", f"PostgreSQL {version}.")


def _encoding(encoding: str) -> Finding:
    if encoding != "UTF8":
        return _bad("encoding", f"{encoding}.", "Create a database with ENCODING 'UTF8' TEMPLATE template0.")
    return _good("encoding", f"{encoding}.")


def _writable(*, is_standby: bool, is_read_only: bool) -> Finding:
    if is_standby:
        return _bad(
            "writes",
            "the server is a standby and accepts no writes.",
            "Connect to the primary: list all hosts in the URL and add target_session_attrs=read-write.",
        )
    if is_read_only:
        return _bad(
            "writes",
            "transactions are read-only by default.",
            "Set default_transaction_read_only to off for this database and user. Managed servers turn it on when "
            "their disk is nearly full.",
        )
    return _good("writes", "the server is a primary.")


def _permissions(may_create: bool, unusable_tables: str, foreign_tables: str) -> Finding:  # noqa: FBT001 - a row
    if unusable_tables:
        return _bad(
            "permissions",
            f"the user may not read and write: {unusable_tables}.",
            "Let Nicobar's user own its tables: ALTER TABLE … OWNER TO ….",
        )
    if not may_create:
        return _bad(
            "permissions",
            "the user may not create tables, which upgrades need.",
            "Grant it: GRANT CREATE ON SCHEMA … TO ….",
        )
    if foreign_tables:
        return _bad(
            "permissions",
            f"another user owns tables, so that upgrades cannot change them: {foreign_tables}.",
            "Let Nicobar's user own its tables: ALTER TABLE … OWNER TO ….",
        )
    return _good("permissions", "the user may create, read and write tables.")


def _clock(difference_ms: int) -> Finding:
    if abs(difference_ms) > MAX_CLOCK_DIFFERENCE_MS:
        return _bad("server clock", f"{difference_ms / 1000:+.1f} s from this machine's clock.", _NTP)
    return _good("server clock", f"within {MAX_CLOCK_DIFFERENCE_MS // 1000} s of this machine's clock.")


def _connections(server: int, database: int, user: int, used: int) -> Finding:
    available = min(limit for limit in (server, database, user) if limit >= 0)
    detail = (
        f"a process uses up to {PROCESS_CONNECTIONS} of {available}; {used} are open on the server, with those of "
        "other programs."
    )
    if available < PROCESS_CONNECTIONS:
        fix = "Raise max_connections, or the CONNECTION LIMIT of the database or user; or use PgBouncer."
        return _bad("connections", detail, fix)
    return _good("connections", f"{detail} {available // PROCESS_CONNECTIONS} processes fit in.")


def _durability(commit: str, *, fsync: bool, full_pages: bool) -> Finding:
    for name, is_on in (("fsync", fsync), ("full_page_writes", full_pages)):
        if not is_on:
            return _bad(
                "durability",
                f"{name} is off: a crash of the server's machine can destroy the database.",
                f"Set {name} to on.",
            )
    if commit == "off":
        return _bad(
            "durability",
            "synchronous_commit is off: a crash of the server loses acknowledged events.",
            "Set synchronous_commit to on.",
        )
    return _good("durability", f"synchronous_commit is {commit}.")


def _standbys(may_see: bool, count: int, synchronous: int) -> Finding:  # noqa: FBT001 - a row
    if not may_see:
        return _note("standby", "unknown: the user may not see it.", "GRANT pg_read_all_stats TO … shows it.")
    if not count:
        return _note(
            "standby",
            "none: without one, a lost disk loses everything since the last backup.",
            "Add a synchronous standby, or archive the write-ahead log.",
        )
    if not synchronous:
        return _note(
            "standby",
            f"{count}, asynchronous: a failover can lose the last acknowledged events.",
            "Set synchronous_standby_names to wait for one.",
        )
    return _good("standby", f"{synchronous} of {count} synchronous: a failover loses no acknowledged event.")


def _pooler(*, is_direct: bool) -> Finding:
    if is_direct:
        return _good("pooler", "none, the connection is direct.")
    return _note(
        "pooler",
        "PgBouncer or another pooler is in between.",
        "Use its session or transaction mode, and set database_listen_url to the server's own URL.",
    )


def _good(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.GOOD, detail=detail)


def _note(name: str, detail: str, fix: str) -> Finding:
    return Finding(name=name, level=Level.NOTE, detail=detail, fix=fix)


def _bad(name: str, detail: str, fix: str) -> Finding:
    return Finding(name=name, level=Level.BAD, detail=detail, fix=fix)
