"""Backups of a PostgreSQL database are made by its own tools."""

from __future__ import annotations

import shlex
from pathlib import Path

from nicobar.errors import UserError


def dump_it(name: str, target: Path) -> UserError:
    return UserError(
        "backup_by_pg_dump",
        "Nicobar does not back up PostgreSQL databases itself.",
        "Run: pg_dump --format=custom --file=%(file)s %(database)s (and keep the key, NICOBAR_SECRET_KEY). Or use "
        "continuous archiving, or your service's own backups.",
        file=shlex.quote(str(target)),
        database=shlex.quote(name),
    )


def restore_it(name: str, backup: Path) -> UserError:
    return UserError(
        "restore_by_pg_restore",
        "Nicobar does not restore PostgreSQL databases itself.",
        "Stop every Nicobar process. Run: pg_restore --no-owner --exit-on-error --dbname=%(database)s %(file)s. "
        "Then run: nicobar restore, without a file.",
        file=shlex.quote(str(backup)),
        database=shlex.quote(name),
    )


def compact_it() -> UserError:
    return UserError(
        "compact_by_server",
        "PostgreSQL reuses the space of deleted rows automatically.",
        "To make the files smaller, run VACUUM FULL while Nicobar is stopped, or pg_repack.",
    )
