"""A store in one SQLite file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nicobar.store.group_commit import MAX_WAITING
from nicobar.store.sqlite.database import SqliteDatabase
from nicobar.store.sqlite.migrate import apply_migrations, find_damage
from nicobar.store.tables.store import TableStore

__all__ = ["SqliteStore", "apply_migrations", "find_damage"]


class SqliteStore(TableStore):
    """`Store` over one file."""

    def __init__(self, path: Path, *, max_waiting: int = MAX_WAITING) -> None:
        """For a database that is up to date; `open` brings it there."""
        super().__init__(SqliteDatabase(path, max_waiting=max_waiting))

    @classmethod
    async def open(cls, path: Path, *, now_ms: int, max_waiting: int = MAX_WAITING) -> SqliteStore:
        """Opens the database, created and brought up to date where needed. Raises StoreUnusable."""
        await asyncio.to_thread(apply_migrations, path, now_ms)
        return cls(path, max_waiting=max_waiting)
