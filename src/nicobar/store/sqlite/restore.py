"""A backup takes the place of a database file."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from nicobar.errors import NicobarError, StoreUnusable, UserError
from nicobar.store.backup import PreparedRestore
from nicobar.store.installation import fix_for, opening, sync_directory
from nicobar.store.sqlite.errors import is_damage, unavailable
from nicobar.store.sqlite.lineage import is_foreign
from nicobar.store.sqlite.whole_files import (
    beside,
    check_space,
    describe,
    find_problems,
    in_use,
    open_whole,
    put_in_place,
    remove_beside,
    sole_use,
    stamp,
    succeed,
)

STEP_PAGES = 256
_ANOTHER = "Use another backup, or recover readable data with the command .recover of the sqlite3 tool."

WorkerPlace = Callable[[], AbstractContextManager[bool]]


@contextlib.contextmanager
def restoring(
    path: Path, backup: Path, worker_place: WorkerPlace, *, force: bool, now_ms: int
) -> Iterator[PreparedRestore]:
    """A checked copy of the backup, to be prepared within the block; at its end the copy becomes the database `path`,
    and the previous one, which only `force` allows, is set aside. A block that fails changes nothing. Raises
    UserError, StoreUnusable.
    """
    aside = _free_name(path, now_ms) if _exists(path) else None
    if aside is not None and not force:
        raise UserError(
            "database_exists",
            f"There is a database already: {path}.",
            "Stop Nicobar and add --force: the existing database is renamed and kept.",
        )
    check_unused(path, worker_place)
    with beside(path, "restoring") as made, _meaning(backup):
        prepared = _prepare(backup, made)
        yield msgspec.structs.replace(prepared, aside=aside)
        _close_log(made)
        with opening(path.parent), _alone(path, worker_place) as old:
            if aside is not None and aside.exists():  # another restore was faster
                raise in_use(path)
            succeed(made, path)
            _set_aside(path, aside, old)
            put_in_place(made, path)


def check_unused(path: Path, worker_place: WorkerPlace) -> None:
    """Raises UserError where another process uses the database."""
    with _alone(path, worker_place):
        pass


def _prepare(backup: Path, made: Path) -> PreparedRestore:
    if not backup.is_file():
        raise UserError("file_missing", f"There is no file {backup}.", "Name the file of a backup.")
    check_space(made.parent, backup.stat().st_size, "The database")
    # Without a log of its own it is read as it is, also where nothing can be written.
    has_log = backup.with_name(f"{backup.name}-wal").exists()
    source_mode = "ro" if has_log else "ro&immutable=1"
    with (
        contextlib.closing(open_whole(backup, mode=source_mode)) as source,
        contextlib.closing(open_whole(made)) as copy,
    ):
        described = describe(source, backup)
        source.backup(copy, pages=STEP_PAGES)
        copy.execute("PRAGMA journal_mode = DELETE")
        problems = find_problems(copy)
        if problems:
            raise _damaged(backup, "; ".join(problems))
        stamp(copy, 0)
    return PreparedRestore(url=f"sqlite:///{made}", backup=described)


def _close_log(made: Path) -> None:
    """What was prepared is in the file itself, which is put in place alone."""
    with contextlib.closing(open_whole(made)) as copy:
        copy.execute("PRAGMA journal_mode = DELETE")


@contextlib.contextmanager
def _alone(path: Path, worker_place: WorkerPlace) -> Iterator[sqlite3.Connection | None]:
    """A connection to the database that is to be replaced; None where it is missing or damaged, or where its log is
    another file's, which SQLite would apply. Raises UserError where another process uses it.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(worker_place())
        except UserError as error:
            raise in_use(path) from error
        connection = None
        if path.exists() and path.stat().st_size and not is_foreign(path):
            with contextlib.suppress(sqlite3.DatabaseError):
                connection = stack.enter_context(sole_use(path))
        yield connection


def _set_aside(path: Path, aside: Path | None, old: sqlite3.Connection | None) -> None:
    """Its log is written back first; a damaged database keeps the log beside it. Then nothing is left that SQLite
    would apply to another file.
    """
    kept: tuple[str, ...] = ("", "-wal", "-journal")
    if old is not None:
        with contextlib.suppress(sqlite3.DatabaseError):
            if old.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",):
                kept = ("",)  # the journal of this change is empty
    try:
        if aside is not None:
            for suffix in kept:
                with contextlib.suppress(FileNotFoundError):
                    path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        remove_beside(path)
        sync_directory(path.parent)
    except OSError as error:
        raise StoreUnusable(
            "not_writable",
            f"The database {path} cannot be renamed: {error.strerror}.",
            fix_for(error, "Give this user write access to its directory."),
        ) from error


def _free_name(path: Path, now_ms: int) -> Path:
    """Where the database goes: never over one that was set aside before."""
    name = f"{path.name}.before-restore-{_compact_time(now_ms)}"
    taken = {file.name for file in path.parent.iterdir()}
    number = 1
    free = name
    while any(f"{free}{suffix}" in taken for suffix in ("", "-wal", "-journal")):
        number += 1
        free = f"{name}-{number}"
    return path.with_name(free)


def _exists(path: Path) -> bool:
    """Whether there is data: an orphaned log has some, too."""
    return any(file.exists() and file.stat().st_size for file in (path, path.with_name(f"{path.name}-wal")))


@contextlib.contextmanager
def _meaning(backup: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _error(backup, error) from error


def _error(backup: Path, error: sqlite3.Error) -> NicobarError:
    return _damaged(backup, str(error)) if is_damage(error) else unavailable(error)


def _damaged(backup: Path, problems: str) -> StoreUnusable:
    return StoreUnusable(
        "backup_damaged", f"The backup {backup} is damaged: {problems}. Nothing was changed.", _ANOTHER
    )


def _compact_time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
