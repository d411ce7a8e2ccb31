"""Whether a message's body holds a value in a field."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nicobar.model import Json


def holds(body: bytes, path: Sequence[str], value: str) -> bool:
    """Whether the field at `path` has the value. A step is a name, or in a list a number; a name goes through each
    item of a list. Numbers are equal by what they are worth, `true`, `false` and `null` by their names; a list fits
    where an item does. A body that is no JSON (any more) fits nothing.
    """
    try:
        found: list[Json] = [msgspec.json.decode(body)]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    for step in path:
        found = [inner for one in found for inner in _into(one, step)]
    return any(_is(one, value) for one in found)


def _into(one: Json, step: str) -> Sequence[Json]:
    if isinstance(one, dict):
        return [one[step]] if step in one else []
    if not isinstance(one, list):
        return []
    if step.isdecimal():
        return one[int(step) : int(step) + 1]
    return [inner for item in one if not isinstance(item, list) for inner in _into(item, step)]


def _is(one: Json, value: str) -> bool:
    if isinstance(one, list):
        return any(_is(item, value) for item in one if not isinstance(item, list))
    if isinstance(one, str):
        return one == value
    if isinstance(one, dict):
        return False
    if isinstance(one, bool) or one is None:
        return msgspec.json.encode(one).decode() == value
    try:
        return one == msgspec.json.decode(value, type=int | float)
    except msgspec.MsgspecError:
        return False
