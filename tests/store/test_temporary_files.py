"""What a killed backup, restore or compact leaves is deleted by the next run or start; nothing else ever is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from nicobar.clock import SystemClock
from nicobar.database import prepare_database
from nicobar.errors import UserError
from nicobar.settings import Settings
from nicobar.store.backup_keys import save_keys
from nicobar.store.location import locate
from nicobar.store.sqlite import whole_files
from nicobar.store.temporary_files import PURPOSES, delete_leftovers, leftovers, temporary_file

SERVICE = 4_711
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def settings(tmp_path) -> Settings:
    made = Settings(data_dir=tmp_path / "data")
    prepare_database(made, 1, new_installation=False)
    return made


def leave(path: Path, purpose: str, **contents: bytes) -> Path:
    """What is left where a process was killed while it made `path`."""
    with temporary_file(path, purpose) as made:
        made.write_bytes(b"half")
        for name, content in contents.items():
            (made.parent / name).write_bytes(content)
        killed = shutil.copytree(made.parent, f"{made.parent}.killed")
    return Path(killed).rename(str(killed).removesuffix(".killed"))


@pytest.mark.parametrize("work", ["backup", "restore", "compact", "start"])
def test_leftovers_of_a_killed_process_are_deleted_by_the_next(settings, tmp_path, work):
    database = settings.data_dir / "nicobar.db"
    location = locate(settings.database)
    location.back_up(tmp_path / "copy.db", force=False, now_ms=1)
    directory = tmp_path if work == "backup" else settings.data_dir
    for purpose in PURPOSES:
        leave(directory / database.name, purpose, **{f"{database.name}-wal": b"log"})
    assert len(leftovers(directory)) == len(PURPOSES)
    match work:
        case "backup":
            location.back_up(tmp_path / "other.db", force=False, now_ms=1)
        case "restore":
            with location.restoring(tmp_path / "copy.db", force=True, now_ms=1):
                pass
        case "compact":
            location.compact()
        case _:
            prepare_database(settings, 2, new_installation=False)
    assert leftovers(directory) == []
    prepare_database(settings, 3, new_installation=False)


def test_file_that_is_being_made_is_not_deleted(tmp_path):
    with temporary_file(tmp_path / "copy.db", "making") as made:
        delete_leftovers(tmp_path)
        assert made.exists()
        assert leftovers(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_certainly_ours_is_deleted(tmp_path):
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "copy.db").write_text("kept")
    (tmp_path / "copy.db.making-linked00").symlink_to(tmp_path / "victim")
    (tmp_path / "copy.db.making-earlier0").write_text("a file of an earlier version")
    (tmp_path / "copy.db.making-20261127").mkdir()
    (tmp_path / "copy.db.making-20261127" / "lock").touch()
    (tmp_path / "copy.db.making-20261127" / "notes.txt").touch()
    (tmp_path / "copy.db.making-unlocked").mkdir()
    (tmp_path / "copy.db.making-").mkdir()
    before = sorted(tmp_path.rglob("*"))
    delete_leftovers(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_doctor_names_a_leftover(settings):
    left = leave(settings.data_dir / "nicobar.db", "compacting")
    (finding,) = locate(settings.database).examine(SystemClock())
    assert str(left) in finding.detail


@as_root
def test_database_and_key_that_root_creates_are_the_services(tmp_path):
    os.chown(tmp_path, SERVICE, SERVICE)
    prepare_database(Settings(data_dir=tmp_path), 1, new_installation=False)
    found = {path.name: path.stat() for path in tmp_path.iterdir()}
    assert {name: status.st_uid for name, status in found.items()} == dict.fromkeys(found, SERVICE)
    assert found["secret.key"].st_mode & 0o777 == 0o600
    key = tmp_path / "secret.key"
    save_keys([b"k" * 32, b"l" * 32], key, like=key)
    assert key.stat().st_uid == SERVICE


@as_root
@pytest.mark.parametrize("work", ["compact", "restore", "restore into an empty directory"])
def test_root_leaves_the_files_to_the_service(settings, tmp_path, work):
    location = locate(settings.database)
    copy = location.back_up(tmp_path / "copy.db", force=False, now_ms=1).path
    if work == "restore into an empty directory":
        (settings.data_dir / "nicobar.db").unlink()
    for path in (settings.data_dir, *settings.data_dir.iterdir()):
        os.chown(path, SERVICE, SERVICE)
    if work != "restore into an empty directory":
        (settings.data_dir / "nicobar.db").chmod(0o640)
    if work == "compact":
        location.compact()
    else:
        with location.restoring(copy, force=True, now_ms=1):
            pass
        with location.worker_place():
            pass
    found = {path.name: path.stat() for path in settings.data_dir.iterdir()}
    assert {status.st_uid for status in found.values()} == {SERVICE}, found
    expected = 0o600 if work == "restore into an empty directory" else 0o640
    assert found["nicobar.db"].st_mode & 0o777 == expected


def test_owner_that_cannot_be_kept_stops_before_anything_changes(settings, tmp_path, monkeypatch):
    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    location = locate(settings.database)
    copy = location.back_up(tmp_path / "copy.db", force=False, now_ms=1).path
    before = {path.name for path in settings.data_dir.iterdir()}
    monkeypatch.setattr(whole_files, "give_owner", refuse)
    with pytest.raises(UserError) as refused, location.restoring(copy, force=True, now_ms=1):
        pass
    assert refused.value.code == "not_owner"
    with pytest.raises(UserError) as refused:
        location.compact()
    assert refused.value.code == "not_owner"
    assert {path.name for path in settings.data_dir.iterdir()} - {"nicobar.db.lock"} == before - {"nicobar.db.lock"}
    prepare_database(settings, 2, new_installation=False)
