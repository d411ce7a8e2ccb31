"""What is installed: the packages that run Nicobar are among those that it is developed with."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pinned(name: str) -> set[str]:
    return set(re.findall(r"^[a-z][\w.-]*==\S+", (ROOT / name).read_text("utf-8"), re.MULTILINE))


def test_runtime_and_development_pin_the_same_versions():
    runtime = pinned("constraints-runtime.txt")
    assert len(runtime) > 20
    assert runtime <= pinned("constraints.txt")


def test_runtime_packages_exclude_test_dependencies():
    names = {line.split("==")[0] for line in pinned("constraints-runtime.txt")}
    assert not names & {"hypothesis", "playwright", "pytest", "mypy", "ruff", "schemathesis"}
