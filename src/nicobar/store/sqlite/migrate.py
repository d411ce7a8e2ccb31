"""Opening a SQLite file: is it ours, is it up to date, does it belong to the key, is it whole."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from nicobar.errors import StoreUnusable
from nicobar.store import migrations
from nicobar.store.installation import KeyHolder, bind, check_not_moved, new_application
from nicobar.store.migrations import Migrated, check_delivering, read_plan
from nicobar.store.sqlite.connection import APPLICATION_ID, SQL, SqliteSession, connect
from nicobar.store.sqlite.errors import FIXES, is_damage, primary_code
from nicobar.store.sqlite.lineage import check_log, renew_mark

PAGE_BYTES = 4096


def apply_migrations(path: Path, now_ms: int, keys: KeyHolder | None = None) -> Migrated:
    """Brings the database up to date, and stores which key it belongs to. It leaves it as it was
    where it raises StoreUnusable.
    """
    if keys is not None and is_missing(path):
        keys.check_missing()
    if keys is not None:
        check_log(path)
    with meaning(path):
        migrated = _migrate(path, now_ms, keys)
        if keys is not None:
            renew_mark(path)
    return migrated


def _migrate(path: Path, now_ms: int, keys: KeyHolder | None) -> Migrated:
    with contextlib.closing(connect(path)) as connection:
        _check_owner(connection, path)
        connection.execute("BEGIN EXCLUSIVE")
        (tables,) = connection.execute(SQL["count_tables"]).fetchone()
        session = SqliteSession(connection)
        planned = read_plan(session, "sqlite")
        if keys is not None:
            check_not_moved(session, planned)
        # A process that delivers knows only the applied migrations.
        if planned.todo and planned.version and _is_place_taken(path):
            check_delivering(planned, planned.version, str(path))
        for migration in planned.todo:
            for statement in _statements(migration.sql):
                connection.execute(statement)
            session.run("add_migration", msgspec.structs.asdict(migration) | {"applied_at_ms": now_ms})
        if planned.todo:
            session.run("add_application", new_application(now_ms))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        if keys is not None:
            bind(session, keys, is_new=not tables, may_create=True)
        connection.execute("COMMIT")
        return planned.done()


def check_version(path: Path) -> None:
    """Raises StoreUnusable where this version may no longer use the file, or cannot open it."""
    with meaning(path), contextlib.closing(connect(path, create=False)) as connection:
        migrations.check_version(SqliteSession(connection), "sqlite")


def lock_path(path: Path) -> Path:
    """The file whose lock the process holds that delivers."""
    return Path(f"{path.resolve()}.lock")


def _is_place_taken(path: Path) -> bool:
    """Whether a process delivers."""
    try:
        with lock_path(path).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def is_missing(path: Path) -> bool:
    """Whether there is no database yet. Raises StoreUnusable where there is its write-ahead log: SQLite would delete
    it.
    """
    if not _is_empty(path):
        return False
    wal_path = Path(f"{path.resolve()}-wal")
    if not _is_empty(wal_path):
        raise StoreUnusable(
            "database_missing",
            f"{path} is missing or empty, and its write-ahead log {wal_path} is not.",
            "Restore the database file that belongs to the log, or move the log away.",
        )
    return True


def find_damage(path: Path, *, limit: int) -> list[str]:
    """What SQLite's quick check finds wrong with the file, at most `limit` problems; it reads all of it, and creates
    nothing. Raises StoreUnusable where the file cannot be opened.
    """
    check_log(path)
    with meaning(path), contextlib.closing(connect(path, create=False)) as connection:
        try:
            found = [str(text) for (text,) in connection.execute(f"PRAGMA quick_check({limit:d})")]
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return [str(error)]
        return [] if found == ["ok"] else found


def _check_owner(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreUnusable for another program's database, before anything of it is touched."""
    (tables,) = connection.execute(SQL["count_tables"]).fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    if tables and owner != APPLICATION_ID:
        raise StoreUnusable(
            "not_ours", f"{path} is the SQLite database of another program.", "Name another data directory."
        )


@contextlib.contextmanager
def meaning(path: Path) -> Iterator[None]:
    """Raises StoreUnusable for what SQLite reports."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _unusable_for(path, error) from error


def _unusable_for(path: Path, error: sqlite3.DatabaseError) -> StoreUnusable:
    code = primary_code(error)
    if code == sqlite3.SQLITE_NOTADB:
        return StoreUnusable(
            "not_a_database",
            f"{path} is not a SQLite database: {error}.",
            "Name another data directory, or restore the file from a backup.",
        )
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreUnusable("database_damaged", f"The database {path} is damaged: {error}.", FIXES[code])
    return StoreUnusable(
        "not_writable",
        f"The database {path} cannot be opened for writing: {error}.",
        FIXES[sqlite3.SQLITE_FULL]
        if _is_full(path.parent)
        else FIXES.get(code, "Give the user that runs Nicobar read and write access to the data directory."),
    )


def _is_full(directory: Path) -> bool:
    """Whether that is why a file could not be created, which SQLite does not distinguish from other reasons."""
    try:
        return shutil.disk_usage(directory).free < PAGE_BYTES
    except OSError:
        return False


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; `executescript` would commit in between."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True
    except OSError as error:
        raise StoreUnusable(
            "not_writable",
            f"{path} cannot be read: {error.strerror}.",
            "Give the user that runs Nicobar read and write access to it.",
        ) from error
