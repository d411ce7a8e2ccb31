"""Where a database is, by its URL."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from nicobar.clock import Clock
from nicobar.errors import StoreUnusable
from nicobar.store import Store
from nicobar.store.backup import BackupFile, Compacted, PreparedRestore
from nicobar.store.copy import Contents
from nicobar.store.findings import Finding
from nicobar.store.hints import Hints
from nicobar.store.installation import KeyHolder
from nicobar.store.migrations import Migrated
from nicobar.store.sqlite.location import SqliteLocation


class Location(Protocol):
    """Everything but `open` blocks."""

    @property
    def kind(self) -> str:
        """The name of the database program."""
        ...

    @property
    def name(self) -> str:
        """For a person; without a password."""
        ...

    @property
    def directory(self) -> Path | None:
        """Where its files are, None for a server's database."""
        ...

    def exists(self) -> bool:
        """Whether the database has Nicobar's tables. Raises StoreUnusable if that cannot be determined."""
        ...

    def migrate(self, keys: KeyHolder | None, now_ms: int) -> Migrated:
        """Brings it up to date, created where there is none. Without keys it belongs to no installation yet. Raises
        StoreUnusable.
        """
        ...

    def check_version(self) -> None:
        """Raises StoreUnusable where a newer version has changed the database so that this one may not use it."""
        ...

    def contents(self) -> Contents:
        """Its tables, for copying. Raises StoreError."""
        ...

    def open(self) -> Store:
        """For a database that is up to date."""
        ...

    def hints(self, clock: Clock) -> Hints | None:
        """How its processes tell each other of new work; None where they do not."""
        ...

    def examine(self, clock: Clock) -> list[Finding]:
        """What to know about its server; nothing for a file. Raises StoreUnusable where it cannot be reached."""
        ...

    def find_damage(self, *, limit: int) -> list[str]:
        """At most so many problems; reads all of it. Raises StoreUnusable."""
        ...

    def back_up(self, target: Path, *, force: bool, now_ms: int) -> BackupFile:
        """A checked copy as of one moment, while the database is in use. `force` replaces an existing file. Raises
        UserError, StoreError; UserError where the server's own tools do it.
        """
        ...

    def restoring(self, backup: Path, *, force: bool, now_ms: int) -> AbstractContextManager[PreparedRestore]:
        """A checked copy of the backup, to be prepared within the block; then it becomes the database, unless the
        block fails. `force` sets an existing database aside. Raises UserError where another process uses the
        database, or where the server's own tools do it; StoreUnusable for a damaged backup.
        """
        ...

    def check_unused(self) -> None:
        """Raises UserError where another process has the database open, as far as the database can tell."""
        ...

    def compact(self) -> Compacted:
        """Rewrites the database without unused space, while no process uses it. Raises UserError, StoreError."""
        ...

    def worker_place(self) -> AbstractContextManager[bool]:
        """Holds the place of a process that delivers. Gives whether it is the only place; raises UserError where
        another process has that.
        """
        ...


def locate(url: str, direct_url: str = "") -> Location:
    """The database of a URL that the settings accept. `direct_url` leads to its server where the other one leads to a
    pooler.
    """
    if url.startswith(SqliteLocation.SCHEME):
        return SqliteLocation.of(url)
    # Only where it is used: its library is an optional dependency, and takes time and memory to load.
    try:
        from nicobar.store.postgres.location import PostgresLocation  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise StoreUnusable(
            "postgresql_not_installed",
            "PostgreSQL support is not installed.",
            "Run: pip install 'nicobar[postgresql]'",
        ) from error
    return PostgresLocation(url, direct_url)
