"""Searching every table of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from nicobar.store.copy import TableSql
from nicobar.store.erasure import Place, bytes_pattern_of, pattern_of
from nicobar.store.postgres.connection import Connection, placeholders

_SQL = TableSql("postgres")


def tables_with(connection: Connection, values: Sequence[str], *, exactly: bool) -> tuple[Place, ...]:
    """In the open transaction."""
    cursor = connection.cursor()
    cursor.execute(placeholders(_SQL.compose("columns")).encode())
    conditions: dict[str, list[str]] = {}
    for table, column, _, kind, _ in cursor.fetchall():
        name = "bytes_hold" if kind == "bytea" else "text_holds"
        conditions.setdefault(str(table), []).append(_SQL.compose(name, column=f'"{column}"'))
    given = {
        "pattern": pattern_of(values, exactly=exactly),
        "bytes_pattern": bytes_pattern_of(values, exactly=exactly),
    }
    found = []
    for table, each in sorted(conditions.items()):
        connection.keep_time()
        counted = _SQL.compose("count_holding", table=f'"{table}"', conditions=" OR ".join(each))
        cursor.execute(placeholders(counted).encode(), given)
        found.append(Place(name=table, count=int(cast("tuple[Any, ...]", cursor.fetchone())[0])))
    return tuple(place for place in found if place.count)
