"""Reasons in the database, also those of other versions: shown in a sentence, whatever they hold."""

from __future__ import annotations

import json

import msgspec

from fuzz.choices import Choices
from nicobar.reasons import Reason
from nicobar.store.stored_reasons import read_reason, read_refusal, reason_column

NAMES = ("code", "template", "fix_template", "values", "location", "a", "b")
VALUES = (
    "threw",
    "%(a)s is %(b)s.",
    "%(",
    "%%",
    "%(a)d",
    "%s",
    5,
    1.5,
    {"code": "x", "template": "%(a)s"},
    None,
    {},
    "[0].b",
)
GIVEN = {"code": "threw", "template": "%(a)s failed.", "values": {"a": "b"}, "location": 3}
SEEDS = (
    b"\0plain text",
    b"\1" + bytes(range(30)),
    b'\0{"code":"a","template":"%(a)s","values":{"a":5}}',
    b'\0{"code":',
)


def run(data: bytes) -> None:
    it = Choices(data)
    text = (
        json.dumps(it.changed(GIVEN, NAMES, VALUES), separators=(",", ":"))
        if it.flag()
        else it.rest().decode("utf-8", "replace")
    )
    why = read_reason(text)
    assert isinstance(why, Reason)
    for shown in (why.text(), why.outline(), why.key, str(why.line), why.text(lambda template: template[::-1])):
        assert isinstance(shown, str)
    assert read_reason(reason_column(why)) == why
    assert read_refusal("code", text).code == "code"
    assert msgspec.json.encode(why.with_texts(str.upper))
