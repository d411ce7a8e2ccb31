"""Searching everything that a SQLite file has, also what is deleted."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from nicobar.errors import StoreUnavailable
from nicobar.store.copy import TableSql
from nicobar.store.erasure import KeptBackup, Place, pattern_of
from nicobar.store.sqlite import file_search
from nicobar.store.sqlite.connection import APPLICATION_ID
from nicobar.store.sqlite.functions import forget_pattern

MAX_SEARCH_S = 600
# https://www.sqlite.org/fileformat2.html#the_database_header
HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_SQL = TableSql("sqlite")


def tables_with(connection: sqlite3.Connection, values: Sequence[str], *, exactly: bool) -> tuple[Place, ...]:
    columns: dict[str, list[str]] = {}
    for table, column, _ in connection.execute(_SQL.compose("columns")):
        columns.setdefault(table, []).append(f'"{column}"')
    given = {"pattern": pattern_of(values, exactly=exactly)}
    found = []
    try:
        for table, names in columns.items():
            counted = _SQL.compose("count_holding", table=f'"{table}"', columns=", ".join(names))
            (count,) = connection.execute(counted, given).fetchone()
            found.append(Place(name=table, count=count))
    finally:
        forget_pattern()
    return tuple(place for place in found if place.count)


def files_with(path: Path, values: Sequence[str]) -> tuple[Place, ...]:
    """By another process: closing a database's file would end the locks that this process has on it
    (https://sqlite.org/howtocorrupt.html). Raises StoreUnavailable.
    """
    real = path.resolve()
    files = [str(file) for file in (real, Path(f"{real}-wal"), Path(f"{real}-journal")) if file.exists()]
    asked = msgspec.json.encode(
        {"files": files, "values": [value.encode("utf-8", "surrogatepass").hex() for value in values]}
    )
    try:
        done = subprocess.run(  # noqa: S603 - this Python, with a file of this package
            [sys.executable, "-I", str(file_search.__file__)],
            input=asked,
            capture_output=True,
            timeout=MAX_SEARCH_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreUnavailable(
            "files_not_searched",
            f"The database files could not be searched: {type(error).__name__}.",
            "Repeat the deletion, and see the log if it fails again.",
        ) from None
    counts = msgspec.json.decode(done.stdout, type=dict[str, int])
    return tuple(Place(name=Path(name).name, count=count) for name, count in counts.items() if count)


def copies_beside(path: Path) -> tuple[KeptBackup, ...]:
    """Backups that were not listed, and what a restore has set aside. The database itself is not opened."""
    real = path.resolve()
    found = []
    for file in real.parent.iterdir():
        if not file.is_file() or file.samefile(real):
            continue
        with file.open("rb") as opened:
            header = opened.read(HEADER_BYTES)
        if header.startswith(_MAGIC) and header[68:72] == APPLICATION_ID.to_bytes(4, "big"):
            found.append(KeptBackup(path=str(file), taken_at_ms=int(file.stat().st_mtime * 1000)))
    return tuple(found)
