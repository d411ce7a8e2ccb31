"""What every source promises. Another kind joins by its line in `SOURCES` alone."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from nicobar.crypto import new_webhook_secret
from nicobar.errors import Refusal, UserError
from nicobar.sources.registry import SOURCES, source_kind
from nicobar.sources.samples import fresh

NOW_MS = 1_789_000_000_500
SECRET = new_webhook_secret()
OTHER = new_webhook_secret()
every_source = pytest.mark.parametrize("kind", SOURCES, ids=lambda kind: kind.kind)
HEADER = st.text(st.characters(max_codepoint=255), max_size=60)


def signed(kind, body: bytes, secret: str = SECRET, now_ms: int = NOW_MS) -> dict[str, str]:
    return kind.sign("evt_1", body, secret, now_ms)


@every_source
@given(body=st.binary(max_size=300))
def test_what_it_signs_it_verifies_byte_for_byte_with_any_of_the_secrets(kind, body):
    headers = signed(kind, body)
    for secrets in ([SECRET], [OTHER, SECRET], [SECRET, OTHER]):
        assert kind.verify(headers, body, secrets, NOW_MS).event_id == "evt_1"
    for changed, secrets in ((body + b" ", [SECRET]), (body, [OTHER]), (body, [])):
        with pytest.raises(Refusal) as caught:
            kind.verify(headers, changed, secrets, NOW_MS)
        assert (caught.value.status, caught.value.code) == (401, "signature_mismatch")


@every_source
@pytest.mark.parametrize(("off_ms", "code"), [(-301_000, "timestamp_too_new"), (301_000, "timestamp_too_old")])
def test_a_signature_holds_five_minutes_both_ways(kind, off_ms, code):
    headers = signed(kind, b"{}")
    for fine in (-300_000, 0, 300_000):
        assert kind.verify(headers, b"{}", [SECRET], NOW_MS // 1000 * 1000 + fine)
    with pytest.raises(Refusal) as caught:
        kind.verify(headers, b"{}", [SECRET], NOW_MS // 1000 * 1000 + off_ms)
    assert (caught.value.status, caught.value.code) == (401, code)


@every_source
@given(
    changes=st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), HEADER | st.none(), min_size=1
    )
)
def test_no_header_breaks_it(kind, changes):
    headers = {name: value for name, value in (signed(kind, b"{}") | changes).items() if value is not None}
    with pytest.raises(Refusal) as caught:
        kind.verify(headers, b"{}", [SECRET], NOW_MS)
    assert caught.value.status == 401


@every_source
@given(body=st.binary(max_size=200) | st.text().map(lambda text: msgspec.json.encode({"type": text})))
def test_no_body_breaks_it(kind, body):
    try:
        read = kind.read(body)
    except Refusal as refusal:
        read = refusal
    assert (
        (read.status, bool(read.code and read.detail)) == (400, True)
        if isinstance(read, Refusal)
        else read.event_type
    )


@every_source
@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!", "whsec_c2hvcnQ=", "not a secret", "whsec_" + "é" * 30])
def test_a_secret_that_cannot_be_one_is_refused_without_being_shown(kind, secret):
    with pytest.raises(UserError) as caught:
        kind.check_secret(secret)
    assert caught.value.fix
    assert len(secret) < 8 or secret not in str(caught.value)
    kind.check_secret(SECRET)


@every_source
def test_the_official_library_and_we_verify_each_other(kind):
    body = b'{"type":"a.b","data":{"name":"\xc3\xa9"}}'
    now = datetime.now(UTC)
    theirs = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("evt_1", now, body.decode()),
    }
    now_ms = int(now.timestamp() * 1000)
    assert kind.verify(theirs, body, [SECRET], now_ms)
    assert Webhook(SECRET).verify(body, signed(kind, body, now_ms=now_ms))


@every_source
def test_its_event_types_are_named_once_and_their_examples_can_be_read(kind):
    types = kind.event_types()
    assert len({item.name for item in types}) == len(types)
    for entry in types:
        body = fresh(entry, NOW_MS)
        event = kind.read(body)
        assert (event.event_type, event.occurred_at_ms) == (entry.name, NOW_MS)
        assert entry.description.endswith(".")


def test_dodo_has_its_48_event_types():
    assert len(source_kind("dodo-payments").event_types()) == 48


def test_a_kind_that_does_not_exist_names_those_that_do():
    with pytest.raises(UserError, match="dodo-payments, standard-webhooks"):
        source_kind("smoke-signals")
