"""Files and functions named in ARCHITECTURE.md exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "nicobar"
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
# `folder/`, `folder/file.py` or `folder/file.py:Class.method`; a placeholder for a name ends the path.
NAMED = sorted(set(re.findall(r"`([\w./-]+(?:/|\.(?:py|md|toml))(?::[\w.]+)?)(?:<\w+>[\w.]*)?`", PAGE)))


@pytest.mark.parametrize("named", NAMED)
def test_every_named_file_and_function_exists(named):
    place, _, name = named.partition(":")
    is_outside = place.startswith(("docs/", "scripts/", "src/", "tests/"))
    path = (ROOT if is_outside else PACKAGE) / place
    assert path.exists()
    if name:
        assert name.split(".")[-1] in names_in(path, name.split(".")[:-1])


def test_the_page_names_every_package():
    packages = {path.parent for pattern in ("*/*.py", "web/*/*.py") for path in PACKAGE.glob(pattern)}
    assert {f"{path.relative_to(PACKAGE)}/" for path in packages} <= set(NAMED)


def names_in(path: Path, classes: list[str]) -> set[str]:
    """The names that a module, or a class in it, defines."""
    body: list[ast.stmt] = ast.parse(path.read_text("utf-8")).body
    for name in classes:
        body = next(node.body for node in body if isinstance(node, ast.ClassDef) and node.name == name)
    names = {node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names
