"""Which key belongs to which database. A key is created together with its database and never replaced: without it the
stored secrets cannot be read.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from nicobar.crypto import Vault, new_key, read_key
from nicobar.errors import StoreMoving, StoreUnusable
from nicobar.ids import IdFactory
from nicobar.model import Record
from nicobar.open_files import AT_LIMIT, RAISE_LIMIT
from nicobar.store.copy import Move, MoveState
from nicobar.store.migrations import Plan
from nicobar.store.session import Session

# Opening a database includes its migrations, which rewrite tables.
OPENING_TIMEOUT_MS = 60_000
_OPENING_POLL_MS = 20
DEFAULT_APPLICATION = "default"
# The migration since which a database knows that its data is moving.
MOVES_MIGRATION = 11
# A key of which no database knows yet.
NEW_SUFFIX = ".new"


class Installation(Record):
    """What a database stores about itself. `key_id` names the key of its secrets."""

    id: str
    key_id: str


class Sealed(Record):
    """A sealed secret and what it is for, as `Vault.unseal` needs both."""

    purpose: str
    content: bytes


class KeyHolder:
    """Finds the key of a database that is being opened, or creates both. Used inside `opening`.

    A new key is `secret.key.new` until the database that knows it is on disk, so that a process that dies in between
    leaves neither a key without a database nor a database without a key.
    """

    def __init__(
        self, *, key_path: Path, secret_key: str, database: str, new_installation: bool, now_ms: int
    ) -> None:
        self._key_path = key_path
        self._new_path = key_path.with_name(key_path.name + NEW_SUFFIX)
        self._secret_key = secret_key
        self._database = database
        self._new_installation = new_installation
        self._now_ms = now_ms
        self._vault: Vault | None = None

    def check_missing(self) -> None:
        """For a database that is missing or empty, before it is touched: raises StoreUnusable if there is a key."""
        if self._known_key() is not None:
            self._check_new()

    def bind(
        self, known: Installation | None, *, is_new: bool, sealed: Sequence[Sealed], may_create: bool
    ) -> Installation:
        """The installation that the database is to store. `known` is what it stores already, `is_new` says that it
        had no tables, `sealed` are its secrets. Raises StoreUnusable where the key is missing or another one.
        """
        key = self._known_key()
        if key is not None and is_new:
            self._check_new()
        if key is None:
            key = read_key_file(self._new_path)
            if key is not None and not _fits(Vault(key), known, sealed):
                key = None
        elif not _fits(Vault(key), known, sealed):
            raise self._foreign(Vault(key), known)
        if key is None:
            if known is not None or sealed:
                raise self._missing()
            if not may_create:
                raise self._none()
            key = self._create()
        self._vault = Vault(key)
        return known or Installation(id=IdFactory(lambda: self._now_ms).new("inst"), key_id=self._vault.key_id)

    def settle(self) -> Vault:
        """The key, once the database that knows it is on disk."""
        if self._vault is None:
            raise StoreUnusable("key_unknown", "The database was opened without its key.", "Report this as a bug.")
        if self._known_key() is None:
            with self._creating():
                self._new_path.rename(self._key_path)
                sync_directory(self._key_path.parent)
        return self._vault

    def _known_key(self) -> bytes | None:
        return find_key(self._key_path, self._secret_key)

    def _check_new(self) -> None:
        if not self._new_installation:
            raise StoreUnusable(
                "database_missing",
                f"There is a key ({self._where}) and no database: {self._database} is missing or empty.",
                "Restore the database from the backup, or correct data_dir or database_url. To begin a new, empty "
                "installation with this key, add --new-installation.",
            )

    @property
    def _where(self) -> str:
        return "the setting secret_key" if self._secret_key else str(self._key_path)

    def _missing(self) -> StoreUnusable:
        return StoreUnusable(
            "key_missing",
            f"The key of the database {self._database} is missing: there is no file {self._key_path}, and the "
            "setting secret_key is empty.",
            "Restore secret.key from the backup of this installation, or set NICOBAR_SECRET_KEY to its content; no "
            "other key can read the stored secrets.",
        )

    def _none(self) -> StoreUnusable:
        return StoreUnusable(
            "key_missing",
            f"The database {self._database} is empty, and there is no key: no file {self._key_path}, and the setting "
            "secret_key is empty.",
            "All processes of a database need the same key. Set NICOBAR_SECRET_KEY to 64 random hexadecimal digits "
            "(`openssl rand -hex 32`), and add --new-installation once.",
        )

    def _foreign(self, vault: Vault, known: Installation | None) -> StoreUnusable:
        ids = f" It has the id {vault.key_id}; the database needs {known.key_id}." if known else ""
        return StoreUnusable(
            "key_foreign",
            f"The key in {self._where} is not the key of the database {self._database}.{ids}",
            f"Restore secret.key from the backup of this installation ({self._key_path}, or the setting "
            "NICOBAR_SECRET_KEY), or correct data_dir or database_url.",
        )

    def _create(self) -> bytes:
        """A new key, whole and on disk before any process can see it."""
        key = new_key()
        with self._creating():
            handle, name = tempfile.mkstemp(prefix=f"{self._new_path.name}.", dir=self._key_path.parent)  # 0600
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(key.hex().encode())
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).rename(self._new_path)
            except OSError:
                Path(name).unlink()
                raise
            sync_directory(self._key_path.parent)
        return key

    @contextlib.contextmanager
    def _creating(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnusable(
                "key_file_unusable",
                f"The key file {self._key_path} cannot be created: {error.strerror}.",
                fix_for(error, "Give the user that runs Nicobar write access to the data directory."),
            ) from error


def bind(session: Session, keys: KeyHolder, *, is_new: bool, may_create: bool) -> None:
    """Makes sure that the database belongs to the key, and stores that in it; a key is created only where it may be.
    Raises StoreUnusable.
    """
    row = session.row("installation")
    known = None if row is None else Installation(id=row[0], key_id=row[1])
    sealed = [] if known else [Sealed(purpose=row[0], content=row[1]) for row in session.rows("sealed")]
    bound = keys.bind(known, is_new=is_new, sealed=sealed, may_create=may_create)
    if known is None:
        session.run("add_installation", {"id": bound.id, "key_id": bound.key_id})


def check_not_moved(session: Session, planned: Plan) -> None:
    """Raises StoreUnusable for a database whose data was moved away, and for one that is not a complete copy yet.
    Goes before the migrations, which such a database may reject.
    """
    if any(item.number <= MOVES_MIGRATION for item in planned.todo):
        return
    move = read_move(session)
    if move is not None and move.state is MoveState.MOVED:
        at = datetime.fromtimestamp(move.changed_at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%MZ")
        raise StoreUnusable(
            "database_moved",
            f"The data of this database was moved to {move.place} at {at}.",
            "Use that database: set database_url, or --database-url, to its URL.",
        )
    if move is not None and move.state is MoveState.FILLING:
        raise StoreUnusable(
            "database_incomplete",
            f"This database is an incomplete copy of {move.place}.",
            "Complete it with `nicobar copy --switch`, or use the other database.",
        )


def read_move(session: Session, *, to_change: bool = False) -> Move | None:
    row = session.row("move_to_change" if to_change else "move")
    if row is None:
        return None
    return Move(state=MoveState(row[0]), place=row[1], installation_id=row[2], changed_at_ms=row[3])


def stop_for_move(session: Session, move: Move) -> None:
    """Stores the state of a move. Raises StoreMoving if the data was moved already."""
    known = read_move(session, to_change=True)
    if known is not None and known.state is MoveState.MOVED:
        raise StoreMoving(known.place)
    write_move(session, move)


def write_move(session: Session, move: Move | None) -> None:
    if move is None:
        session.run("remove_move")
    else:
        session.run("put_move", msgspec.structs.asdict(move) | {"state": move.state.value})


def new_application(now_ms: int) -> dict[str, str]:
    """The one application of a new database."""
    return {"id": IdFactory(lambda: now_ms).new("app"), "uid": DEFAULT_APPLICATION}


def find_key(key_path: Path, secret_key: str) -> bytes | None:
    """The key of this machine, None where there is none. Raises StoreUnusable for a file without a key."""
    return read_key(secret_key) if secret_key else read_key_file(key_path)


@contextlib.contextmanager
def opening(*directories: Path) -> Iterator[None]:
    """Lets one process at a time open the files of these directories, so that those that start together agree on what
    they create. Blocks. Raises StoreUnusable after `OPENING_TIMEOUT_MS`.
    """
    with contextlib.ExitStack() as stack:
        # Each once, as a process waits for its own lock too, and in one order, so that no two wait for each other.
        statuses = {path: path.stat() for path in directories if path.is_dir()}
        distinct = {(status.st_dev, status.st_ino): path for path, status in statuses.items()}
        for _, path in sorted(distinct.items()):
            stack.enter_context(_locked(path))
        yield


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    ends_at_s = time.monotonic() + OPENING_TIMEOUT_MS / 1000
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreUnusable(
            "not_writable",
            f"The directory {directory} cannot be opened: {error.strerror}.",
            "Give the user that runs Nicobar read and write access to it.",
        ) from error
    try:
        while not _lock(handle, directory):
            if time.monotonic() > ends_at_s:
                raise StoreUnusable(
                    "opening_elsewhere",
                    f"Another nicobar process has been opening a database or key in {directory} for more than "
                    f"{OPENING_TIMEOUT_MS // 1000} s.",
                    "Wait until its migrations are done, or stop that process.",
                )
            time.sleep(_OPENING_POLL_MS / 1000)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, directory: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreUnusable(
            "not_lockable",
            f"The directory {directory} cannot be locked: {error.strerror}.",
            "Use a local file system; network file systems often lack locks.",
        ) from error
    return True


def fix_for(error: OSError, otherwise: str) -> str:
    """What to do about an error of the file system; `otherwise` where its number does not tell."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "Free space on the disk."
    if error.errno in AT_LIMIT:
        return RAISE_LIMIT
    if error.errno == errno.EROFS:
        return "The file system is read-only. Mount it for writing, or choose another directory."
    return otherwise


def _fits(vault: Vault, known: Installation | None, sealed: Sequence[Sealed]) -> bool:
    """Whether it is the key that the database names. One from before key ids names none: then the key matches where
    it opens any of the secrets, or there are none.
    """
    if known is not None:
        return known.key_id == vault.key_id
    for item in sealed:
        with contextlib.suppress(StoreUnusable):
            vault.unseal(item.content, item.purpose)
            return True
    return not sealed


def read_key_file(path: Path) -> bytes | None:
    """The key in the file, None where there is no file. Raises StoreUnusable for a file without a key."""
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnusable(
            "key_file_unusable",
            f"The key file {path} cannot be read: {error.strerror}.",
            "Give the user that runs Nicobar read access to it.",
        ) from error
    except UnicodeDecodeError:
        text = ""
    key = read_key(text)
    if key is None:
        raise StoreUnusable(
            "key_file_unusable",
            f"The key file {path} does not hold a key: 64 hexadecimal digits.",
            "Restore the file that belongs to this database; without it the stored secrets cannot be read.",
        )
    return key


def sync_directory(path: Path) -> None:
    """Makes sure that names of the directory survive a power failure."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
