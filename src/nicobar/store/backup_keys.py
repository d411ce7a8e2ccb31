"""The key that belongs to a backup, and its copy beside the backup's file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nicobar.crypto import Vault
from nicobar.errors import StoreUnusable, UserError
from nicobar.model import Record
from nicobar.store.backup import BackupFile
from nicobar.store.installation import NEW_SUFFIX, find_key, fix_for, read_key_file, sync_directory


class KeyPlace(Record):
    """Where the key of this machine is: a file, unless the setting has one."""

    path: Path
    setting: str

    @property
    def name(self) -> str:
        return "the setting secret_key" if self.setting else str(self.path)

    def find(self) -> bytes | None:
        """Raises StoreUnusable for a file without a key."""
        return find_key(self.path, self.setting)


def key_beside(backup: Path) -> Path:
    """The file of the key of a backup."""
    return backup.with_name(f"{backup.name}.key")


def check_key_of(place: KeyPlace, made: BackupFile) -> bytes | None:
    """The key of a database that was backed up, None if it is not on this machine."""
    key = place.find()
    return key if key is not None and _fits(key, made) else None


def save_key(key: bytes, target: Path) -> None:
    """Writes the key with mode 0600, whole or not. Raises UserError."""
    try:
        handle, name = tempfile.mkstemp(prefix=f"{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(key.hex().encode())
                file.flush()
                os.fsync(file.fileno())
            Path(name).rename(target)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        sync_directory(target.parent)
    except OSError as error:
        raise UserError(
            "not_writable",
            f"Cannot write the key {target}: {error.strerror}.",
            fix_for(error, "Choose another path."),
        ) from error


@contextlib.contextmanager
def key_for_restore(place: KeyPlace, backup: BackupFile) -> Iterator[bool]:
    """Makes sure that this machine has the key of the backup; gives whether it comes from the file beside the backup,
    which is kept only if the block succeeds. Raises StoreUnusable.
    """
    key = place.find()
    if key is not None:
        if not _fits(key, backup):
            raise StoreUnusable(
                "key_foreign",
                f"The backup {backup.path} belongs to the key {backup.key_id}. The key in {place.name} has the id "
                f"{Vault(key).key_id}.",
                f"Put the key of that installation into {place.path}, or set NICOBAR_SECRET_KEY to it.",
            )
        yield False
        return
    saved = read_key_file(key_beside(backup.path))
    if saved is None or not _fits(saved, backup):
        raise StoreUnusable(
            "key_missing",
            f"The backup {backup.path} needs the key {backup.key_id or 'of its installation'}. There is no key in "
            f"{place.path}, the setting secret_key is empty, and there is no {key_beside(backup.path)} that matches.",
            f"Put the key of that installation into {place.path}, or set NICOBAR_SECRET_KEY to it.",
        )
    # Opening the database puts it in its place.
    new = place.path.with_name(place.path.name + NEW_SUFFIX)
    save_key(saved, new)
    try:
        yield True
    finally:
        new.unlink(missing_ok=True)


def _fits(key: bytes, backup: BackupFile) -> bool:
    """A database from before key ids names none; opening it finds out."""
    return backup.key_id is None or Vault(key).key_id == backup.key_id
