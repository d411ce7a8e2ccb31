"""What is masked in what is stored and shown, and what stays."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicobar.errors import SettingsError, UserError
from nicobar.model import Attempt, DeliveryState, Level, RequestRecord, Verdict
from nicobar.reasons import reason
from nicobar.redaction import MASK, Needle, Redaction, SharedRedactor, written_forms
from nicobar.settings import Settings
from nicobar.sources.dodo import DodoPayments
from nicobar.sources.registry import SOURCES

PHONE, CARD, KEY = "+49 30 5550 0199", "4242", "NORTH-PINE-7F3A-99"
STREET, CITY, HOLDER = 'Elm "Row" 7', "Örebro", "Ada M. Lindqvist"
LINK = "https://pay.example/session/3f9c1d7be2a84f60"
PAID = {
    "type": "payment.succeeded",
    "data": {
        "payment_id": "pay_4242x",
        "total_amount": 4242,
        "card_last_four": CARD,
        "card_holder_name": HOLDER,
        "card_exp_year": "2030",
        "payment_link": LINK,
        "customer": {"customer_id": "cus_1", "email": "ada@northpine.example", "phone_number": PHONE},
        "billing": {"street": STREET, "city": CITY, "zipcode": "70 361", "country": "SE", "state": None},
        "license_key": {"id": "lic_1", "key": KEY, "status": "active"},
        "next_billing_date": "2030-01-01T00:00:00Z",
        "metadata": {"plan": "active"},
    },
}
BODY = msgspec.json.encode(PAID)
VALUES = (PHONE, KEY, STREET, CITY, HOLDER, LINK, "70 361")


def redactor(setting: str = "", body: bytes = BODY, kind=None):
    return Redaction(setting).of((kind or DodoPayments()).personal_fields).redactor(body)


def test_an_event_is_shown_without_its_personal_data():
    shown = redactor().event(BODY)
    data = msgspec.json.decode(shown)["data"]
    assert [value for value in VALUES if msgspec.json.encode(value)[1:-1] in shown] == []
    assert data["card_last_four"] == data["card_exp_year"] == data["billing"]["street"] == MASK
    assert data["license_key"] == {"id": "lic_1", "key": MASK, "status": "active"}
    assert data["billing"] | {"country": "SE", "state": None} == data["billing"]
    kept = ("payment_id", "total_amount", "next_billing_date", "metadata")
    assert {name: data[name] for name in kept} == {name: PAID["data"][name] for name in kept}
    assert data["customer"]["email"] == "ada@northpine.example"


@pytest.mark.parametrize(
    "text",
    [
        f"cannot dial {PHONE}",
        "cannot dial +493055500199 or 493055500199",
        "https://api.example/?tel=%2B49+30+5550+0199&b=%C3%96rebro",
        '{"custom": {"where": "\\u00d6rebro", "who": "ada m. lindqvist"}}',
        '{"where": "Elm \\"Row\\" 7"}',
        'log {\\"where\\":\\"Elm \\\\\\"Row\\\\\\" 7\\"}',
        f'{{"cut": "{KEY}", "rest": "…',
        f"[{KEY}] and ({LINK})",
        "ends in 4242.",
        f'{{"number": {4930_5550_0199}}}',
    ],
)
def test_the_event_s_values_are_masked_wherever_they_are_quoted(text):
    shown = redactor().text(text)
    assert MASK in shown
    forms = (*VALUES, "rebro", "5550", "Row", "lindqvist", CARD, "3f9c1d7be2a84f60")
    assert [value for value in forms if value.lower() in shown.lower()] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"phoneNumber":"1","ok":true}', '{"phoneNumber":"***","ok":true}'),
        ('{"Billing-Address":{"line":"x","country":"SE"}}', '{"Billing-Address":{"line":"***","country":"SE"}}'),
        ('{"license_keys":["a","b"]}', '{"license_keys":["***","***"]}'),
        ('saw {"phone": "555 01', 'saw {"phone": "***"'),
        ("phone=555&b=1", "phone=***&b=1"),
        (
            "<o:a><o:customerPhone x='1'>\n555\n</o:customerPhone><zip><![CDATA[70 361]]></zip><mic>2</mic></o:a>",
            "<o:a><o:customerPhone x='1'>***</o:customerPhone><zip>***</zip><mic>2</mic></o:a>",
        ),
        (
            '{"customerPhone":"1","mic":"2","next_billing":"3"}',
            '{"customerPhone":"***","mic":"2","next_billing":"3"}',
        ),
        ("card 4111 1111 1111 1111 refused", "card *** refused"),
        ("https://x.example/login?token=abc&next=/a", "https://x.example/login?token=***&next=/a"),
        ("https://x.example/portal/session/aGVsbG8td29ybGQtMTIz?b", "https://x.example/portal/session/***"),
        ("order 4111111111111112 at 1789000000000 of msg_2yZwUhtgs5Ai8T9yRQJXA0000aa", None),
        ('{"state":"active","amount":4990,"name":"payment_succeeded"}', None),
        ("https://x.example/orders/3f9c1d7be2a84f60?page=2", None),
    ],
)
def test_texts_without_an_event_are_masked_by_name_and_form(text, shown):
    masked = redactor(body=b"").text(text)
    assert masked == (text if shown is None else shown)
    assert redactor(body=b"").text(masked) == masked


@pytest.mark.parametrize(
    "part",
    [
        "http://a/",
        "/session/a",
        "token",
        "?token",
        'phone:"',
        "4111 ",
        '{"phone":',
        "\\",
        "<phone>",
        "</a><phone><![CDATA[",
    ],
)
def test_a_long_text_takes_no_longer_than_its_length(part):
    text = f"https://x.example/?{part * 20_000}"
    assert redactor().text(text).startswith("https://x.example/?")


def test_a_long_field_name_takes_no_longer_than_its_length():
    name = f"{'a_' * 200_000}phone"
    body = msgspec.json.encode({name: PHONE, "a_" * 200_000: "some zip"})
    assert redactor(body=body).values == (PHONE,)
    assert PHONE.encode() not in redactor(body=body).event(body)


@pytest.mark.parametrize("phones", ["ab " * 150_000, [f"{number} {'x y' * 700}" for number in range(200)]])
def test_long_values_are_masked_in_their_fields_and_hold_up_nothing(phones):
    body = msgspec.json.encode({"data": {"phone": phones, "mobile": PHONE}})
    masked = redactor(body=body)
    assert masked.text(f"{body.decode()} and {PHONE}").endswith(f"and {MASK}")
    shown = msgspec.json.decode(masked.text(body.decode()))["data"]
    assert set(shown["phone"] if isinstance(phones, list) else [shown["phone"]]) == {MASK}


def test_what_is_said_of_many_events_is_masked_for_each():
    other = msgspec.json.encode({"data": {"phone": "+47 5550 0123", "street": "Birch Lane 4"}})
    shared = SharedRedactor([redactor(), redactor(body=other), redactor(body=b"[]")])
    quoted = f"{PHONE}, Birch Lane 4, +4755500123 and {KEY.lower()} of 4242 and 42421"
    assert shared.text(quoted) == f"{MASK}, {MASK}, +{MASK} and {MASK} of {MASK} and 42421"
    why = reason("text", "%(text)s", text=quoted, location="[0].Birch Lane 4")
    assert shared.reason(why).text() == f"[0].{MASK}: {shared.text(quoted)}"
    assert shared.headers({"x-phone": "1", "x-note": "Birch Lane 4"}) == {"x-phone": MASK, "x-note": MASK}
    assert shared.text('{"ok": true}') == '{"ok": true}'


def test_an_attempt_has_nothing_personal_left():
    stored = Attempt(
        id="atmpt_1",
        started_at_ms=1,
        duration_ms=1,
        state=DeliveryState.FAILED,
        reason=reason("threw", "%(error)s", error=reason("inner", "bad %(what)s", what=PHONE), location=f"[0].{KEY}"),
        transformation_version=1,
        requests=(
            RequestRecord(
                method="POST",
                url=f"https://api.example/{KEY}",
                headers={"x-phone": "1", "x-note": CITY, "accept": "*/*"},
                body=f'{{"a":"{CITY}"}}\n{{"b":1}}',
            ),
        ),
        response=f'{{"error":"no {HOLDER}"}}\n',
        response_headers={"location": LINK},
        console=(f"now {PHONE}", "fine"),
        verdicts=(Verdict(level=Level.WARNING, reason=reason("x", "%(v)s", v=KEY), source="s"),),
    )
    shown = redactor().attempt(stored)
    assert [value for value in VALUES if value in repr(shown)] == []
    assert shown.requests[0].headers == {"x-phone": MASK, "x-note": MASK, "accept": "*/*"}
    assert (shown.requests[0].body, shown.console[1]) == (f'{{"a":"{MASK}"}}\n{{"b":1}}', "fine")
    assert redactor().attempt(shown) == shown


def test_the_setting_adds_names_and_paths_and_switches_defaults_off():
    shown = msgspec.json.decode(redactor("-phone, email ,data.metadata.plan").event(BODY))["data"]
    assert shown["customer"] == {"customer_id": "cus_1", "email": MASK, "phone_number": PHONE}
    assert shown["metadata"] == {"plan": MASK}
    assert redactor("email").text("to ada@northpine.example") == f"to {MASK}"


@pytest.mark.parametrize("setting", ["-fax", "a b", "data..x", "x" * 201, ",".join("abc" for _ in range(201))])
def test_a_malformed_setting_is_refused_with_its_rule(setting):
    with pytest.raises(UserError) as refused:
        Redaction(setting)
    assert refused.value.code == "redaction_invalid"
    with pytest.raises(SettingsError, match="Invalid redact"):
        _ = Settings(redact=setting).redaction


@pytest.mark.parametrize(
    "body", [b"", b"\xff{", b"[1]", b'"' + PHONE.encode(), b"[" * 300 + b"]" * 300, b'{"a":1e999}']
)
def test_bodies_that_are_no_events_are_shown(body):
    assert isinstance(redactor(body=body).event(body), bytes)


@pytest.mark.parametrize("kind", SOURCES, ids=lambda kind: kind.kind)
def test_no_sample_of_a_source_shows_phones_cards_or_keys(kind):
    for event_type in kind.event_types():
        body = msgspec.json.encode(event_type.example)
        shown = redactor(body=body, kind=kind).event(body).decode()
        for name in ("phone_number", "card_last_four", "street", "zipcode", "oauth_url", "download_url"):
            assert f'"{name}":"' not in shown.replace(f'"{name}":"***"', ""), (event_type.name, name)


@given(st.text(st.sampled_from("abXZ019 .,-_+\"\\/éİK한🎈\n&=%#'"), min_size=1, max_size=20))
def test_every_written_form_has_the_core_of_its_value(value):
    core = Needle(value).core
    assert all(core in form.lower() for form in written_forms(value))


@pytest.mark.parametrize("rule", ["email, name", "data.customer.email, data.customer.name"])
def test_ledger_of_an_attempt_is_masked_like_the_customer_of_events(rule):
    person = {"email": "ann@shop.example", "name": "Ann Lee", "first_name": "Ann", "payments": 2}
    snapshot = msgspec.json.encode({"customer": {**person, "identity": {"value": "ann@shop.example"}}}).decode()
    attempt = Attempt(
        id="atmpt_1",
        started_at_ms=1,
        duration_ms=1,
        state=DeliveryState.SUCCESS,
        reason=None,
        transformation_version=1,
        console=("to ann@shop.example",),
        snapshot=snapshot,
    )
    shown = redactor(rule, b'{"data":{"payment_id":"pay_1"}}').also(snapshot).attempt(attempt)
    assert shown.console == ("to ***",)
    assert msgspec.json.decode(shown.snapshot) == {
        "customer": {
            "email": "***",
            "name": "***",
            "first_name": "***",
            "payments": 2,
            "identity": {"value": "***"},
        }
    }
