"""The reference names everything that there is, and what the pages tell to do works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import nicobar
from nicobar.cli import group
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.customerio.recipes import RECIPES
from nicobar.connectors.customerio.rules import RULES
from nicobar.connectors.customerio.track_api import ACTIONS, V1_CALLS
from nicobar.emulator.faults import Fault
from nicobar.metrics import Metrics
from nicobar.sandbox import Failure
from nicobar.settings import Settings, description
from nicobar.use_cases.config_file import read_document
from nicobar.web.api.app import OPERATIONS
from support.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")
API = (ROOT / "docs" / "reference" / "api.md").read_text("utf-8")
EMULATOR = (ROOT / "docs" / "reference" / "emulator.md").read_text("utf-8")
CONTRACT = (ROOT / "docs" / "reference" / "customerio.md").read_text("utf-8")
SOURCE = "\n".join(path.read_text("utf-8") for path in Path(nicobar.__file__).parent.rglob("*.py"))

# What needs the servers that the tutorial starts by hand; `tests/cli` runs these against running ones.
ONLINE = ("nicobar doctor", "nicobar trigger")


def names() -> list[str]:
    settings = [field.name for field in msgspec.structs.fields(Settings)]
    refusals = re.findall(r'Refusal\(\s*\d+,\s*"(\w+)"', SOURCE)
    assert len(refusals) > 10
    return [*settings, *Metrics().names(), *(item.value for item in Failure), *refusals]


@pytest.mark.parametrize("name", sorted(set(names())))
def test_the_reference_has_every_setting_metric_failure_and_refusal(name):
    assert f"`{name}`" in REFERENCE or f"`{name}`" in API


@pytest.mark.parametrize("name", group.commands)
def test_the_reference_has_every_command(name):
    assert f"`nicobar {name}" in REFERENCE


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_the_contract_s_page_has_every_rule_with_its_meaning(rule):
    assert f"| `{rule.name}` | {rule.meaning} |" in CONTRACT.partition(f"## {rule.level.value.title()}s")[2]


def test_the_contract_s_page_has_every_call_and_every_switch():
    for actions in ACTIONS.values():
        for action in actions.values():
            assert f"| `{action.type}` | `{action.action}` | " in CONTRACT
    for call in V1_CALLS:
        path = "/".join(call.segments).replace("*", "…")
        assert f"`{call.method} /api/v1/{path}`" in CONTRACT
    for field in CustomerIo.fields:
        assert f"`{field.name}`" in REFERENCE


def test_the_api_s_page_says_of_every_operation_of_the_public_one_what_is_true():
    rows = re.findall(r"^\| ((?:`v1\.[\w.-]+` ?)+)\| (works|differs|not offered) \|(.*)\|$", API, re.MULTILINE)
    documented = {name: here for names, here, _ in rows for name in re.findall(r"`([^`]+)`", names)}
    offered = {operation.id for operation in OPERATIONS}
    assert {name for name, here in documented.items() if here != "not offered"} <= offered
    assert not {name for name, here in documented.items() if here == "not offered"} & offered
    assert {str(name) for name in offered if str(name).startswith("v1.")} <= set(documented)
    assert all(how.strip() for _, here, how in rows if here != "works")


def test_the_emulator_s_page_has_every_flag_path_and_fault():
    flags = [name for option in group.commands["emulator"].params for name in option.opts]
    paths = re.findall(r'@(?:get|put|delete)\("(/emulator/\w+)"', SOURCE)
    assert len(paths) > 10
    for name in [*flags, *paths, *(field.name for field in msgspec.structs.fields(Fault))]:
        assert f"`{name}`" in EMULATOR or f" {name}`" in EMULATOR, name


def test_every_setting_says_what_it_is_for():
    assert all(description(field).endswith(".") for field in msgspec.structs.fields(Settings))


def test_the_reference_leads_to_every_recipe(tmp_path):
    for candidate in RECIPES:
        assert f"(../src/nicobar/connectors/customerio/recipes/{candidate.name}.md)" in REFERENCE
    result = run(
        tmp_path, "nicobar recipe journeys > handler.js && nicobar recipe && nicobar transform handler.js --all"
    )
    assert (result.returncode, "48 events, 0 failed." in result.stdout) == (0, True), result
    assert all(recipe.summary in result.stdout for recipe in RECIPES)
    assert run(tmp_path, "nicobar recipe nothing").returncode == 1


PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_name_make_targets_that_exist(path):
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    text = path.read_text("utf-8")
    named = re.findall(r"^make (\w+)", text, re.MULTILINE) + re.findall(r"`make (?:PYTHON=\S+ )?(\w+)", text)
    assert set(named) <= set(targets)


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_tutorial_works_as_it_is_written(tmp_path):
    tutorial = ROOT / "docs" / "tutorial" / "first-event.md"
    (tmp_path / "handler.js").write_text(blocks(tutorial, "js")[0])
    (tmp_path / "nicobar.toml").write_text(blocks(tutorial, "toml")[0])
    enter, *shell = blocks(tutorial, "sh")
    assert "activate" in enter
    offline = "\n".join(line for block in shell for line in block.splitlines() if not line.startswith(ONLINE))
    result = run(tmp_path, offline)
    assert result.returncode == 0, result
    assert '"name":"payment_succeeded"' in result.stdout
    assert "not handled" in result.stdout
    assert re.search(r"source dodo: http://127.0.0.1:8080/in/\S+$", result.stdout.strip())


def test_the_readme_s_handler_runs(tmp_path):
    (tmp_path / "handler.js").write_text(blocks(ROOT / "README.md", "js")[0])
    result = run(tmp_path, "nicobar transform handler.js --all")
    assert (result.returncode, "48 events, 0 failed." in result.stdout) == (0, True), result


def test_the_reference_s_file_is_one_that_apply_takes(tmp_path):
    (tmp_path / "nicobar.toml").write_text(blocks(ROOT / "docs" / "reference.md", "toml")[0])
    assert read_document(tmp_path / "nicobar.toml").endpoints[0].variables == {"PLAN": "pro"}


def run(directory: Path, script: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", "-eu", "-c", script],
        cwd=directory,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
