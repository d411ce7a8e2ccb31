"""A server's database as a database's place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from nicobar.clock import Clock
from nicobar.store.backup import BackupFile, Compacted, PreparedRestore
from nicobar.store.findings import Finding
from nicobar.store.installation import KeyHolder
from nicobar.store.migrations import Migrated
from nicobar.store.postgres import PostgresStore
from nicobar.store.postgres.backup import compact_it, dump_it, restore_it
from nicobar.store.postgres.contents import PostgresContents
from nicobar.store.postgres.examination import examine
from nicobar.store.postgres.hints import PostgresHints
from nicobar.store.postgres.migrate import apply_migrations, check_version, has_tables
from nicobar.store.postgres.url import shown


class PostgresLocation:
    """`Location` of `postgresql://…`."""

    def __init__(self, url: str, direct_url: str = "") -> None:
        """Raises StoreUnusable for a URL that is not one."""
        self._name = shown(url)
        self._url = url
        self._direct_url = direct_url or url
        shown(self._direct_url)

    @property
    def kind(self) -> str:
        return "PostgreSQL"

    @property
    def name(self) -> str:
        return self._name

    @property
    def directory(self) -> None:
        return None

    def exists(self) -> bool:
        return has_tables(self._url)

    def migrate(self, keys: KeyHolder | None, now_ms: int) -> Migrated:
        return apply_migrations(self._direct_url, now_ms, keys)

    def check_version(self) -> None:
        check_version(self._url)

    def contents(self) -> PostgresContents:
        return PostgresContents(self._direct_url)

    def open(self) -> PostgresStore:
        return PostgresStore(self._url)

    def hints(self, clock: Clock) -> PostgresHints:
        return PostgresHints(self._url, self._direct_url, clock)

    def examine(self, clock: Clock) -> list[Finding]:
        return examine(self._url, clock)

    def find_damage(self, *, limit: int) -> list[str]:  # noqa: ARG002
        """The server checks its pages itself; its tool for more is pg_amcheck."""
        return []

    def back_up(self, target: Path, *, force: bool, now_ms: int) -> BackupFile:  # noqa: ARG002
        raise dump_it(self._name, target)

    def restoring(
        self,
        backup: Path,
        *,
        force: bool,  # noqa: ARG002
        now_ms: int,  # noqa: ARG002
    ) -> AbstractContextManager[PreparedRestore]:
        raise restore_it(self._name, backup)

    def check_unused(self) -> None:
        """Its workers say in the database that they run."""

    def compact(self) -> Compacted:
        raise compact_it()

    @contextmanager
    def worker_place(self) -> Iterator[bool]:
        """There are any number: the workers share the endpoints by their leases."""
        yield False
