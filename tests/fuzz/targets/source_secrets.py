"""Signing secrets that people paste: rejected without repeating them, or able to verify their own signatures."""

from __future__ import annotations

import base64

from fuzz.choices import Choices
from nicobar.errors import Refusal, UserError
from nicobar.sources.registry import SOURCES

NOW_MS = 1_790_000_000_000
STARTS = ("whsec_", "whpk_", "whsk_", "", " ", "WHSEC_")
SEEDS = (b"\0\0whsec_ZHJ5LXJ1bi1kcnktcnVuLWRyeQ==", b"\1\1\x20" + b"k" * 32, b"\1\3plain text of a secret", bytes(40))


def run(data: bytes) -> None:
    it = Choices(data)
    kind = it.pick(SOURCES)
    start = it.pick(STARTS)
    secret = start + (base64.b64encode(it.rest()).decode() if it.flag() else it.rest().decode("utf-8", "replace"))
    try:
        kind.check_secret(secret)
    except UserError as error:
        assert len(secret) < 16 or secret not in str(error)
        return
    body = b'{"type":"a.b"}'
    try:
        headers = kind.sign("evt_1", body, secret, NOW_MS)
    except UserError as error:
        assert error.code == "public_key"
        return
    assert kind.verify(headers, body, [secret], NOW_MS).event_id == "evt_1"
    try:
        kind.verify(headers, body + b" ", [secret], NOW_MS)
    except Refusal:
        return
    raise AssertionError("another body has the same signature")
