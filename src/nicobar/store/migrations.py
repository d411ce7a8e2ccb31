"""Numbered changes of the tables, each applied once and never changed afterwards.

While an installation is upgraded, processes of the older version work on tables that the newer one has changed. So a
migration names the oldest version that may: a version is known by the number of its newest migration. What such a
version needs (a column, a unique index) is dropped by a later migration.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files

from nicobar.errors import StoreUnusable
from nicobar.model import Record
from nicobar.store.session import Session
from nicobar.store.tables.base import existing

_OLDEST = re.compile(r"^-- Oldest version that may run on it: (\d+)$", re.MULTILINE)


class Migration(Record):
    """`sql/migrations/<database>/<number>_<name>.sql`; `sha256` is that of its text. `oldest` is the oldest version
    that may run on it: its own where the text names none.
    """

    number: int
    name: str
    sql: str
    sha256: str
    oldest: int


class Applied(Record):
    """A migration as the database has it. `oldest` is None where a version stored it that did not know this."""

    number: int
    sha256: str
    oldest: int | None


class Migrated(Record):
    """What opening a database did: the names of the migrations it applied. `newer` are the numbers of those that a
    newer version has applied, on which this one may run.
    """

    names: tuple[str, ...]
    newer: tuple[int, ...] = ()


class Plan(Record):
    """The migrations that are still to be applied, and the numbers of a newer version's. `version` is the newest that
    was applied, 0 where the database is new.
    """

    todo: tuple[Migration, ...]
    newer: tuple[int, ...]
    version: int

    def done(self) -> Migrated:
        return Migrated(names=tuple(f"{item.number:04}_{item.name}" for item in self.todo), newer=self.newer)


def load_migrations(database: str) -> tuple[Migration, ...]:
    """All of a database that this version knows, in order."""
    found = []
    for file in files("nicobar.store").joinpath("sql", "migrations", database).iterdir():
        number, _, name = file.name.removesuffix(".sql").partition("_")
        if file.name.endswith(".sql"):
            sql = file.read_text("utf-8")
            oldest = _OLDEST.search(sql)
            found.append(
                Migration(
                    number=int(number),
                    name=name,
                    sql=sql,
                    sha256=hashlib.sha256(sql.encode()).hexdigest(),
                    oldest=int(oldest[1]) if oldest else int(number),
                )
            )
    return tuple(sorted(found, key=lambda migration: migration.number))


def read_plan(session: Session, database: str) -> Plan:
    """The migrations that a database needs which is being opened. Raises StoreUnusable as `plan` does."""
    session.run("create_migrations")
    (has_oldest,) = existing(session.row("has_oldest"))
    if not has_oldest:
        session.run("add_oldest")
    return plan(load_migrations(database), _applied(session))


def check_version(session: Session, database: str) -> None:
    """Raises StoreUnusable where a newer version has changed the database meanwhile, so that this one may not run."""
    plan(load_migrations(database), _applied(session))


def check_delivering(planned: Plan, version: int, database: str) -> None:
    """Raises StoreUnusable where a process of that version delivers, and may not on the pending migrations."""
    for migration in planned.todo:
        if migration.oldest > version:
            raise StoreUnusable(
                "older_version_runs",
                f"A process of an older Nicobar delivers from {database}, and migration {migration.number} needs a "
                f"version that knows migration {migration.oldest}.",
                "Stop the processes of the older version, then start this one.",
            )


def _applied(session: Session) -> list[Applied]:
    return [
        Applied(number=number, sha256=sha256, oldest=oldest) for number, sha256, oldest in session.rows("migrations")
    ]


def plan(known: Sequence[Migration], applied: Sequence[Applied]) -> Plan:
    """What is still to be applied. Raises StoreUnusable for a database of a newer version on which this one may not
    run, and when a migration differs from the applied one.
    """
    by_number = {migration.number: migration for migration in known}
    version = max(by_number)
    newer = []
    for item in applied:
        migration = by_number.get(item.number)
        if migration is not None and migration.sha256 != item.sha256:
            raise StoreUnusable(
                "migration_changed",
                f"Migration {item.number} ({migration.name}) differs from the migration applied to this database.",
                "Run the version of Nicobar that created the database; migrations are never edited.",
            )
        if migration is None:
            oldest = item.number if item.oldest is None else item.oldest
            if oldest > version:
                raise StoreUnusable(
                    "database_newer",
                    f"The database was last used by a newer Nicobar: it has migration {item.number}, which needs a "
                    f"version that knows migration {oldest}; this version knows {version} of them.",
                    "Run that newer version, or restore a backup from before the upgrade.",
                )
            newer.append(item.number)
    done = {item.number for item in applied}
    todo = tuple(migration for migration in known if migration.number not in done)
    return Plan(todo=todo, newer=tuple(newer), version=max(done, default=0))
