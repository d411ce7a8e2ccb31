"""Connections to one SQLite file: how they are set up, and what the rules ask of them. With synchronous=FULL a commit
is on disk when it returns: https://sqlite.org/wal.html.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from base64 import b64decode
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from nicobar.errors import StoreUnavailable, StoreUnusable
from nicobar.facts import address_in, customer_key_of, merged
from nicobar.store.file_owners import give_from_root
from nicobar.store.queries import load_queries
from nicobar.store.session import Row, Values
from nicobar.store.sqlite.functions import matches_any, regexp_replace

# "nbar": says whose file it is, https://sqlite.org/pragma.html#pragma_application_id.
APPLICATION_ID = 0x6E626172
MIN_SQLITE = (3, 35, 0)  # RETURNING
BUSY_MS = 10_000
PRIVATE_MODE = 0o600
JOURNAL_BYTES = 64 * 1024 * 1024
CACHED_STATEMENTS = 512  # the probe of every table and index has some 150

SQL = dict(load_queries("sqlite"))
_NO_VALUES: Values = {}
_LISTS = (list, tuple)
_encode = msgspec.json.Encoder().encode


def connect(path: Path, *, create: bool = True) -> sqlite3.Connection:
    """A connection set up as all are. Without `create` a missing file is an error, not a new database."""
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        raise StoreUnusable(
            "sqlite_too_old",
            f"This Python has SQLite {sqlite3.sqlite_version}.",
            f"Use a Python with SQLite {'.'.join(map(str, MIN_SQLITE))} or newer.",
        )
    if create:
        _make_private(path)
    # Each connection stays with one thread at a time; only `close` may come from another.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
        uri=True,
        timeout=BUSY_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=CACHED_STATEMENTS,
    )
    try:
        if create and not _size(path):
            # `nicobar compact` converts older files. In a file with content this would wait for other writers.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # What was deleted is overwritten, also in pages that are no longer used.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        connection.create_function("matches_any", -1, matches_any, deterministic=True)
        connection.create_function("regexp_replace", 4, regexp_replace, deterministic=True)
        connection.create_function("merge_facts", 2, merged, deterministic=True)
        connection.create_function("address_in_fact", 1, address_in, deterministic=True)
        connection.create_function("customer_of_fact", 1, customer_key_of, deterministic=True)
        connection.create_function("from_base64", 1, b64decode, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_private(path: Path) -> None:
    """Creates a missing database for this user alone, whatever the umask: SQLite gives the log and its index the mode
    of the database. Other users lose their access to an existing one, as earlier versions created it; a group keeps
    the access that it was given.
    """
    real = path.resolve()
    with contextlib.suppress(OSError):  # SQLite says what is wrong with the path
        handle = os.open(real, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
        give_from_root(handle, real.parent)
        os.close(handle)
    for file in (real, *(Path(f"{real}{suffix}") for suffix in ("-wal", "-shm", ".lock"))):
        with contextlib.suppress(OSError):  # there is none, or it belongs to another user
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & stat.S_IRWXO:
                file.chmod(mode & ~stat.S_IRWXO)


class SqliteSession:
    """`Session` over a connection with an open transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def rows(self, name: str, values: Values = _NO_VALUES) -> list[Row]:
        return self.connection.execute(SQL[name], _bound(values)).fetchall()

    def row(self, name: str, values: Values = _NO_VALUES) -> Row | None:
        # All of the rows: a statement that writes is done only when the last one was fetched.
        rows = self.rows(name, values)
        return rows[0] if rows else None

    def run(self, name: str, values: Values | Sequence[Values] = _NO_VALUES) -> int:
        if isinstance(values, Sequence):
            cursor = self.connection.executemany(SQL[name], [_bound(each) for each in values])
        else:
            cursor = self.connection.execute(SQL[name], _bound(values))
        changed = cursor.rowcount
        cursor.close()
        return changed

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        self.connection.execute("SAVEPOINT inner")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK TO inner")
                self.connection.execute("RELEASE inner")
            raise
        self.connection.execute("RELEASE inner")

    def lock(self, *endpoint_seqs: int, order_all: bool = False) -> bool:  # noqa: ARG002
        """There is one writer, and `append` puts in order."""
        return True


def _bound(values: Values) -> Values:
    """A list is handed over as JSON, which SQL reads with json_each(); bytes in it with from_base64()."""
    for value in values.values():
        if isinstance(value, _LISTS):
            return {
                name: _encode(item).decode() if isinstance(item, _LISTS) else item for name, item in values.items()
            }
    return values


class DatabaseFiles:
    """The files of a database that is open. SQLite goes on writing to a file that was deleted or replaced under its
    name, where the data cannot be found; SQLite itself compares device and inode for this with a rollback
    journal only (https://sqlite.org/rescode.html#readonly_dbmoved).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = [Path(f"{path.resolve()}{suffix}") for suffix in ("-wal", "-shm")]
        self._log = self._beside[0]
        self._known: dict[Path, tuple[int, int]] = {}
        self._note(path)

    def check(self) -> None:
        """Raises StoreUnavailable where a file is not the one that was opened."""
        for path, known in self._known.items():
            if _identity(path) != known:
                raise StoreUnavailable(
                    "database_replaced",
                    f"The database file {path.name} was deleted or replaced while Nicobar was running.",
                    "Stop Nicobar, put the database back with its -wal, or restore a backup (nicobar restore FILE "
                    "--force), and start it again.",
                )
        self.check_size(1)

    def check_size(self, wanted_bytes: int) -> None:
        """Raises StoreUnavailable where the file was cut: pages beyond its end can only be in the log. Only asks for
        the sizes, since closing the file would end the locks of this process: https://sqlite.org/howtocorrupt.html.
        """
        size = _size(self._path)
        if not size or size + _size(self._log) < wanted_bytes:
            raise StoreUnavailable(
                "database_truncated",
                f"The database file {self._path.name} was truncated or overwritten while Nicobar was running: it has "
                f"{size} bytes.",
                "Stop Nicobar, and restore a backup: nicobar restore FILE --force.",
            )

    def note_beside(self) -> None:
        """The write-ahead log and its index, once a connection of this process keeps others from deleting them."""
        for path in self._beside:
            self._note(path)

    def _note(self, path: Path) -> None:
        identity = None if path in self._known else _identity(path)
        if identity is not None:
            self._known = {**self._known, path: identity}


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - as below
    except OSError:
        return 0


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - twice in each commit; Path.stat takes twice as long
    except OSError:
        return None
    return status.st_dev, status.st_ino
