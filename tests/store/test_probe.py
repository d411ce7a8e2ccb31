"""Readiness's short look meets damage in every table and every index, and costs little."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from nicobar.errors import StoreUnavailable
from nicobar.store.sqlite import SqliteStore, find_damage
from store.test_sqlite import message

MESSAGES = 400


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    path = tmp_path_factory.mktemp("probe") / "a.db"

    async def fill() -> None:
        store = await SqliteStore.open(path, now_ms=1)
        await asyncio.gather(*(store.append(message(number)) for number in range(MESSAGES)))
        await store.close()

    asyncio.run(fill())
    return path


def trees(path) -> dict[str, int]:
    """The root page of every table and index."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0").fetchall()
    # Readiness has just written the catalogue's one page, so that it is read from the log.
    return {name: page for name, page in rows if name != "catalogue" and not name.startswith("sqlite_sequence")}


def overwrite(path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(os.urandom(4096))


async def looks_until_noticed(path, page: int, most: int) -> StoreUnavailable | None:
    """Overwrites a page of a database in use, and looks as readiness does."""
    store = await SqliteStore.open(path, now_ms=1)
    try:
        await store.check()
        await store.probe()
        assert store.condition().damage is None
        overwrite(path, page)
        for _ in range(most):
            await store.check()
            await store.probe()
    except StoreUnavailable as error:
        return error if store.condition().damage is not None else None
    finally:
        await store.close()
    return None


async def test_one_probe_meets_damage_of_any_table_or_index(filled, tmp_path):
    roots = trees(filled)
    assert len(roots) > 50
    for name, page in roots.items():
        path = shutil.copy(filled, tmp_path / f"{page}.db")
        noticed = await looks_until_noticed(path, page, 1)
        assert noticed is not None, name
        assert (noticed.code, "backup" in noticed.fix) == ("store_damaged", True)


async def test_damage_in_the_middle_of_the_messages_is_met_soon(filled, tmp_path):
    path = shutil.copy(filled, tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as connection:
        sql = "SELECT pageno FROM dbstat WHERE name = 'messages' AND pagetype = 'leaf' ORDER BY pageno"
        leaves = [row[0] for row in connection.execute(sql)]
    assert len(leaves) > 4
    assert await looks_until_noticed(path, leaves[len(leaves) // 2], 300) is not None


async def test_doctor_s_check_finds_what_is_damaged_and_nothing_else(filled, tmp_path):
    path = shutil.copy(filled, tmp_path / "a.db")
    assert find_damage(path, limit=10) == []
    overwrite(path, trees(path)["deliveries_due"])
    found = find_damage(path, limit=10)
    assert 0 < len(found) <= 10
