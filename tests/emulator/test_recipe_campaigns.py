"""The campaigns that ship with recipes are those of the recipes' guides, and `nicobar emulator` starts with them."""

from __future__ import annotations

import re
from importlib.resources import files

import msgspec
import pytest
from click.testing import CliRunner

from nicobar.cli.emulator import emulator
from nicobar.connectors.registry import CONNECTORS, find_recipe, recipes
from nicobar.emulator.campaign import Trigger
from nicobar.emulator.recipe_campaigns import NAMES, read_campaigns
from support.world import World

# A line of an email in a guide, in a table or in a paragraph of its own.
LINE = re.compile(r"`([^`]*\{\{[^`]*|[A-Z][^`]*\.)`(?= \||\n|$)")


def guide(name: str) -> str:
    package = find_recipe(name, CONNECTORS).package
    return files(package).joinpath(f"{name}.md").read_text("utf-8")


def plain(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


def test_every_recipe_has_campaigns():
    assert set(NAMES) == {recipe.name for recipe in recipes(CONNECTORS)}
    assert all(read_campaigns(name) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_campaigns_are_those_of_the_guide(name):
    text = guide(name)
    described = text[: text.index("## Use the recipe")]
    campaigns = read_campaigns(name)
    bodies = "\n".join(plain(campaign.body) for campaign in campaigns)
    lines = [line.replace("\\|", "|") for line in LINE.findall(described)]
    assert lines
    assert not [line for line in lines if line not in bodies]
    for campaign in campaigns:
        assert f"`{campaign.name}`" in described, campaign.title
        for leaving in campaign.exits:
            assert leaving.event is None or f"`{leaving.event}`" in described


@pytest.mark.parametrize("name", NAMES)
def test_campaigns_use_fields_that_the_recipe_sends(name):
    text = guide(name)
    rows = re.findall(r"^\| ((?:`\w+` ?)+) \| (.*) \|$", text, re.MULTILINE)
    fields = {event: set(re.findall(r"`(\w+)`", row)) for events, row in rows for event in re.findall(r"\w+", events)}
    person = set(re.findall(r"`(\w+)`", text[text.index("## Person attributes") :]))
    for campaign in read_campaigns(name):
        used = re.findall(r"\{\{ *(\w+)\.(\w+)", campaign.subject + campaign.body)
        used += [(str(item.on), item.field) for item in campaign.conditions]
        for what, field in used:
            assert field in (fields[campaign.name] if what == "event" else person), (campaign.title, field)
        assert campaign.trigger is Trigger.EVENT or campaign.name in person


@pytest.mark.parametrize("name", ["journeys", "payment_failure"])
def test_a_reminder_ends_with_a_later_purchase(name):
    reminders = [campaign for campaign in read_campaigns(name) if campaign.name == "payment_failed"]
    it = World(*(msgspec.structs.replace(campaign, delay_s=3_600) for campaign in reminders))
    it.send("identify", attributes={"email": "ada@northpine.example"})
    for kind in ("soft", "hard"):
        failed = {"amount_text": "15.00", "currency": "EUR", "failure_kind": kind, "subscription_id": None}
        it.send("event", name="payment_failed", attributes=failed)
    assert it.campaigns.waiting_count == len(reminders) == 2
    it.send("event", name="payment_succeeded", attributes={"charge_type": "one_time"})
    assert it.campaigns.waiting_count == 0


@pytest.mark.parametrize(
    ("content", "code"), [(None, "campaigns_unreadable"), ("[{}]", "campaigns_invalid"), ("no", "campaigns_invalid")]
)
def test_campaigns_that_cannot_be_read_are_an_error(tmp_path, content, code):
    path = tmp_path / "campaigns.json"
    if content is not None:
        path.write_text(content, "utf-8")
    error = CliRunner().invoke(emulator, ["--campaigns", str(path)]).exception
    assert getattr(error, "code", None) == code
    error = CliRunner().invoke(emulator, ["--nicobar-url", "localhost"]).exception
    assert getattr(error, "code", None) == "url_invalid"
