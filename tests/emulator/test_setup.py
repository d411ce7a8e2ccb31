"""Files with which a workspace starts."""

from __future__ import annotations

import json

import pytest

from nicobar.emulator.recipe_campaigns import NAMES
from nicobar.emulator.setup import read_setup
from nicobar.emulator.workspace import Identifiers, Workspace
from nicobar.errors import UserError

THANKS = {"title": "Thanks", "trigger": "event", "name": "paid"}
TOML = """
[workspace]
identifiers = "id only"

[[segments]]
id = 7
name = "Large"
conditions = [{on = "person", field = "seats", operator = "greater", value = 2}]

[[campaigns]]
title = "Thanks"
trigger = "event"
name = "paid"
"""


def test_toml_and_json_say_the_same(tmp_path):
    (tmp_path / "shop.toml").write_text(TOML)
    (tmp_path / "shop.json").write_text(
        json.dumps(
            {
                "workspace": {"identifiers": "id only"},
                "segments": [
                    {
                        "id": 7,
                        "name": "Large",
                        "conditions": [{"on": "person", "field": "seats", "operator": "greater", "value": 2}],
                    }
                ],
                "campaigns": [THANKS],
            }
        )
    )
    setup = read_setup(str(tmp_path / "shop.toml"))
    assert setup == read_setup(str(tmp_path / "shop.json"))
    assert setup.workspace == Workspace(identifiers=Identifiers.ID)


def test_a_list_is_one_of_campaigns(tmp_path):
    (tmp_path / "shop.json").write_text(json.dumps([THANKS]))
    setup = read_setup(str(tmp_path / "shop.json"))
    assert ([item.title for item in setup.campaigns], setup.workspace) == (["Thanks"], Workspace())


def test_every_recipe_has_campaigns():
    assert all(read_setup(name).campaigns for name in NAMES)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{"), ("a.json", "5"), ("a.json", b"\xff"), ("a.json", '{"campaign": []}'), ("a.toml", "x ="),
        ("a.json", json.dumps([THANKS] * 101)), ("a.toml", "[workspace]\nidentifiers = 'name'"), ("b.json", None),
    ],
)  # fmt: skip
def test_a_file_without_campaigns_is_a_readable_error(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=name) as caught:
        read_setup(str(tmp_path / name))
    assert str(caught.value).count(".") >= 2
