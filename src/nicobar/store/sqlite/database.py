"""One SQLite file: its connections, its writer thread and its readers. With synchronous=FULL a commit is on disk when
it returns: https://sqlite.org/wal.html.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from nicobar.errors import ConfigurationError, NicobarError, StoreUnavailable, StoreUnusable
from nicobar.ids import IdFactory
from nicobar.store.bodies import holds
from nicobar.store.catalogue import Audited
from nicobar.store.group_commit import GroupCommit
from nicobar.store.migrations import load_migrations, pending
from nicobar.store.queries import load_queries

# "nbar": says whose file it is, https://sqlite.org/pragma.html#pragma_application_id.
APPLICATION_ID = 0x6E626172
MIN_SQLITE = (3, 35, 0)  # RETURNING
BUSY_MS = 10_000
JOURNAL_BYTES = 64 * 1024 * 1024
MAX_READERS = 4
DEFAULT_APPLICATION = "default"

T = TypeVar("T")
SQL = load_queries("sqlite")
_PATH = msgspec.json.Decoder(tuple[str, ...])


class Database:
    """All writes, claims too, go through one thread; reads through a few others, each with a connection of its
    own, and those that may read everything through one more.
    """

    def __init__(self, path: Path, *, max_waiting: int) -> None:
        self._path = path
        self._writer = GroupCommit(_Session(path), max_waiting=max_waiting)
        self._readers = ThreadPoolExecutor(max_workers=MAX_READERS, thread_name_prefix="nicobar-reader")
        self._surveyor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nicobar-surveyor")
        self._own = threading.local()
        self._open: list[sqlite3.Connection] = []

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs the work in the writer; returns after the commit."""
        return await self._writer.submit(work)

    async def read(self, name: str, parameters: Mapping[str, object] | None = None) -> list[sqlite3.Row]:
        """The rows of a named query. Raises StoreUnavailable."""
        return await self.look(lambda connection: connection.execute(SQL[name], parameters or {}).fetchall())

    async def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs work that only reads. Raises StoreUnavailable."""
        return await self._run(self._readers, work)

    async def survey(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same for work that may read all there is: one at a time, and no reader waits for it."""
        return await self._run(self._surveyor, work)

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            try:
                return work(self._connection())
            except sqlite3.Error as error:
                raise unavailable(error) from error

        try:
            return await asyncio.get_running_loop().run_in_executor(threads, run)
        except RuntimeError as error:
            raise StoreUnavailable("store_closed", "The store is closed.", "Start Nicobar again.") from error

    async def close(self) -> None:
        await self._writer.close()
        await asyncio.to_thread(self._surveyor.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._open:
            connection.close()
        self._open.clear()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = connect(self._path)
            self._open.append(connection)
        return connection


def apply_migrations(path: Path, now_ms: int) -> list[str]:
    """Brings the database up to date; returns the names of what was applied. Raises StoreUnusable."""
    with _unusable(path), contextlib.closing(connect(path)) as connection:
        _check_owner(connection, path)
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations "
            "(number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at_ms INTEGER NOT NULL)"
        )
        todo = pending(load_migrations(), connection.execute("SELECT number, sha256 FROM migrations").fetchall())
        for migration in todo:
            for statement in _statements(migration.sql):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO migrations VALUES (?, ?, ?, ?)",
                (migration.number, migration.name, migration.sha256, now_ms),
            )
        if todo:
            connection.execute(SQL["add_application"], _new_application(now_ms))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
        return [f"{migration.number:04}_{migration.name}" for migration in todo]


def connect(path: Path) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        raise StoreUnusable(
            "sqlite_too_old",
            f"This Python has SQLite {sqlite3.sqlite_version}.",
            f"Use a Python with SQLite {'.'.join(map(str, MIN_SQLITE))} or newer.",
        )
    # Each connection stays with one thread at a time; only `close` may come from another.
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # What was expunged is overwritten, where that costs no further page.
        connection.execute("PRAGMA secure_delete = FAST")
        connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        connection.create_function("holds", 3, _holds, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def _holds(body: bytes, path: str, value: str) -> bool:
    return holds(body, _PATH.decode(path), value)


def unavailable(error: sqlite3.Error) -> NicobarError:
    """What an error of the database means to whoever asked."""
    if isinstance(error, sqlite3.IntegrityError):
        return ConfigurationError(
            "conflict", f"The change conflicts with what is there: {error}.", "Choose another name or token."
        )
    return StoreUnavailable(
        "store_unavailable", f"The database refused: {error}.", "Check the disk's free space and its mount."
    )


def json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def say(connection: sqlite3.Connection, said: Audited | None, detail: str | None = None) -> None:
    """Puts a line into the audit log, with this detail instead of its own where one is given."""
    if said is not None:
        line = said if detail is None else msgspec.structs.replace(said, detail=detail)
        connection.execute(SQL["add_audit"], msgspec.structs.asdict(line))


class _Session:
    """The writer's connection, made when the first work comes, so that a failure reaches whoever handed it in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._path)
        return self._connection

    def begin(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def alone(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.connection.execute("SAVEPOINT one")
        try:
            result = work(self.connection)
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK TO one")
                self.connection.execute("RELEASE one")
            raise
        self.connection.execute("RELEASE one")
        return result

    def commit(self) -> None:
        self.connection.execute("COMMIT")

    def rollback(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def translate(self, error: Exception) -> NicobarError | None:
        if isinstance(error, sqlite3.Error):
            return unavailable(error)
        return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _check_owner(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreUnusable for another program's database, before anything of it is touched."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    if tables and owner != APPLICATION_ID:
        raise StoreUnusable(
            "not_ours", f"{path} is the SQLite database of another program.", "Name another data directory."
        )


@contextlib.contextmanager
def _unusable(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnusable(
            "not_writable",
            f"The database {path} cannot be opened for writing: {error}.",
            "Give the user that runs nicobar read and write access to the data directory.",
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreUnusable(
            "not_a_database",
            f"{path} is not a SQLite database: {error}.",
            "Name another data directory, or a backup.",
        ) from error


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; `executescript` would commit in between."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _new_application(now_ms: int) -> dict[str, str]:
    return {"id": IdFactory(lambda: now_ms).new("app"), "uid": DEFAULT_APPLICATION}
