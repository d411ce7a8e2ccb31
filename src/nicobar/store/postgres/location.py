"""A server's database as a database's place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from nicobar.clock import Clock, SystemClock
from nicobar.errors import UserError
from nicobar.store.findings import Finding
from nicobar.store.installation import KeyHolder
from nicobar.store.postgres import PostgresStore
from nicobar.store.postgres.connection import Connection, PostgresSession, connect
from nicobar.store.postgres.contents import PostgresContents
from nicobar.store.postgres.errors import unusable
from nicobar.store.postgres.examination import examine
from nicobar.store.postgres.migrate import apply_migrations, has_tables
from nicobar.store.postgres.url import shown
from nicobar.store.tables.base import existing

_LOOK_S = 2.0
# The server ends the connection of a process from which it hears nothing for so long, and another one may deliver.
_FREED_MS = 10_000
_END_S = 15.0
# Without a look for so long nothing more is sent: what is in flight has the rest of `_FREED_MS` to end.
MAX_UNCONFIRMED_MS = 4_000
_CLOCK: Clock = SystemClock()
# The server notices a host that vanished, too, while its answer is under way.
_WATCHED = (
    "SET idle_session_timeout = {:d}; SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2;"
    " SET tcp_keepalives_count = 3; SET tcp_user_timeout = 10000"
)


class PostgresLocation:
    """`Location` of `postgresql://…`."""

    def __init__(self, url: str) -> None:
        """Raises StoreUnusable for a URL that is not one."""
        self._name = shown(url)
        self._url = url

    @property
    def kind(self) -> str:
        return "PostgreSQL"

    @property
    def name(self) -> str:
        return self._name

    @property
    def directory(self) -> None:
        return None

    def exists(self) -> bool:
        return has_tables(self._url)

    def migrate(self, keys: KeyHolder | None, now_ms: int) -> list[str]:
        return apply_migrations(self._url, now_ms, keys)

    def contents(self) -> PostgresContents:
        return PostgresContents(self._url)

    def open(self) -> PostgresStore:
        return PostgresStore(self._url)

    def examine(self, clock: Clock) -> list[Finding]:
        return examine(self._url, clock)

    def find_damage(self, *, limit: int) -> list[str]:  # noqa: ARG002
        """The server checks its pages itself; its tool for more is pg_amcheck."""
        return []

    @contextmanager
    def only_worker(self, lost: Callable[[], None]) -> Iterator[Callable[[], bool]]:
        """By a lock that a connection of its own holds: the server lets go of it when that ends, and ends it when it
        hears nothing from it. A connection that broke is replaced, and the lock taken again, unless another process
        was faster.
        """
        with unusable(self.name):
            place = _Place(self._url)
            if not place.take():
                place.close()
                raise UserError(
                    "worker_running",
                    f"Another worker is already running on this database ({self.name}).",
                    "Stop it first, or start this process with --role web.",
                )
        stop = threading.Event()
        keeper = threading.Thread(target=place.keep, args=(stop, lost), name="nicobar-only-worker", daemon=True)
        keeper.start()
        try:
            yield place.is_held
        finally:
            stop.set()
            # It closes the connection. Where the server hangs, the process does not wait for it.
            keeper.join(_END_S)


class _Place:
    """The connection whose lock says that this process delivers."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._confirmed_at_ms = 0

    def is_held(self) -> bool:
        """Whether the server said so a moment ago."""
        return _CLOCK.steady_ms() - self._confirmed_at_ms <= MAX_UNCONFIRMED_MS

    def take(self) -> bool:
        """Whether this process has the lock now. Raises psycopg.Error."""
        asked_at_ms = _CLOCK.steady_ms()
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url)
            self._connection.execute(_WATCHED.format(_FREED_MS).encode())
            (taken,) = existing(PostgresSession(self._connection).row("lock_worker"))
            if not taken:
                return False
        else:
            PostgresSession(self._connection).row("server")
        self._confirmed_at_ms = asked_at_ms
        return True

    def keep(self, stop: threading.Event, lost: Callable[[], None]) -> None:
        while not stop.wait(_LOOK_S):
            try:
                held = self.take()
            except psycopg.Error:
                self.close()
                continue
            if not held:
                lost()
                break
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
