"""Hints by NOTIFY and LISTEN. A hint is sent by a statement of its own, after the commit: it may then be lost, but no
write waits for the server's one queue of notifications.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

import psycopg

from nicobar.clock import Clock
from nicobar.logs import log
from nicobar.store.postgres.connection import Connection, Link, PostgresSession, connect
from nicobar.store.postgres.errors import meaning
from nicobar.store.tables.base import existing

# At most 20 hints a second; the endpoints of messages stored meanwhile are in the next one.
PAUSE_MS = 50
# A hint for more endpoints names none. PostgreSQL takes at most 8,000 bytes.
MAX_NAMED = 100
AGAIN_MS = 1_000


class PostgresHints:
    """`Hints`. `direct_url` leads to the server itself: no pooler passes on what a session listens for."""

    def __init__(self, url: str, direct_url: str, clock: Clock) -> None:
        self._link = Link(url)
        self._direct_url = direct_url
        self._clock = clock
        self._untold: set[int] = set()
        self._telling: asyncio.Task[None] | None = None
        self._was_sent = True
        self._is_heard = False

    @property
    def is_heard(self) -> bool:
        return self._is_heard

    def tell(self, endpoint_seqs: Sequence[int]) -> None:
        self._untold.update(endpoint_seqs)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell_all(), name="hints")

    async def _tell_all(self) -> None:
        while self._untold:
            seqs, self._untold = self._untold, set()
            names = ",".join(map(str, sorted(seqs))) if len(seqs) <= MAX_NAMED else ""
            try:
                await asyncio.to_thread(self._link.run, lambda connection, text=names: _notify(connection, text))
                self._was_sent = True
            except psycopg.Error as error:
                if self._was_sent:
                    log.warning("hint not sent; workers look for new events", detail=meaning(error).detail)
                self._was_sent = False
            await self._clock.wait(asyncio.Event(), PAUSE_MS)

    async def listen(self, heard: Callable[[Sequence[int]], None], stop: asyncio.Event) -> None:
        was_heard = True
        while not stop.is_set():
            try:
                connection = await asyncio.to_thread(self._listening)
                if connection is None:
                    log.warning("a pooler passes no hints; looking for new events. Set database_listen_url")
                    await stop.wait()
                    return
                was_heard = self._is_heard = True
                heard(())  # there was no hint of earlier messages
                await _Ear(connection, heard).until(stop)
            except psycopg.Error as error:
                if was_heard:
                    log.warning("not listening for hints; looking for new events", detail=meaning(error).detail)
                was_heard = False
            self._is_heard = False
            await self._clock.wait(stop, AGAIN_MS)

    def _listening(self) -> Connection | None:
        """A connection that listens; None behind a pooler. Raises psycopg.Error."""
        connection = connect(self._direct_url)
        try:
            session = PostgresSession(connection)
            (process,) = existing(session.row("own_process"))
            if process != connection.info.backend_pid:
                connection.close()
                return None
            session.run("listen")
        except psycopg.Error:
            connection.close()
            raise
        return connection

    async def close(self) -> None:
        if self._telling is not None:
            await asyncio.wait([self._telling])
        self._link.close()


class _Ear:
    """Reads the hints that arrive on a connection, without a thread."""

    def __init__(self, connection: Connection, heard: Callable[[Sequence[int]], None]) -> None:
        self._connection = connection
        self._heard = heard
        self._ended = asyncio.Event()

    async def until(self, stop: asyncio.Event) -> None:
        """Closes the connection once `stop` is set, or once it broke."""
        loop = asyncio.get_running_loop()
        # A number of our own: the library closes the socket of a connection that breaks, and another one may get its
        # number before the loop has stopped to look at it.
        socket = os.dup(self._connection.fileno())
        loop.add_reader(socket, self._read)
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _task: self._ended.set())
        try:
            await self._ended.wait()
        finally:
            stopping.cancel()
            loop.remove_reader(socket)
            os.close(socket)
            self._connection.close()

    def _read(self) -> None:
        try:
            self._connection.pgconn.consume_input()
        except psycopg.Error:
            self._ended.set()
            return
        while (hint := self._connection.pgconn.notifies()) is not None:
            self._heard([int(seq) for seq in hint.extra.split(b",") if seq.isdigit()])


def _notify(connection: Connection, endpoint_seqs: str) -> None:
    PostgresSession(connection).row("notify", {"endpoint_seqs": endpoint_seqs})
