"""The space of deleted data: unused pages of the file, and the write-ahead log."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from nicobar.store.findings import Finding, Level
from nicobar.store.sqlite.connection import BUSY_MS, SQL, SqliteSession, connect
from nicobar.store.sqlite.lineage import check_log
from nicobar.store.sqlite.migrate import meaning

# One page in so many stays unused for new data: the deletions of a day make room for the events of a day.
KEPT_PART = 20
# https://sqlite.org/pragma.html#pragma_auto_vacuum
INCREMENTAL = 2
# The writer waits while the log is emptied, and that waits for readers.
CLEAR_WAIT_MS = 100
# Some seconds, during which nothing else is written.
MAX_REWRITTEN_BYTES = 256 * 1024 * 1024


def give_back_each(session: SqliteSession, steps: Sequence[int]) -> list[int]:
    return [_give_back(session.connection, max_pages) for max_pages in steps]


def _give_back(connection: sqlite3.Connection, max_pages: int) -> int:
    if not gives_back(connection):
        return 0
    pages, free, _ = connection.execute(SQL["page_counts"]).fetchone()
    count = max(0, min(max_pages, int(free) - int(pages - free) // KEPT_PART))
    for _ in range(count):
        # Python runs a statement without columns to its first page only.
        connection.execute("PRAGMA incremental_vacuum(1)").close()
    return count


def gives_back(connection: sqlite3.Connection) -> bool:
    """Whether the file can get smaller in steps."""
    (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    return bool(mode == INCREMENTAL)


def examine_space(path: Path) -> list[Finding]:
    """Raises StoreUnusable where the file cannot be read."""
    check_log(path)
    with meaning(path), contextlib.closing(connect(path, create=False)) as connection:
        if gives_back(connection):
            return []
    detail = "the file does not get smaller after data is deleted."
    return [Finding(name="disk space", level=Level.NOTE, detail=detail, fix="To convert it once: nicobar compact")]


def rewrite(connection: sqlite3.Connection) -> bool:
    """Rewrites the file, if it is small enough for writers to wait. Deleted rows are overwritten, but not the
    copies that rows leave in their page when they grow and it is split: those are in no row and in no free page.
    """
    pages, free, page_bytes = connection.execute(SQL["page_counts"]).fetchone()
    if (pages - free) * page_bytes > MAX_REWRITTEN_BYTES:
        return False
    connection.execute("VACUUM")
    return True


def clear_log(connection: sqlite3.Connection) -> bool:
    """Writes the log back and empties it; most of that without blocking the writer."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    connection.execute(f"PRAGMA busy_timeout = {CLEAR_WAIT_MS:d}")
    try:
        (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS:d}")
    return not is_busy
