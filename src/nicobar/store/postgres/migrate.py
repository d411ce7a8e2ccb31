"""Opening a PostgreSQL database: is it ours, is it up to date, does it belong to the key."""

from __future__ import annotations

import contextlib

import msgspec

from nicobar.errors import StoreUnusable
from nicobar.store.installation import KeyHolder, bind, new_application
from nicobar.store.migrations import load_migrations, pending
from nicobar.store.postgres.connection import SURVEY_MS, PostgresSession, connect, transaction
from nicobar.store.postgres.errors import unusable
from nicobar.store.postgres.url import shown
from nicobar.store.tables.base import existing

MIN_POSTGRES = 15
_OWNER = "nicobar"


def apply_migrations(url: str, now_ms: int, keys: KeyHolder | None = None) -> list[str]:
    """Brings the database up to date, and stores which key it belongs to; returns the names of what was applied. It
    leaves the database as it was where it raises StoreUnusable. Processes that do so at once wait for one another.
    """
    with (
        unusable(shown(url)),
        contextlib.closing(connect(url)) as connection,
        transaction(connection, SURVEY_MS) as session,
    ):
        _check_server(session, url)
        session.rows("lock_migrations")
        (owner,) = existing(session.row("owner"))
        if owner not in {None, _OWNER}:
            raise StoreUnusable(
                "not_ours", f"{shown(url)} has tables of another program.", "Create a database for Nicobar alone."
            )
        session.run("create_migrations")
        session.run("own_migrations")
        todo = pending(
            load_migrations("postgres"), [(number, sha256) for number, sha256 in session.rows("migrations")]
        )
        for migration in todo:
            connection.execute(migration.sql.encode())
            session.run("add_migration", msgspec.structs.asdict(migration) | {"applied_at_ms": now_ms})
        if todo:
            session.run("add_application", new_application(now_ms))
        if keys is not None:
            bind(session, keys, is_new=owner is None, may_create=False)
        return [f"{migration.number:04}_{migration.name}" for migration in todo]


def has_tables(url: str) -> bool:
    """Whether there is anything of ours. Raises StoreUnusable where the database cannot be reached."""
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
