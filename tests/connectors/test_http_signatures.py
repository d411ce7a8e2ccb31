"""How requests to a URL of one's own are signed, and what verifies them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
import standardwebhooks
import svix.webhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from nicobar.connectors import Origin
from nicobar.connectors.http import HttpEndpoint
from nicobar.connectors.signing_secrets import rotated
from nicobar.crypto import WebhookKey, new_webhook_secret
from nicobar.errors import UserError
from nicobar.model import Call
from nicobar.sources.registry import source_kind

NOW_MS = 1_789_000_000_500
SEED = bytes(range(32))
PUBLIC = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()


def text(prefix: str, *parts: bytes) -> str:
    return prefix + base64.b64encode(b"".join(parts)).decode()


def sent(
    secret: str, *, now_ms: int = NOW_MS, url: str = "", headers: dict[str, str] | None = None, **settings: bool
):
    it = HttpEndpoint().open({"url": "https://shop.example/hooks", **settings}, {"secret": secret})
    origin = Origin(message_id="msg_1", endpoint_id="ep_1", occurred_at_ms=1_000, now_ms=now_ms, customer=None)
    call = Call(method="POST", url=url or it.url, headers=headers or {}, payload={"type": "a.b"})
    return it.pack(it.prepare([call], origin).calls)


def is_verified(request, public_key: str, now_ms: int = NOW_MS) -> bool:
    return bool(source_kind("standard-webhooks").verify(request.headers, request.body, [public_key], now_ms))


@pytest.mark.parametrize("parts", [(SEED,), (SEED, PUBLIC)])
def test_an_ed25519_key_signs_v1a_for_its_public_key(parts):
    secret = text("whsk_", *parts)
    assert WebhookKey(secret).public_key == text("whpk_", PUBLIC)
    request = sent(secret)
    version, _, signature = request.headers["webhook-signature"].partition(",")
    assert version == "v1a"
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    Ed25519PrivateKey.from_private_bytes(SEED).public_key().verify(base64.b64decode(signature), content)
    assert is_verified(request, text("whpk_", PUBLIC))


@pytest.mark.parametrize(
    "secret", [text("whpk_", PUBLIC), text("whsk_", SEED[1:]), text("whsk_", SEED, SEED), "whsk_!"]
)
def test_a_key_that_cannot_sign_is_rejected_without_being_shown(secret):
    with pytest.raises(UserError) as caught:
        sent(secret)
    assert secret not in str(caught.value)


def test_generated_keys_of_both_schemes_sign_and_stay_private():
    hmac, ed25519 = new_webhook_secret(), new_webhook_secret(ed25519=True)
    assert (hmac[:6], ed25519[:5], len(ed25519)) == ("whsec_", "whsk_", 5 + 88)
    assert WebhookKey(hmac).public_key is None
    assert is_verified(sent(ed25519), WebhookKey(ed25519).public_key)
    assert ed25519[5:] not in repr(WebhookKey(ed25519))


@pytest.mark.parametrize("schemes", [(False, True), (True, False), (True, True)])
def test_both_schemes_sign_while_the_key_is_rotated(schemes):
    old, new = (new_webhook_secret(ed25519=ed25519) for ed25519 in schemes)
    value = rotated(old, new, now_ms=NOW_MS, until_ms=NOW_MS + 1_000)
    verifying = [WebhookKey(key).public_key or key for key in (old, new)]
    assert all(is_verified(sent(value), key) for key in verifying)
    later = sent(value, now_ms=NOW_MS + 1_000)
    assert [item.split(",")[0] for item in later.headers["webhook-signature"].split()] == [
        "v1a" if schemes[1] else "v1"
    ]


def test_official_libraries_verify_either_family_of_headers():
    now_ms = int(datetime.now(UTC).timestamp() * 1000)  # they read the clock themselves
    secret = new_webhook_secret()
    value = rotated(secret, new_webhook_secret(ed25519=True), now_ms=now_ms, until_ms=now_ms + 60_000)
    request = sent(value, now_ms=now_ms, svix_headers=True)
    theirs = {name: value for name, value in request.headers.items() if name.startswith("svix-")}
    standardwebhooks.Webhook(secret).verify(request.body, request.headers)
    svix.webhooks.Webhook(secret).verify(request.body, theirs)
    with pytest.raises(svix.webhooks.WebhookVerificationError):
        svix.webhooks.Webhook(secret).verify(request.body + b" ", theirs)


def test_svix_headers_repeat_the_webhook_headers_on_request_only():
    secret = new_webhook_secret()
    assert not [name for name in sent(secret).headers if name.startswith("svix-")]
    headers = sent(secret, svix_headers=True, headers={"Svix-Signature": "v1,forged", "svix-id": "x"}).headers
    for part in ("id", "timestamp", "signature"):
        assert headers[f"svix-{part}"] == headers[f"webhook-{part}"]


def test_no_signature_of_either_family_goes_to_another_host():
    forged = {"svix-signature": "v1,forged", "webhook-signature": "v1,forged"}
    request = sent(new_webhook_secret(), url="https://other.example/", headers=forged, svix_headers=True)
    assert not [name for name in request.headers if name.endswith("signature")]
