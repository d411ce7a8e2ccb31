"""A copy of a database that is in use, as one file."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from nicobar.errors import NicobarError, StoreUnusable, UserError
from nicobar.store.backup import BackupFile
from nicobar.store.copy import TableSql
from nicobar.store.sqlite.connection import BUSY_MS, SQL
from nicobar.store.sqlite.errors import DAMAGED, is_damage, primary_code, unavailable
from nicobar.store.sqlite.lineage import check_log
from nicobar.store.sqlite.whole_files import (
    beside,
    check_space,
    describe,
    find_problems,
    needed_bytes,
    open_whole,
    put_in_place,
    stamp,
)
from nicobar.store.temporary_files import BESIDE

# A step of one MiB, then other threads and processes get their turn.
STEP_PAGES = 256
_SQL = TableSql("sqlite")


def back_up(path: Path, target: Path, *, force: bool, now_ms: int) -> BackupFile:
    """Copies the database as it is at one moment to `target`, and checks the copy. Writers go on: the copy is made
    in one read transaction, for which the write-ahead log is kept. `target` appears complete or not at all. Raises
    UserError, StoreError.
    """
    check_target(path, target, force=force)
    check_log(path)
    with _meaning(path, target), contextlib.closing(open_whole(path, busy_ms=BUSY_MS)) as source:
        describe(source, path)
        check_space(target.parent, needed_bytes(source, with_free=True), "The backup")
        with beside(target, "making") as made, contextlib.closing(open_whole(made)) as copy:
            counts = _copy(source, copy)
            stamp(copy, now_ms)
            # One file, which can be read where nothing can be written.
            copy.execute("PRAGMA journal_mode = DELETE")
            problems = find_problems(copy)
            if problems:
                raise _damaged(path, "; ".join(problems))
            if _counts(copy) != counts:
                raise StoreUnusable(
                    "backup_incomplete", f"The copy of {path} has other numbers of rows.", "Report this as a bug."
                )
            described = describe(copy, made)
            copy.close()
            check_target(path, target, force=force)
            put_in_place(made, target)
            is_noted = _note(source, target, now_ms)
    return msgspec.structs.replace(described, path=target, is_noted=is_noted)


def _note(source: sqlite3.Connection, target: Path, now_ms: int) -> bool:
    """Stores in the database that there is this backup, for the report of a deletion: it keeps what is deleted. A
    database that cannot be written, or of an earlier version, has its backups without a list.
    """
    try:
        source.execute(SQL["put_backup"], {"path": str(target.resolve()), "taken_at_ms": now_ms})
    except sqlite3.OperationalError:
        return False
    return True


def check_target(path: Path, target: Path, *, force: bool) -> None:
    """Raises UserError where no backup is to be written."""
    if not target.parent.is_dir():
        raise UserError(
            "directory_missing", f"The directory {target.parent} does not exist.", "Create it, or choose another one."
        )
    if target.is_dir():
        raise UserError("not_a_file", f"{target} is a directory.", "Add a file name.")
    own = [path.resolve().with_name(path.resolve().name + suffix) for suffix in ("", *BESIDE, ".lock")]
    if target.resolve() in own:
        raise UserError("backup_in_place", f"{target} belongs to the database itself.", "Choose another file.")
    if target.exists() and not force:
        raise UserError(
            "file_exists", f"{target} already exists.", "Choose another file, or replace it with --force."
        )


def _copy(source: sqlite3.Connection, copy: sqlite3.Connection) -> Mapping[str, int]:
    """The number of rows of each table as of the copied moment. A read transaction keeps that moment, so that the
    copy does not restart with every write: https://sqlite.org/backup.html.
    """
    copy.execute("PRAGMA journal_mode = OFF")
    copy.execute("PRAGMA synchronous = OFF")
    source.execute("BEGIN")
    try:
        counts = _counts(source)
        source.backup(copy, pages=STEP_PAGES)
    finally:
        source.execute("ROLLBACK")
    return counts


def _counts(connection: sqlite3.Connection) -> Mapping[str, int]:
    names = [name for name, _ in connection.execute(SQL["tables"])]
    return {name: connection.execute(_SQL.compose("count", table=name)).fetchone()[0] for name in names}


@contextlib.contextmanager
def _meaning(path: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _error(path, target, error) from error


def _error(path: Path, target: Path, error: sqlite3.Error) -> NicobarError:
    if is_damage(error):
        return _damaged(path, str(error))
    if primary_code(error) == sqlite3.SQLITE_FULL:
        return UserError(
            "disk_too_full", f"The disk of {target} is full.", "Free space on that disk, or use another one."
        )
    return unavailable(error)


def _damaged(path: Path, problems: str) -> StoreUnusable:
    return StoreUnusable(
        "database_damaged", f"The database {path} is damaged: {problems}. Nothing was written.", DAMAGED
    )
