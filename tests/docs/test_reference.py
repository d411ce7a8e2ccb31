"""The reference names everything that there is."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

import nicobar
from nicobar.cli import group
from nicobar.observe import Metrics
from nicobar.sandbox import Failure
from nicobar.settings import Settings, description

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")
SOURCE = "\n".join(path.read_text("utf-8") for path in Path(nicobar.__file__).parent.rglob("*.py"))


def names() -> list[str]:
    settings = [field.name for field in msgspec.structs.fields(Settings)]
    refusals = re.findall(r'Refusal\(\s*\d+,\s*"(\w+)"', SOURCE)
    assert len(refusals) > 10
    return [*settings, *Metrics().names(), *(one.value for one in Failure), *refusals]


@pytest.mark.parametrize("name", sorted(set(names())))
def test_the_reference_has_every_setting_metric_failure_and_refusal(name):
    assert f"`{name}`" in REFERENCE


@pytest.mark.parametrize("name", group.commands)
def test_the_reference_has_every_command(name):
    assert f"`nicobar {name}" in REFERENCE


def test_every_setting_says_what_it_is_for():
    assert all(description(field).endswith(".") for field in msgspec.structs.fields(Settings))


@pytest.mark.parametrize("path", [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")], ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target
