"""One SQLite file: its connections, its writer thread and its readers. With synchronous=FULL a commit is on disk when
it returns: https://sqlite.org/wal.html.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from nicobar.errors import ConfigurationError, NicobarError, StoreUnavailable, StoreUnusable
from nicobar.ids import IdFactory
from nicobar.store.bodies import holds
from nicobar.store.catalogue import Audited
from nicobar.store.group_commit import GroupCommit
from nicobar.store.installation import Installation, KeyHolder, Sealed
from nicobar.store.migrations import load_migrations, pending
from nicobar.store.queries import load_queries

# "nbar": says whose file it is, https://sqlite.org/pragma.html#pragma_application_id.
APPLICATION_ID = 0x6E626172
MIN_SQLITE = (3, 35, 0)  # RETURNING
BUSY_MS = 10_000
JOURNAL_BYTES = 64 * 1024 * 1024
MAX_READERS = 4
PAGE_BYTES = 4096
CACHED_STATEMENTS = 512  # the probe of every table and index has some 150
DEFAULT_APPLICATION = "default"

REFUSAL_REMEMBERED_MS = 10_000
_DAMAGED = (
    "Stop nicobar and restore a backup, or recover what can be read with the command .recover of the sqlite3 tool; "
    "nicobar doctor lists the damage."
)
_FIXES = {
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_BUSY: "Another process holds the database's write lock. Stop it, or let it end its transaction.",
    sqlite3.SQLITE_FULL: "Free space on the disk.",
    sqlite3.SQLITE_IOERR: "Check the disk's free space, its mount and the system's log.",
}

_CODES = {
    sqlite3.SQLITE_CORRUPT: "store_damaged",
    sqlite3.SQLITE_NOTADB: "store_damaged",
    sqlite3.SQLITE_BUSY: "store_locked",
}

T = TypeVar("T")
SQL = load_queries("sqlite")
_PATH = msgspec.json.Decoder(tuple[str, ...])


class Database:
    """All writes, claims too, go through one thread; reads through a few others, each with a connection of its
    own, and those that may read everything through one more.
    """

    def __init__(self, path: Path, *, max_waiting: int) -> None:
        self._path = path
        self.files = DatabaseFiles(path)
        self.errors = Errors()
        self._session = _Session(path, self.files, self.errors)
        self._writer = GroupCommit(self._session, max_waiting=max_waiting)
        self._readers = ThreadPoolExecutor(max_workers=MAX_READERS, thread_name_prefix="nicobar-reader")
        self._surveyor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nicobar-surveyor")
        self._prober = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nicobar-prober")
        self._own = threading.local()
        self._open: list[sqlite3.Connection] = []

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs the work in the writer; returns after the commit."""
        return await self._writer.submit(work)

    async def read(self, name: str, parameters: Mapping[str, object] | None = None) -> list[sqlite3.Row]:
        """The rows of a named query. Raises StoreUnavailable."""
        return await self.look(lambda connection: connection.execute(SQL[name], parameters or {}).fetchall())

    async def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs work that only reads. Raises StoreUnavailable."""
        return await self._run(self._readers, work)

    async def look_at_one_moment(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same for work of several queries, which all see the database as of one moment."""

        def run(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

        return await self.look(run)

    async def survey(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same for work that may read all there is: one at a time, and no reader waits for it."""
        return await self._run(self._surveyor, work)

    async def probe(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same for a short look that has to begin at once, whatever the readers are doing."""
        return await self._run(self._prober, work)

    @property
    def waits_for_lock_ms(self) -> int | None:
        """For how long the writer has been waiting for another process to end its write; None while it is not."""
        since_s = self._session.waits_since_s
        return None if since_s is None else int((time.monotonic() - since_s) * 1000)

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            try:
                return work(self._connection())
            except sqlite3.Error as error:
                raise self.errors.note(error) from error

        try:
            return await asyncio.get_running_loop().run_in_executor(threads, run)
        except RuntimeError as error:
            raise StoreUnavailable("store_closed", "The store is closed.", "Start Nicobar again.") from error

    async def close(self) -> None:
        await self._writer.close()
        await asyncio.to_thread(self._prober.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._surveyor.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._open:
            connection.close()
        self._open.clear()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            self.files.check()
            connection = self._own.connection = connect(self._path, create=False)
            self._open.append(connection)
        return connection


def apply_migrations(path: Path, now_ms: int, keys: KeyHolder | None = None) -> list[str]:
    """Brings the database up to date, and stores which key it belongs to; returns the names of what was applied. It
    leaves the database as it was where it raises StoreUnusable.
    """
    if keys is not None:
        keys.check_files()
    with _unusable(path), contextlib.closing(connect(path)) as connection:
        _check_owner(connection, path)
        connection.execute("BEGIN EXCLUSIVE")
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations "
            "(number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at_ms INTEGER NOT NULL)"
        )
        todo = pending(load_migrations(), connection.execute("SELECT number, sha256 FROM migrations").fetchall())
        for migration in todo:
            for statement in _statements(migration.sql):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO migrations VALUES (?, ?, ?, ?)",
                (migration.number, migration.name, migration.sha256, now_ms),
            )
        if todo:
            connection.execute(SQL["add_application"], _new_application(now_ms))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        if keys is not None:
            _bind(connection, keys, is_new=not tables)
        connection.execute("COMMIT")
        return [f"{migration.number:04}_{migration.name}" for migration in todo]


def find_damage(path: Path, *, limit: int) -> list[str]:
    """What SQLite's quick check finds wrong with the file, at most `limit` problems; it reads all of it, and creates
    nothing. Raises StoreUnusable where the file cannot be opened.
    """
    with _unusable(path), contextlib.closing(connect(path, create=False)) as connection:
        try:
            found = [str(text) for (text,) in connection.execute(f"PRAGMA quick_check({limit:d})")]
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            return [str(error)]
        return [] if found == ["ok"] else found


def connect(path: Path, *, create: bool = True) -> sqlite3.Connection:
    """A connection set up as all are. Without `create` a missing file is an error, not a new database."""
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        raise StoreUnusable(
            "sqlite_too_old",
            f"This Python has SQLite {sqlite3.sqlite_version}.",
            f"Use a Python with SQLite {'.'.join(map(str, MIN_SQLITE))} or newer.",
        )
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
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # What was expunged is overwritten, where that costs no further page.
        connection.execute("PRAGMA secure_delete = FAST")
        connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        connection.create_function("holds", 3, _holds, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def _holds(body: bytes, path: str, value: str) -> bool:
    return holds(body, _PATH.decode(path), value)


def unavailable(error: sqlite3.Error) -> NicobarError:
    """What an error of the database means to whoever asked."""
    if isinstance(error, sqlite3.IntegrityError):
        return ConfigurationError(
            "conflict", f"The change conflicts with what is there: {error}.", "Choose another name or token."
        )
    code = _CODES.get(_primary_code(error), "store_unavailable")
    return StoreUnavailable(code, f"The database reported: {error}.", _fix_for(error))


def _primary_code(error: sqlite3.Error) -> int:
    """SQLite's own code without what is added to it; 0 for an error of Python's module:
    https://sqlite.org/rescode.html#primary_result_codes_versus_extended_result_codes.
    """
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_damage(error: sqlite3.Error) -> bool:
    return _primary_code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _fix_for(error: sqlite3.Error) -> str:
    return _FIXES.get(_primary_code(error), "Check the disk's free space and its mount.")


class Errors:
    """What the connections met that outlives one call. Written by any thread, one reference at a time."""

    def __init__(self) -> None:
        self.damage: NicobarError | None = None
        self._refused: tuple[float, StoreUnavailable] | None = None

    def note(self, error: sqlite3.Error) -> NicobarError:
        """What the error means. Damage is remembered until the process ends: it does not heal."""
        meaning = unavailable(error)
        if _is_damage(error):
            self.damage = meaning
        return meaning

    def note_append(self, error: StoreUnavailable | None) -> None:
        """An event was stored, or was not."""
        # A lock or a replaced file is met by the next check, too; a disk that is nearly full may not be.
        kept = error is not None and error.code == "store_unavailable"
        self._refused = (time.monotonic(), error) if error is not None and kept else None

    @property
    def append_refused(self) -> StoreUnavailable | None:
        """Why the latest event could not be stored, for `REFUSAL_REMEMBERED_MS`."""
        refused = self._refused
        if refused is None or (time.monotonic() - refused[0]) * 1000 > REFUSAL_REMEMBERED_MS:
            return None
        return refused[1]


class DatabaseFiles:
    """The files of a database that is open. SQLite goes on writing to a file that was deleted or replaced under its
    name, where nobody finds what was written; SQLite itself compares device and inode for this with a rollback
    journal only (https://sqlite.org/rescode.html#readonly_dbmoved).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = [Path(f"{path.resolve()}{suffix}") for suffix in ("-wal", "-shm")]
        self._known: dict[Path, tuple[int, int]] = {}
        self._note(path)

    def check(self) -> None:
        """Raises StoreUnavailable where a file is not the one that was opened."""
        for path, known in self._known.items():
            if _identity(path) != known:
                raise StoreUnavailable(
                    "database_replaced",
                    f"The database file {path.name} was deleted or replaced while nicobar was running.",
                    "Stop nicobar, put the right files in place (the database with its -wal, or a backup), and start "
                    "it again.",
                )

    def note_beside(self) -> None:
        """The write-ahead log and its index, once a connection of this process keeps others from deleting them."""
        for path in self._beside:
            self._note(path)

    def _note(self, path: Path) -> None:
        identity = None if path in self._known else _identity(path)
        if identity is not None:
            self._known = {**self._known, path: identity}


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - twice in each commit; Path.stat takes twice as long
    except OSError:
        return None
    return status.st_dev, status.st_ino


def json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def write_audit_line(connection: sqlite3.Connection, audit_line: Audited | None, detail: str | None = None) -> None:
    """Puts a line into the audit log, with this detail instead of its own where one is given."""
    if audit_line is not None:
        line = audit_line if detail is None else msgspec.structs.replace(audit_line, detail=detail)
        connection.execute(SQL["add_audit"], msgspec.structs.asdict(line))


class _Session:
    """The writer's connection, made when the first work comes, so that a failure reaches whoever handed it in."""

    def __init__(self, path: Path, files: DatabaseFiles, errors: Errors) -> None:
        self._path = path
        self._files = files
        self._errors = errors
        self._connection: sqlite3.Connection | None = None
        self.waits_since_s: float | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._path, create=False)
        return self._connection

    def begin(self) -> None:
        self._files.check()
        self.waits_since_s = time.monotonic()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        finally:
            self.waits_since_s = None
        self._files.note_beside()

    def alone(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.connection.execute("SAVEPOINT one")
        try:
            result = work(self.connection)
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK TO one")
                self.connection.execute("RELEASE one")
            raise
        self.connection.execute("RELEASE one")
        return result

    def commit(self) -> None:
        self.connection.execute("COMMIT")
        # What was just written to a file that nobody can open any more is not stored.
        self._files.check()

    def rollback(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def translate(self, error: Exception) -> NicobarError | None:
        if isinstance(error, sqlite3.Error):
            return self._errors.note(error)
        return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _check_owner(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreUnusable for another program's database, before anything of it is touched."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    if tables and owner != APPLICATION_ID:
        raise StoreUnusable(
            "not_ours", f"{path} is the SQLite database of another program.", "Name another data directory."
        )


@contextlib.contextmanager
def _unusable(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _unusable_for(path, error) from error


def _unusable_for(path: Path, error: sqlite3.DatabaseError) -> StoreUnusable:
    code = _primary_code(error)
    if code == sqlite3.SQLITE_NOTADB:
        return StoreUnusable(
            "not_a_database",
            f"{path} is not a SQLite database: {error}.",
            "Name another data directory, or restore the file from a backup.",
        )
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreUnusable("database_damaged", f"The database {path} is damaged: {error}.", _FIXES[code])
    return StoreUnusable(
        "not_writable",
        f"The database {path} cannot be opened for writing: {error}.",
        _FIXES[sqlite3.SQLITE_FULL]
        if _is_full(path.parent)
        else _FIXES.get(code, "Give the user that runs nicobar read and write access to the data directory."),
    )


def _is_full(directory: Path) -> bool:
    """Whether that is why a file could not be created, which SQLite does not tell apart from other reasons."""
    try:
        return shutil.disk_usage(directory).free < PAGE_BYTES
    except OSError:
        return False


def _bind(connection: sqlite3.Connection, keys: KeyHolder, *, is_new: bool) -> None:
    row = connection.execute(SQL["installation"]).fetchone()
    known = None if row is None else Installation(id=row[0], key_id=row[1])
    sealed = [] if known else [Sealed(purpose=row[0], content=row[1]) for row in connection.execute(SQL["sealed"])]
    kept = keys.bind(known, is_new=is_new, sealed=sealed)
    if known is None:
        connection.execute(SQL["add_installation"], msgspec.structs.asdict(kept))


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; `executescript` would commit in between."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _new_application(now_ms: int) -> dict[str, str]:
    return {"id": IdFactory(lambda: now_ms).new("app"), "uid": DEFAULT_APPLICATION}
