"""How deeply JSON is nested, as a plain count of levels says."""

from __future__ import annotations

import json

from fuzz.choices import Choices
from nicobar.nesting import is_deeper

SEEDS = (b"\1\0" + b'{"a":["]"]}', b"\3\1" + bytes(range(6, 80)), b"\2\0" + b'["\\"[",[[]]]', b"\0\0" + b"[" * 40)


def levels_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(levels_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(levels_of, value), default=0)
    return 0


def run(data: bytes) -> None:
    it = Choices(data)
    most = it.number(7)
    text = json.dumps(it.json(["[", "]}", '"', "\\"], levels=9)).encode() if it.flag() else it.rest()
    deeper = is_deeper(text, most)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    assert deeper == (levels_of(value) > most)
