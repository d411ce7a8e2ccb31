"""The file of a database that is deleted, replaced or cut while it is open: nothing more is acknowledged or read."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from contracts.test_stores import endpoint
from contracts.test_stores_replays import post
from nicobar.errors import StoreUnavailable
from support.store import open_store


@pytest.fixture
async def store(tmp_path):
    opened = await open_store(tmp_path)
    await opened.change([await endpoint(opened, "ep_1")])
    await post(opened, 1, body=bytes(3_000_000))
    await opened.clear_log()
    yield opened
    await opened.close()


def delete(path) -> None:
    path.unlink()


def replace(path) -> None:
    shutil.copy(path, f"{path}.other")
    Path(f"{path}.other").rename(path)


def empty(path) -> None:
    os.truncate(path, 0)


def cut(path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path) -> None:
    """As cp does: the file is still the same one."""
    with closing(sqlite3.connect(f"{path}.other")) as other:
        other.execute("CREATE TABLE t (a)")
    with Path(f"{path}.other").open("rb") as source, path.open("r+b") as target:
        target.truncate()
        shutil.copyfileobj(source, target)
    os.truncate(path, Path(f"{path}.other").stat().st_size)


@pytest.mark.parametrize("harm", [delete, replace, empty, cut, overwrite])
async def test_a_lost_file_refuses_writes_claims_and_reads(store, tmp_path, harm):
    harm(tmp_path / "nicobar.db")
    works = [post(store, 2), store.claim(1, term=0, now_ms=100, limit=1, max_bytes=1, lease_ms=1), store.check()]
    if harm in {delete, replace, empty}:
        works.append(store.snapshot())
    for work in works:
        with pytest.raises(StoreUnavailable) as refused:
            await work
        if harm is not overwrite:
            assert refused.value.code in {"database_replaced", "database_truncated"}


async def test_a_file_that_grows_and_shrinks_by_itself_is_accepted(store, tmp_path):
    (app,) = (await store.snapshot()).applications
    for number in range(2, 5):
        await post(store, number, body=bytes(500_000))
    await store.expunge_customer(app.id, "a", now_ms=1, limit=100)
    while await store.give_back_space(max_pages=100):
        await post(store, number := number + 1)
    await store.clear_log()
    await post(store, 1_000)
    assert (tmp_path / "nicobar.db").stat().st_size < 1_000_000
