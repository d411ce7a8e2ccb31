"""`nicobar token`: create, list and revoke tokens."""

from __future__ import annotations

import re
import sqlite3

import pytest

from cli.test_commands import nicobar, refused

HOUR_MS = 3_600_000


def made(directory, *arguments):
    """A new token: its row in the database."""
    result = nicobar(directory, "token", "create", *arguments)
    assert result.returncode == 0, result
    assert re.fullmatch(r"nbr_\S+\n", result.stdout)
    with sqlite3.connect(directory / "nicobar-data" / "nicobar.db") as connection:
        connection.row_factory = sqlite3.Row
        return dict(connection.execute("SELECT * FROM tokens ORDER BY created_at_ms DESC LIMIT 1").fetchone())


@pytest.mark.parametrize(
    ("arguments", "scope", "limited"),
    [
        ((), "admin", False),
        (("--read-only",), "read_only", False),
        (("--app", "default"), "application", True),
        (("--app", "default", "--read-only"), "application_read_only", True),
    ],
)
def test_a_token_has_the_requested_scope(tmp_path, arguments, scope, limited):
    kept = made(tmp_path, "ci", *arguments)
    assert (kept["name"], kept["scope"], kept["app_id"] is not None) == ("ci", scope, limited)
    assert kept["expires_at_ms"] is None


def test_a_token_expires_after_a_while_or_at_a_time(tmp_path):
    soon = made(tmp_path, "soon", "--expires", "6h")
    assert 5 * HOUR_MS < soon["expires_at_ms"] - soon["created_at_ms"] <= 6 * HOUR_MS
    assert made(tmp_path, "later", "--expires", "2030-01-01T00:00:00Z")["expires_at_ms"] == 1_893_456_000_000
    for wrong in ("2020-01-01", "soon"):
        assert "time" in refused(nicobar(tmp_path, "token", "create", "wrong", "--expires", wrong))
    assert "Applications: default." in refused(nicobar(tmp_path, "token", "create", "wrong", "--app", "other"))


def test_tokens_are_listed_and_revoked_by_name_or_id(tmp_path):
    nicobar(tmp_path, "migrate")
    assert nicobar(tmp_path, "token", "list").stdout == "No tokens yet.\n"
    made(tmp_path, "ci", "--app", "default", "--expires", "6h")
    token_id = made(tmp_path, "shop", "--read-only")["id"]
    ci, shop = nicobar(tmp_path, "token", "list").stdout.splitlines()
    assert re.search(r"^● tok_\w+  ci  application in default  created \S+ \S+  never used  expires \S+ \S+$", ci)
    assert re.search(rf"^● {token_id}  shop  read_only  created \S+ \S+  never used  never expires$", shop)
    assert nicobar(tmp_path, "token", "revoke", "ci").stdout == "Token ci revoked.\n"
    assert nicobar(tmp_path, "token", "revoke", token_id).returncode == 0
    assert all(line.startswith("○ ") for line in nicobar(tmp_path, "token", "list").stdout.splitlines())
    assert "Active tokens: none." in refused(nicobar(tmp_path, "token", "revoke", "ci"))
    assert made(tmp_path, "ci")["revoked_at_ms"] is None
    with sqlite3.connect(tmp_path / "nicobar-data" / "nicobar.db") as connection:
        lines = connection.execute("SELECT action, actor FROM audit ORDER BY seq").fetchall()
    assert lines == [
        (action, "command line")
        for action in ("token.create", "token.create", "token.revoke", "token.revoke", "token.create")
    ]
