"""Whole database files: written beside their place, synced, and only then put there."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from nicobar.errors import StoreUnusable, UserError
from nicobar.store.backup import BackupFile
from nicobar.store.file_owners import give_owner
from nicobar.store.installation import fix_for, sync_directory
from nicobar.store.sqlite.connection import APPLICATION_ID, SQL
from nicobar.store.sqlite.errors import primary_code
from nicobar.store.temporary_files import BESIDE, delete_leftovers, temporary_file

MAX_PROBLEMS = 3
# SQLite keeps a number for the application in the file's header. There a backup has the second when it was taken,
# and a database that is in use has 0: https://sqlite.org/pragma.html#pragma_user_version.
_UNSIGNED = 0xFFFFFFFF


def open_whole(path: Path, *, mode: str = "rw", busy_ms: int = 0) -> sqlite3.Connection:
    """A connection to a file that no other process uses or may use. `mode` as in a URI of SQLite."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=busy_ms / 1000, isolation_level=None
    )


@contextlib.contextmanager
def beside(path: Path, purpose: str) -> Iterator[Path]:
    """An empty file with mode 0600 on the disk of `path`, deleted at the end unless it was put in its place. What
    killed processes left there is deleted first. Raises UserError.
    """
    delete_leftovers(path.parent)
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(temporary_file(path, purpose))
        except OSError as error:
            raise UserError(
                "not_writable",
                f"Cannot create a file in {path.parent}: {error.strerror}.",
                fix_for(error, "Choose another directory, or give this user write access to it."),
            ) from error
        yield made


def succeed(made: Path, path: Path) -> None:
    """Gives `made` the owner and the mode of the database that it will replace, so that the same users can open it.
    Where there is none, its directory says whose it will be, and the mode stays. Raises UserError.
    """
    try:
        if path.exists():
            give_owner(made, path.stat())
            made.chmod(stat.S_IMODE(path.stat().st_mode))
        else:
            give_owner(made, path.parent.stat())
    except OSError as error:
        raise UserError(
            "not_owner",
            f"The new file cannot get the owner of {path}: {error.strerror}.",
            "Run the command as the user that runs Nicobar, or as root.",
        ) from error


def put_in_place(made: Path, path: Path) -> None:
    """Replaces `path` at once; it survives a power failure when this returns. Raises UserError."""
    try:
        with made.open("rb") as file:
            os.fsync(file.fileno())
        made.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        raise UserError(
            "not_writable", f"Cannot write {path}: {error.strerror}.", fix_for(error, "Choose another path.")
        ) from error


def check_space(directory: Path, needed_bytes: int, what: str) -> None:
    """Raises UserError where the disk has no room."""
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes < needed_bytes:
        raise UserError(
            "disk_too_full",
            f"{what} needs {_mb(needed_bytes)} in {directory}, and {_mb(free_bytes)} are free.",
            "Free space on that disk, or use another one.",
        )


def needed_bytes(connection: sqlite3.Connection, *, with_free: bool) -> int:
    """The size of a copy, with or without the unused pages."""
    pages, free, page_bytes = connection.execute(SQL["page_counts"]).fetchone()
    return int((pages - (0 if with_free else free)) * page_bytes)


def find_problems(connection: sqlite3.Connection) -> list[str]:
    """What SQLite's full check finds, at most `MAX_PROBLEMS`; it reads all of the file."""
    found = [str(text) for (text,) in connection.execute(f"PRAGMA integrity_check({MAX_PROBLEMS:d})")]
    return [] if found == ["ok"] else found


def stamp(connection: sqlite3.Connection, taken_at_ms: int) -> None:
    """Stores in a backup when it was taken; 0 in a database that is to be used."""
    seconds = taken_at_ms // 1000 & _UNSIGNED
    # The header has it as a signed number of 32 bits.
    connection.execute(f"PRAGMA user_version = {seconds - (seconds > _UNSIGNED // 2) * (_UNSIGNED + 1):d}")


def describe(connection: sqlite3.Connection, path: Path) -> BackupFile:
    """Raises StoreUnusable for a file that is not a database of Nicobar."""
    (tables,) = connection.execute(SQL["count_tables"]).fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    if not tables or owner != APPLICATION_ID:
        raise StoreUnusable("not_ours", f"{path} is not a database of Nicobar.", "Name another file.")
    names = {name for name, _ in connection.execute(SQL["tables"])}
    installation = connection.execute(SQL["installation"]).fetchone() if "installation" in names else None
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return BackupFile(
        path=path,
        size_bytes=path.stat().st_size,
        taken_at_ms=(version & _UNSIGNED) * 1000 or None,
        installation_id=installation[0] if installation else None,
        key_id=installation[1] if installation else None,
        messages=connection.execute(SQL["count_messages"]).fetchone()[0],
        endpoints=connection.execute(SQL["count_endpoints"]).fetchone()[0],
    )


@contextlib.contextmanager
def sole_use(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that keeps every other process out of the database. Raises UserError where one has it open:
    each connection holds a shared lock for as long as it is open (https://sqlite.org/wal.html#noshm).
    """
    log, index = (Path(f"{path.resolve()}{suffix}") for suffix in ("-wal", "-shm"))
    has_log = log.exists()
    with contextlib.closing(open_whole(path)) as connection:
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if primary_code(error) not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise
            raise in_use(path) from error
        # In this mode SQLite deletes the log in the end, but not the index that a killed process left: alone, that
        # would look like a log that was removed.
        if has_log:
            index.unlink(missing_ok=True)
        yield connection


def in_use(path: Path) -> UserError:
    return UserError(
        "database_in_use",
        f"Another process has the database {path} open.",
        "Stop Nicobar and every other program that uses the database.",
    )


def remove_beside(path: Path) -> None:
    """Deletes the write-ahead log and its index: SQLite would apply them to whatever file is put there."""
    for suffix in BESIDE:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:,.1f} MB"
