"""One PostgreSQL database in use: a bounded number of threads, each with a connection of its own."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg
from psycopg import errors

from nicobar.errors import NicobarError, StoreUnavailable
from nicobar.store.catalogue import Audited
from nicobar.store.condition import Condition, LatestAppend
from nicobar.store.erasure import KeptBackup, Place
from nicobar.store.group_commit import GroupCommit
from nicobar.store.postgres.connection import (
    SURVEY_MS,
    TRANSACTION_MS,
    Connection,
    Link,
    PostgresSession,
    begin,
    commit,
    rollback,
    transaction,
)
from nicobar.store.postgres.errors import is_retried, meaning
from nicobar.store.postgres.hot import append_many, claim, put_facts, record
from nicobar.store.postgres.search import tables_with
from nicobar.store.queue import Appended, Claim, Claimed, Finished, NewMessage
from nicobar.store.session import Session, Stating, closed

MAX_READERS = 4
MAX_WRITERS = 4
# One for the group commit of events, one for surveys, one for readiness, one for a worker's beats, one for hints.
# A worker has one more, which listens for them.
MAX_CONNECTIONS = MAX_READERS + MAX_WRITERS + 5
MAX_RUNS = 10
# What goes ahead of other writes is short.
AHEAD_MS = 4_000
RETRY_S = 0.01
# A group of events waits so long for what another transaction has locked. Then it is halved until the blocked events
# are found, and each part waits a short time only.
APPEND_LOCK_MS = 5_000
HALVED_LOCK_MS = 250

T = TypeVar("T")


class PostgresDatabase:
    """Events are appended by one thread, a group at a time; the rest is written and read by a few others."""

    def __init__(self, url: str, *, max_waiting: int) -> None:
        self._appends = GroupCommit(_Writer(url), max_waiting=max_waiting)
        self._latest_append = LatestAppend()
        self._writers = _Threads(url, "writer", MAX_WRITERS)
        self._ahead = _Threads(url, "ahead", 1)
        self._readers = _Threads(url, "reader", MAX_READERS)
        self._surveyor = _Threads(url, "surveyor", 1)
        self._prober = _Threads(url, "prober", 1)

    async def write(self, work: Callable[[Session], T]) -> T:
        return await self._writers.run(lambda connection: _write(connection, work))

    async def write_ahead(self, work: Callable[[Session], T]) -> T:
        return await self._ahead.run(lambda connection: _write(connection, work, AHEAD_MS))

    async def read(self, work: Callable[[Session], T]) -> T:
        return await self._readers.run(lambda connection: _read(connection, work, TRANSACTION_MS))

    async def survey(self, work: Callable[[Session], T]) -> T:
        return await self._surveyor.run(lambda connection: _read(connection, work, SURVEY_MS))

    async def append(self, message: NewMessage, audit_line: Audited | None) -> Appended:
        try:
            appended = await self._appends.submit(append_many, (message, audit_line))
        except StoreUnavailable as error:
            self._latest_append.note(error)
            raise
        self._latest_append.note(None)
        return appended

    async def claim(self, asked: Claim) -> list[Claimed]:
        return await self._writers.run(lambda connection: _write(connection, lambda session: claim(session, asked)))

    async def record(self, finished: Sequence[Finished]) -> int:
        def work(session: PostgresSession) -> int:
            return record(session, finished)

        return await self._writers.run(lambda connection: _write(connection, work))

    async def put_facts(self, app_id: str, stated: Sequence[Stating]) -> None:
        def work(session: PostgresSession) -> None:
            put_facts(session, app_id, stated)

        await self._writers.run(lambda connection: _write(connection, work))

    async def give_back_space(self, *, max_pages: int) -> int:  # noqa: ARG002
        """Autovacuum makes space usable again, and truncates."""
        return 0

    async def clear_log(self) -> bool:
        """The server recycles its log."""
        return True

    async def tables_with(self, values: Sequence[str], *, exactly: bool = True) -> tuple[Place, ...]:
        return await self._surveyor.run(
            lambda connection: _read(
                connection, lambda _: tables_with(connection, values, exactly=exactly), SURVEY_MS
            )
        )

    async def files_with(self, values: Sequence[str]) -> tuple[Place, ...] | None:  # noqa: ARG002
        """They are the server's."""
        return None

    async def copies(self) -> tuple[KeptBackup, ...]:
        return ()

    async def rewrite(self) -> bool:
        """Vacuum does, in its time."""
        return False

    async def probe(self) -> None:
        await self._prober.run(lambda connection: _read(connection, _probe, TRANSACTION_MS))

    def condition(self) -> Condition:
        return Condition(append_refused=self._latest_append.refused)

    async def close(self) -> None:
        await self._appends.close()
        for threads in (self._prober, self._surveyor, self._ahead, self._writers, self._readers):
            await threads.close()


class _Threads:
    """Threads that run one transaction at a time each. The next one reopens a connection that broke."""

    def __init__(self, url: str, name: str, count: int) -> None:
        self._url = url
        self._pool = ThreadPoolExecutor(max_workers=count, thread_name_prefix=f"nicobar-{name}")
        self._own = threading.local()
        self._links: list[Link] = []

    async def run(self, work: Callable[[Connection], T]) -> T:
        def run() -> T:
            try:
                return self._link().run(work)
            except psycopg.Error as error:
                raise meaning(error) from error

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, run)
        except RuntimeError as error:
            raise closed() from error

    def _link(self) -> Link:
        link: Link | None = getattr(self._own, "link", None)
        if link is None:
            link = self._own.link = Link(self._url)
            self._links.append(link)
        return link

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown)
        for link in self._links:
            link.close()


class _Writer:
    """The connection that appends; opened for the first event, and reopened after it broke."""

    def __init__(self, url: str) -> None:
        self._link = Link(url)
        self._connection: Connection | None = None
        self._session: PostgresSession | None = None
        self._has_begun_only = False

    def begin(self) -> None:
        self._link.run(self._begin)
        self._has_begun_only = True

    def _begin(self, connection: Connection) -> None:
        self._connection = connection
        self._session = begin(connection, TRANSACTION_MS, lock_ms=APPEND_LOCK_MS, appends=True)

    def alone(self, work: Callable[[PostgresSession], T]) -> T:
        if self._session is None:
            raise AssertionError("no transaction has begun")
        if self._has_begun_only:
            # Undone with the whole transaction, which has nothing else yet: a savepoint costs two round trips.
            self._has_begun_only = False
            try:
                return work(self._session)
            except BaseException as error:
                if self._connection is None or self._connection.closed:
                    raise
                self._begin_again(error)
                if not (isinstance(error, psycopg.Error) and is_retried(error)):
                    raise
        session = self._session

        def within() -> T:
            with session.savepoint():
                return work(session)

        try:
            return retried(within)
        except errors.LockNotAvailable as error:
            self._wait_less(error)
            raise

    def _begin_again(self, error: BaseException) -> None:
        self.rollback()
        self.begin()
        self._has_begun_only = False
        self._wait_less(error)

    def _wait_less(self, error: BaseException) -> None:
        """Once something was blocked, its parts wait a short time only."""
        if isinstance(error, errors.LockNotAvailable) and self._connection is not None:
            self._connection.execute(f"SET LOCAL lock_timeout = {HALVED_LOCK_MS:d}".encode())

    def commit(self) -> None:
        if self._connection is not None:
            self._connection.keep_time()
            commit(self._connection)

    def rollback(self) -> None:
        if self._connection is not None:
            rollback(self._connection)

    def translate(self, error: Exception) -> NicobarError | None:
        return meaning(error) if isinstance(error, psycopg.Error) else None

    def is_blocked(self, error: Exception) -> bool:
        return isinstance(error, (errors.LockNotAvailable, errors.QueryCanceled))

    def close(self) -> None:
        self._link.close()


def _write(connection: Connection, work: Callable[[PostgresSession], T], timeout_ms: int = TRANSACTION_MS) -> T:
    def whole() -> T:
        with transaction(connection, timeout_ms) as session:
            return work(session)

    return retried(whole)


def retried(work: Callable[[], T]) -> T:
    """Runs the work, again where it was undone for others' sake."""
    for number in range(MAX_RUNS):
        try:
            return work()
        except psycopg.Error as error:
            if not is_retried(error) or number == MAX_RUNS - 1:
                raise
            time.sleep(RETRY_S * random.uniform(1, 2) * 2**number)  # noqa: S311 - spreads retries, protects nothing
    raise AssertionError("the last run returns or raises")


def _read(connection: Connection, work: Callable[[PostgresSession], T], timeout_ms: int) -> T:
    with transaction(connection, timeout_ms, reading=True) as session:
        return work(session)


def _probe(session: PostgresSession) -> None:
    session.row("probe")
