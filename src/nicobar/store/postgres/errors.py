"""What an error of PostgreSQL means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from nicobar.errors import ConfigurationError, NicobarError, StoreMoving, StoreUnavailable, StoreUnusable
from nicobar.store.conflicts import conflict, missing_reference
from nicobar.store.postgres.connection import NotBegun

# The state of the error that rejects writes while the data is being moved.
MOVING = "NB001"
_UNREACHABLE = "Check that the server runs, that it accepts connections from here, and its log."
_FIXES: tuple[tuple[type[psycopg.Error], str, str], ...] = (
    (errors.DiskFull, "store_unavailable", "Free space on the database's disk."),
    (errors.ReadOnlySqlTransaction, "store_read_only", "Connect to the primary: target_session_attrs=read-write."),
    (errors.TooManyConnections, "store_unavailable", "Raise max_connections, or run fewer processes."),
    (errors.InsufficientPrivilege, "store_unavailable", "Let Nicobar's user own its tables."),
    (errors.LockNotAvailable, "store_unavailable", "End the transaction that blocks it: see pg_stat_activity."),
    (errors.IntegrityError, "store_unavailable", "Report this as a bug."),
    (errors.DataCorrupted, "store_damaged", "Restore a backup of the database."),
    (errors.IndexCorrupted, "store_damaged", "Rebuild the index with REINDEX, and check the server's disk."),
)


def meaning(error: psycopg.Error) -> NicobarError:
    """What an error of the database means to the caller."""
    if isinstance(error, NotBegun):
        return meaning(error.reason)
    if isinstance(error, errors.UniqueViolation):
        table, *columns = (error.diag.constraint_name or "").split("__")
        return conflict(error.diag.table_name or table, columns)
    if isinstance(error, errors.ForeignKeyViolation):
        return missing_reference()
    if isinstance(error, psycopg.DataError):
        return ConfigurationError(
            "value_invalid", f"The database cannot store a value: {_text(error)}.", "Remove the character U+0000."
        )
    if error.diag.sqlstate == MOVING:
        return StoreMoving(_text(error))
    known = next(((code, fix) for kind, code, fix in _FIXES if isinstance(error, kind)), None)
    code, fix = known or ("store_unavailable", _UNREACHABLE)
    return StoreUnavailable(code, f"The database reported: {_text(error)}.", fix)


def is_retried(error: psycopg.Error) -> bool:
    """Whether the transaction was undone for others' sake, and may be repeated."""
    return isinstance(error, (errors.DeadlockDetected, errors.SerializationFailure))


def _text(error: psycopg.Error) -> str:
    """The first line. `connect` has replaced the password."""
    return (error.diag.message_primary or str(error).partition("\n")[0]).strip().rstrip(".")


@contextmanager
def unusable(name: str) -> Iterator[None]:
    """For what opens the database of that name: raises StoreUnusable for an error of PostgreSQL."""
    try:
        yield
    except errors.InsufficientPrivilege as error:
        raise StoreUnusable(
            "not_writable",
            f"The tables of {name} cannot be created or changed: {_text(error)}.",
            "Let Nicobar's user own the database, or grant it CREATE on its schema.",
        ) from error
    except psycopg.Error as error:
        reason = meaning(error)
        raise StoreUnusable(
            "database_unreachable", f"The database {name} cannot be used. {reason.detail}", reason.fix
        ) from error
