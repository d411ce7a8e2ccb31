"""What an error of SQLite means."""

from __future__ import annotations

import re
import sqlite3

from nicobar.errors import NicobarError, StoreMoving, StoreUnavailable
from nicobar.open_files import RAISE_LIMIT, is_at_limit
from nicobar.store.conflicts import conflict, missing_reference

DAMAGED = (
    "Stop Nicobar and restore a backup (nicobar restore FILE --force), or recover what can be read with the command "
    ".recover of the sqlite3 tool; nicobar doctor lists the damage."
)
FIXES = {
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_BUSY: "Another process holds the database's write lock. Stop it, or let it end its transaction.",
    sqlite3.SQLITE_FULL: "Free space on the disk.",
    sqlite3.SQLITE_CONSTRAINT: "Report this as a bug.",
    sqlite3.SQLITE_IOERR: "Check the disk's free space, its mount and the system's log.",
}
_CODES = {
    sqlite3.SQLITE_CORRUPT: "store_damaged",
    sqlite3.SQLITE_NOTADB: "store_damaged",
    sqlite3.SQLITE_BUSY: "store_locked",
}
# Such as "UNIQUE constraint failed: sources.app_id, sources.name".
_UNIQUE = re.compile(r"UNIQUE constraint failed: (\w+)\.")
_COLUMN = re.compile(r"\.(\w+)")


def unavailable(error: sqlite3.Error) -> NicobarError:
    """What an error of the database means to the caller."""
    if isinstance(error, sqlite3.IntegrityError):
        unique = _UNIQUE.match(str(error))
        if unique:
            return conflict(unique[1], _COLUMN.findall(str(error)))
        if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            return missing_reference()
        if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_TRIGGER:
            return StoreMoving(str(error))
    code = _CODES.get(primary_code(error), "store_unavailable")
    return StoreUnavailable(code, f"The database reported: {error}.", _fix_for(error))


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's own code without its additions; 0 for an error of Python's module:
    https://sqlite.org/rescode.html#primary_result_codes_versus_extended_result_codes.
    """
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_damage(error: sqlite3.Error) -> bool:
    return primary_code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _fix_for(error: sqlite3.Error) -> str:
    # SQLite does not say why it cannot open a file.
    if primary_code(error) in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR} and is_at_limit():
        return RAISE_LIMIT
    return FIXES.get(primary_code(error), "Check the disk's free space and its mount.")


class Errors:
    """Remembers damage until the process ends: it does not heal. Written by any thread, one reference at a time."""

    def __init__(self) -> None:
        self.damage: NicobarError | None = None

    def note(self, error: sqlite3.Error) -> NicobarError:
        """What the error means."""
        meaning = unavailable(error)
        if is_damage(error):
            self.damage = meaning
        return meaning
