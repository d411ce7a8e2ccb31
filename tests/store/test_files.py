"""The file of a database that is deleted, replaced or cut while it is open: nothing more is acknowledged or read."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from contracts.test_stores import endpoint
from contracts.test_stores_replays import post
from nicobar.clock import SystemClock
from nicobar.database import prepare_database
from nicobar.errors import StoreUnavailable, StoreUnusable
from nicobar.settings import Settings
from nicobar.store import Claim
from nicobar.store.backup_keys import KeyPlace, key_beside, save_keys
from nicobar.store.location import locate
from nicobar.store.sqlite.connection import connect
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
    other = Path(f"{path}.other")
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (a)")
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("harm", [delete, replace, empty, cut, overwrite])
async def test_a_lost_file_refuses_writes_claims_and_reads(store, tmp_path, harm):
    harm(tmp_path / "nicobar.db")
    works = [
        post(store, 2),
        store.claim(Claim(endpoint_seq=1, term=0, now_ms=100, limit=1, max_bytes=1, lease_ms=1)),
        store.check(),
    ]
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


def killed(path, *suffixes: str) -> None:
    """Leaves the log of a process that was killed after a write, and with it the files that have these suffixes."""
    suffixes = suffixes or ("", "-wal")
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE acknowledged (a)")
        connection.execute("CREATE TABLE more (a)")
        for suffix in suffixes:
            shutil.copy(f"{path}{suffix}", f"{path}{suffix}.killed")
    for suffix in suffixes:
        Path(f"{path}{suffix}.killed").rename(f"{path}{suffix}")


@pytest.mark.parametrize("how", ["copy", "move"])
def test_the_log_of_another_file_is_never_applied(tmp_path, how):
    path = tmp_path / "nicobar.db"
    settings = Settings(data_dir=tmp_path)
    prepare_database(settings, 1, new_installation=False)
    shutil.copy(path, tmp_path / "older.db")
    prepare_database(settings, 2, new_installation=False)
    killed(path)
    if how == "copy":
        shutil.copyfile(tmp_path / "older.db", path)
    else:
        (tmp_path / "older.db").rename(path)
    files = {file: (tmp_path / file).read_bytes() for file in ("nicobar.db", "nicobar.db-wal")}
    with pytest.raises(StoreUnusable) as refused:
        prepare_database(settings, 3, new_installation=False)
    assert refused.value.code == "log_foreign"
    assert files == {file: (tmp_path / file).read_bytes() for file in files}
    location = locate(settings.database)
    for work in (
        location.compact,
        lambda: location.back_up(tmp_path / "copy.db", force=False, now_ms=1),
        lambda: location.find_damage(limit=1),
        lambda: location.examine(SystemClock()),
    ):
        with pytest.raises(StoreUnusable, match="does not belong"):
            work()
    assert files == {file: (tmp_path / file).read_bytes() for file in files}
    shutil.copy(path, tmp_path / "good.db")
    with location.restoring(tmp_path / "good.db", force=True, now_ms=0) as prepared:
        pass
    assert prepared.aside.read_bytes() == files["nicobar.db"]
    assert Path(f"{prepared.aside}-wal").read_bytes() == files["nicobar.db-wal"]
    assert not Path(f"{path}-wal").exists()


def test_a_log_that_was_removed_after_a_crash_stops_the_start(tmp_path):
    path = tmp_path / "nicobar.db"
    settings = Settings(data_dir=tmp_path)
    prepare_database(settings, 1, new_installation=False)
    killed(path, "", "-wal", "-shm")
    Path(f"{path}-wal").rename(f"{path}-wal.away")
    with pytest.raises(StoreUnusable, match=r"nicobar\.db-wal was removed") as refused:
        prepare_database(settings, 2, new_installation=False)
    assert refused.value.code == "log_missing"
    for work in (lambda: locate(settings.database).find_damage(limit=1), locate(settings.database).check_unused):
        with contextlib.suppress(StoreUnusable):
            work()
    with pytest.raises(StoreUnusable, match="was removed"):
        prepare_database(settings, 2, new_installation=False)
    Path(f"{path}-wal.away").rename(f"{path}-wal")
    prepare_database(settings, 3, new_installation=False)
    with closing(connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM acknowledged").fetchone() == (0,)


@pytest.mark.parametrize("written_bytes", [24, 24 + 100, None])
def test_a_frame_that_was_not_written_whole_belongs_to_any_file(tmp_path, written_bytes):
    """A process was killed, or the disk was full, within a copy of the first page. None: over an older frame."""
    path = tmp_path / "nicobar.db"
    settings = Settings(data_dir=tmp_path)
    prepare_database(settings, 1, new_installation=False)
    killed(path)
    log = Path(f"{path}-wal")
    content = log.read_bytes()
    frame = (1).to_bytes(4, "big") + bytes(4) + content[16:24] + bytes(8)
    log.write_bytes(content + (frame + bytes(4096))[:written_bytes])
    prepare_database(settings, 2, new_installation=False)
    with closing(connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM acknowledged").fetchone() == (0,)


def test_a_log_that_cannot_be_read_is_named(tmp_path):
    settings = Settings(data_dir=tmp_path)
    prepare_database(settings, 1, new_installation=False)
    (tmp_path / "nicobar.db-wal").mkdir()  # as where another user owns it, but for root as well
    with pytest.raises(StoreUnusable) as refused:
        prepare_database(settings, 2, new_installation=False)
    assert refused.value.code == "not_writable"


@pytest.mark.parametrize("work", ["compact", "check_unused"])
def test_work_on_the_files_of_a_killed_process_stops_no_start(tmp_path, work):
    path = tmp_path / "nicobar.db"
    settings = Settings(data_dir=tmp_path)
    prepare_database(settings, 1, new_installation=False)
    killed(path, "", "-wal", "-shm")
    getattr(locate(settings.database), work)()
    prepare_database(settings, 2, new_installation=False)
    with closing(connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM acknowledged").fetchone() == (0,)


def test_the_log_of_a_killed_process_is_applied_to_its_own_file(tmp_path):
    path = tmp_path / "nicobar.db"
    settings = Settings(data_dir=tmp_path)
    for number in (1, 2):
        prepare_database(settings, number, new_installation=False)
        killed(path)
        prepare_database(settings, number, new_installation=False)
        with closing(connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM acknowledged").fetchone() == (0,)
            connection.execute("DROP TABLE acknowledged")
            connection.execute("DROP TABLE more")
    # Killed between the new mark and the end of the start, and again in the next start.
    for mark, later in ((5, ""), (6, "CREATE TABLE later (a)")):
        with closing(connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute(f"PRAGMA user_version = {mark}")
            connection.execute(later)
            for suffix in ("", "-wal"):
                shutil.copy(f"{path}{suffix}", f"{path}{suffix}.killed")
        for suffix in ("", "-wal"):
            Path(f"{path}{suffix}.killed").rename(f"{path}{suffix}")
        prepare_database(settings, 3, new_installation=False)


async def test_no_other_user_can_read_the_files(tmp_path):
    earlier = os.umask(0)
    try:
        settings = Settings(data_dir=tmp_path / "data")
        prepare_database(settings, 1, new_installation=False)
        location = locate(settings.database)
        with location.worker_place():
            store = location.open()
            try:
                await store.change([await endpoint(store, "ep_1")])
                await post(store, 1)
                made = location.back_up(tmp_path / "data" / "backup.db", force=False, now_ms=1)
                save_keys(KeyPlace(path=settings.key_path, setting="").find(), key_beside(made.path))
                names = {file.name for file in (tmp_path / "data").iterdir()}
                modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "data").iterdir()}
            finally:
                await store.close()
    finally:
        os.umask(earlier)
    assert names >= {"nicobar.db", "nicobar.db-wal", "nicobar.db-shm", "nicobar.db.lock", "secret.key", "backup.db"}
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_other_users_lose_access_to_a_file_of_an_earlier_version(tmp_path):
    settings = Settings(data_dir=tmp_path)
    prepare_database(settings, 1, new_installation=False)
    (tmp_path / "nicobar.db").chmod(0o664)
    prepare_database(settings, 2, new_installation=False)
    assert (tmp_path / "nicobar.db").stat().st_mode & 0o777 == 0o660
