"""Which key belongs to which database: real processes, real files. A lost key stops the start."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.test_commands import SECRETS, _start, configure, environment, nicobar, refused
from nicobar.cli import group
from nicobar.crypto import Vault, key_id
from nicobar.errors import SettingsError, StoreUnusable
from nicobar.model import DeliveryState
from nicobar.store.installation import KeyHolder
from nicobar.store.sqlite.connection import SQL
from nicobar.store.tables.keys import KeyTables
from nicobar.use_cases import key_rotation
from support.cli import Started
from support.patience import PATIENCE_S
from support.server import running

OTHER_KEY = "5a" * 32
PAID = "function handler(webhook) { webhook.payload = nicobar.event('paid', {}); return webhook; }"


@pytest.fixture(scope="module")
def applied(tmp_path_factory) -> Path:
    """The data directory of an installation with a source and an endpoint, which each test gets a copy of."""
    directory = tmp_path_factory.mktemp("applied")
    configure(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        result = command("apply", "nicobar.toml")
    assert result.exit_code == 0, result
    return directory / "nicobar-data"


@pytest.fixture
def data(tmp_path, monkeypatch, applied) -> Path:
    configure(tmp_path)
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(applied, tmp_path / "nicobar-data"))


def command(*arguments: str, **more: str) -> Result:
    """Runs a command in this process, in the current directory."""
    allowed = {"NICOBAR_ALLOWED_ADDRESSES": "127.0.0.0/8"}
    return CliRunner().invoke(group, arguments, env={**SECRETS, **allowed, **more})


def error(result: Result) -> str:
    assert result.exit_code == 1, result
    assert isinstance(result.exception, StoreUnusable), result.exception
    assert result.exception.fix
    return str(result.exception)


def contents(directory: Path) -> dict[str, bytes]:
    """Every file, the database's shared memory aside: readers use it too."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.endswith("-shm")}


def starts(directory: Path, *arguments: str) -> None:
    """A server, in a process of its own."""
    process, _ = _start(directory, "serve", "--port", "0", *arguments, until='"running"')
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def query(database: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


COMMANDS = [
    ("serve", "--port", "0"),
    ("serve", "--port", "0", "--role", "web"),
    ("serve", "--role", "worker"),
    ("apply", "nicobar.toml"),
    ("export", "out.toml"),
    ("token", "create", "ci"),
    ("token", "list"),
    ("resume", "customerio"),
    ("password-link",),
    ("trigger", "payment.succeeded"),
    ("migrate",),
    ("serve", "--port", "0", "--new-installation"),
    ("apply", "nicobar.toml", "--new-installation"),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_missing_key_stops_every_command_and_is_not_replaced(data, arguments):
    (data / "secret.key").unlink()
    before = contents(data)
    output = error(command(*arguments))
    assert str(Path("nicobar-data") / "secret.key") in output
    assert "NICOBAR_SECRET_KEY" in output
    assert "Restore" in output
    assert contents(data) == before


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_foreign_key_stops_every_command(data, arguments):
    (data / "secret.key").write_text(OTHER_KEY)
    before = contents(data)
    output = error(command(*arguments))
    assert "secret.key" in output
    assert "Restore" in output
    assert OTHER_KEY not in output
    assert contents(data) == before


@pytest.mark.parametrize("content", ["", "5a5a", "not a key at all", OTHER_KEY + "00"])
def test_a_key_file_without_a_key_stops_the_start(data, content):
    (data / "secret.key").write_text(content)
    assert "secret.key" in error(command("serve", "--port", "0"))
    assert (data / "secret.key").read_text() == content


def test_doctor_names_the_key_as_the_problem(data):
    (data / "secret.key").unlink()
    result = command("doctor")
    assert result.exit_code == 1
    assert "▲ key: " in result.stdout
    assert "secret.key" in result.stdout
    assert not (data / "secret.key").exists()


@pytest.mark.parametrize("how", ["missing", "empty", "without tables"])
@pytest.mark.parametrize(
    "arguments", [("serve", "--port", "0"), ("apply", "nicobar.toml"), ("migrate",)], ids=" ".join
)
def test_a_key_without_its_database_stops_the_start(data, how, arguments):
    lose(data, how)
    before = contents(data)
    output = error(command(*arguments))
    assert str(Path("nicobar-data") / "nicobar.db") in output
    assert "--new-installation" in output
    assert contents(data) == before


def lose(data: Path, how: str) -> None:
    for path in data.glob("nicobar.db*"):
        path.unlink()
    if how == "empty":
        (data / "nicobar.db").touch()
    elif how == "without tables":
        query(data / "nicobar.db", "PRAGMA journal_mode = WAL")


def test_an_empty_database_requires_new_installation_and_keeps_the_key(tmp_path, data):
    lose(data, "empty")
    key = (data / "secret.key").read_text()
    assert "--new-installation" in refused(nicobar(tmp_path, "serve", "--port", "0"))
    starts(tmp_path, "--new-installation")
    assert (data / "secret.key").read_text() == key
    starts(tmp_path)


def test_a_log_without_its_database_is_never_overwritten(data):
    (data / "nicobar.db").unlink()
    (data / "secret.key").unlink()
    (data / "nicobar.db-wal").write_bytes(b"frames " * 1000)
    before = contents(data)
    assert "nicobar.db-wal" in error(command("serve", "--port", "0", "--new-installation"))
    assert contents(data) == before


def test_the_key_is_created_whole_and_for_its_owner_only(data):
    key = data / "secret.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(key.read_text())) == 32
    assert [path.name for path in key.parent.iterdir() if "secret" in path.name] == ["secret.key"]
    ((installation, named),) = query(key.parent / "nicobar.db", "SELECT installation_id, key_id FROM installation")
    assert installation
    assert named
    assert str(named) not in key.read_text()


def test_processes_that_start_at_once_agree_on_one_key(tmp_path):
    names = [f"ci-{number}" for number in range(6)]
    processes = [Started(tmp_path, ["token", "create", name], environment()) for name in names]
    output = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(names), output
    data = tmp_path / "nicobar-data"
    assert {row[0] for row in query(data / "nicobar.db", "SELECT name FROM tokens")} == set(names)
    assert [path.name for path in data.iterdir() if "secret" in path.name] == ["secret.key"]
    configure(tmp_path)
    assert nicobar(tmp_path, "apply", "nicobar.toml").returncode == 0


@pytest.mark.parametrize("stage", ["before the database knows it", "before it has its name"])
def test_a_start_that_dies_while_creating_the_key_is_repeated(tmp_path, monkeypatch, stage):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "nicobar-data"
    with monkeypatch.context() as patch:
        if stage == "before it has its name":
            patch.setattr(KeyHolder, "settle", died)
        else:
            patch.setitem(SQL, "add_installation", "SELECT nothing_like_it")
        assert command("token", "create", "ci").exit_code == 1
    assert not (data / "secret.key").exists()
    (new,) = data.glob("secret.key*")
    key = new.read_text()
    assert command("token", "create", "ci").exit_code == 0
    assert [path.name for path in data.glob("secret.key*")] == ["secret.key"]
    assert (data / "secret.key").read_text() == key


def died(*_arguments: object) -> Vault:
    raise StoreUnusable("died", "The process died here.", "Start it again.")


def forget_the_key_id(data: Path) -> None:
    """Makes of a database one from before key ids were stored."""
    query(data / "nicobar.db", "DROP TABLE installation")
    query(data / "nicobar.db", "DELETE FROM migrations WHERE number = 10")


def test_an_older_database_adopts_the_key_that_opens_its_secrets(tmp_path, data):
    forget_the_key_id(data)
    starts(tmp_path)
    assert query(data / "nicobar.db", "SELECT count(*) FROM installation") == [(1,)]


@pytest.mark.parametrize("content", [None, OTHER_KEY])
def test_an_older_database_rejects_a_key_that_decrypts_nothing(data, content):
    forget_the_key_id(data)
    (data / "secret.key").unlink()
    if content:
        (data / "secret.key").write_text(content)
    assert "secret.key" in error(command("serve", "--port", "0"))
    assert (data / "secret.key").exists() is (content is not None)
    assert query(data / "nicobar.db", "SELECT count(*) FROM migrations WHERE number = 10") == [(0,)]


def test_an_older_database_without_secrets_gets_a_new_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command("token", "create", "ci")
    data = tmp_path / "nicobar-data"
    forget_the_key_id(data)
    (data / "secret.key").unlink()
    assert "● " in command("token", "list").output
    assert (data / "secret.key").exists()


def test_the_setting_replaces_the_file(data):
    key = (data / "secret.key").read_text()
    (data / "secret.key").unlink()
    assert command("token", "create", "ci", NICOBAR_SECRET_KEY=key).exit_code == 0
    assert not (data / "secret.key").exists()
    output = error(command("token", "list", NICOBAR_SECRET_KEY=OTHER_KEY))
    assert "secret_key" in output
    assert OTHER_KEY not in output
    refused_setting = command("token", "list", NICOBAR_SECRET_KEY="5a5a-not-a-key").exception
    assert isinstance(refused_setting, SettingsError)
    assert "NICOBAR_SECRET_KEY" in str(refused_setting)
    assert "5a5a" not in str(refused_setting)
    options = group.load_commands()["serve"].params
    assert not any(option.name == "secret_key" for option in options), "others read arguments"


def test_a_first_start_with_a_key_setting_requires_new_installation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "--new-installation" in error(command("token", "list", NICOBAR_SECRET_KEY=OTHER_KEY))
    assert not list((tmp_path / "nicobar-data").glob("nicobar.db*"))
    made = command("token", "create", "ci", "--new-installation", NICOBAR_SECRET_KEY=OTHER_KEY)
    assert made.exit_code == 0, made
    assert "● " in command("token", "list", NICOBAR_SECRET_KEY=OTHER_KEY).output
    assert not (tmp_path / "nicobar-data" / "secret.key").exists()


@pytest.mark.parametrize("link", ["none", "file", "directory"])
def test_one_process_delivers_from_a_database_and_another_takes_over(tmp_path, data, link):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(data / "secret.key", other)
    path = data / "nicobar.db"
    if link == "file":
        path = tmp_path / "linked.db"
        path.symlink_to(data / "nicobar.db")
    elif link == "directory":
        (tmp_path / "linked").symlink_to(data)
        path = tmp_path / "linked" / "nicobar.db"
    first, _ = _start(tmp_path, "serve", "--port", "0", until='"running"')
    started = [first]
    try:
        arguments = ("serve", "--port", "0", "--data-dir", "other", "--database-url", f"sqlite:///{path}")
        second, _ = _start(tmp_path, *arguments, until="standing by")
        started.append(second)
        first.terminate()
        first.communicate(timeout=PATIENCE_S)
        assert any("; delivering" in line for line in second.stdout), "it takes over"
    finally:
        for process in started:
            if process.returncode is None:
                process.terminate()
                process.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0
    assert first.returncode == 0


async def beside(*arguments: str) -> Result:
    """Runs a command while this test's event loop goes on."""
    return await asyncio.to_thread(command, *arguments)


@pytest.fixture
def soon(monkeypatch):
    """Other processes have little time to notice a new key."""
    monkeypatch.setattr(key_rotation, "SETTLE_MS", 50)


@pytest.mark.usefixtures("soon")
async def test_the_key_is_replaced_while_events_arrive(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "nicobar-data"
    key_file = data / "secret.key"
    assert (await beside("token", "create", "ci")).exit_code == 0
    assert (await beside("rotate-key", "--add-key")).exit_code == 0
    old, new = key_file.read_text().split()
    assert key_file.stat().st_mode & 0o777 == 0o600
    async with running(data, PAID) as nicobar:
        rotating = asyncio.create_task(beside("rotate-key"))
        sent = 0
        while not rotating.done() or sent < 3:
            status, _ = await nicobar.send_sample("payment.succeeded", f"evt_{sent}")
            assert status == 202
            assert (await nicobar.next_recorded()).attempt.state is DeliveryState.SUCCESS
            sent += 1
        result = rotating.result()
        assert result.exit_code == 0, result
        assert "Remove it from" in result.output
        assert not {old, new} & set(result.output.split())
        key_file.write_text(new)
    assert f"● keys: {key_id(bytes.fromhex(new))} encrypts" in (await beside("doctor")).output
    async with running(data, None) as nicobar:
        assert not nicobar.runtime.configuration.unusable_sources
        assert not nicobar.runtime.configuration.unusable_endpoints
    key_file.write_text(old)
    assert key_id(bytes.fromhex(new)) in error(await beside("token", "list"))


@pytest.mark.usefixtures("soon")
def test_the_old_key_is_required_until_a_rotation_is_complete(data, monkeypatch):
    old = (data / "secret.key").read_text()
    both = f"{old},{OTHER_KEY}"
    with monkeypatch.context() as patch:
        patch.setattr(KeyTables, "reseal", died)
        assert command("rotate-key", NICOBAR_SECRET_KEY=both).exit_code == 1
    output = error(command("token", "list", NICOBAR_SECRET_KEY=OTHER_KEY))
    assert "rotate-key" in output
    assert key_id(bytes.fromhex(old)) in output
    assert "rotate-key" in command("doctor", NICOBAR_SECRET_KEY=both).output
    assert command("rotate-key", NICOBAR_SECRET_KEY=both).exit_code == 0
    assert command("token", "list", NICOBAR_SECRET_KEY=OTHER_KEY).exit_code == 0


@pytest.mark.usefixtures("soon")
def test_a_backup_during_a_rotation_has_all_keys(data):
    assert command("rotate-key", "--add-key").exit_code == 0
    assert command("backup", "backup.db", "--with-key").exit_code == 0
    assert Path("backup.db.key").read_text() == (data / "secret.key").read_text()
    shutil.rmtree(data)
    assert command("restore", "backup.db").exit_code == 0
    assert command("rotate-key").exit_code == 0
