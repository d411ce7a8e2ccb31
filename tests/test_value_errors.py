"""Errors of msgspec about a value, in plain words."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from nicobar.settings import Role
from nicobar.value_errors import place, requirement, unknown_field


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    name: Annotated[str, Meta(min_length=1, max_length=3, pattern="^[a-z]*$")] = "a"
    quoted: Annotated[str, Meta(pattern=r"^[\w.']+\.$")] = "a."
    at: datetime | None = None
    zoned: Annotated[datetime, Meta(tz=True)] | None = None
    tags: Annotated[list[str], Meta(max_length=1)] = []
    texts: Annotated[dict[Annotated[str, Meta(min_length=2)], str], Meta(max_length=1)] = {}
    on: bool = False
    either: int | str = 1
    things: list[Thing] = []


def error(value: Any, kind: Any = Thing) -> msgspec.ValidationError:
    with pytest.raises(msgspec.ValidationError) as found:
        msgspec.convert(value, kind)
    return found.value


@pytest.mark.parametrize(
    ("value", "where", "need"),
    [
        ({"port": 70_000}, "port", "must be at most 65535"),
        ({"port": -1}, "port", "must be at least 0"),
        ({"port": "x"}, "port", "must be an integer, not text"),
        ({"port": None}, "port", "must be an integer, not null"),
        ({"name": ""}, "name", "must have at least 1 character"),
        ({"name": "abcd"}, "name", "must have at most 3 characters"),
        ({"name": "A"}, "name", "must match the pattern ^[a-z]*$"),
        ({"at": True}, "at", "must be a time such as 2026-11-24T08:00:00Z, not true or false"),
        ({"at": "soon"}, "at", "must be a time such as 2026-11-24T08:00:00Z"),
        ({"tags": ["a", "b"]}, "tags", "must have at most 1 item"),
        ({"tags": "a"}, "tags", "must be a list, not text"),
        ({"texts": {"aa": "", "bb": ""}}, "texts", "must have at most 1 entry"),
        ({"texts": {"a": ""}}, "a name in texts", "must have at least 2 characters"),
        ({"texts": {"aa": 1}}, "a value in texts", "must be text, not an integer"),
        ({"quoted": "'"}, "quoted", r"must match the pattern ^[\w.']+\.$"),
        ({"zoned": "2026-11-24T08:00:00"}, "zoned", "must have a time zone, such as 2026-11-24T08:00:00Z"),
        ({"on": 1}, "on", "must be true or false, not an integer"),
        ({"either": None}, "either", "must be an integer or text, not null"),
        ({"nam": "a"}, "", 'has an unknown field "nam"'),  # misspelled
        ({"things": [{}, {"prot": 1}]}, "things[1]", 'has an unknown field "prot"'),
        ([], "", "must be an object, not a list"),
    ],
)
def test_an_invalid_value_is_explained_plainly(value, where, need):
    found = error(value)
    assert (place(found), requirement(found)) == (where, need)


def test_an_enum_is_explained_by_its_members():
    assert requirement(error("x", Role), Role) == "must be one of all, web, worker"


def test_a_missing_field_is_named():
    class Needs(msgspec.Struct):
        name: str

    assert requirement(error({}, Needs)) == 'is missing the field "name"'


def test_an_unknown_field_has_a_name():
    assert unknown_field(error({"nam": "a"})) == "nam"  # misspelled
    assert unknown_field(error({"port": 70_000})) is None
