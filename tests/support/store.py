"""The databases that tests run on. Another one joins by a line in STORES."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nicobar.errors import StoreUnavailable
from nicobar.store import Store
from nicobar.store.sqlite import SqliteStore

NOW_MS = 1_700_000_000_000
FULL = StoreUnavailable("disk_full", "The disk is full.")


async def _open_sqlite(directory: Path, now_ms: int) -> Store:
    return await SqliteStore.open(directory / "nicobar.db", now_ms=now_ms)


STORES: dict[str, Callable[[Path, int], Awaitable[Store]]] = {"sqlite": _open_sqlite}


async def open_store(directory: Path, now_ms: int = NOW_MS, *, database: str = "sqlite") -> Store:
    """The database in `directory`, created if missing."""
    return await STORES[database](directory, now_ms)


@contextmanager
def failing_store(store: Store, promise: str, error: Exception = FULL) -> Iterator[asyncio.Event]:
    """Within the block this method of the store fails; the event is set once it has."""
    failed = asyncio.Event()
    works = getattr(store, promise)

    async def fails(*_arguments: object, **_named: object) -> None:
        failed.set()
        raise error

    setattr(store, promise, fails)
    try:
        yield failed
    finally:
        setattr(store, promise, works)
