"""The databases that tests run on. Another one joins by a line in STORES."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import psycopg

from nicobar.errors import StoreUnavailable
from nicobar.store import Store
from nicobar.store.postgres import PostgresStore
from nicobar.store.sqlite import SqliteStore, apply_migrations
from support import postgres

NOW_MS = 1_700_000_000_000
FULL = StoreUnavailable("disk_full", "The disk is full.")


@cache
def _new_file(now_ms: int) -> bytes:
    """What the migrations make of a new file. To copy it costs much less than to run them."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "new.db")
        apply_migrations(path, now_ms)
        return path.read_bytes()


async def _open_sqlite(directory: Path, now_ms: int) -> Store:
    path = directory / "nicobar.db"
    if path.exists():
        return await SqliteStore.open(path, now_ms=now_ms)
    path.write_bytes(_new_file(now_ms))
    return SqliteStore(path)


_URLS: dict[Path, str] = {}


async def _open_postgres(directory: Path, _now_ms: int) -> Store:
    """The database that belongs to the directory."""
    for deleted in [deleted for deleted in _URLS if not deleted.exists()]:
        drop_store(deleted)
    if directory not in _URLS:
        _URLS[directory] = postgres.cluster().take_database()
    return PostgresStore(_URLS[directory])


def drop_store(directory: Path) -> None:
    """Deletes the database that belongs to the directory, but not the files of the test in it."""
    if directory in _URLS:
        postgres.cluster().give_back(_URLS.pop(directory))


def clean_store(directory: Path) -> bool:
    """Deletes what is in the server's database that belongs to the directory; its users are not interrupted."""
    return postgres.cluster().clean(_URLS[directory])


def run_sql(directory: Path, sql: str) -> list[tuple[object, ...]]:
    """Reads or changes the database that belongs to the directory behind the store's back; returns the rows."""
    if directory in _URLS:
        with psycopg.connect(_URLS[directory]) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []
    with closing(sqlite3.connect(directory / "nicobar.db", isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


@contextmanager
def asking(directory: Path) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    """Gives what asks the database that belongs to the directory, over one connection."""
    if directory in _URLS:
        connection: psycopg.Connection | sqlite3.Connection = psycopg.connect(_URLS[directory], autocommit=True)
    else:
        connection = sqlite3.connect(directory / "nicobar.db", isolation_level=None)
    with closing(connection):
        yield lambda sql: connection.execute(sql).fetchall()


def ask_sql(directory: Path, sql: str) -> list[tuple[object, ...]]:
    """The rows of a query of the database that belongs to the directory."""
    with asking(directory) as ask:
        return ask(sql)


STORES: dict[str, Callable[[Path, int], Awaitable[Store]]] = {"sqlite": _open_sqlite, "postgres": _open_postgres}


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
