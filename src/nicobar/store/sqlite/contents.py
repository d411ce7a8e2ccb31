"""The tables of a SQLite file, for copying."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from nicobar.store.copy import (
    Batch,
    CopiedRow,
    Key,
    Move,
    MoveState,
    Table,
    TableSql,
    in_order,
    numbered,
    range_values,
    size_bytes,
)
from nicobar.store.installation import read_move, stop_for_move, write_move
from nicobar.store.sqlite.connection import SqliteSession, connect
from nicobar.store.sqlite.errors import unavailable
from nicobar.store.tables.base import existing

_SQL = TableSql("sqlite")
_DRAINING = ("refuse_events", "refuse_claims", "refuse_changes")
_EVENTS = ("INSERT", "UPDATE", "DELETE")


class SqliteContents:
    """`Contents` of a file."""

    def __init__(self, path: Path) -> None:
        with _meaning():
            self._connection = connect(path, create=False)
        self._session = SqliteSession(self._connection)

    @contextmanager
    def reading(self) -> Iterator[None]:
        with _meaning(), self._transaction("BEGIN"):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        with _meaning(), self._transaction("BEGIN IMMEDIATE"):
            yield

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._connection.execute(begin)
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def tables(self) -> list[Table]:
        found: dict[str, dict[str, int]] = {}
        for table, column, place in self._connection.execute(_SQL.compose("columns")):
            found.setdefault(table, {})[column] = place
        return in_order(found)

    def count(self, table: Table) -> int:
        (count,) = self._connection.execute(_SQL.of("count", table)).fetchone()
        return int(count)

    def read(self, table: Table, after: Key | None, until: Key | None, *, max_rows: int, max_bytes: int) -> Batch:
        values = range_values(after, until) | {"limit": max_rows + 1}
        rows: list[CopiedRow] = []
        read_bytes = 0
        cursor = self._connection.execute(_SQL.of("read", table, after=after, until=until), values)
        for row in cursor:
            read_bytes += size_bytes(row)
            if rows and (len(rows) == max_rows or read_bytes > max_bytes):
                cursor.close()
                return Batch(rows=tuple(rows), is_whole=False)
            rows.append(row)
        return Batch(rows=tuple(rows), is_whole=True)

    def remove(self, table: Table, keys: Sequence[Key]) -> None:
        self._connection.executemany(_SQL.of("remove_one", table), [numbered("key", key) for key in keys])

    def remove_range(self, table: Table, after: Key | None, until: Key | None) -> None:
        self._connection.execute(_SQL.of("remove", table, after=after, until=until), range_values(after, until))

    def add(self, table: Table, rows: Sequence[CopiedRow]) -> None:
        self._connection.executemany(_SQL.of("add", table), [numbered("value", row) for row in rows])

    def last_numbers(self) -> Mapping[str, int]:
        """What SQLite numbers itself are its tables' single keys of that name."""
        numbered_tables = [table for table in self.tables() if table.key == ("seq",)]
        last = {}
        for table in numbered_tables:
            query = _SQL.compose("last_number", column="seq", table=table.name)
            (last[table.name],) = self._connection.execute(query).fetchone()
        return last

    def continue_numbers(self, last: Mapping[str, int]) -> None:
        """SQLite continues after the largest existing number."""

    def analyze(self, tables: Sequence[Table]) -> None:
        """SQLite's plans depend on no statistics here."""

    def installation_id(self) -> str | None:
        row = self._session.row("installation")
        return None if row is None else str(row[0])

    def count_under_way(self, now_ms: int) -> int:
        return int(existing(self._session.row("under_way", {"now_ms": now_ms}))[0])

    def move(self, *, to_change: bool = False) -> Move | None:
        return read_move(self._session, to_change=to_change)

    def put_move(self, move: Move | None) -> None:
        write_move(self._session, move)

    def stop(self, move: Move) -> None:
        quoted = move.place.replace("'", "''")
        place = f"'{quoted}'"
        with self.writing():
            for name in _DRAINING:
                self._connection.execute(_SQL.compose(name, place=place))
            if move.state is not MoveState.DRAINING:
                for table in self.tables():
                    for event in _EVENTS:
                        trigger = f"moving_{table.name}_{event}"
                        refusal = _SQL.compose(
                            "refuse_all", trigger=trigger, event=event, table=table.name, place=place
                        )
                        self._connection.execute(refusal)
            stop_for_move(self._session, move)

    def accept_again(self) -> None:
        with self.writing():
            for (trigger,) in self._connection.execute(_SQL.compose("refusals")).fetchall():
                self._connection.execute(_SQL.compose("accept", trigger=trigger))
            self.put_move(None)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def _meaning() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise unavailable(error) from error
