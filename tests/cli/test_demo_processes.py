"""The demo with several processes over a PostgreSQL server of their own."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from cli.test_commands import nicobar
from nicobar.cli import postgres_server
from nicobar.errors import UserError


@pytest.mark.slow
def test_the_demo_runs_several_processes_over_postgresql(tmp_path):
    result = nicobar(tmp_path, "demo", "--postgresql", "--once", "--port", "0", "--emulator-port", "0")
    assert result.returncode == 0, result
    assert "36 events sent, 36 delivered" in result.stdout
    assert "3 people and 42 activities; 0 rejected." in result.stdout
    assert len(re.findall(r"^Nicobar   http", result.stdout, re.MULTILINE)) == 2
    assert set(re.findall(r"  (worker \d)$", result.stdout, re.MULTILINE)) <= {"worker 1", "worker 2"}


def test_a_missing_server_is_named_with_its_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(postgres_server, "MIN_VERSION", 999)
    monkeypatch.setattr(postgres_server, "find_spec", lambda _: None)
    with pytest.raises(UserError) as caught:
        postgres_server.PostgresServer(tmp_path)
    assert caught.value.code == "postgresql_missing"
    assert "make setup" in caught.value.fix


def test_a_server_that_cannot_start_says_why():
    # Not below pytest's directory: the server may run as another user.
    with tempfile.TemporaryDirectory(prefix="nicobar-pg-") as directory, pytest.raises(UserError) as caught:
        postgres_server.PostgresServer(Path(directory), {"no_such_setting": "1"})
    assert caught.value.code == "postgresql_not_started"
    assert "no_such_setting" in caught.value.detail
