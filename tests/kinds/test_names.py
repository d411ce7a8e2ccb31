"""A kind is named by its own folder and its line in the registry, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nicobar

ROOT = Path(nicobar.__file__).parent
KINDS = {"dodo": "sources/dodo", "customer.?io": "connectors/customerio"}
SUFFIXES = {".py", ".html", ".js", ".css", ".md", ".sql"}
# What may name a kind beside its folder, and why.
ALLOWED = {
    "__init__.py": "what the product is for",
    "cli/__init__.py": "what the product is for, as its help says it",
    "cli/demo.py": "the demo runs these two kinds",
    "cli/emulator.py": "the emulator's command",
    "connectors/customerio": "its recipes are for a source kind, which they name",
    "connectors/registry.py": "the line",
    "emulator": "it is the Customer.io emulator",
    "sources/registry.py": "the line",
}


def is_within(path: str, folders) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


@pytest.mark.parametrize(("name", "folder"), KINDS.items())
def test_a_kind_is_named_in_its_folder_alone(name, folder):
    files = [file for file in ROOT.rglob("*") if file.suffix in SUFFIXES and "vendor" not in file.parts]
    naming = {
        str(file.relative_to(ROOT)) for file in files if re.search(name, file.read_text("utf-8"), re.IGNORECASE)
    }
    assert len(naming) > 5
    assert not {path for path in naming if not is_within(path, (folder, *ALLOWED))}


def test_every_exception_is_needed():
    texts = {path: [ROOT / path] if (ROOT / path).is_file() else (ROOT / path).rglob("*.py") for path in ALLOWED}
    for path, files in texts.items():
        assert any(re.search("|".join(KINDS), file.read_text("utf-8"), re.IGNORECASE) for file in files), path
