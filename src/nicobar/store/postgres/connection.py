"""Connections to PostgreSQL: how they are set up, and what the rules ask of them.

Nothing outlives a transaction: no session setting, no prepared statement, no lock, no temporary table. So PgBouncer
may be between, in transaction mode. What needs a session, to listen for hints, has a connection of its own,
to the server itself.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import TypeVar, cast

import psycopg
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from nicobar.store.migrations import load_migrations
from nicobar.store.postgres.url import parsed, without_password
from nicobar.store.queries import load_queries
from nicobar.store.session import Row, Values

CONNECT_TIMEOUT_S = 5
# A transaction that takes longer is undone: what walks over rows in their order waits for writes that are under way.
TRANSACTION_MS = 20_000
# A statement may take so much less than its transaction, at most a quarter less. Only after this time is it told how
# much is left: another round trip, which most transactions never make.
FREE_MS = 5_000
# A transaction in which its process does nothing for so long is undone: others wait for what it has locked.
IDLE_MS = 10_000
# A server that works answers within this time, after the time that its statement may need.
ANSWER_S = 5.0
_LOOK_S = 0.1
# Its number is that of the newest migration. Versions up to 11 have the name alone.
APPLICATION_NAME = f"nicobar {load_migrations('postgres')[-1].number}"
# A survey may read all there is.
SURVEY_MS = 600_000
# So many appended deliveries are put in order at once.
MAX_ORDERED = 5_000
# And so often in one transaction, during which nothing of the queue is claimed.
MAX_ORDERINGS = 10

_NO_VALUES: Values = {}
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)
_NAME = re.compile(r"(?<!:):([a-z_0-9]+)")

T = TypeVar("T")
RV = TypeVar("RV")


class Connection(psycopg.Connection[tuple[object, ...]]):
    """A connection that is closed where the server does not respond: a server that hangs ends no statement itself."""

    # How long the server may take to answer a statement.
    bound_s = ANSWER_S
    # When the open transaction must have ended, and how long its statements may take.
    ends_s = math.inf
    statement_ms = 0

    def keep_time(self) -> None:
        """Goes before each statement of a transaction: it gets the remaining time. Raises psycopg.Error where
        nothing is left.
        """
        left_ms = (self.ends_s - time.monotonic()) * 1000
        if left_ms <= 0:
            raise _Overdue("the transaction took too long")
        if left_ms < self.statement_ms:
            self.bound_s = ANSWER_S
            self.execute(f"SET LOCAL statement_timeout = {math.ceil(left_ms):d}".encode())
            self.bound_s = ANSWER_S + left_ms / 1000

    def wait(self, gen: PQGen[RV], interval: float = _LOOK_S, timeout: float | None = None) -> RV:
        try:
            bounded = _bounded(gen, self.bound_s)
            # The library's older versions have no timeout.
            return super().wait(bounded, interval) if timeout is None else super().wait(bounded, interval, timeout)
        except _Unanswered:
            self.close()
            raise


class _Unanswered(psycopg.OperationalError):
    """The server did not respond in time."""


class _Overdue(psycopg.OperationalError):
    """The transaction's time is up; the connection still works."""


def _bounded(gen: PQGen[RV], bound_s: float) -> PQGen[RV]:
    """The same, ended by an error after that time."""
    until_s = time.monotonic() + bound_s
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > until_s:
                raise _Unanswered(f"the server did not respond within {bound_s:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        result: RV = end.value
        return result


def placeholders(text: str) -> str:
    return _NAME.sub(r"%(\1)s", _COMMENT.sub("", text).replace("%", "%%"))


SQL = {name: sql.SQL(placeholders(text)) for name, text in load_queries("postgres").items()}


def connect(url: str) -> Connection:
    """A connection set up as all are. Raises psycopg.Error, without the password, and StoreUnusable."""
    parts = parsed(url)
    # Of several servers, the primary: after a failover the old one may return as a standby.
    chosen = "read-write" if "," in parts.get("host", "") else "any"
    try:
        connection = Connection.connect(
            url,
            target_session_attrs=parts.get("target_session_attrs", chosen),
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=APPLICATION_NAME,
            # A server that is gone without a word is noticed within half a minute.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=TRANSACTION_MS,
        )
    except psycopg.Error as error:
        raise type(error)(without_password(str(error), url)) from None
    # One type for every number: PostgreSQL then finds the same operators for small ones and for large ones.
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.adapters.register_dumper(int, Int8BinaryDumper)
    return connection


class PostgresSession:
    """`Session` over a connection with an open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor(binary=True)

    def rows(self, name: str, values: Values = _NO_VALUES) -> list[Row]:
        self._connection.keep_time()
        self._cursor.execute(SQL[name], _bound(values))
        return cast("list[Row]", self._cursor.fetchall())

    def row(self, name: str, values: Values = _NO_VALUES) -> Row | None:
        self._connection.keep_time()
        self._cursor.execute(SQL[name], _bound(values))
        return self._cursor.fetchone()

    def run(self, name: str, values: Values | Sequence[Values] = _NO_VALUES) -> int:
        self._connection.keep_time()
        if isinstance(values, Sequence):
            # In one round trip: https://www.psycopg.org/psycopg3/docs/advanced/pipeline.html.
            self._cursor.executemany(SQL[name], [_bound(each) for each in values])
        else:
            self._cursor.execute(SQL[name], _bound(values))
        return self._cursor.rowcount

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        with self._connection.transaction():
            yield

    def lock(self, *endpoint_seqs: int, order_all: bool = False) -> bool:
        if not endpoint_seqs:
            return True
        of = {"endpoint_seqs": list(endpoint_seqs)}
        # The lock is a statement of its own: only what begins after it sees what its holder before has done.
        self.rows("lock_queues", of)
        for _ in range(MAX_ORDERINGS if order_all else 1):
            if self.run("order_appended", of | {"limit": MAX_ORDERED}) < MAX_ORDERED:
                return True
        return False


class NotBegun(psycopg.Error):
    """No transaction has begun, for that reason: nothing of it was sent. The connection is closed."""

    def __init__(self, reason: psycopg.Error) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Link:
    """One thread's connection; opened when it is needed, and reopened after it broke."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None

    def run(self, work: Callable[[Connection], T]) -> T:
        """Runs the work, again where the connection had broken before. Raises psycopg.Error."""
        was_open = self._connection is not None and not self._connection.closed
        try:
            return work(self._opened())
        except NotBegun:
            if not was_open:
                raise
            return work(self._opened())

    def _opened(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


@contextmanager
def transaction(connection: Connection, timeout_ms: int, *, reading: bool = False) -> Iterator[PostgresSession]:
    """Commits at the end, unless it only reads. All of what reads is as of one moment."""
    session = begin(connection, timeout_ms, reading=reading)
    try:
        yield session
        connection.keep_time()
    except BaseException:
        rollback(connection)
        raise
    commit(connection)


def begin(
    connection: Connection,
    timeout_ms: int,
    *,
    reading: bool = False,
    lock_ms: int | None = None,
    appends: bool = False,
) -> PostgresSession:
    """`lock_ms`: how long a statement may wait for a lock, where that is shorter. `appends`: it stores messages,
    before which a reader that goes forward stops until it ends.
    """
    kind = "ISOLATION LEVEL REPEATABLE READ, READ ONLY" if reading else "ISOLATION LEVEL READ COMMITTED, READ WRITE"
    statement_ms = timeout_ms - min(FREE_MS, timeout_ms // 4)
    # Sent as one, without values, so that it is one round trip.
    begun = (
        f"BEGIN {kind}; SET LOCAL statement_timeout = {statement_ms:d};"
        f" SET LOCAL idle_in_transaction_session_timeout = {IDLE_MS:d};"
        f" SET LOCAL lock_timeout = {lock_ms or 0:d}; SET LOCAL jit = off"
    )
    if not reading:
        # What writes finds its few rows by an index, also where statistics are old or one queue is long: a plan that
        # reads a whole table is never the better one.
        begun += "; SET LOCAL enable_seqscan = off"
    if appends:
        begun += f"; {SQL['announce_append'].as_string(None)}"
    connection.bound_s = ANSWER_S
    ends_s = time.monotonic() + timeout_ms / 1000
    try:
        connection.execute(begun.encode())
    except psycopg.Error as error:
        # The next connection may be to a server that runs, or to one that may be written to.
        connection.close()
        raise NotBegun(error) from error
    connection.ends_s, connection.statement_ms = ends_s, statement_ms
    connection.bound_s = ANSWER_S + statement_ms / 1000
    return PostgresSession(connection)


def commit(connection: Connection) -> None:
    connection.ends_s = math.inf
    connection.execute("COMMIT")


def rollback(connection: Connection) -> None:
    """Undoes the transaction; where that fails the connection is closed, so that the server undoes it."""
    connection.ends_s = math.inf
    try:
        if not connection.closed:
            connection.execute("ROLLBACK")
    except psycopg.Error:
        connection.close()


def _bound(values: Values) -> Values:
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: object) -> object:
    """Lists are arrays, members of an enum their values."""
    if isinstance(value, (list, tuple)):
        return [item.value if isinstance(item, Enum) else item for item in value]
    return value.value if isinstance(value, Enum) else value
