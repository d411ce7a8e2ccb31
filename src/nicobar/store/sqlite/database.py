"""One SQLite file in use: its writer thread and its readers."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from nicobar.errors import NicobarError, StoreUnavailable
from nicobar.store.catalogue import Audited
from nicobar.store.condition import Condition, LatestAppend
from nicobar.store.erasure import KeptBackup, Place
from nicobar.store.group_commit import GroupCommit
from nicobar.store.queue import Appended, Claim, Claimed, Finished, NewMessage
from nicobar.store.session import Session, Stating, closed
from nicobar.store.sqlite.connection import SQL, DatabaseFiles, SqliteSession, connect
from nicobar.store.sqlite.errors import Errors
from nicobar.store.sqlite.hot import append_many, claim_many, put_each, record_many
from nicobar.store.sqlite.probe import Probe
from nicobar.store.sqlite.search import copies_beside, files_with, tables_with
from nicobar.store.sqlite.space import clear_log, give_back_each, rewrite

MAX_READERS = 4

T = TypeVar("T")


class SqliteDatabase:
    """All writes, claims too, are made by one thread; reads by a few others, each with a connection of its
    own, and those that may read everything through one more.
    """

    def __init__(self, path: Path, *, max_waiting: int) -> None:
        self._path = path
        self.files = DatabaseFiles(path)
        self.errors = Errors()
        self._latest_append = LatestAppend()
        self._writer = _Writer(path, self.files, self.errors)
        self._commits = GroupCommit(self._writer, max_waiting=max_waiting)
        self._readers = ThreadPoolExecutor(max_workers=MAX_READERS, thread_name_prefix="nicobar-reader")
        self._surveyor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nicobar-surveyor")
        self._prober = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nicobar-prober")
        self._probe = Probe()
        self._own = threading.local()
        self._open: list[sqlite3.Connection] = []

    async def write(self, work: Callable[[Session], T]) -> T:
        return await self._commits.submit(_run_each, work)

    write_ahead = write

    async def read(self, work: Callable[[Session], T]) -> T:
        return await self._run(self._readers, lambda connection: _read(connection, work))

    async def survey(self, work: Callable[[Session], T]) -> T:
        return await self._run(self._surveyor, lambda connection: _read(connection, work))

    async def append(self, message: NewMessage, audit_line: Audited | None) -> Appended:
        try:
            appended = await self._commits.submit(append_many, (message, audit_line))
        except StoreUnavailable as error:
            self._latest_append.note(error)
            raise
        self._latest_append.note(None)
        return appended

    async def claim(self, asked: Claim) -> list[Claimed]:
        return await self._commits.submit(claim_many, asked)

    async def record(self, finished: Sequence[Finished]) -> int:
        return await self._commits.submit(record_many, finished)

    async def put_facts(self, app_id: str, stated: Sequence[Stating]) -> None:
        await self._commits.submit(put_each, (app_id, stated))

    async def give_back_space(self, *, max_pages: int) -> int:
        return await self._commits.submit(give_back_each, max_pages)

    async def clear_log(self) -> bool:
        return await self._run(self._surveyor, clear_log)

    async def tables_with(self, values: Sequence[str], *, exactly: bool = True) -> tuple[Place, ...]:
        return await self._run(self._surveyor, lambda connection: tables_with(connection, values, exactly=exactly))

    async def files_with(self, values: Sequence[str]) -> tuple[Place, ...] | None:
        return await asyncio.to_thread(files_with, self._path, values)

    async def copies(self) -> tuple[KeptBackup, ...]:
        return await asyncio.to_thread(copies_beside, self._path)

    async def rewrite(self) -> bool:
        return await self._run(self._surveyor, rewrite)

    async def probe(self) -> None:
        await self._run(self._prober, self._probe.look)

    def condition(self) -> Condition:
        since_s = self._writer.waits_since_s
        return Condition(
            damage=self.errors.damage,
            append_refused=self._latest_append.refused,
            waits_for_lock_ms=None if since_s is None else int((time.monotonic() - since_s) * 1000),
        )

    async def close(self) -> None:
        await self._commits.close()
        await asyncio.to_thread(self._prober.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._surveyor.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._open:
            connection.close()
        self._open.clear()

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            try:
                self.files.check()
                return work(self._connection())
            except sqlite3.Error as error:
                raise self.errors.note(error) from error

        try:
            return await asyncio.get_running_loop().run_in_executor(threads, run)
        except RuntimeError as error:
            raise closed() from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = connect(self._path, create=False)
            self._open.append(connection)
        return connection


def _read(connection: sqlite3.Connection, work: Callable[[Session], T]) -> T:
    connection.execute("BEGIN")
    try:
        return work(SqliteSession(connection))
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _run_each(session: SqliteSession, works: Sequence[Callable[[Session], T]]) -> list[T]:
    return [work(session) for work in works]


class _Writer:
    """The writer's connection, opened for the first work, so that its caller gets a failure."""

    def __init__(self, path: Path, files: DatabaseFiles, errors: Errors) -> None:
        self._path = path
        self._files = files
        self._errors = errors
        self._connection: sqlite3.Connection | None = None
        self.waits_since_s: float | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._path, create=False)
        return self._connection

    def begin(self) -> None:
        self._files.check()
        self.waits_since_s = time.monotonic()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        finally:
            self.waits_since_s = None
        self._files.note_beside()
        self._files.check_size(self.connection.execute(SQL["size"]).fetchone()[0])

    def alone(self, work: Callable[[SqliteSession], T]) -> T:
        session = SqliteSession(self.connection)
        with session.savepoint():
            return work(session)

    def commit(self) -> None:
        self.connection.execute("COMMIT")
        # Data just written to a file that can no longer be opened is not stored.
        self._files.check()

    def rollback(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def translate(self, error: Exception) -> NicobarError | None:
        if isinstance(error, sqlite3.Error):
            return self._errors.note(error)
        return None

    def is_blocked(self, error: Exception) -> bool:  # noqa: ARG002 - one connection writes
        return False

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
