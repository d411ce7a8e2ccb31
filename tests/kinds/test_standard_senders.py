"""Senders that follow Standard Webhooks in their own way."""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime

import pytest
from svix.webhooks import Webhook

from nicobar.crypto import WebhookKey, new_webhook_secret, webhook_secret_key
from nicobar.errors import Refusal, UserError
from nicobar.sources.registry import SOURCES, source_kind
from nicobar.sources.signing import StandardWebhooksSigning

NOW_MS = 1_789_000_000_500
BODY = b'{"type":"order.paid","data":{}}'
STANDARD = source_kind("standard-webhooks")
standard_kinds = pytest.mark.parametrize(
    "kind", [kind for kind in SOURCES if isinstance(kind, StandardWebhooksSigning)], ids=lambda kind: kind.kind
)
# Its base64 has both characters that the URL-safe alphabet replaces.
KEY = bytes.fromhex("fbefbefbefbefbefbefbefbefbefbefbefbefbefbefbefbe")


def signature(key: bytes) -> bytes:
    return hmac.digest(key, b"evt_1.%d." % (NOW_MS // 1000) + BODY, "sha256")


def headers(*signatures: str, names: str = "webhook", between: str = " ") -> dict[str, str]:
    return {
        f"{names}-id": "evt_1",
        f"{names}-timestamp": str(NOW_MS // 1000),
        f"{names}-signature": between.join(signatures),
    }


@standard_kinds
def test_svix_header_names_are_accepted(kind):
    secret = new_webhook_secret()
    own = headers("v1," + base64.b64encode(signature(webhook_secret_key(secret))).decode(), names="svix")
    assert kind.verify(own, BODY, [secret], NOW_MS).event_id == "evt_1"
    for name in own:
        with pytest.raises(Refusal) as caught:
            kind.verify({key: value for key, value in own.items() if key != name}, BODY, [secret], NOW_MS)
        assert (caught.value.code, name in caught.value.detail) == ("missing_header", True)


def test_headers_of_two_families_are_never_mixed():
    secret = new_webhook_secret()
    valid = headers("v1," + base64.b64encode(signature(webhook_secret_key(secret))).decode(), names="svix")
    assert STANDARD.verify({"webhook-id": "evt_2", **valid}, BODY, [secret], NOW_MS).event_id == "evt_1"
    del valid["svix-id"]
    with pytest.raises(Refusal):
        STANDARD.verify({"webhook-id": "evt_1", **valid}, BODY, [secret], NOW_MS)


@standard_kinds
@pytest.mark.parametrize("between", [" ", ",", ", ", "  ,  "])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_signatures_may_be_url_safe_and_separated_by_commas(kind, between, encode):
    secrets = [encode(key).decode() for key in (KEY, KEY[::-1])]
    given = [f"v1,{encode(signature(key)).decode().rstrip('=')}" for key in (b"x" * 24, KEY)]
    for secret in (f"whsec_{secrets[0]}", *([secrets[0]] if kind is STANDARD else [])):
        kind.check_secret(secret)
        assert kind.verify(headers("v1a,AAAA", *given, between=between), BODY, [secret], NOW_MS)
    with pytest.raises(Refusal):
        kind.verify(headers(*given, between=between), BODY, [secrets[1]], NOW_MS)


@pytest.mark.parametrize("secret", ["shop_whs_Zm9v.bar-baz_12345", "0123456789abcdef0123456789abcdef"])
def test_a_secret_may_be_signed_with_as_text(secret):
    STANDARD.check_secret(secret)
    given = "v1," + base64.b64encode(signature(secret.encode())).decode()
    assert STANDARD.verify(headers(given), BODY, [secret], NOW_MS)
    with pytest.raises(Refusal):
        STANDARD.verify(headers(given), BODY, [secret + "x"], NOW_MS)


def test_a_secret_of_the_standard_form_is_never_used_as_text():
    secret = new_webhook_secret()
    for text in (secret, secret.removeprefix("whsec_")):
        given = "v1," + base64.b64encode(signature(text.encode())).decode()
        with pytest.raises(Refusal):
            STANDARD.verify(headers(given), BODY, [secret], NOW_MS)


@pytest.mark.parametrize(
    "secret", ["shop_whs_Zm9v.bar-baz_12345", "sk_live_0123456789abcdef01234567", "whpk_" + "A" * 43]
)
def test_dodo_secrets_have_the_standard_form(secret):
    with pytest.raises(UserError):
        source_kind("dodo-payments").check_secret(secret)


def test_the_svix_library_signs_for_us():
    secret, sent_at = new_webhook_secret(), datetime.fromtimestamp(NOW_MS // 1000, UTC)
    sent = Webhook(secret).sign("evt_1", sent_at, BODY.decode())
    assert STANDARD.verify(headers(sent, names="svix"), BODY, [secret], NOW_MS)


def test_ed25519_signatures_hold_for_their_public_key_only():
    keys = [WebhookKey(new_webhook_secret(ed25519=True)) for _ in range(2)]
    public, other = (key.public_key for key in keys)
    STANDARD.check_secret(public)
    sent = headers("v1,AAAA", keys[0].sign("evt_1", str(NOW_MS // 1000), BODY))
    assert STANDARD.verify(sent, BODY, [other, public], NOW_MS)
    for body, secrets in ((BODY + b" ", [public]), (BODY, [other]), (BODY, [new_webhook_secret()])):
        with pytest.raises(Refusal) as caught:
            STANDARD.verify(sent, body, secrets, NOW_MS)
        assert caught.value.code == "signature_mismatch"
