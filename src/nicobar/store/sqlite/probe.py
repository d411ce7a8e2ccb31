"""A short look at every table and index, for readiness: some 130 reads of one row, about a millisecond.

It does not replace SQLite's own check, which reads the whole file. It meets what nicobar's own work would meet first
(the roots, and both ends of every tree, where messages are added and deliveries are claimed), and with each look one
message somewhere in the middle with all that leads to it.
"""

from __future__ import annotations

import random
import re
import sqlite3

from nicobar.store.sqlite.connection import SQL

_WHERE = re.compile(r"\bWHERE\b.*", re.DOTALL)


class Probe:
    """Run with one connection, one look at a time."""

    def __init__(self) -> None:
        self._ends: list[str] = []
        self._random = random.Random()  # noqa: S311 - chooses what to look at, protects nothing

    def look(self, connection: sqlite3.Connection) -> None:
        """Raises sqlite3.DatabaseError where the file is damaged."""
        # One transaction, so that writes meanwhile do not look like a table and its index at odds.
        connection.execute("BEGIN")
        try:
            self._ends = self._ends or _ends(connection)
            for read in self._ends:
                connection.execute(read).fetchone()
            self._look_at_a_message(connection)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _look_at_a_message(self, connection: sqlite3.Connection) -> None:
        (first,) = connection.execute(SQL["first_message"]).fetchone()
        (last,) = connection.execute(SQL["last_message"]).fetchone()
        if first is None:
            return
        at = {"seq": self._random.randint(first, last)}
        seq, message_id, app_id, event_id = connection.execute(SQL["probe_message"], at).fetchone()
        by_event = connection.execute(SQL["probe_event"], {"app_id": app_id, "event_id": event_id}).fetchone()
        by_id = connection.execute(SQL["probe_id"], {"id": message_id}).fetchone()
        if (by_event, by_id) != ((seq,), (seq,)):
            error = sqlite3.DatabaseError(f"an index of messages does not lead to message {message_id}")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        for name in ("probe_deliveries", "probe_attempts"):
            connection.execute(SQL[name], {"message_seq": seq}).fetchall()


def _ends(connection: sqlite3.Connection) -> list[str]:
    """Queries that read the first and the last row of each table and each index."""
    reads: list[str] = []
    tables = connection.execute(SQL["tables"]).fetchall()
    for table, table_sql in tables:
        # A table without row ids is its primary key's index.
        if not table_sql.rstrip().upper().endswith("WITHOUT ROWID"):
            reads += _both(f'"{table}" NOT INDEXED', ["rowid"])
        for row in connection.execute(f'PRAGMA index_list("{table}")').fetchall():
            index = row[1]
            columns = [f'"{column[2]}"' for column in connection.execute(f'PRAGMA index_info("{index}")')]
            index_sql = connection.execute(SQL["index"], {"name": index}).fetchone()
            where = _WHERE.search(index_sql[0] or "") if index_sql else None
            reads += _both(f'"{table}" INDEXED BY "{index}" {where[0] if where else ""}', columns)
    return reads


def _both(source: str, columns: list[str]) -> list[str]:
    """The names come from the database's own schema, the condition from its own index."""
    return [
        f"SELECT 1 FROM {source} ORDER BY {', '.join(f'{column} {direction}' for column in columns)} LIMIT 1"  # noqa: S608
        for direction in ("ASC", "DESC")
    ]
