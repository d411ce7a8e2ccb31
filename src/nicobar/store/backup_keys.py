"""The keys that belong to a backup, and their copy beside the backup's file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from nicobar.crypto import Vault
from nicobar.errors import StoreUnusable, UserError
from nicobar.model import Record
from nicobar.store.backup import BackupFile
from nicobar.store.installation import NEW_SUFFIX, find_keys, fix_for, read_key_file, write_keys


class KeyPlace(Record):
    """Where the keys of this machine are: a file, unless the setting has some."""

    path: Path
    setting: str

    @property
    def name(self) -> str:
        return "the setting secret_key" if self.setting else str(self.path)

    def find(self) -> tuple[bytes, ...]:
        """Raises StoreUnusable for a file without a key."""
        return find_keys(self.path, self.setting)


def key_beside(backup: Path) -> Path:
    """The file of the keys of a backup."""
    return backup.with_name(f"{backup.name}.key")


def check_keys_of(place: KeyPlace, made: BackupFile) -> tuple[bytes, ...]:
    """The keys of a database that was backed up, none if its key is not on this machine."""
    keys = place.find()
    return keys if keys and _fits(keys, made) else ()


def save_keys(keys: Sequence[bytes], target: Path, *, like: Path | None = None) -> None:
    """Writes the keys as `write_keys`. Raises UserError."""
    try:
        write_keys(target, keys, like=like)
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
    keys = place.find()
    if keys:
        if not _fits(keys, backup):
            raise StoreUnusable(
                "key_foreign",
                f"The backup {backup.path} belongs to the key {backup.key_id}. The key in {place.name} has the id "
                f"{', '.join(Vault(*keys).key_ids)}.",
                f"Put that key before the current one in {place.name}, on a line of its own or with a comma. Keep "
                "the current key: what it has encrypted needs it.",
            )
        yield False
        return
    saved = read_key_file(key_beside(backup.path))
    if not saved or not _fits(saved, backup):
        raise StoreUnusable(
            "key_missing",
            f"The backup {backup.path} needs the key {backup.key_id or 'of its installation'}. There is no key in "
            f"{place.path}, the setting secret_key is empty, and there is no {key_beside(backup.path)} that matches.",
            f"Put the key of that installation into {place.path}, or set NICOBAR_SECRET_KEY to it.",
        )
    # Opening the database puts it in its place.
    new = place.path.with_name(place.path.name + NEW_SUFFIX)
    save_keys(saved, new)
    try:
        yield True
    finally:
        new.unlink(missing_ok=True)


def _fits(keys: Sequence[bytes], backup: BackupFile) -> bool:
    """A database from before key ids names none; opening it finds out."""
    return backup.key_id is None or backup.key_id in Vault(*keys).key_ids
