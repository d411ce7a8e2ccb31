"""Whether a message's body holds a text, or a value in a field."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nicobar.model import Json

# No list is longer, and Python converts no number with thousands of digits.
_MAX_INDEX_DIGITS = 12


def holds_text(body: bytes, text: bytes) -> bool:
    """Whether the text is in the body, in whichever form the sender wrote it in JSON, escaped or not."""
    if text in body:
        return True
    as_text = msgspec.json.encode(text.decode("utf-8", "replace"))[1:-1]
    if as_text in body:
        return True
    if b"\\" not in body:
        return False
    try:
        return as_text in msgspec.json.encode(msgspec.json.decode(body))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False


def holds(body: bytes, path: Sequence[str], value: str) -> bool:
    """Whether the field at `path` has the value. A step is a name, or an index into a list; a name applies to each
    item of a list. Numbers are compared by value, `true`, `false` and `null` by name; a list matches if one of its
    items does. A body that is not JSON, or was expunged, matches nothing.
    """
    try:
        found: list[Json] = [msgspec.json.decode(body)]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    for step in path:
        found = [inner for item in found for inner in _into(item, step)]
    return any(_is(item, value) for item in found)


def _into(json: Json, step: str) -> Sequence[Json]:
    if isinstance(json, dict):
        return [json[step]] if step in json else []
    if not isinstance(json, list):
        return []
    if step.isdecimal():
        return json[int(step) : int(step) + 1] if len(step) <= _MAX_INDEX_DIGITS else []
    return [inner for item in json if not isinstance(item, list) for inner in _into(item, step)]


def _is(json: Json, value: str) -> bool:
    if isinstance(json, list):
        return any(_is(item, value) for item in json if not isinstance(item, list))
    if isinstance(json, str):
        return json == value
    if isinstance(json, dict):
        return False
    if isinstance(json, bool) or json is None:
        return msgspec.json.encode(json).decode() == value
    try:
        return json == msgspec.json.decode(value, type=int | float)
    except msgspec.MsgspecError:
        return False
