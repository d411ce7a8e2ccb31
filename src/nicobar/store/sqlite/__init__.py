"""A store in one SQLite file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nicobar.store.group_commit import MAX_WAITING
from nicobar.store.sqlite.access import AccessTables
from nicobar.store.sqlite.catalogue import CatalogueTables
from nicobar.store.sqlite.database import Database, apply_migrations
from nicobar.store.sqlite.history import HistoryTables
from nicobar.store.sqlite.queue import QueueTables
from nicobar.store.sqlite.replays import ReplayTables
from nicobar.store.sqlite.upkeep import UpkeepTables

__all__ = ["SqliteStore", "apply_migrations"]


class SqliteStore(QueueTables, CatalogueTables, AccessTables, ReplayTables, UpkeepTables, HistoryTables):
    """`Store` over one file."""

    def __init__(self, path: Path, *, max_waiting: int = MAX_WAITING) -> None:
        self._database = Database(path, max_waiting=max_waiting)

    @classmethod
    async def open(cls, path: Path, *, now_ms: int, max_waiting: int = MAX_WAITING) -> SqliteStore:
        """Opens the database, made and brought up to date where needed. Raises StoreUnusable."""
        await asyncio.to_thread(apply_migrations, path, now_ms)
        return cls(path, max_waiting=max_waiting)

    async def check(self) -> None:
        # A row that stays as it is would not be written, so that a full disk would not be noticed.
        update = "UPDATE catalogue SET checks = checks + 1"
        await self._database.write(lambda connection: connection.execute(update).close())

    async def close(self) -> None:
        await self._database.close()
