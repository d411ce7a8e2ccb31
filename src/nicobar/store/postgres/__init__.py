"""A store in a PostgreSQL database, which any number of processes use."""

from __future__ import annotations

import asyncio

from nicobar.store.group_commit import MAX_WAITING
from nicobar.store.postgres.database import PostgresDatabase
from nicobar.store.postgres.migrate import apply_migrations
from nicobar.store.tables.store import TableStore

__all__ = ["PostgresStore", "apply_migrations"]


class PostgresStore(TableStore):
    """`Store` over one database."""

    def __init__(self, url: str, *, max_waiting: int = MAX_WAITING) -> None:
        """For a database that is up to date; `open` brings it there."""
        super().__init__(PostgresDatabase(url, max_waiting=max_waiting))

    @classmethod
    async def open(cls, url: str, *, now_ms: int, max_waiting: int = MAX_WAITING) -> PostgresStore:
        """Opens the database, its tables created and brought up to date where needed. Raises StoreUnusable."""
        await asyncio.to_thread(apply_migrations, url, now_ms)
        return cls(url, max_waiting=max_waiting)
