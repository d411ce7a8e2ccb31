"""A search finds a text in a payload, however the sender wrote it as JSON."""

from __future__ import annotations

import json

import pytest

from nicobar.store.bodies import holds, holds_text


@pytest.mark.parametrize("text", ["Łucja", "민서", "🧾 paid", "a/b", 'the "small" plan', "C:\\invoices", "line\nend"])
def test_text_is_found_however_it_is_escaped(text):
    value = {"name": f"before {text} after"}
    bodies = [
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        json.dumps(value).replace("/", "\\/"),
    ]
    for body in bodies:
        assert holds_text(body.encode(), text.encode()), body
        assert not holds_text(body.encode(), b"nobody")


@pytest.mark.parametrize("body", [b"", b"no JSON \\u0061", b'{"cut": "\\ud83d"}', b"[" * 5_000 + b"\\"])
def test_unreadable_body_is_searched_as_it_is(body):
    assert not holds_text(body, "민서".encode())
    assert holds_text(body + b" x", b" x")


@pytest.mark.parametrize("step", ["9" * 13, "9" * 5_000])
def test_a_number_that_is_no_index_finds_nothing(step):
    assert not holds(b'{"a":[1]}', ("a", step), "1")
    assert holds(b'{"a":[1]}', ("a", "0"), "1")
