"""The errors of msgspec in plain words: what a value must be, and where it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec

_PLACE = re.compile(r" - at `(?:(key)` in `)?\$?([^`]*)`$")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*)`")
# A value of an object with any names.
_ANY = "[...]"
_NOUNS = {
    "int": "an integer",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
    "path": "a path",
    "datetime": "a time such as 2026-11-24T08:00:00Z",
    "date": "a date such as 2026-11-24",
}
_UNITS = {"str": ("character", "characters"), "array": ("item", "items"), "object": ("entry", "entries")}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_WORDS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(r"Expected `([^`]+)`, got `(\w+)`"),
        lambda found: f"must be {_nouns(found[1])}, not {_nouns(found[2])}",
    ),
    (
        re.compile(r"Expected `(\w+)` of length (>=|<=) (\d+)"),
        lambda found: f"must have {_BOUNDS[found[2]]} {found[3]} {_units(found[1], found[3])}",
    ),
    (re.compile(r"Expected `\w+` (>=|<=|>|<) (\S+)"), lambda found: f"must be {_BOUNDS[found[1]]} {found[2]}"),
    (
        re.compile(r"Expected `str` matching regex (.*)"),
        lambda found: f"must match the pattern {ast.literal_eval(found[1])}",
    ),
    (
        re.compile(r"Expected `datetime` with a timezone component"),
        lambda _: "must have a time zone, such as 2026-11-24T08:00:00Z",
    ),
    (re.compile(r"Expected `(\w+)`"), lambda found: f"must be {_nouns(found[1])}"),
    (re.compile(r"Invalid RFC3339 encoded (\w+)"), lambda found: f"must be {_nouns(found[1])}"),
    (
        re.compile(r"Object missing required field `(.*)`"),
        lambda found: f'is missing the field "{found[1]}"',
    ),
    (_UNKNOWN_FIELD, lambda found: f'has an unknown field "{found[1]}"'),
    (re.compile(r"Invalid (?:enum )?value .*"), lambda _: "has a value that is not supported"),
    (re.compile(r".*out of range.*"), lambda _: "is too large"),
)


def requirement(error: msgspec.ValidationError, kind: Any = None) -> str:
    """What is wrong, as a predicate to follow the value's name: `must be at most 65535`. `kind` is the value's type:
    an enum is described by its members.
    """
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"must be one of {', '.join(str(member.value) for member in kind)}"
    text = _PLACE.sub("", str(error))
    for pattern, words in _WORDS:
        found = pattern.fullmatch(text)
        if found is not None:
            return words(found)
    return f"is invalid ({text})"


def place(error: msgspec.ValidationError) -> str:
    """The place of the value, such as `sources[0].name`; empty for the whole."""
    found = _PLACE.search(str(error))
    if found is None:
        return ""
    path = found[2].removeprefix(".")
    if found[1]:
        return f"a name in {path}"
    return f"a value in {path.removesuffix(_ANY)}" if path.endswith(_ANY) else path


def unknown_field(error: msgspec.ValidationError) -> str | None:
    """The name of the unknown field, if the value has one."""
    found = _UNKNOWN_FIELD.fullmatch(_PLACE.sub("", str(error)))
    return found[1] if found else None


def _nouns(types: str) -> str:
    names = types.split(" | ")
    # Null stands for an omitted value, which explains nothing about a wrong one.
    return " or ".join(_NOUNS.get(name, name) for name in names if name != "null" or len(names) == 1)


def _units(name: str, count: str) -> str:
    singular, plural = _UNITS.get(name, ("byte", "bytes"))
    return singular if count == "1" else plural
