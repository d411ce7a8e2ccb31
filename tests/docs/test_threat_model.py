"""The threat model names tests that exist, and the page for reports names no person."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "threat-model.md").read_text("utf-8")
SECTION = PAGE[PAGE.index("## Attacks, defenses, tests") : PAGE.index("## Limits")]
ROWS = [line.strip("| ").split(" | ") for line in SECTION.splitlines() if line.startswith("| ")]
ATTACKS = [row for row in ROWS if row[0] != "attack"]
NAMED = re.compile(r"`(tests/[\w/]+\.py):(test_\w+)`")


def test_every_attack_has_a_defense_and_a_test():
    assert len(ATTACKS) > 30
    for row in ATTACKS:
        assert len(row) == 3, row
        assert NAMED.search(row[2]), row


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED.findall(SECTION)}))
def test_every_named_test_exists(path):
    text = (ROOT / path).read_text("utf-8")
    for named, name in NAMED.findall(SECTION):
        assert named != path or re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), name


def test_reports_are_private_and_name_no_person():
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    assert "Report a vulnerability" in text
    assert "@" not in text
    assert "http" not in text
