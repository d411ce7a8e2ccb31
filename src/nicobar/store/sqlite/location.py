"""A SQLite file as a database's place."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from nicobar.clock import Clock
from nicobar.errors import StoreUnusable, UserError
from nicobar.store.backup import BackupFile, Compacted, PreparedRestore
from nicobar.store.file_owners import give_from_root
from nicobar.store.findings import Finding, Level
from nicobar.store.installation import KeyHolder, fix_for
from nicobar.store.migrations import Migrated
from nicobar.store.sqlite import SqliteStore
from nicobar.store.sqlite.backup import back_up
from nicobar.store.sqlite.compact import compact
from nicobar.store.sqlite.contents import SqliteContents
from nicobar.store.sqlite.migrate import apply_migrations, check_version, find_damage, lock_path
from nicobar.store.sqlite.restore import check_unused, restoring
from nicobar.store.sqlite.space import examine_space
from nicobar.store.temporary_files import delete_leftovers, leftovers


class SqliteLocation:
    """`Location` of `sqlite:///PATH`."""

    SCHEME: ClassVar[str] = "sqlite:///"

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of(cls, url: str) -> SqliteLocation:
        return cls(Path(url.removeprefix(cls.SCHEME)))

    @property
    def kind(self) -> str:
        return "SQLite"

    @property
    def name(self) -> str:
        return str(self._path.absolute())

    @property
    def directory(self) -> Path:
        return self._path.resolve().parent

    def exists(self) -> bool:
        return self._path.exists()

    def migrate(self, keys: KeyHolder | None, now_ms: int) -> Migrated:
        delete_leftovers(self.directory)
        return apply_migrations(self._path, now_ms, keys)

    def check_version(self) -> None:
        check_version(self._path)

    def contents(self) -> SqliteContents:
        return SqliteContents(self._path)

    def open(self) -> SqliteStore:
        return SqliteStore(self._path)

    def hints(self, clock: Clock) -> None:
        """One process delivers, and it looks."""

    def examine(self, clock: Clock) -> list[Finding]:  # noqa: ARG002
        """A file has no server."""
        return [*(examine_space(self._path) if self.exists() else []), *map(_leftover, _leftovers(self.directory))]

    def find_damage(self, *, limit: int) -> list[str]:
        return find_damage(self._path, limit=limit)

    def back_up(self, target: Path, *, force: bool, now_ms: int) -> BackupFile:
        return back_up(self._path.resolve(), target, force=force, now_ms=now_ms)

    @contextmanager
    def restoring(self, backup: Path, *, force: bool, now_ms: int) -> Iterator[PreparedRestore]:
        with restoring(self._path.resolve(), backup, self.worker_place, force=force, now_ms=now_ms) as prepared:
            yield prepared

    def check_unused(self) -> None:
        check_unused(self._path.resolve(), self.worker_place)

    def compact(self) -> Compacted:
        return compact(self._path.resolve())

    @contextmanager
    def worker_place(self) -> Iterator[bool]:
        """By a lock on a file beside the database itself, whatever links lead to it; the system lets go of it however
        the process ends.
        """
        path = lock_path(self._path)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            give_from_root(handle, self._path if self._path.exists() else path.parent)
        except OSError as error:
            raise StoreUnusable(
                "not_writable",
                f"Cannot create the worker's lock file {path}: {error.strerror}.",
                fix_for(error, "Give the user that runs Nicobar write access to the database's directory."),
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(
                    "worker_running",
                    f"Another worker is already running on this database ({path}).",
                    "Stop it first, or start this process with --role web.",
                ) from error
            yield True
        finally:
            os.close(handle)


def _leftovers(directory: Path) -> list[Path]:
    try:
        return leftovers(directory)
    except OSError:  # the check of the database says what is wrong with its directory
        return []


def _leftover(path: Path) -> Finding:
    detail = f"{path} was left by a backup, restore or compact that was killed."
    fix = "The next start deletes it. If it stays, delete it: another user owns it, or an earlier version left it."
    return Finding(name="temporary file", level=Level.NOTE, detail=detail, fix=fix)
