"""What was deleted leaves the file: its bytes at once, its space in small steps."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing

import pytest

from contracts.test_stores import endpoint
from contracts.test_stores_replays import finish, post
from nicobar.clock import SystemClock
from nicobar.errors import NicobarError
from nicobar.pipeline.retention import Maintainer
from nicobar.store.location import locate
from nicobar.store.sqlite import SqliteStore
from nicobar.store.sqlite.connection import connect
from nicobar.store.sqlite.space import KEPT_PART
from support.clock import MovingClock
from support.store import open_store

NOW_MS = 1_789_000_000_000
MARK = b"erase-me-"


@pytest.fixture
async def store(tmp_path):
    opened = await open_store(tmp_path)
    await opened.change([await endpoint(opened, "ep_1")])
    yield opened
    await opened.close()


async def fill(store, messages: int, customers: int = 10) -> None:
    """Small and large bodies, which SQLite keeps in pages of different kinds, some of them delivered."""
    chance = random.Random(1)
    for number in range(1, messages + 1):
        text = MARK * chance.choice([3, 50, 700, 3_000])
        await post(store, number, f"{MARK.decode()}{number % customers}", body=b'{"a":"%s"}' % text, tags=("t",))
    await finish(store, count=messages // 2)


def pages(path) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as connection:
        return (
            connection.execute("PRAGMA page_count").fetchone()[0],
            connection.execute("PRAGMA freelist_count").fetchone()[0],
        )


def found(directory) -> list[str]:
    return [path.name for path in directory.iterdir() if path.is_file() and MARK in path.read_bytes()]


async def test_erased_bytes_are_in_no_file(store, tmp_path):
    await fill(store, 60)
    assert found(tmp_path)
    (app,) = (await store.snapshot()).applications
    for number in range(10):
        await store.expunge_customer(app.id, f"{MARK.decode()}{number}", now_ms=NOW_MS, limit=100)
    assert await store.clear_log()
    assert found(tmp_path) == []


async def test_retention_makes_the_file_smaller(store, tmp_path):
    await fill(store, 60)
    await store.clear_log()
    before = (tmp_path / "nicobar.db").stat().st_size
    (app,) = (await store.snapshot()).applications
    for number in range(10):
        await store.expunge_customer(app.id, f"{MARK.decode()}{number}", now_ms=NOW_MS, limit=100)
    clock = MovingClock(NOW_MS)
    work = asyncio.create_task(Maintainer(store=store, clock=clock, retention_days=90).round(asyncio.Event()))
    while not work.done():
        await asyncio.sleep(0)
        if clock.quiet:
            clock.move(1_000)
    await work
    count, free = pages(tmp_path / "nicobar.db")
    assert (tmp_path / "nicobar.db").stat().st_size < before / 2
    assert free <= count / KEPT_PART


async def test_space_is_given_back_in_bounded_steps(store, tmp_path):
    await fill(store, 40)
    (app,) = (await store.snapshot()).applications
    for number in range(10):
        await store.expunge_customer(app.id, f"{MARK.decode()}{number}", now_ms=NOW_MS, limit=100)
    before, _ = pages(tmp_path / "nicobar.db")
    assert await store.give_back_space(max_pages=7) == 7
    await post(store, 1_000)
    assert before - 9 <= pages(tmp_path / "nicobar.db")[0] <= before - 7
    while await store.give_back_space(max_pages=50):
        pass
    assert await store.give_back_space(max_pages=50) == 0


async def test_a_reader_keeps_the_log_and_delays_no_write(store, tmp_path):
    await fill(store, 2)
    with closing(connect(tmp_path / "nicobar.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchone()
        await post(store, 10)
        assert not await store.clear_log()
        await post(store, 11)
        reader.execute("ROLLBACK")
    assert await store.clear_log()


async def older(directory) -> SqliteStore:
    """A file of an earlier version, which keeps its unused pages."""
    path = directory / "nicobar.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA auto_vacuum = NONE; CREATE TABLE early (a); DROP TABLE early;")
    opened = await open_store(directory)
    await opened.change([await endpoint(opened, "ep_1")])
    return opened


async def test_compact_converts_an_older_file(tmp_path):
    opened = await older(tmp_path)
    await fill(opened, 60)
    (app,) = (await opened.snapshot()).applications
    for number in range(9):
        await opened.expunge_customer(app.id, f"{MARK.decode()}{number}", now_ms=NOW_MS, limit=100)
    assert await opened.give_back_space(max_pages=50) == 0
    location = locate(f"sqlite:///{tmp_path / 'nicobar.db'}")
    (note,) = location.examine(SystemClock())
    assert "nicobar compact" in note.fix
    with pytest.raises(NicobarError, match="has the database") as refused:
        await asyncio.to_thread(location.compact)
    assert refused.value.code == "database_in_use"
    await opened.close()
    done = location.compact()
    assert location.examine(SystemClock()) == []
    assert done.after_bytes == (tmp_path / "nicobar.db").stat().st_size < done.before_bytes / 2
    assert [path.name for path in tmp_path.iterdir()] == ["nicobar.db"]
    again = await open_store(tmp_path)
    try:
        assert len(await again.deliveries("msg_9")) == 1
        await again.expunge_customer(app.id, f"{MARK.decode()}9", now_ms=NOW_MS, limit=100)
        assert await again.give_back_space(max_pages=1) == 1
    finally:
        await again.close()


async def test_compact_without_room_changes_nothing(store, tmp_path, monkeypatch):
    await store.close()
    usage = type("Usage", (), {"free": 10_000})
    monkeypatch.setattr("nicobar.store.sqlite.whole_files.shutil.disk_usage", lambda _path: usage)
    before = (tmp_path / "nicobar.db").read_bytes()
    with pytest.raises(NicobarError, match="MB") as refused:
        locate(f"sqlite:///{tmp_path / 'nicobar.db'}").compact()
    assert refused.value.code == "disk_too_full"
    assert (tmp_path / "nicobar.db").read_bytes() == before
