"""The headers of a signed request: accepted if, and only if, one of the signatures is right and recent."""

from __future__ import annotations

import base64
import hashlib
import hmac

from fuzz.choices import Choices
from nicobar.errors import Refusal
from nicobar.sources.signing import MAX_SIGNATURES, TOLERANCE_S, verify

KEY = b"a key of 24 bytes for it"
OTHER_TEXT = "another secret, as plain text"
PUBLIC = (
    "whpk_"
    + base64.b64encode(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")).decode()
)
SECRETS = ("whsec_" + base64.b64encode(KEY).decode(), OTHER_TEXT, PUBLIC)
KEYS = (KEY, OTHER_TEXT.encode())
NOW_S = 1_790_000_000
TIMES = (NOW_S, NOW_S + TOLERANCE_S, NOW_S - TOLERANCE_S, NOW_S + TOLERANCE_S + 1, NOW_S - TOLERANCE_S - 1, 0)
SEPARATORS = (" ", ",", ", ", "  ", "\t", ";", "")
WORDS = ("v1", "v1a", "v2", "V1", "=", "AAAA", "v1,", "é")
SEEDS = (bytes(20), b"\1\2\3\4\5\6\7\x08" * 8, bytes(range(64)), b"\x00\x05hello\x02\x01\x01\x00\x01\x01\x01\x01")


def right(key: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{event_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def run(data: bytes) -> None:
    it = Choices(data)
    secrets = [secret for secret in SECRETS[: 2 + (it.byte() % 8 == 7)] if it.flag() or secret == SECRETS[0]]
    body = it.chunk(31)
    headers: dict[str, str] = {}
    for family in ("webhook", "svix"):
        if it.byte() % 4 == 3:
            continue
        event_id = it.pick(("evt_1", "", "x" * 257, "a b", it.text(15)))
        timestamp = it.pick((*map(str, TIMES), "", "-1", "+5", "1e9", "9" * 13, "١٢٣", it.text(15)))
        parts = []
        for _ in range(it.byte() % 8):
            parts.append(it.pick(WORDS) if it.flag() else right(it.pick(KEYS), event_id, timestamp, body))
            parts.append(it.pick(SEPARATORS))
        if it.byte() % 4:
            parts.insert(0, "v1,")
        values = {"id": event_id, "timestamp": timestamp, "signature": "".join(parts)}
        headers |= {f"{family}-{name}": value for name, value in values.items() if it.byte() % 16}
    try:
        verify(headers, body, secrets, NOW_S * 1000)
    except Refusal as refusal:
        assert refusal.status == 401
        assert not plainly_right(headers, body, secrets), headers
        return
    keys = [key for secret, key in zip(SECRETS, KEYS, strict=False) if secret in secrets]
    assert any(holds(headers, family, body, keys) for family in ("webhook", "svix")), headers


def holds(headers: dict[str, str], family: str, body: bytes, keys: list[bytes]) -> bool:
    """Whether the headers have a right signature and a recent time, by our own count."""
    event_id, timestamp, given = (headers.get(f"{family}-{part}", "") for part in ("id", "timestamp", "signature"))
    if not timestamp.isdecimal() or abs(int(timestamp) - NOW_S) > TOLERANCE_S:
        return False
    return any(right(key, event_id, timestamp, body) in given for key in keys)


def plainly_right(headers: dict[str, str], body: bytes, secrets: list[str]) -> bool:
    """Whether these are just the headers that a sender with the first secret would send."""
    names = {"webhook-id", "webhook-timestamp", "webhook-signature"}
    if headers.keys() != names or headers["webhook-id"] != "evt_1" or SECRETS[0] not in secrets:
        return False
    timestamp = headers["webhook-timestamp"]
    if timestamp not in map(str, TIMES[:3]):
        return False
    only = right(KEY, "evt_1", timestamp, body)
    return headers["webhook-signature"] in {f"v1,{only}", " ".join([f"v1,{only}"] * MAX_SIGNATURES)}
