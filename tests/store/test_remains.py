"""Copies of deleted rows in unused parts of a SQLite file's pages, where no query sees them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import msgspec
import pytest

from contracts.test_stores import message
from contracts.test_stores_erasure import EMAIL, KEY, body_of, erased, named, stored_text
from nicobar.store.sqlite import space
from support.store import open_store

ADD_FACT = "INSERT INTO facts (app_id, key, occurred_at_ms, content) VALUES (?, ?, 1, ?)"


@pytest.fixture
async def store(tmp_path):
    """A file with a customer, and with a copy of their address in an unused part of a page."""
    opened = await open_store(tmp_path)
    (app,) = (await opened.snapshot()).applications
    await opened.append(msgspec.structs.replace(message(1, KEY, body=body_of(KEY, EMAIL)), app_id=app.id))
    with closing(sqlite3.connect(tmp_path / "nicobar.db", isolation_level=None)) as other:
        other.execute("PRAGMA secure_delete = OFF")
        for key in ("a", "b"):
            other.execute(ADD_FACT, (app.id, key, f"{key} {EMAIL}"))
        other.execute("DELETE FROM facts WHERE key = 'a'")
        other.execute("UPDATE facts SET content = ''")
    await opened.clear_log()
    yield opened
    await opened.close()


async def test_a_small_file_is_rewritten_without_the_copies(store, tmp_path):
    report = (await erased(store)).report
    assert (report.is_clean, report.files) == (True, ())
    assert named(stored_text(store, tmp_path)) == []


async def test_the_report_names_a_large_file_that_has_copies(store, monkeypatch):
    monkeypatch.setattr(space, "MAX_REWRITTEN_BYTES", 0)
    report = (await erased(store)).report
    assert not report.is_clean
    assert [place.name for place in report.files] == ["nicobar.db"]
    assert any("nicobar compact" in line for line in report.outline())


async def test_other_copies_of_the_database_are_reported(store, tmp_path):
    with closing(sqlite3.connect(tmp_path / "nicobar.db")) as source:
        source.execute("VACUUM INTO ?", (str(tmp_path / "aside.db"),))
    (tmp_path / "notes.txt").write_text("no database")
    report = (await erased(store)).report
    assert [backup.path for backup in report.backups] == [str(tmp_path / "aside.db")]
