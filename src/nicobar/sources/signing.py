"""The signatures of Standard Webhooks: HMAC-SHA256 (`v1`) or ed25519 (`v1a`) over `<id>.<timestamp>.<body>`.

Source: the specification at https://www.standardwebhooks.com.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping, Sequence

from nicobar.crypto import (
    MIN_WEBHOOK_KEY_BYTES,
    WEBHOOK_SECRET_PREFIX,
    hmac_signature,
    is_public_key,
    is_signed_by,
    new_webhook_secret,
    read_base64,
    read_public_key,
    webhook_secret_key,
)
from nicobar.errors import Refusal, UserError
from nicobar.reasons import Reason, reason
from nicobar.sources import Accepted, Verified

# The specification names no tolerance; the official libraries use this one, in both directions.
TOLERANCE_S = 300
# A rotation needs two; the limit keeps a header with thousands of signatures cheap.
MAX_SIGNATURES = 16

# The names of the specification, and those of hosted Svix senders.
_FAMILIES = ("webhook", "svix")
_PARTS = ("id", "timestamp", "signature")
_VERSIONS = frozenset({"v1", "v1a"})
_SEPARATOR = re.compile(r"[\s,]+")
_TEXT_SECRET = re.compile(r"[!-~]{16,256}")
_ID = re.compile(r"[!-~]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_ID_FORM = reason("id_form", "1 to 256 printable ASCII characters without spaces")
_TIMESTAMP_FORM = reason("timestamp_form", "Unix seconds")


class StandardWebhooksSigning:
    """The part of a `SourceKind` that all Standard Webhooks senders share."""

    secret_example = "whsec_…"  # noqa: S105 - the beginning alone
    clock_tolerance_s: int | None = TOLERANCE_S
    id_headers: tuple[str, ...] = ("webhook-id", "svix-id")
    accepted = Accepted()

    def check_secret(self, secret: str) -> None:
        webhook_secret_key(secret)

    def new_secret(self) -> str:
        return new_webhook_secret()

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_ms: int) -> Verified:
        return verify(headers, body, secrets, now_ms)

    def sign(self, event_id: str, body: bytes, secret: str, now_ms: int, *, event_type: str = "") -> dict[str, str]:
        del event_type  # it is in the body
        return sign(event_id, body, secret, now_ms)


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_ms: int) -> Verified:
    """Raises Refusal 401 unless a recent signature in the header matches one of the secrets.

    Compares every secret with every signature in constant time, so that timing reveals nothing.
    """
    # Never a mixture: the family with most of its headers, so that an error names the missing one.
    family = max(_FAMILIES, key=lambda name: sum(f"{name}-{part}" in headers for part in _PARTS))
    event_id = _header(headers, f"{family}-id", _ID, _ID_FORM)
    timestamp = _header(headers, f"{family}-timestamp", _TIMESTAMP, _TIMESTAMP_FORM)
    given = _signatures(headers, f"{family}-signature")
    matched = False
    for secret in secrets:
        if is_public_key(secret):
            key = read_public_key(secret)
            matched |= any(is_signed_by(key, item, event_id, timestamp, body) for item in given.get("v1a", ()))
            continue
        for hmac_key in _hmac_keys(secret):
            expected = hmac_signature(hmac_key, event_id, timestamp, body)
            for item in given.get("v1", ()):
                matched |= hmac.compare_digest(expected, item)
    if not matched:
        raise Refusal(
            401,
            "signature_mismatch",
            "The signature does not match this source's signing secret.",
            "Copy the signing secret from the sender's dashboard to this source.",
        )
    _check_age(int(timestamp), now_ms // 1000)
    return Verified(event_id=event_id)


def sign(event_id: str, body: bytes, secret: str, now_ms: int) -> dict[str, str]:
    """The three headers of a request sent now. Raises UserError for a public key."""
    if is_public_key(secret):
        raise UserError(
            "public_key",
            "The signing secret of this source is a public key, which cannot sign.",
            "Send the event from the sender, or from a source with a secret.",
        )
    timestamp = str(now_ms // 1000)
    signature = base64.b64encode(hmac_signature(_hmac_keys(secret)[0], event_id, timestamp, body)).decode()
    return {"webhook-id": event_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}


def check_any_secret(secret: str) -> None:
    """Accepts secrets of the standard form, public keys, and text that senders use as the key itself. Raises
    UserError.
    """
    if is_public_key(secret):
        read_public_key(secret)
    elif secret.startswith(WEBHOOK_SECRET_PREFIX) or not _TEXT_SECRET.fullmatch(secret.strip()):
        webhook_secret_key(secret)


def _hmac_keys(secret: str) -> list[bytes]:
    """The keys that a sender with this secret may sign with. A text without the standard prefix may be base64 or the
    key itself, and some texts, such as hexadecimal ones, look like both.
    """
    text = secret.strip()
    if text.startswith(WEBHOOK_SECRET_PREFIX):
        return [webhook_secret_key(text)]
    decoded = read_base64(text) or b""
    return [decoded, text.encode()] if len(decoded) >= MIN_WEBHOOK_KEY_BYTES else [text.encode()]


def _header(headers: Mapping[str, str], name: str, pattern: re.Pattern[str], form: Reason) -> str:
    value = headers.get(name)
    if value is None:
        raise _missing(name)
    if not pattern.fullmatch(value):
        raise Refusal(401, "malformed_header", "Invalid header %(name)s. Expected %(form)s.", name=name, form=form)
    return value


def _missing(name: str) -> Refusal:
    return Refusal(
        401,
        "missing_header",
        "Missing header %(name)s.",
        "Sign webhooks as described at standardwebhooks.com.",
        name=name,
    )


def _signatures(headers: Mapping[str, str], name: str) -> dict[str, list[bytes]]:
    """The signatures by version. Senders separate them by spaces, commas or both."""
    value = headers.get(name)
    if value is None:
        raise _missing(name)
    parts = [part for part in _SEPARATOR.split(value) if part]
    found: dict[str, list[bytes]] = {}
    version = ""
    for part in parts[: 2 * MAX_SIGNATURES]:
        if part in _VERSIONS:
            version = part
        elif version:
            # One that is not base64 matches nothing.
            found.setdefault(version, []).append(read_base64(part) or b"")
    if not found or len(parts) > 2 * MAX_SIGNATURES:
        raise Refusal(
            401,
            "malformed_header",
            "Invalid header %(name)s. Expected 1 to %(max_signatures)s signatures, at least one of the form "
            "v1,<base64>.",
            name=name,
            max_signatures=MAX_SIGNATURES,
        )
    return found


def _check_age(sent_s: int, now_s: int) -> None:
    if abs(now_s - sent_s) > TOLERANCE_S:
        raise _too_old(now_s - sent_s) if sent_s < now_s else _too_new(sent_s - now_s)


def _too_old(age_s: int) -> Refusal:
    return Refusal(
        401,
        "timestamp_too_old",
        "The signature is %(age_s)s s old. The maximum is %(tolerance_s)s s.",
        "Sign each retry with the current time, and check the clocks of both machines.",
        age_s=age_s,
        tolerance_s=TOLERANCE_S,
    )


def _too_new(ahead_s: int) -> Refusal:
    return Refusal(
        401,
        "timestamp_too_new",
        "The signature's time is %(ahead_s)s s in the future. The maximum is %(tolerance_s)s s.",
        "Check the clocks of both machines.",
        ahead_s=ahead_s,
        tolerance_s=TOLERANCE_S,
    )
