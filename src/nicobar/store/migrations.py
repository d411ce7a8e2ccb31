"""Numbered changes of the tables, each applied once and never changed afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files

from nicobar.errors import StoreUnusable
from nicobar.model import Record


class Migration(Record):
    """`sql/migrations/<database>/<number>_<name>.sql`; `sha256` is that of its text."""

    number: int
    name: str
    sql: str
    sha256: str


def load_migrations(database: str) -> tuple[Migration, ...]:
    """All of a database that this version knows, in order."""
    found = []
    for file in files("nicobar.store").joinpath("sql", "migrations", database).iterdir():
        number, _, name = file.name.removesuffix(".sql").partition("_")
        if file.name.endswith(".sql"):
            sql = file.read_text("utf-8")
            sha256 = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(number=int(number), name=name, sql=sql, sha256=sha256))
    return tuple(sorted(found, key=lambda migration: migration.number))


def pending(known: Sequence[Migration], applied: Sequence[tuple[int, str]]) -> tuple[Migration, ...]:
    """What is still to be applied, given the (number, sha256) of what was.

    Raises StoreUnusable for a database of a newer version, and when a migration is not the one that was applied.
    """
    by_number = {migration.number: migration for migration in known}
    for number, sha256 in applied:
        migration = by_number.get(number)
        if migration is None:
            raise StoreUnusable(
                "database_newer",
                f"The database was last used by a newer Nicobar: it has migration {number}, this version knows "
                f"{max(by_number)} of them.",
                "Run that newer version, or restore a backup from before the upgrade.",
            )
        if migration.sha256 != sha256:
            raise StoreUnusable(
                "migration_changed",
                f"Migration {number} ({migration.name}) differs from the migration applied to this database.",
                "Run the version of Nicobar that created the database; migrations are never edited.",
            )
    done = {number for number, _ in applied}
    return tuple(migration for migration in known if migration.number not in done)
