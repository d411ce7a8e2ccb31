"""The tables of a PostgreSQL database, for copying."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import psycopg

from nicobar.errors import ConfigurationError
from nicobar.store.copy import (
    Batch,
    CopiedRow,
    Key,
    Move,
    MoveState,
    Table,
    TableSql,
    Value,
    in_order,
    numbered,
    range_values,
)
from nicobar.store.installation import read_move, stop_for_move, write_move
from nicobar.store.postgres.connection import SURVEY_MS, PostgresSession, connect, placeholders, transaction
from nicobar.store.postgres.database import retried
from nicobar.store.postgres.errors import meaning
from nicobar.store.tables.base import existing

_SQL = TableSql("postgres")
_DRAINING = ("refuse", "refuse_events", "refuse_claims", "refuse_changes")
_LARGE = frozenset({"text", "bytea"})


class _Columns(NamedTuple):
    """A table's columns with a boolean, those of any size, and its sequence with its column."""

    booleans: tuple[str, ...]
    large: tuple[str, ...]
    sequence: tuple[str, str] | None


class PostgresContents:
    """`Contents` of a database, over one connection."""

    def __init__(self, url: str) -> None:
        with _meaning():
            self._connection = connect(url)
        self._session = PostgresSession(self._connection)
        self._columns: dict[str, _Columns] = {}

    @contextmanager
    def reading(self) -> Iterator[None]:
        with _meaning(), transaction(self._connection, SURVEY_MS, reading=True):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        with _meaning(), transaction(self._connection, SURVEY_MS):
            yield

    def tables(self) -> list[Table]:
        found: dict[str, dict[str, int]] = {}
        kinds: dict[str, dict[str, str]] = {}
        sequences: dict[str, tuple[str, str]] = {}
        for table, column, place, kind, sequence in self._rows(_SQL.compose("columns")):
            found.setdefault(table, {})[column] = place
            kinds.setdefault(table, {})[column] = kind
            if sequence is not None:
                sequences[table] = (sequence, column)
        for table, columns in kinds.items():
            self._columns[table] = _Columns(
                booleans=tuple(column for column, kind in columns.items() if kind == "boolean"),
                large=tuple(column for column, kind in columns.items() if kind in _LARGE),
                sequence=sequences.get(table),
            )
        return in_order(found)

    def count(self, table: Table) -> int:
        ((count,),) = self._rows(_SQL.of("count", table))
        return int(count)

    def read(self, table: Table, after: Key | None, until: Key | None, *, max_rows: int, max_bytes: int) -> Batch:
        columns = self._columns[table.name]
        octets = " + ".join(f'coalesce(octet_length("{name}"), 0)' for name in columns.large) or "0"
        values = range_values(after, until) | {"limit": max_rows + 1, "max_bytes": max_bytes}
        found = self._rows(_SQL.of("read", table, after=after, until=until, octets=octets), values)
        is_whole = not found or found[0][-1] == len(found) <= max_rows
        booleans = [table.columns.index(name) for name in columns.booleans]
        rows = [_as_numbers(row[:-1], booleans) for row in found[:max_rows]]
        return Batch(rows=tuple(rows), is_whole=is_whole)

    def remove(self, table: Table, keys: Sequence[Key]) -> None:
        statement = placeholders(_SQL.of("remove_one", table)).encode()
        self._connection.cursor().executemany(statement, [numbered("key", key) for key in keys])

    def remove_range(self, table: Table, after: Key | None, until: Key | None) -> None:
        statement = placeholders(_SQL.of("remove", table, after=after, until=until)).encode()
        self._connection.execute(statement, range_values(after, until))

    def add(self, table: Table, rows: Sequence[CopiedRow]) -> None:
        try:
            with self._connection.cursor().copy(_SQL.of("add", table).encode()) as copy:
                for row in rows:
                    copy.write_row(row)
        except psycopg.DataError as error:
            raise _unstorable(table, rows) or meaning(error) from error

    def last_numbers(self) -> Mapping[str, int]:
        last = {}
        for table, sequence, column in self._sequences():
            query = _SQL.compose("last_number", column=column, table=table.name, sequence=sequence)
            ((last[table.name],),) = self._rows(query)
        return last

    def continue_numbers(self, last: Mapping[str, int]) -> None:
        for table, sequence, _ in self._sequences():
            number = last.get(table.name, 0)
            self._rows(_SQL.compose("continue_numbers"), {"sequence": sequence, "number": number})

    def _sequences(self) -> Iterator[tuple[Table, str, str]]:
        for table in self.tables():
            sequence = self._columns[table.name].sequence
            if sequence is not None:
                yield table, *sequence

    def analyze(self, tables: Sequence[Table]) -> None:
        for table in tables:
            self._connection.execute(_SQL.of("analyze", table).encode())

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
        """Each statement in a transaction of its own: it waits for those who write to its table, and they for it."""
        with self.reading():
            tables, known = self.tables(), self.move()
        # The errors name the place, so it is stored first; that all is closed only once it is.
        draining = Move(
            state=MoveState.DRAINING if known is None else known.state,
            place=move.place,
            installation_id=move.installation_id,
            changed_at_ms=move.changed_at_ms,
        )
        self._change(lambda: stop_for_move(self._session, draining))
        statements = [_SQL.compose(name) for name in _DRAINING]
        if move.state is not MoveState.DRAINING:
            statements += [_SQL.of("refuse_all", table) for table in tables]
        for statement in statements:
            self._change(lambda statement=statement: self._connection.execute(statement.encode()))  # type: ignore[misc]
        self._change(lambda: stop_for_move(self._session, move))

    def accept_again(self) -> None:
        with self.reading():
            found = self._rows(_SQL.compose("refusals"))
        for trigger, table in found:
            statement = _SQL.compose("accept", trigger=trigger, table=table)
            self._change(lambda statement=statement: self._connection.execute(statement.encode()))  # type: ignore[misc]
        self._change(lambda: self.put_move(None))

    def _change(self, work: Callable[[], object]) -> None:
        def whole() -> None:
            with transaction(self._connection, SURVEY_MS):
                work()

        with _meaning():
            retried(whole)

    def close(self) -> None:
        self._connection.close()

    def _rows(self, statement: str, values: Mapping[str, Value] | None = None) -> list[tuple[Any, ...]]:
        cursor = self._connection.cursor(binary=True)
        cursor.execute(placeholders(statement).encode(), values or {})
        return cast("list[tuple[Any, ...]]", cursor.fetchall())


def _as_numbers(row: tuple[Any, ...], booleans: Sequence[int]) -> CopiedRow:
    """Truth as SQLite stores it."""
    if not booleans:
        return row
    values = list(row)
    for place in booleans:
        values[place] = None if values[place] is None else int(values[place])
    return tuple(values)


def _unstorable(table: Table, rows: Sequence[CopiedRow]) -> ConfigurationError | None:
    for row in rows:
        for column, value in zip(table.columns, row, strict=True):
            if isinstance(value, str) and "\0" in value:
                key = ", ".join(map(str, table.key_of(row)))
                return ConfigurationError(
                    "value_invalid",
                    f"Column {column} of row {key} in table {table.name} contains the character U+0000.",
                    "PostgreSQL cannot store it. Delete that object in the old database, then run the command again.",
                )
    return None


@contextmanager
def _meaning() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise meaning(error) from error
