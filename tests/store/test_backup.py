"""Backups of a SQLite file: whole, checked, of one moment, and never in the place of something else."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from nicobar.errors import NicobarError
from nicobar.store.location import locate
from nicobar.store.sqlite import apply_migrations
from nicobar.store.sqlite.connection import connect
from support.store import NOW_MS

FILL = """
INSERT INTO audit (at_ms, actor, action, app_id, subject, detail)
VALUES (1, 'a', 'b', NULL, 'c', hex(randomblob(1500)));
"""


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "live" / "nicobar.db"
    path.parent.mkdir()
    apply_migrations(path, NOW_MS)
    with closing(connect(path)) as connection:
        connection.executescript(f"BEGIN; {FILL * 300} COMMIT")
    return path


def count(path, table="audit") -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def back_up(database, target, *, force=False):
    return locate(f"sqlite:///{database}").back_up(target, force=force, now_ms=NOW_MS)


def error(database, target, **options) -> NicobarError:
    with pytest.raises(NicobarError) as raised:
        back_up(database, target, **options)
    return raised.value


def test_a_backup_is_one_checked_file_for_its_owner(database, tmp_path):
    made = back_up(database, tmp_path / "copy.db")
    assert made.taken_at_ms == NOW_MS // 1000 * 1000
    assert made.size_bytes == made.path.stat().st_size
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["copy.db"]
    with closing(sqlite3.connect(f"file:{made.path}?immutable=1", uri=True)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert copy.execute("SELECT count(*) FROM audit").fetchone() == (300,)


def test_a_backup_under_constant_writes_ends_and_delays_none(database, tmp_path):
    written, ended = [], threading.Event()

    def write():
        with closing(connect(database)) as connection:
            connection.execute("PRAGMA busy_timeout = 0")  # a writer that has to wait fails
            while not ended.is_set():
                connection.execute(FILL)
                written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = back_up(database, tmp_path / "copy.db")
    finally:
        ended.set()
        writer.join()
    assert count(database) == 300 + len(written)
    assert 300 <= count(made.path) <= 300 + len(written)
    with closing(sqlite3.connect(made.path)) as copy:
        rows = copy.execute("SELECT max(seq), count(*) FROM audit").fetchone()
    assert rows[0] == rows[1], "it is of one moment"


def test_an_existing_file_is_replaced_only_by_force(database, tmp_path):
    target = tmp_path / "copy.db"
    target.write_text("kept")
    assert error(database, target).code == "file_exists"
    assert target.read_text() == "kept"
    back_up(database, target, force=True)
    assert count(target) == 300


@pytest.mark.parametrize("name", ["nicobar.db", "nicobar.db-wal", "nicobar.db.lock", "link.db"])
def test_the_database_itself_is_no_place_for_a_backup(database, name):
    (database.parent / "link.db").symlink_to(database)
    found = error(database, database.parent / name, force=True)
    assert found.code == "backup_in_place"
    assert count(database) == 300


def test_a_wrong_place_is_named(database, tmp_path):
    assert error(database, tmp_path / "missing" / "copy.db").code == "directory_missing"
    assert error(database, tmp_path).code == "not_a_file"


def test_a_full_disk_is_named_with_what_is_needed(database, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10_000})
    monkeypatch.setattr("nicobar.store.sqlite.whole_files.shutil.disk_usage", lambda _path: usage)
    found = error(database, tmp_path / "copy.db")
    assert found.code == "disk_too_full"
    assert "MB" in found.detail
    assert not (tmp_path / "copy.db").exists()


def test_a_damaged_database_gets_no_backup(database, tmp_path):
    with database.open("r+b") as file:
        file.seek(20 * 4096)
        file.write(os.urandom(60 * 4096))
    assert error(database, tmp_path / "copy.db").code == "database_damaged"
    assert not (tmp_path / "copy.db").exists()
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_another_program_s_file_gets_no_backup(tmp_path):
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE t (a)")
    assert error(tmp_path / "other.db", tmp_path / "copy.db").code == "not_ours"


def test_restores_in_one_second_keep_every_previous_database(database, tmp_path):
    made = back_up(database, tmp_path / "copy.db")
    kept = set()
    for _ in range(3):
        with locate(f"sqlite:///{database}").restoring(made.path, force=True, now_ms=NOW_MS) as prepared:
            pass
        kept.add(prepared.aside)
    assert len(kept) == 3
    assert all(count(path) == 300 for path in kept)


def test_a_restored_database_has_all_that_was_prepared(database, tmp_path):
    made = back_up(database, tmp_path / "copy.db")
    with locate(f"sqlite:///{database}").restoring(made.path, force=True, now_ms=NOW_MS) as prepared:
        path = Path(prepared.url.removeprefix("sqlite:///"))
        with closing(connect(path)) as connection:
            connection.execute("DELETE FROM audit")
            files = {file: Path(file).read_bytes() for file in (f"{path}", f"{path}-wal")}
        for file, content in files.items():  # as a full disk leaves them, where the log cannot be written back
            Path(file).write_bytes(content)
    assert count(database) == 0


def test_backups_of_postgresql_are_left_to_pg_dump(tmp_path):
    with pytest.raises(NicobarError) as raised:
        locate("postgresql://nicobar@db.example:5432/shop").back_up(tmp_path / "x", force=False, now_ms=NOW_MS)
    assert "pg_dump --format=custom" in raised.value.fix
    assert "db.example" in raised.value.fix
