"""Opening a PostgreSQL database: is it ours, is it up to date, does it belong to the key."""

from __future__ import annotations

import contextlib
import time

import msgspec
from psycopg import errors

from nicobar.errors import StoreUnusable
from nicobar.store import migrations
from nicobar.store.installation import KeyHolder, bind, check_not_moved, new_application
from nicobar.store.migrations import Migrated, check_delivering, read_plan
from nicobar.store.postgres.connection import SURVEY_MS, Connection, PostgresSession, connect, transaction
from nicobar.store.postgres.errors import unusable
from nicobar.store.postgres.url import shown
from nicobar.store.tables.base import existing

MIN_POSTGRES = 15
# All migrations of a large database.
_MIGRATION_MS = 3_600_000
# A migration waits so long for a table: every other statement on the table is queued after it. Then it lets the
# others go first, and waits again.
_LOCK_MS = 2_000
_AGAIN_S = 1.0
_MAX_ATTEMPTS = 200
_OWNER = "nicobar"
# Of this version one process delivers at a time, whatever runs beside it, and others wait for its place.
_ONE_DELIVERS = 10


def apply_migrations(url: str, now_ms: int, keys: KeyHolder | None = None) -> Migrated:
    """Brings the database up to date, and stores which key it belongs to. It changes nothing where it raises
    StoreUnusable. Processes that do so at once wait for one another; those that are at work continue.
    """
    with unusable(shown(url)), contextlib.closing(connect(url)) as connection:
        for number in range(_MAX_ATTEMPTS):
            try:
                with transaction(connection, _MIGRATION_MS) as session:
                    return _migrate(connection, session, url, now_ms, keys)
            except (errors.LockNotAvailable, errors.DeadlockDetected):
                if number == _MAX_ATTEMPTS - 1:
                    raise
                time.sleep(_AGAIN_S)
        raise AssertionError("the last attempt returns or raises")


def _migrate(
    connection: Connection, session: PostgresSession, url: str, now_ms: int, keys: KeyHolder | None
) -> Migrated:
    _check_server(session, url)
    session.rows("lock_migrations")
    session.rows("limit_lock_waits", {"lock_ms": str(_LOCK_MS)})
    (owner,) = existing(session.row("owner"))
    if owner not in {None, _OWNER}:
        raise StoreUnusable(
            "not_ours", f"{shown(url)} has tables of another program.", "Create a database for Nicobar alone."
        )
    planned = read_plan(session, "postgres")
    if keys is not None:
        check_not_moved(session, planned)
    if session.row("older_version_delivers") is not None:
        check_delivering(planned, _ONE_DELIVERS, shown(url))
    session.run("own_migrations")
    for migration in planned.todo:
        connection.execute(migration.sql.encode())
        session.run("add_migration", msgspec.structs.asdict(migration) | {"applied_at_ms": now_ms})
    if planned.todo:
        session.run("add_application", new_application(now_ms))
    if keys is not None:
        bind(session, keys, is_new=owner is None, may_create=False)
    return planned.done()


def check_version(url: str) -> None:
    """Raises StoreUnusable where this version may no longer use the database, or cannot reach it."""
    with (
        unusable(shown(url)),
        contextlib.closing(connect(url)) as connection,
        transaction(connection, SURVEY_MS, reading=True) as session,
    ):
        migrations.check_version(session, "postgres")


def has_tables(url: str) -> bool:
    """Whether there are Nicobar's tables. Raises StoreUnusable where the database cannot be reached."""
    with (
        unusable(shown(url)),
        contextlib.closing(connect(url)) as connection,
        transaction(connection, SURVEY_MS, reading=True) as session,
    ):
        return existing(session.row("owner"))[0] is not None


def _check_server(session: PostgresSession, url: str) -> None:
    version, encoding = existing(session.row("server"))
    if version < MIN_POSTGRES * 10_000:
        raise StoreUnusable(
            "postgres_too_old",
            f"The server of {shown(url)} is PostgreSQL {version // 10_000}.",
            f"Use PostgreSQL {MIN_POSTGRES} or newer.",
        )
    if encoding != "UTF8":
        raise StoreUnusable(
            "postgres_encoding",
            f"The database {shown(url)} has the encoding {encoding}.",
            "Create it with the encoding UTF8.",
        )
