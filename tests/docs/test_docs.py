"""The reference is complete, and the commands and examples of the pages work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

import nicobar
from nicobar.cli import group
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.customerio.recipes import RECIPES
from nicobar.connectors.customerio.rules import RULES
from nicobar.connectors.customerio.track_api import ACTIONS, V1_CALLS
from nicobar.emulator.campaign import Campaign, Outcome, Silence
from nicobar.emulator.conditions import Condition, Operator
from nicobar.emulator.faults import Fault
from nicobar.emulator.workspace import Disorder, Identifiers, Workspace
from nicobar.metrics import Metrics
from nicobar.sandbox import Failure
from nicobar.settings import Settings, description
from nicobar.use_cases.config_file import read_document
from nicobar.use_cases.config_file_targets import Reference
from nicobar.web.api.app import OPERATIONS
from support.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")
API = (ROOT / "docs" / "reference" / "api.md").read_text("utf-8")
EMULATOR = (ROOT / "docs" / "reference" / "emulator.md").read_text("utf-8")
CONTRACT = (ROOT / "docs" / "reference" / "customerio.md").read_text("utf-8")
SOURCE = "\n".join(path.read_text("utf-8") for path in Path(nicobar.__file__).parent.rglob("*.py"))

# Commands that start the servers or need them; `tests/cli` tests these.
ONLINE = (
    "nicobar doctor",
    "nicobar trigger",
    "nicobar emulator",
    "nicobar replay resend MESSAGE",
    "NICOBAR_ALLOWED_ADDRESSES=127.0.0.1:8081 nicobar serve",
)


def names() -> list[str]:
    settings = [field.name for field in msgspec.structs.fields(Settings)]
    rejections = re.findall(r'Refusal\(\s*\d+,\s*"(\w+)"', SOURCE)
    assert len(rejections) > 10
    return [*settings, *(item.value for item in Failure), *rejections]


@pytest.mark.parametrize("name", sorted(set(names())))
def test_the_reference_has_every_setting_failure_and_rejection(name):
    assert f"`{name}`" in REFERENCE or f"`{name}`" in API


def test_the_reference_has_every_metric_with_its_meaning():
    for name, meaning in Metrics().meanings().items():
        assert re.search(rf"^\| `{name}` \| .*\| {re.escape(meaning)} \|$", REFERENCE, re.MULTILINE), name


@pytest.mark.parametrize("name", group.load_commands())
def test_the_reference_has_every_command(name):
    assert f"`nicobar {name}" in REFERENCE


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_the_contract_page_has_every_rule_with_its_meaning(rule):
    assert f"| `{rule.name}` | {rule.meaning} |" in CONTRACT.partition(f"## {rule.level.value.title()}s")[2]


def test_the_contract_page_has_every_call_and_switch():
    for actions in ACTIONS.values():
        for action in actions.values():
            assert f"| `{action.type}` | `{action.action}` | " in CONTRACT
    for call in V1_CALLS:
        assert f"`{call.method} {call.path.replace('*', '…')}`" in CONTRACT
    for field in CustomerIo.fields:
        assert f"`{field.name}`" in REFERENCE


def test_the_api_page_is_right_about_every_public_operation():
    rows = re.findall(r"^\| ((?:`v1\.[\w.-]+` ?)+)\| (works|differs|not offered) \|(.*)\|$", API, re.MULTILINE)
    documented = {name: here for names, here, _ in rows for name in re.findall(r"`([^`]+)`", names)}
    offered = {operation.id for operation in OPERATIONS}
    assert {name for name, here in documented.items() if here != "not offered"} <= offered
    assert not {name for name, here in documented.items() if here == "not offered"} & offered
    assert {str(name) for name in offered if str(name).startswith("v1.")} <= set(documented)
    assert all(how.strip() for _, here, how in rows if here != "works")


def test_the_emulator_page_has_every_option_path_and_field():
    flags = [name for option in group.load_commands()["emulator"].params for name in option.opts]
    paths = re.findall(r'@(?:get|put|delete)\("(/emulator/\w+)"', SOURCE)
    assert len(paths) > 10
    records = (Fault, Workspace, Campaign, Condition)
    fields = [field.name for record in records for field in msgspec.structs.fields(record)]
    words = [word.value for words in (Silence, Outcome, Operator, Identifiers, Disorder) for word in words]
    for name in [*flags, *paths, *fields, *words]:
        assert f"`{name}`" in EMULATOR or f" {name}`" in EMULATOR, name


def test_every_setting_has_a_description():
    assert all(description(field).endswith(".") for field in msgspec.structs.fields(Settings))


def test_the_reference_links_to_every_recipe(tmp_path):
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
def test_links_lead_to_existing_pages_and_headings(path):
    for target, heading in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", path.read_text("utf-8")):
        page = path.parent / target if target else path
        assert page.exists(), target
        assert not heading or heading in headings(page), f"{target}#{heading}"


def headings(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub forms them."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_make_targets_on_pages_exist(path):
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    text = path.read_text("utf-8")
    named = re.findall(r"^make (\w+)", text, re.MULTILINE) + re.findall(r"`make (?:PYTHON=\S+ )?(\w+)", text)
    assert set(named) <= set(targets)


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks in a language; those in lists without their indent."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


def test_the_tutorial_works_as_written(tmp_path):
    tutorial = ROOT / "docs" / "tutorial" / "first-event.md"
    (tmp_path / "handler.js").write_text(blocks(tutorial, "js")[0])
    (tmp_path / "nicobar.toml").write_text(blocks(tutorial, "toml")[0])
    demo, enter, *shell = blocks(tutorial, "sh")
    assert demo == "make demo\n"
    assert "activate" in enter
    offline = "\n".join(line for block in shell for line in block.splitlines() if not line.startswith(ONLINE))
    result = run(tmp_path, offline)
    assert result.returncode == 0, result
    assert '"name":"payment_succeeded"' in result.stdout
    assert "not handled" in result.stdout
    assert re.search(r"source dodo: http://127.0.0.1:8080/in/\S+$", result.stdout.strip())


def test_the_customerio_guide_works_as_written(tmp_path):
    guide = ROOT / "docs" / "how-to" / "send-to-customerio.md"
    recipe, dry_run, *_ = blocks(guide, "sh")
    result = run(tmp_path, recipe + dry_run)
    assert (result.returncode, "48 events, 0 failed." in result.stdout) == (0, True), result
    (tmp_path / "nicobar.toml").write_text(blocks(guide, "toml")[0])
    assert read_document(tmp_path / "nicobar.toml").endpoints[0].settings == {
        "region": "us",
        "identify_by": "email",
    }


def test_the_readme_s_handler_runs(tmp_path):
    (tmp_path / "handler.js").write_text(blocks(ROOT / "README.md", "js")[0])
    result = run(tmp_path, "nicobar transform handler.js --all")
    assert (result.returncode, "48 events, 0 failed." in result.stdout) == (0, True), result


def test_apply_accepts_the_file_of_the_reference(tmp_path):
    (tmp_path / "nicobar.toml").write_text(blocks(ROOT / "docs" / "reference.md", "toml")[0])
    variables = read_document(tmp_path / "nicobar.toml").endpoints[0].variables
    assert variables == {"PLAN": "pro", "SHOP_KEY": Reference(env="SHOP_KEY")}


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
