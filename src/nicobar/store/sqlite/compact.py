"""Rewrites a database file without its unused pages, so that later ones can be given back in steps."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from nicobar.errors import StoreUnusable
from nicobar.store.backup import Compacted
from nicobar.store.installation import opening
from nicobar.store.sqlite.errors import DAMAGED, is_damage, unavailable
from nicobar.store.sqlite.lineage import check_log
from nicobar.store.sqlite.whole_files import (
    beside,
    check_space,
    describe,
    find_problems,
    needed_bytes,
    open_whole,
    put_in_place,
    sole_use,
    succeed,
)


def compact(path: Path) -> Compacted:
    """No other process may use the database. It stays as it is until the new file is whole. Raises UserError,
    StoreUnusable.
    """
    check_log(path)
    try:
        with opening(path.parent), sole_use(path) as old:
            return _replace(path, old)
    except sqlite3.Error as error:
        if is_damage(error):
            raise _damaged(path, str(error)) from error
        raise unavailable(error) from error


def _replace(path: Path, old: sqlite3.Connection) -> Compacted:
    describe(old, path)
    before_bytes = needed_bytes(old, with_free=True)
    check_space(path.parent, needed_bytes(old, with_free=False), "The new file")
    with beside(path, "compacting") as made:
        old.execute("PRAGMA auto_vacuum = INCREMENTAL")
        old.execute("VACUUM INTO ?", [str(made)])
        with contextlib.closing(open_whole(made)) as new:
            problems = find_problems(new)
        if problems:
            raise _damaged(path, "; ".join(problems))
        succeed(made, path)
        # Writes the log back and deletes it: the new file must not meet it.
        old.execute("PRAGMA journal_mode = DELETE")
        put_in_place(made, path)
    return Compacted(before_bytes=before_bytes, after_bytes=path.stat().st_size)


def _damaged(path: Path, problems: str) -> StoreUnusable:
    return StoreUnusable(
        "database_damaged", f"The database {path} is damaged: {problems}. Nothing was changed.", DAMAGED
    )
