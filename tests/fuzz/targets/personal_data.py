"""Masking: any event and any text can be shown, and the value of a masked field is nowhere in it."""

from __future__ import annotations

import json

from fuzz.choices import HOSTILE, Choices
from nicobar.errors import UserError
from nicobar.redaction import MASK, Redaction
from nicobar.sources.dodo import DodoPayments

RULES = Redaction().of(DodoPayments().personal_fields)
SECRET = "Qx7Zk93Lm"
NUMBER = "+49 30 5550 17788"
NAMES = (
    "phone", "customer_phone", "license_key", "card_last_four", "billing", "portal_link", "data", "note", "country",
    "status", "key", "a.b",
)  # fmt: skip
VALUES = (SECRET, NUMBER, "4242 4242 4242 4242", f"https://a.example/login/{SECRET}{SECRET}", [], {}, *HOSTILE)
SETTINGS = ("", "email", "data.note", "-phone", "-card, email", "a..b", "-nothing", "x" * 300, ",", "email," * 300)
SEEDS = (
    b'\0\0{"type":"a.b","data":{"phone":"+49 30 5550 17788"}}',
    b"\0\1" + bytes(range(60)),
    b"\1\0phone=+49 30 5550 17788&key=4242424242424242",
    b"\2\3\1\4\1\5" * 8,
    b'\1\0console {"license_key":"' + SECRET.encode(),
)


def run(data: bytes) -> None:
    it = Choices(data)
    check_setting(it)
    if it.flag():
        event = {"type": "a.b", "data": {name: it.json(NAMES, VALUES) for name in NAMES if it.byte() % 4 == 0}}
        body = json.dumps(event).encode("utf-8", "surrogatepass")
    else:
        body = it.chunk()
    redactor = RULES.redactor(body)
    shown = redactor.event(body)
    assert RULES.redactor(body).event(shown) == shown
    text = it.text(60) + it.pick((SECRET, NUMBER, "", body.decode("utf-8", "replace"))) + it.text(20)
    once = redactor.text(text)
    assert redactor.text(once) == once
    for value in redactor.values:
        if value.isalnum() and value.isascii():
            assert f" {value} " not in redactor.text(f"sent {value} to")
    check_masked(body, shown)


def check_setting(it: Choices) -> None:
    try:
        Redaction(it.pick((*SETTINGS, it.text(20)))).of()
    except UserError as error:
        assert error.code == "redaction_invalid"


def check_masked(body: bytes, shown: bytes) -> None:
    """A telephone number at the top of the data is masked, and JSON remains JSON."""
    try:
        event = json.loads(body.decode())
        after = json.loads(shown.decode())
    except (ValueError, RecursionError):
        return
    data = event.get("data") if isinstance(event, dict) else None
    if isinstance(data, dict) and data.get("phone") == NUMBER and isinstance(after, dict):
        assert after["data"]["phone"] == MASK
