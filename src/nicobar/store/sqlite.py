"""A store in one SQLite file. With synchronous=FULL a commit is on disk when it returns: https://sqlite.org/wal.html."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, assert_never

import msgspec

from nicobar.errors import ConfigurationError, NicobarError, StoreUnavailable, StoreUnusable
from nicobar.ids import IdFactory
from nicobar.model import (
    Application,
    Attempt,
    Delivery,
    DeliveryState,
    Endpoint,
    EventType,
    Message,
    Setting,
    Source,
    Token,
    Transformation,
)
from nicobar.store import (
    AddTransformation,
    Appended,
    Backlog,
    Change,
    Claimed,
    Finished,
    NewMessage,
    PauseEndpoint,
    PutEndpoint,
    PutEventType,
    PutSource,
    PutToken,
    RemoveEndpoint,
    RemoveSource,
    Snapshot,
)
from nicobar.store.group_commit import MAX_WAITING, GroupCommit
from nicobar.store.migrations import load_migrations, pending
from nicobar.store.queries import load_queries

# "nbar": says whose file it is, https://sqlite.org/pragma.html#pragma_application_id.
APPLICATION_ID = 0x6E626172
MIN_SQLITE = (3, 35, 0)  # RETURNING
BUSY_MS = 10_000
JOURNAL_BYTES = 64 * 1024 * 1024
DEFAULT_APPLICATION = "default"

T = TypeVar("T")
_SQL = load_queries("sqlite")
_TEXTS = msgspec.json.Decoder(tuple[str, ...])
_TEXT_MAP = msgspec.json.Decoder(dict[str, str])
_SETTINGS = msgspec.json.Decoder(dict[str, Setting])
_ATTEMPT = msgspec.msgpack.Decoder(Attempt)
_EVENT_TYPE = msgspec.json.Decoder(EventType)


def apply_migrations(path: Path, now_ms: int) -> list[str]:
    """Brings the database up to date; returns the names of what was applied. Raises StoreUnusable."""
    with _unusable(path), contextlib.closing(_connect(path)) as connection:
        _check_owner(connection, path)
        connection.execute("BEGIN EXCLUSIVE")
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
            connection.execute(_SQL["add_application"], _new_application(now_ms))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
        return [f"{migration.number:04}_{migration.name}" for migration in todo]


class SqliteStore:
    """`Store` over one file. All writes, claims too, go through one thread; reads through another."""

    def __init__(self, path: Path, *, max_waiting: int = MAX_WAITING) -> None:
        self._session = _Session(path)
        self._writer = GroupCommit(self._session, max_waiting=max_waiting)
        self._readers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nicobar-reader")
        self._path = path
        self._reader: sqlite3.Connection | None = None

    @classmethod
    async def open(cls, path: Path, *, now_ms: int, max_waiting: int = MAX_WAITING) -> SqliteStore:
        """Opens the database, made and brought up to date where needed. Raises StoreUnusable."""
        await asyncio.to_thread(apply_migrations, path, now_ms)
        return cls(path, max_waiting=max_waiting)

    # --- the queue ---

    async def append(self, message: NewMessage) -> Appended:
        return await self._writer.submit(lambda connection: _append(connection, message))

    async def claim(
        self, endpoint_seq: int, *, now_ms: int, limit: int, max_bytes: int, lease_ms: int
    ) -> list[Claimed]:
        return await self._writer.submit(
            lambda connection: _claim(connection, endpoint_seq, now_ms, limit, max_bytes, now_ms + lease_ms)
        )

    async def record(self, finished: Sequence[Finished]) -> int:
        return await self._writer.submit(lambda connection: sum([_record(connection, one) for one in finished]))

    async def next_due_at_ms(self, endpoint_seq: int) -> int | None:
        rows = await self._read("next_due", {"endpoint_seq": endpoint_seq})
        return rows[0][0] if rows else None

    async def release_leases(self) -> int:
        return await self._writer.submit(lambda connection: connection.execute(_SQL["release_leases"]).rowcount)

    async def backlog(self) -> list[Backlog]:
        rows = await self._read("backlog", {})
        return [
            Backlog(endpoint_seq=seq, unfinished=unfinished, oldest_accepted_at_ms=oldest)
            for seq, unfinished, oldest in rows
        ]

    # --- the catalogue ---

    async def version(self) -> int:
        return int((await self._read("catalogue_version", {}))[0][0])

    async def snapshot(self) -> Snapshot:
        return await self._writer.submit(_snapshot)

    async def change(self, changes: Sequence[Change]) -> int:
        return await self._writer.submit(lambda connection: _change_all(connection, changes))

    async def tokens(self) -> list[Token]:
        rows = await self._read("tokens", {})
        return [Token(name=row[0], sha256=row[1], created_at_ms=row[2], revoked_at_ms=row[3]) for row in rows]

    async def message(self, message_id: str) -> Message | None:
        rows = await self._read("message", {"id": message_id})
        return _message(rows[0]) if rows else None

    async def deliveries(self, message_id: str) -> list[Delivery]:
        rows = await self._read("deliveries", {"message_id": message_id})
        return [
            Delivery(
                message_id=row[0],
                endpoint_id=row[1],
                state=DeliveryState(row[2]),
                tries=row[3],
                due_at_ms=row[4],
                reason=row[5],
            )
            for row in rows
        ]

    async def attempts(self, message_id: str, endpoint_id: str) -> list[Attempt]:
        rows = await self._read("attempts", {"message_id": message_id, "endpoint_id": endpoint_id})
        return [_ATTEMPT.decode(row[0]) for row in rows]

    async def check(self) -> None:
        # A row that is written and stays as it is still needs the file, the lock and the disk.
        await self._writer.submit(lambda connection: connection.execute("UPDATE catalogue SET version = version"))

    async def close(self) -> None:
        await self._writer.close()
        await asyncio.to_thread(self._readers.shutdown)
        if self._reader is not None:
            self._reader.close()

    async def _read(self, name: str, parameters: dict[str, object]) -> list[sqlite3.Row]:
        def read() -> list[sqlite3.Row]:
            try:
                if self._reader is None:
                    self._reader = _connect(self._path)
                rows: list[sqlite3.Row] = self._reader.execute(_SQL[name], parameters).fetchall()
            except sqlite3.Error as error:
                raise _unavailable(error) from error
            return rows

        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, read)
        except RuntimeError as error:
            raise StoreUnavailable("store_closed", "The store is closed.", "Start Nicobar again.") from error


class _Session:
    """The writer's connection, made when the first work comes, so that a failure reaches whoever handed it in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self._path)
        return self._connection

    def begin(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

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

    def rollback(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def translate(self, error: Exception) -> NicobarError | None:
        if isinstance(error, sqlite3.Error):
            return _unavailable(error)
        return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        raise StoreUnusable(
            "sqlite_too_old",
            f"This Python has SQLite {sqlite3.sqlite_version}.",
            f"Use a Python with SQLite {'.'.join(map(str, MIN_SQLITE))} or newer.",
        )
    # Each connection stays with one thread at a time; only `close` may come from another.
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


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
    except sqlite3.OperationalError as error:
        raise StoreUnusable(
            "not_writable",
            f"The database {path} cannot be opened for writing: {error}.",
            "Give the user that runs nicobar read and write access to the data directory.",
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreUnusable(
            "not_a_database",
            f"{path} is not a SQLite database: {error}.",
            "Name another data directory, or a backup.",
        ) from error


def _unavailable(error: sqlite3.Error) -> NicobarError:
    if isinstance(error, sqlite3.IntegrityError):
        return ConfigurationError(
            "conflict", f"The change conflicts with what is there: {error}.", "Choose another name or token."
        )
    return StoreUnavailable(
        "store_unavailable", f"The database refused: {error}.", "Check the disk's free space and its mount."
    )


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


# --- what runs in the writer ---


def _append(connection: sqlite3.Connection, message: NewMessage) -> Appended:
    values = msgspec.structs.asdict(message)
    endpoint_seqs = values.pop("endpoint_seqs")
    row = connection.execute(_SQL["add_message"], values).fetchone()
    if row is None:
        event = {"app_id": message.app_id, "event_id": message.event_id}
        first_id, source_id, body = connection.execute(_SQL["find_event"], event).fetchone()
        other = source_id != message.source_id and body != message.body
        return Appended(message_id=first_id, duplicate=True, taken=other)
    for endpoint_seq in endpoint_seqs:
        connection.execute(
            _SQL["add_delivery"],
            {
                "message_seq": row[0],
                "endpoint_seq": endpoint_seq,
                "customer_key": message.customer_key,
                "now_ms": message.accepted_at_ms,
            },
        )
    return Appended(message_id=message.id, duplicate=False)


def _claim(  # noqa: PLR0917 - what the protocol's `claim` names, in its order
    connection: sqlite3.Connection, endpoint_seq: int, now_ms: int, limit: int, max_bytes: int, ends_at_ms: int
) -> list[Claimed]:
    claimed: list[Claimed] = []
    size_bytes = 0
    rows = connection.execute(
        _SQL["due_deliveries"], {"endpoint_seq": endpoint_seq, "now_ms": now_ms, "limit": limit}
    )
    for row in rows:
        message = _message(row)
        size_bytes += len(message.body)
        if claimed and size_bytes > max_bytes:
            break
        claimed.append(Claimed(message=message, endpoint_seq=endpoint_seq, lease=row[11] + 1, tries=row[10]))
    rows.close()
    for one in claimed:
        connection.execute(
            _SQL["lease_delivery"],
            {"message_seq": one.message.seq, "endpoint_seq": endpoint_seq, "ends_at_ms": ends_at_ms},
        )
    return claimed


def _record(connection: sqlite3.Connection, one: Finished) -> int:
    if one.attempt is not None:
        connection.execute(
            _SQL["add_attempt"],
            {
                "id": one.attempt.id,
                "message_seq": one.message_seq,
                "endpoint_seq": one.endpoint_seq,
                "content": msgspec.msgpack.encode(one.attempt),
            },
        )
    pending_again = one.state is DeliveryState.PENDING
    row = connection.execute(
        _SQL["move_delivery"],
        {
            "message_seq": one.message_seq,
            "endpoint_seq": one.endpoint_seq,
            "lease": one.lease,
            "state": one.state.value,
            "spent": int(one.spent),
            "due_at_ms": one.due_at_ms if pending_again else None,
            "reason": one.reason,
        },
    ).fetchone()
    if row is None:
        return 0
    if not pending_again and row[0] is not None:
        connection.execute(
            _SQL["free_next"],
            {"endpoint_seq": one.endpoint_seq, "customer_key": row[0], "now_ms": one.ended_at_ms},
        )
    return 1


def _message(row: Sequence[object]) -> Message:
    fields = ("seq", "id", "app_id", "source_id", "event_id", "event_type", "customer_key")
    times = ("occurred_at_ms", "accepted_at_ms", "body")
    return msgspec.convert(dict(zip(fields + times, row, strict=False)), Message)


def _snapshot(connection: sqlite3.Connection) -> Snapshot:
    (version,) = connection.execute(_SQL["catalogue_version"]).fetchone()
    return Snapshot(
        version=version,
        applications=tuple(Application(id=row[0], uid=row[1]) for row in connection.execute(_SQL["applications"])),
        sources=tuple(
            Source(
                id=row[0],
                app_id=row[1],
                name=row[2],
                kind=row[3],
                token=row[4],
                sealed_secrets=row[5],
                secret_references=_TEXTS.decode(row[6]),
            )
            for row in connection.execute(_SQL["sources"])
        ),
        endpoints=tuple(_endpoint(row) for row in connection.execute(_SQL["endpoints"])),
        event_types=tuple(_EVENT_TYPE.decode(row[0]) for row in connection.execute(_SQL["event_types"])),
    )


def _endpoint(row: sqlite3.Row) -> Endpoint:
    return Endpoint(
        seq=row[0],
        id=row[1],
        app_id=row[2],
        name=row[3],
        connector=row[4],
        settings=_SETTINGS.decode(row[5]),
        sealed_credentials=row[6],
        credential_references=_TEXT_MAP.decode(row[7]),
        event_types=_TEXTS.decode(row[8]),
        variables=_TEXT_MAP.decode(row[9]),
        disabled=bool(row[10]),
        paused_reason=row[11],
        transformation=None if row[12] is None else Transformation(version=row[12], code=row[13]),
    )


def _change_all(connection: sqlite3.Connection, changes: Sequence[Change]) -> int:
    for change in changes:
        _change(connection, change)
    (version,) = connection.execute(_SQL["next_catalogue_version"]).fetchone()
    return int(version)


def _change(connection: sqlite3.Connection, change: Change) -> None:  # noqa: C901 - a branch for each kind of change
    def run(query: str, /, **parameters: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = connection.execute(_SQL[query], parameters).fetchone()
        return row

    match change:
        case PutSource(source=source):
            values = msgspec.structs.asdict(source)
            run("put_source", **values | {"secret_references": _json(source.secret_references)})
        case RemoveSource(source_id=source_id):
            run("remove_source", id=source_id)
        case PutEndpoint():
            values = msgspec.structs.asdict(change)
            for name in ("settings", "credential_references", "event_types", "variables"):
                values[name] = _json(values[name])
            run("put_endpoint", **values)
        case RemoveEndpoint(endpoint_id=endpoint_id):
            (seq,) = _existing(run("remove_endpoint", id=endpoint_id), endpoint_id)
            run("cancel_unfinished", endpoint_seq=seq, reason="endpoint removed")
        case AddTransformation(endpoint_id=endpoint_id, code=code, created_at_ms=created_at_ms):
            _existing(run("add_transformation", id=endpoint_id, code=code, created_at_ms=created_at_ms), endpoint_id)
        case PauseEndpoint(endpoint_id=endpoint_id, reason=reason):
            _existing(run("pause_endpoint", id=endpoint_id, reason=reason), endpoint_id)
        case PutEventType(app_id=app_id, event_type=event_type):
            run("put_event_type", app_id=app_id, name=event_type.name, content=_json(event_type))
        case PutToken(token=token):
            run("put_token", **msgspec.structs.asdict(token))
        case _:
            assert_never(change)


def _existing(row: sqlite3.Row | None, endpoint_id: str) -> sqlite3.Row:
    if row is None:
        raise ConfigurationError(
            "endpoint_unknown", f"There is no endpoint {endpoint_id}.", "It may have been removed meanwhile."
        )
    return row


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
