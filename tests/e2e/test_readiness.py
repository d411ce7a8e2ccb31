"""`/readyz` of a real server whose database is damaged, deleted, replaced or locked: it says no within its bound.
No event is acknowledged that is not stored.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing, contextmanager

import pytest

from cli.test_commands import _start, configure, nicobar
from e2e.test_disk import world
from support.patience import PATIENCE_S

PAGE_BYTES = 4096


def ask(url: str, **headers: str) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def base(it) -> str:
    return it.url.partition("/in/")[0]


def ready(it) -> tuple[int, dict]:
    return ask(f"{base(it)}/readyz")


def becomes_ready(url: str) -> dict:
    """The first ready answer after a handler process has started."""
    for _ in range(PATIENCE_S):
        status, answer = ask(f"{url}/readyz")
        if status == 200 and part(answer, "sandbox")["state"] == "ok":
            return answer
    raise AssertionError(answer)


def part(answer: dict, name: str) -> dict:
    return next(item for item in answer["parts"] if item["name"] == name)


def overwrite(database, pages) -> None:
    with database.open("r+b") as file:
        for page in pages:
            file.seek(page * PAGE_BYTES)
            file.write(os.urandom(PAGE_BYTES))


def overwrite_log(path) -> None:
    """All pages but the first two: without the header the file would be no database at all, which is another error.
    The log's format: https://sqlite.org/fileformat2.html#walformat.
    """
    with path.open("r+b") as log:
        size = log.seek(0, os.SEEK_END)
        for frame in range(32, size, 24 + PAGE_BYTES):
            log.seek(frame)
            if int.from_bytes(log.read(4), "big") > 2:
                log.seek(frame + 24)
                log.write(os.urandom(PAGE_BYTES))


@contextmanager
def write_lock(database):
    """Another process's open write, as far as the server can tell."""
    with closing(sqlite3.connect(database, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        yield
        blocker.execute("ROLLBACK")


def test_a_healthy_server_is_ready_and_lists_its_parts(tmp_path):
    with world(tmp_path, tmp_path / "data") as it:
        assert it.send(1)[0] == 202
        becomes_ready(base(it))
        status, answer = ask(f"{base(it)}/readyz?delivery=1")
        assert (status, answer["status"], answer["role"]) == (200, "ready", "all"), answer
        states = {item["name"]: item["state"] for item in answer["parts"]}
        wanted = {"store", "catalogue", "sources", "endpoints", "claims", "sandbox", "tasks", "disk"}
        assert states.keys() == wanted
        assert {states[name] for name in wanted - {"disk"}} == {"ok"}
        assert all(item["detail"] for item in answer["parts"])


def test_with_a_damaged_database_doctor_names_the_fix(tmp_path):
    data = tmp_path / "data"
    with world(tmp_path, data) as it:
        for number in range(5):
            assert it.send(number)[0] == 202
        becomes_ready(base(it))
        pages = (data / "nicobar.db").stat().st_size // PAGE_BYTES
        # In the log as well: what a page holds is read from there first.
        overwrite(data / "nicobar.db", range(2, pages))
        overwrite_log(data / "nicobar.db-wal")
        status, answer = ready(it)
        assert (status, part(answer, "store")["state"]) == (503, "failed"), answer
        assert "damaged" in part(answer, "store")["detail"]
        assert "backup" in part(answer, "store")["detail"]
        result = nicobar(tmp_path, "doctor", "--data-dir", str(data))
        assert result.returncode == 1
        (line,) = [line for line in result.stdout.splitlines() if line.startswith("▲ database file")]
        assert "damaged" in line
        assert "backup" in line
        assert "free space" not in line
        it.acknowledged.clear()


@pytest.mark.parametrize("how", ["deleted", "replaced", "log deleted"])
def test_files_lost_under_a_running_server_are_noticed(tmp_path, how):
    data = tmp_path / "data"
    with world(tmp_path, data) as it:
        assert it.send(1)[0] == 202
        becomes_ready(base(it))
        aside = tmp_path / "aside"
        aside.mkdir()
        moved = list(data.glob("nicobar.db*")) if how != "log deleted" else [data / "nicobar.db-wal"]
        for path in moved:
            shutil.copy(path, aside) if how == "replaced" else None
            path.rename(aside / f"{path.name}.real")
            if how == "replaced":
                shutil.copy(aside / path.name, path)
        assert it.send(2) == (503, "5")
        status, answer = ready(it)
        assert (status, part(answer, "store")["state"]) == (503, "failed"), answer
        assert "deleted or replaced" in answer["detail"]
        assert how != "deleted" or not (data / "nicobar.db").exists(), "no empty database is created"
        for path in moved:
            (aside / f"{path.name}.real").rename(path)
        assert it.send(2)[0] == 202
        becomes_ready(base(it))


def test_another_write_lock_is_named_and_reads_are_answered(tmp_path):
    data = tmp_path / "data"
    with world(tmp_path, data) as it:
        token = nicobar(tmp_path, "token", "create", "ci", "--data-dir", str(data)).stdout.strip()
        becomes_ready(base(it))
        with write_lock(data / "nicobar.db"):
            status, answer = ready(it)
            assert status == 503
            assert "another process" in answer["detail"].lower()
            assert "write lock" in answer["detail"]
            status, answer = ask(f"{base(it)}/api/v1/app", authorization=f"Bearer {token}")
            assert status == 200, answer
            assert answer["data"][0]["uid"] == "default"
            blocker = sqlite3.connect(data / "nicobar.db")
            assert blocker.execute("SELECT last_used_at_ms FROM tokens").fetchone() == (None,), "it is still locked"
            blocker.close()
            assert ask(f"{base(it)}/healthz")[0] == 200
        assert it.send(1)[0] == 202
        becomes_ready(base(it))


def test_a_worker_listens_where_a_port_is_given(tmp_path):
    configure(tmp_path)
    assert nicobar(tmp_path, "apply", "nicobar.toml").returncode == 0
    worker, line = _start(tmp_path, "serve", "--role", "worker", "--port", "0", until='"running"')
    url = re.search(r"http://[\d.:]+", line)[0]
    try:
        answer = becomes_ready(url)
        assert answer["role"] == "worker"
        assert part(answer, "claims")["state"] == "ok"
        assert ask(f"{url}/healthz")[0] == 200
        assert ask(f"{url}/api/v1/app")[0] == 404
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=PATIENCE_S)
    assert worker.returncode == 0
    silent, line = _start(tmp_path, "serve", "--role", "worker", until='"running"')
    silent.send_signal(signal.SIGTERM)
    silent.communicate(timeout=PATIENCE_S)
    assert "http://" not in line
