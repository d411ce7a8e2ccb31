"""The Standard Webhooks signature (version `v1`): HMAC-SHA256 over `<id>.<timestamp>.<body>`.

Source: the specification at https://www.standardwebhooks.com.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence

from nicobar.crypto import new_webhook_secret, standard_webhooks_signature, webhook_secret_key
from nicobar.errors import Refusal
from nicobar.reasons import Reason, reason
from nicobar.sources import Accepted, Verified

# The specification names no tolerance; the official libraries use this one, in both directions.
TOLERANCE_S = 300
# A rotation needs two; the limit keeps a header with thousands of signatures cheap.
MAX_SIGNATURES = 16

_ID = re.compile(r"[!-~]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_ID_FORM = reason("id_form", "1 to 256 printable ASCII characters without spaces")
_TIMESTAMP_FORM = reason("timestamp_form", "Unix seconds")


class StandardWebhooksSigning:
    """The part of a `SourceKind` that all Standard Webhooks senders share."""

    secret_example = "whsec_…"  # noqa: S105 - the beginning alone
    clock_tolerance_s: int | None = TOLERANCE_S
    id_header = "webhook-id"
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
    event_id = _header(headers, "webhook-id", _ID, _ID_FORM)
    timestamp = _header(headers, "webhook-timestamp", _TIMESTAMP, _TIMESTAMP_FORM)
    given = _signatures(headers)
    matched = False
    for secret in secrets:
        expected = standard_webhooks_signature(webhook_secret_key(secret), event_id, timestamp, body)
        for signature in given:
            matched |= hmac.compare_digest(expected.encode(), signature)
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
    """The three headers of a request sent now."""
    timestamp = str(now_ms // 1000)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1,"
        + standard_webhooks_signature(webhook_secret_key(secret), event_id, timestamp, body),
    }


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


def _signatures(headers: Mapping[str, str]) -> list[bytes]:
    """The `v1` values; other versions (`v1a,…` is asymmetric) are skipped."""
    value = headers.get("webhook-signature")
    if value is None:
        raise _missing("webhook-signature")
    parts = value.split()
    values = [part.removeprefix("v1,") for part in parts if part.startswith("v1,")]
    given = [value.encode("utf-8", "surrogateescape") for value in values if value]
    if not given or len(parts) > MAX_SIGNATURES:
        raise Refusal(
            401,
            "malformed_header",
            "Invalid header webhook-signature. Expected 1 to %(max_signatures)s signatures, at least one of the form "
            "v1,<base64>.",
            max_signatures=MAX_SIGNATURES,
        )
    return given


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
