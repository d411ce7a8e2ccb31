"""Searches in payloads: any text is a search, and finds what a plain reading of the payload finds."""

from __future__ import annotations

import json
import re

from fuzz.choices import HOSTILE, Choices
from nicobar.store.bodies import holds
from nicobar.store.history import MAX_PATH_STEPS
from nicobar.web.dashboard.search import AROUND_CHARS, read_search, snippet

NAMES = ("data", "customer", "email", "items", "0", "1", "id", "a-b")
VALUES = ("ada@northpine.example", 2, 2.0, "2", True, None, -1, 10**20, "x y", ["a", "b"], *HOSTILE)
SEEDS = (
    b"\0\x20data.customer.email = a@b.example" + b'{"data":{"customer":{"email":"a@b.example"}}}',
    b"\0\x0eitems[0].id==2" + b'{"items":[{"id":2}]}',
    b"\0\xffa[" + b"9" * 260 + b'] = 1{"a":[1]}',
    b"\1" + bytes(range(50)),
)


def run(data: bytes) -> None:
    it = Choices(data)
    if it.flag():
        steps = [it.name(NAMES) for _ in range(1 + it.byte() % 4)]
        query = f"{it.pick(('$.', ''))}{it.pick('.[')[0].join(steps)} {it.pick(('=', '==', '= '))} {it.pick(VALUES)}"
        body = json.dumps(it.json(NAMES, VALUES)).encode("utf-8", "surrogatepass")
    else:
        query, body = it.text() * it.pick((1, 1, 1, 40)), it.rest()
    sought = read_search(query)
    assert len(sought.path) <= MAX_PATH_STEPS
    _ = sought.contains
    found = snippet(body, sought)
    if found is not None:
        assert len(found.before) <= AROUND_CHARS + 1
        assert len(found.after) <= AROUND_CHARS + 1
    if sought.path:
        assert (found is not None) is holds(body, sought.path, sought.value)
        check_plainly(body, sought.path, sought.value)
    elif sought.text:
        assert (found is not None) is (sought.text in body.decode("utf-8", "replace"))


def check_plainly(body: bytes, path: tuple[str, ...], value: str) -> None:
    """A text at a path of names alone is found exactly if the payload has it."""
    if any(step.isdecimal() for step in path):
        return
    try:
        node = json.loads(body, parse_constant=lambda _: 1 / 0)
    except (ValueError, RecursionError, ZeroDivisionError):
        return
    for step in path:
        if not isinstance(node, dict) or step not in node:
            return
        node = node[step]
    if isinstance(node, str) and not re.search("[\ud800-\udfff]", body.decode("utf-8", "replace") + json.dumps(node)):
        is_there = holds(body, path, value)
        assert not is_there or node == value
