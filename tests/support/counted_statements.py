"""Counts what is asked of a database: each statement of SQLite, each round trip of PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nicobar.store.postgres.connection import Connection
from nicobar.store.sqlite import database


class Statements:
    """How many statements were run since the last look."""

    def __init__(self) -> None:
        self._count = 0

    def note(self, *_what: object) -> None:
        self._count += 1

    def look(self) -> int:
        """Starts over."""
        count, self._count = self._count, 0
        return count


class _Counted:
    """A connection to SQLite. What a trigger does is part of its statement."""

    def __init__(self, connection: sqlite3.Connection, statements: Statements) -> None:
        self._connection = connection
        self._statements = statements

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, *asked) -> sqlite3.Cursor:
        self._statements.note()
        return self._connection.execute(*asked)

    def executemany(self, *asked) -> sqlite3.Cursor:
        self._statements.note()
        return self._connection.executemany(*asked)


@contextmanager
def counted_statements() -> Iterator[Statements]:
    """Counts the statements of every connection that is opened within the block."""
    statements = Statements()
    connect, wait = database.connect, Connection.wait

    def connected(*arguments, **named):
        return _Counted(connect(*arguments, **named), statements)

    def waited(connection, *arguments, **named):
        statements.note()
        return wait(connection, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "connect", connected)
        patch.setattr(Connection, "wait", waited)
        yield statements
