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
from nicobar.facts import of_customer, state
from nicobar.model import Customer, EventType
from nicobar.sources import SetupPart
from nicobar.sources.registry import SOURCES, source_kind
from nicobar.sources.signing import StandardWebhooksSigning
from support.normal_form import ALWAYS, in_form
from support.toy_kinds import toy_source

NOW_MS = 1_789_000_000_500
ALL_SOURCES = [*SOURCES, toy_source()]
SECRETS = {kind.kind: (kind.new_secret(), kind.new_secret()) for kind in ALL_SOURCES}
every_source = pytest.mark.parametrize("kind", ALL_SOURCES, ids=lambda kind: kind.kind)
standard_source = pytest.mark.parametrize(
    "kind", [kind for kind in SOURCES if isinstance(kind, StandardWebhooksSigning)], ids=lambda kind: kind.kind
)
HEADER = st.text(st.characters(max_codepoint=255), max_size=60)
SAMPLE = EventType(name="sample.sent", example={"type": "sample.sent", "data": {}})
PAID = EventType(name="paid", example={"type": "paid", "data": {"customer": {"customer_id": "cus_0"}}})


def sample_of(kind) -> bytes:
    event_type = next((item for item in kind.event_types() if item.name == kind.usual_event_type), SAMPLE)
    return kind.sample(event_type, NOW_MS, event_id="evt_1")


def signed(kind, body: bytes, now_ms: int = NOW_MS, event_type: str = SAMPLE.name) -> dict[str, str]:
    return kind.sign("evt_1", body, SECRETS[kind.kind][0], now_ms, event_type=event_type)


@every_source
@given(change=st.binary(min_size=1, max_size=30))
def test_a_signature_holds_for_its_exact_bytes_only(kind, change):
    body = sample_of(kind)
    secret, other = SECRETS[kind.kind]
    headers = signed(kind, body)
    for secrets in ([secret], [other, secret], [secret, other]):
        assert kind.verify(headers, body, secrets, NOW_MS).event_id == "evt_1"
    for changed, secrets in ((body + change, [secret]), (body, [other]), (body, [])):
        with pytest.raises(Refusal) as caught:
            kind.verify(headers, changed, secrets, NOW_MS)
        assert (caught.value.status, caught.value.code) == (401, "signature_mismatch")


@every_source
def test_facts_are_what_the_event_says_of_its_customer(kind):
    event_type = next((item for item in kind.event_types() if item.name == kind.usual_event_type), PAID)
    body = kind.sample(event_type, NOW_MS, Customer(key="cus_1", email="ada@northpine.example", name="Ada"))
    event = kind.read(signed(kind, body, event_type=event_type.name), body)
    assert event.customer is not None
    assert of_customer(event.customer) in event.facts
    assert kind.read_body(event_type.name, body).facts == event.facts


@every_source
def test_facts_of_its_samples_are_in_the_normal_form(kind):
    for event_type in kind.event_types():
        event = kind.read_body(event_type.name, kind.sample(event_type, NOW_MS))
        for fact in event.facts:
            in_form(fact)
            assert not fact.fields or fact.fields.keys() >= ALWAYS[fact.kind], event_type.name
            assert fact.is_final is (fact.fields.get("status") == "succeeded" and fact.kind == "payment")


@every_source
def test_a_field_of_another_type_leaves_facts_in_the_normal_form(kind):
    """What they say then is another question: see the tests of each kind."""
    odd = (None, True, 1.5, 2**70, "", "x\0", "31.54", "2026-13-01", "9999-12-31T23:59:59Z", [None, {}], {"id": 1})
    of_each = {event_type.name.partition(".")[0]: event_type for event_type in kind.event_types()}
    for event_type in of_each.values():
        body = msgspec.json.decode(kind.sample(event_type, NOW_MS))
        data = body.get("data", body)
        for name, value in ((name, value) for name in list(data) for value in odd):
            kept, data[name] = data[name], value
            event = kind.read_body(event_type.name, msgspec.json.encode(body))
            data[name] = kept
            assert all(map(in_form, event.facts))
            stated = state(kind.kind, event, event_id="evt", body=b"", accepted_at_ms=NOW_MS)
            assert all("\\u0000" not in fact.content for fact in stated.facts)


@every_source
@pytest.mark.parametrize(("sign", "code"), [(-1, "timestamp_too_new"), (1, "timestamp_too_old")])
def test_a_signature_holds_as_long_as_the_kind_says(kind, sign, code):
    body, secrets = sample_of(kind), SECRETS[kind.kind][:1]
    headers, tolerance_ms = signed(kind, body), (kind.clock_tolerance_s or 10**6) * 1000
    for accepted_ms in (-tolerance_ms, 0, tolerance_ms):
        assert kind.verify(headers, body, secrets, NOW_MS // 1000 * 1000 + accepted_ms)
    if kind.clock_tolerance_s is not None:
        with pytest.raises(Refusal) as caught:
            kind.verify(headers, body, secrets, NOW_MS // 1000 * 1000 + sign * (tolerance_ms + 1000))
        assert (caught.value.status, caught.value.code) == (401, code)


@every_source
@given(data=st.data())
def test_no_header_can_be_changed_or_omitted(kind, data):
    body = sample_of(kind)
    headers = signed(kind, body)
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(headers)), HEADER | st.none(), min_size=1))
    changed = {name: value for name, value in (headers | changes).items() if value is not None}
    with pytest.raises(Refusal) as caught:
        kind.verify(changed, body, SECRETS[kind.kind][:1], NOW_MS)
    assert caught.value.status == 401
    if kind.id_headers:
        assert headers[kind.id_headers[0]] == "evt_1"


@every_source
@given(body=st.binary(max_size=200) | st.text().map(lambda text: msgspec.json.encode({"type": text})))
def test_any_body_is_read_or_rejected(kind, body):
    try:
        found = kind.read(signed(kind, body), body)
    except Refusal as refusal:
        found = refusal
    if isinstance(found, Refusal):
        assert (found.status, bool(found.code and found.detail)) == (400, True)
    else:
        assert found.event_type
        assert kind.read_body(found.event_type, body) == found
    assert kind.read_body("sample.sent", body).event_type == "sample.sent"


@every_source
@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!", "whsec_c2hvcnQ=", "not a secret", "whsec_" + "é" * 30])
def test_a_malformed_secret_is_rejected_without_being_shown(kind, secret):
    with pytest.raises(UserError) as caught:
        kind.check_secret(secret)
    assert caught.value.fix
    assert len(secret) < 8 or secret not in str(caught.value)
    for valid in SECRETS[kind.kind]:
        kind.check_secret(valid)
        assert valid.startswith(kind.secret_example.removesuffix("…"))


@standard_source
def test_the_official_library_and_we_verify_each_other(kind):
    body = b'{"type":"a.b","data":{"name":"\xc3\xa9"}}'
    now = datetime.now(UTC)
    secret = new_webhook_secret()
    theirs = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", now, body.decode()),
    }
    now_ms = int(now.timestamp() * 1000)
    assert kind.verify(theirs, body, [secret], now_ms)
    assert Webhook(secret).verify(body, kind.sign("evt_1", body, secret, now_ms))


@every_source
def test_its_samples_are_read_as_what_they_are(kind):
    types = kind.event_types()
    names = {item.name for item in types}
    assert len(names) == len(types)
    assert (kind.usual_event_type in names) is bool(names)
    ada = Customer(key="cus_ada", email="ada@northpine.example", name="Ada Lindqvist")
    for event_type in types:
        body = kind.sample(event_type, NOW_MS, ada)
        event = kind.read(signed(kind, body, event_type=event_type.name), body)
        assert (event.event_type, event.occurred_at_ms) == (event_type.name, NOW_MS)
        assert event.customer is None or event.customer.key == ada.key
        assert kind.read_body(event_type.name, body) == event
        assert event_type.description.endswith(".")


@every_source
def test_its_setup_shows_address_secret_and_first_event(kind):
    assert sorted(step.shows for step in kind.setup if step.shows) == sorted(SetupPart)
    assert all(text.endswith(".") for text in (kind.summary, *(step.text for step in kind.setup)))


def test_dodo_has_its_48_event_types():
    assert len(source_kind("dodo-payments").event_types()) == 48


@pytest.mark.parametrize("event_type", ["payment.succeeded", "orders/paid", "주문/결제_완료", "größe-1"])
def test_event_types_hold_slashes_and_letters_of_any_script(event_type):
    kind = source_kind("standard-webhooks")
    assert kind.read({}, msgspec.json.encode({"type": event_type})).event_type == event_type
    for malformed in (f"{event_type} x", f"{event_type}\n", f"{event_type}\u202e", event_type * 256):
        with pytest.raises(Refusal, match="type"):
            kind.read({}, msgspec.json.encode({"type": malformed}))


def test_an_unknown_kind_names_those_that_exist():
    with pytest.raises(UserError, match="dodo-payments, standard-webhooks"):
        source_kind("smoke-signals")
