"""A store in one SQLite file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nicobar.store.condition import Condition
from nicobar.store.group_commit import MAX_WAITING
from nicobar.store.sqlite.access import AccessTables
from nicobar.store.sqlite.catalogue import CatalogueTables
from nicobar.store.sqlite.database import Database, apply_migrations, find_damage
from nicobar.store.sqlite.drafts import DraftTables
from nicobar.store.sqlite.history import HistoryTables
from nicobar.store.sqlite.people import PeopleTables
from nicobar.store.sqlite.probe import Probe
from nicobar.store.sqlite.queue import QueueTables
from nicobar.store.sqlite.replays import ReplayTables
from nicobar.store.sqlite.upkeep import UpkeepTables

__all__ = ["SqliteStore", "apply_migrations", "find_damage"]


class SqliteStore(
    QueueTables,
    CatalogueTables,
    AccessTables,
    ReplayTables,
    UpkeepTables,
    HistoryTables,
    PeopleTables,
    DraftTables,
):
    """`Store` over one file."""

    def __init__(self, path: Path, *, max_waiting: int = MAX_WAITING) -> None:
        """For a database that is up to date; `open` brings it there."""
        self._database = Database(path, max_waiting=max_waiting)
        self._probe = Probe()

    @classmethod
    async def open(cls, path: Path, *, now_ms: int, max_waiting: int = MAX_WAITING) -> SqliteStore:
        """Opens the database, made and brought up to date where needed. Raises StoreUnusable."""
        await asyncio.to_thread(apply_migrations, path, now_ms)
        return cls(path, max_waiting=max_waiting)

    async def check(self) -> None:
        # A row that stays as it is would not be written, so that a full disk would not be noticed.
        update = "UPDATE catalogue SET checks = checks + 1"
        await self._database.write(lambda connection: connection.execute(update).close())

    async def probe(self) -> None:
        await self._database.probe(self._probe.look)

    def condition(self) -> Condition:
        database = self._database
        return Condition(
            damage=database.errors.damage,
            append_refused=database.errors.append_refused,
            waits_for_lock_ms=database.waits_for_lock_ms,
        )

    async def close(self) -> None:
        await self._database.close()
