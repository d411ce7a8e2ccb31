"""Names that an endpoint's settings give to events and attributes."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.connectors import Origin
from nicobar.connectors.customerio import CustomerIo
from nicobar.errors import UserError
from nicobar.model import Call, Customer, Level

BASE = "https://track.customer.io"
ADA = Customer(key="cus_1", email="ada@northpine.example", name="Ada", metadata={"user": "u1"})
KEYS = {"site_id": "a", "api_key": "b"}
NAMES = {
    "event_names": {"payment_succeeded": "Order paid"},
    "attribute_names": {"plan": "tarif", "amount": "value"},
    "name_prefix": "shop_",
}


def prepare(
    items: list[object],
    *,
    url: str = "/api/v2/entity",
    method: str = "POST",
    test: str = "",
    reads_ledger: bool = False,
    **settings,
):
    origin = Origin(
        message_id="msg_1",
        endpoint_id="ep_1",
        occurred_at_ms=1_789_000_000_000,
        now_ms=9,
        event_id="evt_1",
        app_uid="default",
        customer=ADA,
        customer_id_attribute="dodo_customer_id",
        test=test,
        reads_ledger=reads_ledger,
    )
    calls = [Call(method=method, url=BASE + url, headers={}, payload=item) for item in items]
    return CustomerIo().open({"keep_profile": False, **settings}, KEYS).prepare(calls, origin)


def sent(items: list[object], **more) -> list[dict[str, object]]:
    prepared = prepare(items, **more)
    assert prepared.calls, prepared.verdicts
    return [msgspec.json.decode(call.body) for call in prepared.calls]


def event(name: str = "payment_succeeded", action: str = "event", **attributes: object) -> dict[str, object]:
    who = {"id": "cus_1"}
    return {"type": "person", "action": action, "identifiers": who, "name": name, "attributes": attributes}


def identify(**attributes: object) -> dict[str, object]:
    return {"type": "person", "action": "identify", "identifiers": {"id": "cus_1"}, "attributes": attributes}


def test_settings_rename_events_and_attributes() -> None:
    one, other, person = sent(
        [event(amount=5, product="a"), event("refunded"), identify(plan="pro", seats=2)], **NAMES
    )
    assert (one["name"], one["attributes"]) == ("Order paid", {"value": 5, "product": "a"})
    assert other["name"] == "shop_refunded"
    assert person["attributes"] == {"tarif": "pro", "shop_seats": 2}


def test_v1_calls_are_renamed_too() -> None:
    (one,) = sent(
        [{"name": "payment_succeeded", "data": {"amount": 5, "seats": 1}}],
        url="/api/v1/customers/cus_1/events",
        **NAMES,
    )
    assert (one["name"], one["data"]) == ("Order paid", {"value": 5, "seats": 1})
    (person,) = sent(
        [{"plan": "pro", "seats": 2, "email": "ada@northpine.example", "_update": True}],
        url="/api/v1/customers/cus_1",
        method="PUT",
        **NAMES,
    )
    assert person == {"tarif": "pro", "shop_seats": 2, "email": "ada@northpine.example", "_update": True}


def test_pages_screens_and_objects_keep_their_names() -> None:
    page, screen = sent([event("https://shop.example", "page"), event("cart", "screen")], **NAMES)
    assert (page["name"], screen["name"]) == ("https://shop.example", "cart")
    thing = {"type": "object", "action": "identify", "identifiers": {"object_type_id": "1", "object_id": "s"}}
    (made,) = sent([{**thing, "attributes": {"plan": "pro", "seats": 2}}], **NAMES)
    assert made["attributes"] == {"tarif": "pro", "seats": 2}


RESERVED = {
    "email": "ada@northpine.example",
    "name": "Ada",
    "first_name": "Ada",
    "phone": "+4915112345678",
    "unsubscribed": False,
    "timezone": "Europe/Paris",
    "created_at": 1_789_000_000,
    "cio_subscription_preferences": {"topics": {"topic_1": True}},
    "cio_subscription_preferences.topics.topic_2": True,
    "billing_email": "a@northpine.example",
    "dodo_customer_id": "cus_1",
}


def test_reserved_names_are_never_renamed() -> None:
    (person,) = sent([identify(**RESERVED)], **NAMES)
    assert person["attributes"] == RESERVED
    for name in (*RESERVED, "id", "cio_id", "anonymous_id", "_update", "recipient", "nicobar_test"):
        for names in ({name: "other"}, {"other": name}):
            with pytest.raises(UserError) as found:
                CustomerIo().open({"attribute_names": names}, KEYS)
            assert repr(name) in found.value.detail


def test_what_nicobar_adds_keeps_its_name() -> None:
    prepared = prepare([event(amount=5)], keep_profile=True, test="tst_1", identify_by="metadata.user", **NAMES)
    profile, one = (msgspec.json.decode(call.body) for call in prepared.calls)
    assert profile["attributes"].keys() == {"billing_email", "billing_name", "dodo_customer_id"}
    assert one["attributes"] == {"value": 5, "nicobar_test": True}


def test_names_change_no_event_id() -> None:
    items = [event(), {**event("a"), "once": "payment/1"}, {**event("b"), "id": "mine"}]
    plain, named = (prepare(items, **settings).calls for settings in ({}, NAMES))
    assert [call.event_id for call in plain] == [call.event_id for call in named]
    assert [call.once for call in plain] == [call.once for call in named]
    assert all(call.event_id for call in plain)


def test_renaming_is_reported_once_per_call() -> None:
    prepared = prepare([event(amount=5), identify(plan="pro", seats=2)], **NAMES)
    found = [verdict for verdict in prepared.verdicts if verdict.rule == "names_changed"]
    assert {verdict.level for verdict in found} == {Level.CORRECTION}
    assert [verdict.path for verdict in found] == [
        "[0].payload.name",
        "[0].payload.attributes",
        "[1].payload.attributes",
    ]


def test_warnings_are_about_the_names_of_the_handler() -> None:
    renamed = {"attribute_names": {"visits": "total_visits", "total_spent": "spent"}}
    prepared = prepare([identify(visits=1, total_spent=5)], **renamed)
    found = [verdict.path for verdict in prepared.verdicts if verdict.rule == "from_one_event"]
    assert found == ["[0].payload.attributes.total_spent"]


def test_limits_apply_to_the_names_sent() -> None:
    prepared = prepare([event("n" * 98)], name_prefix="shop_")
    assert [verdict.rule for verdict in prepared.verdicts if verdict.level is Level.ERROR] == ["event_name_length"]


def test_names_can_be_swapped() -> None:
    (person,) = sent([identify(a=1, b=2)], attribute_names={"a": "b", "b": "a"})
    assert person["attributes"] == {"b": 1, "a": 2}


def test_a_taken_name_is_sent_once_with_a_warning() -> None:
    prepared = prepare([identify(plan="pro", tarif="old")], attribute_names={"plan": "tarif"})
    assert msgspec.json.decode(prepared.calls[0].body)["attributes"] == {"tarif": "pro"}
    found = [verdict for verdict in prepared.verdicts if verdict.rule == "name_taken"]
    assert [(verdict.level, verdict.path) for verdict in found] == [(Level.WARNING, "[0].payload.attributes.tarif")]


@pytest.mark.parametrize(
    "settings",
    [
        {"event_names": {"a": " "}},
        {"event_names": {"": "a"}},
        {"event_names": {"a=b": "c"}},
        {"event_names": {"a": "b\nc"}},
        {"event_names": {"a": "n" * 101}},
        {"event_names": {str(number): "a" for number in range(301)}},
        {"attribute_names": {"a": "c", "b": "c"}},
        {"attribute_names": {"a": "_c"}},
        {"attribute_names": {"a": "n" * 151}},
        {"attribute_names": "a = b"},
        {"event_names": {"a": 1}},
        {"name_prefix": "_shop"},
        {"name_prefix": "cio_"},
        {"name_prefix": "a.b"},
        {"name_prefix": "a" * 51},
        {"product_names": {"pdt_1": ""}},
        {"product_names": {"pdt_1": "n" * 257}},
    ],
)
def test_names_that_cannot_be_sent_are_rejected(settings: dict[str, object]) -> None:
    with pytest.raises(UserError):
        CustomerIo().open(settings, KEYS)


def test_product_names_are_read() -> None:
    assert CustomerIo().open({"product_names": {"pdt_1": "Pro"}}, KEYS).product_names == {"pdt_1": "Pro"}


def test_totals_of_the_ledger_get_no_warning():
    for reads_ledger, expected in ((False, ["from_one_event"]), (True, [])):
        prepared = prepare([identify(total_spent=5)], reads_ledger=reads_ledger)
        assert [verdict.rule for verdict in prepared.verdicts if verdict.level is Level.WARNING] == expected
