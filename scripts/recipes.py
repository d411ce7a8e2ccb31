"""Builds the ready-made handlers of Customer.io: `make recipes`. Each is one file that a user can read and change:
its handler, from `parts/handlers/`, and the functions that it uses of those that recipes share, from `parts/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path

from nicobar.connectors.customerio import recipes

FOLDER = Path(str(files(recipes)))
PARTS = FOLDER / "parts"
# The shared files, in the order of their functions in a recipe.
SHARED = (
    "payments",
    "subscriptions",
    "refunds_and_disputes",
    "others",
    "objects",
    "person",
    "facts",
    "values",
    "send",
)
_DECLARED = re.compile(r"^(?:function|const) (\w+)", re.MULTILINE)
_COMMENT = re.compile(r"^\s*//.*$|//[^\"\n]*$", re.MULTILINE)
# A name that is no property.
_NAME = re.compile(r"(?<![\w.\"])(?<!\.\.\.)\b(\w+)\b(?!\s*:)|(?<=\.\.\.)(\w+)\b")


def built(name: str) -> str:
    """The code of a recipe."""
    own = (PARTS / "handlers" / f"{name}.js").read_text("utf-8").rstrip()
    shared = blocks()
    wanted = _used(own, shared)
    return "\n\n".join([own, *(block for block in shared if block in wanted)]) + "\n"


def blocks() -> dict[str, frozenset[str]]:
    """The blocks of all shared files, each with the names that it declares. Blank lines are between blocks only."""
    found: dict[str, frozenset[str]] = {}
    for file in SHARED:
        for block in (PARTS / f"{file}.js").read_text("utf-8").strip().split("\n\n"):
            found[block] = frozenset(_DECLARED.findall(block))
    return found


def _used(code: str, shared: Mapping[str, Iterable[str]]) -> set[str]:
    """The blocks that this code uses, also through others."""
    by_name = {name: block for block, names in shared.items() for name in names}
    used: set[str] = set()
    left = [code]
    while left:
        names = {name for pair in _NAME.findall(_COMMENT.sub("", left.pop())) for name in pair}
        more = {by_name[name] for name in names & by_name.keys()} - used
        used |= more
        left += more
    return used


if __name__ == "__main__":
    for recipe in recipes.RECIPES:
        (FOLDER / f"{recipe.name}.js").write_text(built(recipe.name), "utf-8")
