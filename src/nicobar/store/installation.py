"""Which keys belong to which database. A key is created together with its database: without it the stored secrets
cannot be read. It is replaced by `use_cases/key_rotation.py` only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from nicobar.crypto import MAX_KEYS, Vault, new_key, read_keys
from nicobar.errors import StoreMoving, StoreUnusable
from nicobar.ids import IdFactory
from nicobar.model import Record
from nicobar.open_files import AT_LIMIT, RAISE_LIMIT
from nicobar.store.copy import Move, MoveState
from nicobar.store.file_owners import give_from_root
from nicobar.store.migrations import Plan
from nicobar.store.session import Session
from nicobar.store.temporary_files import temporary_file

# Opening a database includes its migrations, which rewrite tables.
OPENING_TIMEOUT_MS = 60_000
_OPENING_POLL_MS = 20
DEFAULT_APPLICATION = "default"
# The migration since which a database knows that its data is moving.
MOVES_MIGRATION = 11
# A key of which no database knows yet.
NEW_SUFFIX = ".new"


class Installation(Record):
    """What a database stores about itself. `key_id` names the key of its secrets, `replaced_key_ids` those that it
    has replaced, of which `older_key_ids` may still be needed.
    """

    id: str
    key_id: str
    older_key_ids: tuple[str, ...] = ()
    replaced_key_ids: tuple[str, ...] = ()

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The keys that a process needs."""
        return (self.key_id, *self.older_key_ids)


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
        if self._known_keys():
            self._check_new()

    def bind(
        self, known: Installation | None, *, is_new: bool, sealed: Sequence[Sealed], may_create: bool
    ) -> Installation:
        """The installation that the database is to store. `known` is what it stores already, `is_new` says that it
        had no tables, `sealed` are its secrets. Raises StoreUnusable where a key is missing or another one.
        """
        keys = self._known_keys()
        if keys and is_new:
            self._check_new()
        if not keys:
            keys = read_key_file(self._new_path)
            if keys and _sealing_key(Vault(*keys), known, sealed) is None:
                keys = ()
        elif _sealing_key(Vault(*keys), known, sealed) is None:
            raise self._foreign(Vault(*keys), known)
        if not keys:
            if known is not None or sealed:
                raise self._missing()
            if not may_create:
                raise self._none()
            keys = (self._create(),)
        vault = Vault(*keys)
        sealing = _sealing_key(vault, known, sealed) or vault.key_id
        vault.seal_with(sealing, names_keys=known is not None and bool(known.replaced_key_ids))
        self._vault = vault
        return known or Installation(id=IdFactory(lambda: self._now_ms).new("inst"), key_id=sealing)

    def settle(self) -> Vault:
        """The keys, once the database that knows them is on disk."""
        if self._vault is None:
            raise StoreUnusable("key_unknown", "The database was opened without its key.", "Report this as a bug.")
        if not self._known_keys():
            with self._creating():
                give_from_root(self._new_path, self._key_path.parent)
                self._new_path.rename(self._key_path)
                sync_directory(self._key_path.parent)
        return self._vault

    def _known_keys(self) -> tuple[bytes, ...]:
        return find_keys(self._key_path, self._secret_key)

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
        ids = ""
        if known is not None:
            missing = ", ".join(key_id for key_id in known.key_ids if key_id not in vault.key_ids)
            ids = f" It has the id {', '.join(vault.key_ids)}; the database needs {missing}."
        if known is not None and known.key_id in vault.key_ids:
            return StoreUnusable(
                "key_foreign",
                f"Some secrets of the database {self._database} are still encrypted with an older key.{ids}",
                f"Put the older key back, before the current one, into {self._where}, and run `nicobar rotate-key`.",
            )
        return StoreUnusable(
            "key_foreign",
            f"The key in {self._where} is not the key of the database {self._database}.{ids}",
            f"Restore that key from the backup of this installation into {self._where}, beside the current one. Or "
            "correct data_dir or database_url.",
        )

    def _create(self) -> bytes:
        """A new key, whole and on disk before any process can see it."""
        key = new_key()
        with self._creating():
            write_keys(self._new_path, [key])
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
    known = read_installation(session)
    sealed = [] if known else [Sealed(purpose=row[0], content=row[1]) for row in session.rows("sealed")]
    bound = keys.bind(known, is_new=is_new, sealed=sealed, may_create=may_create)
    if known is None:
        session.run("add_installation", {"id": bound.id, "key_id": bound.key_id})


def read_installation(session: Session) -> Installation | None:
    """None for a database from before key ids."""
    row = session.row("installation")
    if row is None:
        return None
    replaced = session.rows("replaced_keys")
    older = tuple(key_id for key_id, _, unused_since_ms in replaced if unused_since_ms is None)
    return Installation(
        id=row[0], key_id=row[1], older_key_ids=older, replaced_key_ids=tuple(key_id for key_id, *_ in replaced)
    )


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


def find_keys(key_path: Path, secret_key: str) -> tuple[bytes, ...]:
    """The keys of this machine. Raises StoreUnusable for a file without a key."""
    return read_keys(secret_key) if secret_key else read_key_file(key_path)


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


def _sealing_key(vault: Vault, known: Installation | None, sealed: Sequence[Sealed]) -> str | None:
    """The key that the database names, None where the vault lacks one that it needs. A database from before key ids
    names none: then it is the key that opens any of the secrets, or the first if there are none.
    """
    if known is not None:
        return known.key_id if set(known.key_ids) <= set(vault.key_ids) else None
    for item in sealed:
        with contextlib.suppress(StoreUnusable):
            return vault.key_of(item.content, item.purpose)
    return None if sealed else vault.key_id


def read_key_file(path: Path) -> tuple[bytes, ...]:
    """The keys in the file, none where there is no file. Raises StoreUnusable for a file without a key."""
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StoreUnusable(
            "key_file_unusable",
            f"The key file {path} cannot be read: {error.strerror}.",
            "Give the user that runs Nicobar read access to it.",
        ) from error
    except UnicodeDecodeError:
        text = ""
    keys = read_keys(text)
    if not keys:
        raise StoreUnusable(
            "key_file_unusable",
            f"The key file {path} does not hold a key: 64 hexadecimal digits, or one key on each of at most "
            f"{MAX_KEYS} lines.",
            "Restore the file that belongs to this database; without it the stored secrets cannot be read.",
        )
    return keys


def write_keys(path: Path, keys: Sequence[bytes], *, like: Path | None = None) -> None:
    """Writes a key file with mode 0600, whole or not at all. If root does, it gets the owner of `like`. Raises
    OSError.
    """
    with temporary_file(path, "saving") as made:
        with made.open("wb") as file:
            file.write("\n".join(key.hex() for key in keys).encode())
            file.flush()
            os.fsync(file.fileno())
        if like is not None:
            give_from_root(made, like)
        made.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Makes sure that names of the directory survive a power failure."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
