"""`nicobar backup`, `restore` and `compact`, with real files: what is refused, kept, put on hold and printed."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.test_commands import SECRETS, configure
from nicobar.cli import group
from nicobar.errors import NicobarError
from nicobar.store.sqlite.connection import connect

OTHER_KEY = "5a" * 32


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The data directory of an installation with a source and two endpoints, one of them paused by a user."""
    directory = tmp_path_factory.mktemp("installed")
    configure(directory)
    file = directory / "nicobar.toml"
    head, _, entry = file.read_text().partition("[[endpoints]]")
    second = entry.replace('name = "customerio"', 'name = "second"')
    file.write_text(f"{head}[[endpoints]]{entry}[[endpoints]]{second}")
    done("apply", str(file), "--data-dir", str(directory / "nicobar-data"))
    with closing(connect(directory / "nicobar-data" / "nicobar.db")) as connection:
        connection.execute(
            "UPDATE endpoints SET paused_reason = 'maintenance', content = json_set(content, '$.paused_by_hand', "
            "json('true')) WHERE name = 'second'"
        )
        connection.execute("INSERT INTO leases VALUES ('endpoint/1', 'worker_gone', 7)")
    return directory / "nicobar-data"


@pytest.fixture
def data(installed, tmp_path, monkeypatch) -> Path:
    """A copy for one test, which runs beside it."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(installed, tmp_path / "nicobar-data")


def command(*arguments: str) -> Result:
    return CliRunner().invoke(group, arguments, env={**SECRETS, "NICOBAR_ALLOWED_ADDRESSES": "127.0.0.0/8"})


def done(*arguments: str) -> str:
    result = command(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def code(*arguments: str) -> str:
    result = command(*arguments)
    assert isinstance(result.exception, NicobarError), (result.output, result.exception)
    assert result.exception.fix
    return result.exception.code


def rows(database: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.endswith((".lock", "-shm"))}


def test_backup_says_where_the_key_is(data):
    output = done("backup", "copy.db")
    assert "2 endpoints" in output
    assert "key is not included" in output
    assert "nicobar-data/secret.key" in output
    assert not Path("copy.db.key").exists()
    done("backup", "copy.db", "--force", "--with-key")
    assert Path("copy.db.key").read_bytes() == (data / "secret.key").read_bytes()
    assert Path("copy.db.key").stat().st_mode & 0o777 == 0o600
    assert code("backup", "another.db", "--data-dir", "elsewhere") == "no_database"
    (data / "secret.key").rename("aside.key")
    assert code("backup", "another.db") == "backup_without_key"
    assert Path("another.db").exists()


def test_restore_puts_every_endpoint_on_hold_until_resumed(data):
    done("backup", "copy.db")
    output = done("restore", "copy.db", "--force")
    assert "Nothing is sent until you resume" in output
    assert "nicobar resume --all" in output
    database = data / "nicobar.db"
    paused = dict(rows(database, "SELECT name, paused_reason FROM endpoints"))
    assert "restored from a backup" in paused["customerio"]
    assert "maintenance" in paused["second"]
    assert rows(database, "SELECT json_extract(content, '$.paused_by_hand') FROM endpoints") == [(1,), (1,)]
    ((holder, term),) = rows(database, "SELECT holder, term FROM leases WHERE name = 'endpoint/1'")
    assert (holder, term > 1_000) == ("", True)
    assert rows(database, "SELECT count(*) FROM audit WHERE action = 'endpoint.pause'") == [(1,)]
    resumed = done("resume", "--all")
    assert "Endpoint customerio resumed." in resumed
    assert "second stays paused: maintenance" in resumed
    assert "No endpoint is on hold" in done("resume", "--all")
    assert code("resume") == code("resume", "customerio", "--all") == "resume_what"


def test_restore_keeps_the_previous_database_under_a_printed_name(data):
    done("backup", "copy.db")
    with closing(connect(data / "nicobar.db")) as later:
        later.execute("UPDATE endpoints SET name = 'later' WHERE name = 'second'")
        for name in ("nicobar.db", "nicobar.db-wal"):
            shutil.copy(data / name, f"{name}.killed")
    for name in ("nicobar.db", "nicobar.db-wal"):  # as a killed process leaves them
        Path(f"{name}.killed").rename(data / name)
    before = contents(data)
    assert code("restore", "copy.db") == "database_exists"
    assert contents(data) == before
    output = done("restore", "copy.db", "--force")
    aside = Path(next(line for line in output.splitlines() if "is kept" in line).partition(": ")[2])
    assert [file.name for file in data.glob("*before-restore*")] == [aside.name]
    assert ("later",) in rows(aside, "SELECT name FROM endpoints"), "with what was in its log"
    assert ("second",) in rows(data / "nicobar.db", "SELECT name FROM endpoints"), "nothing of the old log"


def test_restore_replaces_a_damaged_database(data):
    done("backup", "copy.db")
    (data / "nicobar.db").write_bytes(os.urandom(50_000))
    done("restore", "copy.db", "--force")
    assert rows(data / "nicobar.db", "SELECT count(*) FROM endpoints") == [(2,)]


def test_restore_into_an_empty_directory_takes_the_key_along(data):
    done("backup", "copy.db", "--with-key")
    output = done("restore", "copy.db", "--data-dir", "fresh")
    assert "copy.db.key" in output
    assert Path("fresh/secret.key").read_bytes() == (data / "secret.key").read_bytes()
    assert Path("fresh/secret.key").stat().st_mode & 0o777 == 0o600
    assert "resumed" in done("resume", "--all", "--data-dir", "fresh")
    Path("copy.db.key").unlink()
    assert code("restore", "copy.db", "--data-dir", "other") == "key_missing"
    assert contents(Path("other")) == {}, "neither a database nor a key"


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(os.urandom(30 * 4096))


def make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO migrations VALUES (99, 'later', 'x', 1, 99)")
        connection.commit()


def other_key(path: Path) -> None:
    (path.parent / "nicobar-data" / "secret.key").write_text(OTHER_KEY)


BAD = {
    "damaged": (damage, "backup_damaged"),
    "newer": (make_newer, "database_newer"),
    "another key": (other_key, "key_foreign"),
    "missing": (Path.unlink, "file_missing"),
    "no database": (lambda path: path.write_text("text"), "backup_damaged"),
    "empty": (lambda path: path.write_bytes(b""), "not_ours"),
}


@pytest.mark.parametrize("how", BAD)
def test_restore_refuses_an_unusable_backup(data, how, tmp_path):
    done("backup", "copy.db")
    spoil, expected = BAD[how]
    spoil(tmp_path / "copy.db")
    before = contents(data)
    assert code("restore", "copy.db", "--force") == expected
    assert contents(data) == before


def test_restore_needs_the_key_of_then_beside_the_current_one(data):
    done("backup", "copy.db")
    key_file = data / "secret.key"
    old = key_file.read_text()
    key_file.write_text(OTHER_KEY)
    refused = command("restore", "copy.db", "--force")
    assert "before the current one" in refused.exception.fix
    assert "Keep the current key" in refused.exception.fix
    key_file.write_text(f"{old}\n{OTHER_KEY}")
    done("restore", "copy.db", "--force")
    assert "resumed" in done("resume", "--all")


def test_restore_and_compact_refuse_a_database_in_use(data):
    done("backup", "copy.db")
    with closing(connect(data / "nicobar.db")) as server:
        server.execute("SELECT count(*) FROM endpoints").fetchone()
        for arguments in (("restore", "copy.db", "--force"), ("restore",), ("compact",)):
            assert code(*arguments) == "database_in_use", arguments


def test_restore_without_file_prepares_what_another_tool_restored(data):
    shutil.copy(data / "nicobar.db", "litestream.db")
    Path("litestream.db").rename(data / "nicobar.db")
    assert "Nothing is sent" in done("restore")
    assert "Endpoint customerio resumed." in done("resume", "--all")
    assert code("restore", "--data-dir", "elsewhere") == "no_database"


def test_compact_prints_both_sizes(data):
    assert "MB before" in done("compact")
    assert done("resume", "--all")
