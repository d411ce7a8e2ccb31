"""Whom the calls of a handler are about, under each rule of an endpoint."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
import pytest

from nicobar.connectors import Origin, Response
from nicobar.connectors.customerio import CustomerIo
from nicobar.model import Call, Customer, Level
from nicobar.people import UNKNOWN_CUSTOMER, NoIdentity, metadata_identifier, read_rule, resolve

BASE = "https://track.customer.io"
USER = 9007199254740993  # beyond 2^53
ADA = Customer(key="cus_1", email=" Ada@NorthPine.example", name="Ada", metadata={"user": USER})
PERSON = {
    "metadata.user": {"id": str(USER)},
    "email": {"email": "ada@northpine.example"},
    "customer_id": {"id": "cus_1"},
}
ATTRIBUTE = "dodo_customer_id"
every_rule = pytest.mark.parametrize("rule", PERSON)


def destination(rule: str = "", **settings: object):
    given = {"identify_by": rule} if rule else {}
    return CustomerIo().open({**given, **settings}, {"site_id": "a", "api_key": "b"})


def origin(customer: Customer | None = ADA, **more: object) -> Origin:
    values = {"message_id": "msg_1", "endpoint_id": "ep_1", "occurred_at_ms": 1_789_000_000_000, "now_ms": 9}
    known = {"event_id": "evt_1", "app_uid": "default", "customer_id_attribute": ATTRIBUTE, "customer": customer}
    return Origin(**(values | known | more))


def person(action: str, who: object = None, **more: object) -> dict[str, object]:
    return {"type": "person", "action": action, "identifiers": who or {"id": "cus_1"}, **more}


def v2(*items: object) -> list[Call]:
    return [Call(method="POST", url=f"{BASE}/api/v2/entity", headers={}, payload=item) for item in items]


def v1(method: str, path: str, payload: object = None) -> list[Call]:
    return [Call(method=method, url=f"{BASE}/api/v1/{path}", headers={}, payload=payload)]


def sent(prepared) -> list[dict[str, object]]:
    assert prepared.calls, prepared
    return [msgspec.json.decode(call.body) for call in prepared.calls]


def found(prepared, *names: str) -> list[str]:
    return [verdict.rule for verdict in prepared.verdicts if verdict.rule in names]


def prepare(rule: str, calls: list[Call], of: Origin | None = None, **settings: object):
    return destination(rule, **{"keep_profile": False, **settings}).prepare(calls, of or origin())


# --- who is identified ---


@every_rule
@pytest.mark.parametrize(
    "item",
    [
        person("identify", attributes={"plan": "pro"}),
        person("event", name="paid"),
        person("page", name="https://shop.example"),
        person("screen", name="cart"),
        person("add_relationships", cio_relationships=[{"identifiers": {"object_type_id": "1", "object_id": "a"}}]),
        person(
            "delete_relationships", cio_relationships=[{"identifiers": {"object_type_id": "1", "object_id": "a"}}]
        ),
        person("paid", name="paid"),
    ],
    ids=lambda item: item["action"],
)
def test_customer_becomes_the_person_of_the_rule(rule, item):
    prepared = prepare(rule, v2(item))
    assert sent(prepared)[0]["identifiers"] == PERSON[rule]
    changed = ["identifier_replaced"] if rule != "customer_id" else []
    assert found(prepared, "identifier_replaced") == changed
    assert sent(prepare(rule, v2(item), correct_identifier=False))[0]["identifiers"] == {"id": "cus_1"}
    assert sent(prepare("", v2(item)))[0]["identifiers"] == {"id": "cus_1"}, "without a rule"


@every_rule
def test_customer_is_replaced_in_lists_and_batches(rule):
    items = [person("event", name="a"), person("event", {"id": "cus_2"}, name="b")]
    for payload, path in ((items, "entity"), ({"batch": items}, "batch"), ({"batch": items}, "entity")):
        call = Call(method="POST", url=f"https://track-eu.customer.io/api/v2/{path}", headers={}, payload=payload)
        assert [item["identifiers"] for item in sent(prepare(rule, [call]))] == [PERSON[rule], {"id": "cus_2"}]


@pytest.mark.parametrize("who", [None, {}, {"id": ""}, {"id": "cus_1", "email": "a@x.example"}, "cus_1", []])
@every_rule
def test_invalid_identifiers_are_errors_as_without_a_rule(rule, who):
    item = {**person("event", name="a"), "identifiers": who}
    for one in (item, {name: value for name, value in item.items() if name != "identifiers"}):
        prepared, plain = prepare(rule, v2(one)), prepare("", v2(one))
        assert prepared.calls == ()
        assert prepared.no_identity is None
        errors = [[it.rule for it in found.verdicts if it.level is Level.ERROR] for found in (prepared, plain)]
        assert errors[0] == errors[1]


@every_rule
def test_people_related_to_objects_are_replaced_too(rule):
    relations = [{"identifiers": {"id": who}, "relationship_attributes": {"n": 1}} for who in ("cus_1", "cus_2")]
    of = {"type": "object", "identifiers": {"object_type_id": "1", "object_id": "cus_1"}}
    for action in ("identify", "add_relationships", "delete_relationships"):
        (item,) = sent(prepare(rule, v2({**of, "action": action, "cio_relationships": relations})))
        assert [one["identifiers"] for one in item["cio_relationships"]] == [PERSON[rule], {"id": "cus_2"}]
        assert item["identifiers"] == of["identifiers"]


@every_rule
def test_v1_paths_name_the_person(rule):
    (value,) = PERSON[rule].values()
    for path in ("cus_1", "cus%5F1"):
        for call in (
            v1("PUT", f"customers/{path}", {"plan": "pro"}),
            v1("POST", f"customers/{path}/events", {"name": "a"}),
        ):
            prepared = prepare(rule, call)
            segment = prepared.calls[0].url.split("/")[6]
            assert segment == (path if rule == "customer_id" else value.replace("@", "%40"))


@pytest.mark.parametrize("who", [{"id": "cus_2"}, {"id": "CUS_1"}, {"cio_id": "cus_1"}, {"email": "bo@x.example"}])
@every_rule
def test_other_people_stay_as_the_handler_wrote_them(rule, who):
    prepared = prepare(rule, v2(person("event", who, name="a")))
    assert sent(prepared)[0]["identifiers"] == who
    assert not found(prepared, "identifier_replaced", "identity_fallback")


@pytest.mark.parametrize("rule", ["email", "metadata.user"])
@pytest.mark.parametrize(
    "call",
    [
        v2(person("delete")),
        v2(person("suppress")),
        v2(person("unsuppress")),
        v2(person("add_device", device={"token": "t", "platform": "ios"})),
        v2(person("delete_device", device={"token": "t"})),
        v2({"type": "person", "action": "merge", "primary": {"email": "a@x.example"}, "secondary": {"id": "cus_1"}}),
        v1("DELETE", "customers/cus_1"),
        v1("POST", "customers/cus_1/suppress"),
        v1("POST", "customers/cus_1/unsuppress"),
        v1("PUT", "customers/cus_1/devices", {"device": {"id": "t", "platform": "ios"}}),
        v1("DELETE", "customers/cus_1/devices/t"),
        v1("POST", "merge_customers", {"primary": {"id": "cus_1"}, "secondary": {"id": "b"}}),
        v1("POST", "segments/1/add_customers", {"ids": ["a", "cus_1"]}),
        v1("POST", "segments/1/remove_customers", {"ids": ["cus_1"]}),
        v1("POST", "forms/f/submit", {"data": {"id": "cus_1"}}),
    ],
    ids=lambda call: f"{call[0].method} {call[0].url[26:]} {(call[0].payload or {}).get('action', '')}",
)
def test_calls_that_cannot_be_undone_are_warned_about_only(rule, call):
    prepared, plain = prepare(rule, call), prepare("", call)
    assert [(one.url, one.body) for one in prepared.calls] == [(one.url, one.body) for one in plain.calls]
    assert found(prepared, "identifier_kept") == ["identifier_kept"]
    assert not found(prepare("customer_id", call), "identifier_kept")
    assert not found(plain, "identifier_kept")


CIO, DOTS, ADDRESS = "cio_0a1b", "..", "eve@northpine.example"
BUYER = "buyer@northpine.example"


def of_buyer(user: str) -> Origin:
    """A buyer who wrote this into the metadata."""
    return origin(Customer(key="cus_1", email=BUYER, name="Eve", metadata={"user": user}))


@pytest.mark.parametrize("user", [CIO, DOTS, ".", ADDRESS])
def test_v1_path_that_names_somebody_else_is_not_sent(user):
    for method, path in (("POST", "customers/cus_1/events"), ("PUT", "customers/cus_1")):
        prepared = prepare("metadata.user", v1(method, path, {"name": "paid"}), of_buyer(user))
        assert (prepared.calls, found(prepared, "path")) == ((), ["path"])
    (item,) = sent(prepare("metadata.user", v2(person("event", name="paid")), of_buyer(user)))
    assert item["identifiers"] == {"id": user}, "v2 says that it is an id"


def test_v1_path_of_an_address_like_a_cio_id_is_not_sent():
    of = origin(Customer(key="cus_1", email="cio_bo@northpine.example"))
    prepared = prepare("email", v1("POST", "customers/cus_1/events", {"name": "paid"}), of)
    assert (prepared.calls, found(prepared, "path")) == ((), ["path"])


@pytest.mark.parametrize("user", ["user_42", CIO, ADDRESS])
def test_buyers_choose_nobody_s_address_by_a_v1_path(user):
    call = v1("PUT", f"customers/{quote(user, safe='')}", {"email": BUYER, "name": "Eve", "phone": "+1", "id": "x"})
    (body,) = sent(prepare("metadata.user", call, of_buyer(user)))
    assert body == {"billing_email": BUYER, "billing_name": "Eve", "billing_phone": "+1"}


@pytest.mark.parametrize("who", [{"email": BUYER}, {"phone": "+15551234567"}, {"cio_id": "0a"}, {"id": "own"}])
def test_buyers_give_nobody_the_id_of_another_person(who):
    calls = v2(person("identify", who, attributes={"id": "user_42", "plan": "a"}))
    of = of_buyer("user_42")
    prepared = prepare("metadata.user", calls, of)
    assert (sent(prepared)[0]["attributes"], found(prepared, "attributes_renamed")) == (
        {"plan": "a"},
        ["attributes_renamed"],
    )
    trusted = prepare("metadata.user", calls, of, trust_metadata=True)
    assert sent(trusted)[0]["attributes"]["id"] == "user_42"
    assert found(trusted, "metadata_trusted")
    by_path = prepare("metadata.user", v1("PUT", f"customers/{quote(BUYER)}", {"id": "user_42", "plan": "a"}), of)
    assert sent(by_path) == [{"plan": "a"}]


@pytest.mark.parametrize(
    "call",
    [
        v2(person("delete", {"id": "user_42"})),
        v2(person("suppress", {"id": "user_42"})),
        v2(person("add_device", {"id": "user_42"}, device={"token": "a", "platform": "ios"})),
        v2({"type": "person", "action": "merge", "primary": {"id": "user_42"}, "secondary": {"email": BUYER}}),
        v1("DELETE", "customers/user_42"),
        v1("POST", "customers/user_42/suppress"),
        v1("POST", "merge_customers", {"primary": {"email": BUYER}, "secondary": {"id": "user_42"}}),
        v1("POST", "segments/1/add_customers", {"ids": ["user_42"]}),
        v1("POST", "forms/a/submit", {"data": {"id": "user_42", "name": "Eve"}}),
    ],
    ids=lambda call: f"{call[0].method} {call[0].url[-20:]}",
)
def test_calls_about_whom_a_buyer_chose_are_warned_about(call):
    of = of_buyer("user_42")
    prepared = prepare("metadata.user", call, of)
    assert prepared.calls
    assert found(prepared, "chosen_by_metadata") == ["chosen_by_metadata"]
    for plain in (
        prepare("metadata.user", call, of, trust_metadata=True),
        prepare("metadata.user", call, of_buyer("user_7")),
        prepare("email", call, of),
    ):
        assert not found(plain, "chosen_by_metadata")


def test_ids_of_another_type_in_a_segment_are_no_customer_ids():
    call = v1("POST", "segments/1/add_customers?id_type=cio_id", {"ids": ["cus_1"]})
    assert not found(prepare("email", call), "identifier_kept")


# --- nobody is identified ---

UNKNOWN = Customer(key="cus_1", metadata={"user": True})


@pytest.mark.parametrize("rule", ["email", "metadata.user"])
def test_call_without_its_person_is_not_sent(rule):
    for of in (origin(UNKNOWN), origin(None)):
        who = {"id": "cus_1"} if of.customer else UNKNOWN_CUSTOMER
        prepared = prepare(rule, v2(person("event", who, name="a"), person("event", {"id": "bo"}, name="b")), of)
        assert prepared.no_identity is not None
        assert (prepared.calls, prepared.no_identity.code) == ((), "no_identity")
        assert not [verdict for verdict in prepared.verdicts if verdict.level is Level.ERROR]


def test_object_of_a_customer_without_an_identity_waits():
    of = {"type": "object", "action": "identify", "identifiers": {"object_type_id": "1", "object_id": "a"}}
    for who in (UNKNOWN_CUSTOMER, {"id": "cus_1"}):
        prepared = prepare(
            "email", v2({**of, "cio_relationships": [{"identifiers": who}]}), origin(Customer(key="cus_1"))
        )
        assert prepared.no_identity is not None
        assert not [it for it in prepared.verdicts if it.level is Level.ERROR]


def test_call_that_needs_nobody_is_sent_without_an_identity():
    prepared = prepare("email", v2(person("event", {"id": "bo"}, name="b")), origin(UNKNOWN))
    assert prepared.no_identity is None
    assert sent(prepared)[0]["identifiers"] == {"id": "bo"}
    off = prepare("email", v2(person("event", name="b")), origin(UNKNOWN), correct_identifier=False)
    assert sent(off)[0]["identifiers"] == {"id": "cus_1"}


def test_error_of_the_handler_is_told_before_a_missing_identity():
    prepared = prepare("email", v2(person("event", name="")), origin(UNKNOWN))
    assert prepared.no_identity is None
    assert found(prepared, "event_name")


def test_missing_metadata_uses_the_email_or_rejects():
    nobody = Customer(key="cus_1", email="ada@northpine.example")
    prepared = prepare("metadata.user", v2(person("event", name="a"), person("event", name="b")), origin(nobody))
    assert sent(prepared)[0]["identifiers"] == {"email": "ada@northpine.example"}
    assert found(prepared, "identity_fallback") == ["identity_fallback"]
    rejected = prepare("metadata.user", v2(person("event", name="a")), origin(nobody), identify_fallback="reject")
    assert rejected.no_identity is not None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("u-1", "u-1"),
        (" U 1", " U 1"),
        (0, "0"),
        (-7, "-7"),
        (USER, str(USER)),
        (42.0, "42"),
        (-0.0, "0"),
        (1.50, "1.5"),
        (1e-7, "0.0000001"),
        (0.1234567890123456, ""),
        (9007199254740992.0, ""),
        (1e300, ""),
        (float("nan"), ""),
        pytest.param(10**5_000, "", id="long"),
        ("", ""),
        (" \t", ""),
        ("a\0", ""),
        ("é" * 76, ""),
        (True, ""),
        (False, ""),
        (None, ""),
        ([], ""),
        ({}, ""),
    ],
)
def test_metadata_is_an_identifier_exactly_or_not_at_all(value, text):
    assert metadata_identifier(value) == text


@pytest.mark.parametrize(
    "email", ["", "ada", "@x.example", "ada@", "a b@x.example", "ada@x.exam\0ple", "a" * 251 + "@x.y"]
)
def test_what_is_no_address_identifies_nobody(email):
    assert isinstance(resolve(read_rule("email"), Customer(key="cus_1", email=email)), NoIdentity)


def test_customer_seen_with_two_ids_is_a_warning():
    for other, warned in (({}, []), ({"user": USER}, []), ({"user": "u-2"}, ["several_ids"]), ({"user": True}, [])):
        prepared = prepare("metadata.user", v2(person("event", name="a")), origin(other_metadata=other))
        assert found(prepared, "several_ids") == warned


# --- what is written to the person ---


def attributes(rule: str, given: dict[str, object], who: object = None, **settings: object) -> dict[str, object]:
    (item,) = sent(prepare(rule, v2(person("identify", who, attributes=given)), **settings))
    by_path = v1("PUT", f"customers/{next(iter((who or {'id': 'cus_1'}).values()))}", given)
    (payload,) = sent(prepare(rule, by_path, **settings))
    assert payload == item["attributes"], "v1 as v2"
    return payload


GIVEN = {"id": "cus_1", "email": "ada@northpine.example", "name": "Ada", "plan": "pro"}
OWN = {"email": "ada@northpine.example", "name": "Ada", "plan": "pro"}
BILLING = {"billing_email": "ada@northpine.example", "billing_name": "Ada", "plan": "pro"}


def test_person_by_email_gets_no_id():
    for who in (None, {"email": "ADA@northpine.example"}):
        assert attributes("email", GIVEN, who) == OWN
    assert attributes("email", {"id": "x"}, {"email": "bo@x.example"}) == {"id": "x"}, "somebody else"
    for rule in ("email", "metadata.user"):
        assert attributes(rule, {"id": "cus_1", "a": 1}, {"email": "bo@x.example"}) == {"a": 1}, (
            "never the sender's id"
        )
    assert attributes("customer_id", {"id": "cus_1"}, {"email": "bo@x.example"}) == {"id": "cus_1"}
    assert attributes("customer_id", GIVEN) == GIVEN
    assert attributes("", GIVEN) == GIVEN
    prepared = prepare("email", v2(person("identify", attributes=GIVEN)))
    assert found(prepared, "id_dropped") == ["id_dropped"]


def test_email_of_a_person_by_email_keeps_one_spelling():
    assert attributes("email", {"email": " ADA@NorthPine.example"}) == {"email": "ada@northpine.example"}
    assert attributes("email", {"email": "new@x.example"}) == {"email": "new@x.example"}
    assert attributes("customer_id", {"email": " ADA@NorthPine.example"}) == {"email": "ADA@NorthPine.example"}


def test_person_by_metadata_gets_billing_values_only():
    for who in (None, {"id": str(USER)}):
        assert attributes("metadata.user", GIVEN, who) == BILLING
    assert attributes("metadata.user", GIVEN, {"id": "bo"}) == GIVEN, "somebody else"
    both = {"email": "a@x.example", "billing_email": "b@x.example"}
    assert attributes("metadata.user", both) == {"billing_email": "b@x.example"}
    prepared = prepare("metadata.user", v2(person("identify", attributes=GIVEN)))
    assert found(prepared, "attributes_renamed") == ["attributes_renamed"]


def test_trusted_metadata_is_sent_with_a_warning():
    assert attributes("metadata.user", GIVEN, trust_metadata=True) == GIVEN
    prepared = prepare("metadata.user", v2(person("identify", attributes=GIVEN)), trust_metadata=True)
    assert found(prepared, "metadata_trusted", "attributes_renamed") == ["metadata_trusted"]


@every_rule
def test_identify_calls_get_the_sender_s_customer_id(rule):
    kept = {"keep_profile": True}
    assert attributes(rule, {"plan": "pro"}, **kept) == {"plan": "pro", ATTRIBUTE: "cus_1"}
    assert attributes(rule, {ATTRIBUTE: "x"}, **kept) == {ATTRIBUTE: "x"}
    full = {f"a{number}": 1 for number in range(300)}
    assert attributes(rule, full, **kept) == full
    assert attributes("", {"plan": "pro"}, **kept) == {"plan": "pro"}


PROFILES = {
    "metadata.user": {"billing_email": ADA.email.strip(), "billing_name": "Ada", ATTRIBUTE: "cus_1"},
    "email": {"name": "Ada", ATTRIBUTE: "cus_1"},
    "customer_id": {"email": ADA.email.strip(), "name": "Ada", ATTRIBUTE: "cus_1"},
}


@every_rule
def test_added_profile_says_what_the_rule_allows(rule):
    (profile, event) = sent(prepare(rule, v2(person("event", name="a")), keep_profile=True))
    assert (profile["action"], profile["identifiers"]) == ("identify", PERSON[rule])
    assert profile["attributes"] == PROFILES[rule]
    assert event["identifiers"] == PERSON[rule]


@every_rule
def test_profile_of_calls_that_are_not_replaced_is_as_without_a_rule(rule):
    plain = sent(prepare("", v2(person("event", name="a")), keep_profile=True))
    off = {"keep_profile": True, "correct_identifier": False}
    assert sent(prepare(rule, v2(person("event", name="a")), **off)) == plain
    if rule != "customer_id":
        assert len(sent(prepare(rule, v2(person("event", PERSON[rule], name="a")), **off))) == 1


def test_added_profile_of_trusted_metadata_has_an_address():
    prepared = prepare("metadata.user", v2(person("event", name="a")), keep_profile=True, trust_metadata=True)
    assert sent(prepared)[0]["attributes"] == PROFILES["customer_id"]
    assert found(prepared, "metadata_trusted")


@every_rule
def test_complete_identify_needs_no_added_profile(rule):
    own = {"email": "ada@northpine.example", "name": "Ada"}
    items = v2(person("identify", attributes=own), person("event", name="a"))
    assert [item["action"] for item in sent(prepare(rule, items, keep_profile=True))] == ["identify", "event"]


def test_person_of_the_shop_s_own_needs_no_address():
    assert not found(prepare("metadata.user", v2(person("event", name="a"))), "no_address")
    assert not found(prepare("email", v2(person("event", name="a"))), "no_address")


OK = Response(status=200, headers={}, body=b"{}", duration_ms=1)


@every_rule
def test_known_profile_is_not_repeated(rule):
    it = destination(rule)
    for actions in (["identify", "event"], ["event"]):
        prepared = it.prepare(v2(person("event", name="a")), origin())
        assert [item["action"] for item in sent(prepared)] == actions
        it.read(prepared.calls, OK)


def test_two_customers_who_are_one_person_share_a_profile():
    it = destination("email")
    second = Customer(key="cus_2", email="ada@northpine.example", name="Ada")
    for customer, actions in (
        (ADA, ["identify", "event"]),
        (ADA, ["event"]),
        (second, ["identify", "event"]),
        (second, ["event"]),
        (ADA, ["identify", "event"]),
    ):
        prepared = it.prepare(v2(person("event", {"id": customer.key}, name="a")), origin(customer))
        assert [item["action"] for item in sent(prepared)] == actions
        it.read(prepared.calls, OK)


def test_identify_by_another_identifier_makes_a_profile_unknown():
    it = destination("email")
    it.read(it.prepare(v2(person("event", name="a")), origin()).calls, OK)
    changing = it.prepare(v2(person("identify", {"id": "u-1"}, attributes={"name": "Eda"})), origin())
    it.read(changing.calls, OK)
    assert len(it.prepare(v2(person("event", name="b")), origin()).calls) == 2


def test_identifies_of_one_person_are_merged_after_replacement():
    it = destination("email")
    second = Customer(key="cus_2", email="ada@northpine.example")
    first = it.prepare(v2(person("identify", attributes={"email": "ADA@northpine.example", "plan": "a"})), origin())
    later = it.prepare(v2(person("identify", {"id": "cus_2"}, attributes={"plan": "b"})), origin(second))
    merged = it.people_calls.joined(first.calls[0], later.calls[0])
    assert merged is not None
    assert msgspec.json.decode(merged.body)["attributes"]["plan"] == "b"
    moved = it.prepare(v2(person("identify", attributes={"email": "new@x.example"})), origin())
    assert it.people_calls.joined(first.calls[0], moved.calls[0]) is None


# --- event ids ---


@pytest.mark.parametrize("more", [{}, {"once": "pay/1"}, {"key": "k"}, {"id": "order-7"}, {"id": "cus_1"}], ids=str)
def test_rule_and_spelling_change_no_event_id(more):
    who = [{"id": "cus_1"}, {"email": "ada@northpine.example"}, {"email": " ADA@NorthPine.Example "}]
    ids = set()
    for rule in ("", *PERSON):
        ids |= {sent(prepare(rule, v2(person("event", one, name="a", **more))))[0]["id"] for one in who}
        for path in ("cus_1", "Ada%40NorthPine.example"):
            ids.add(sent(prepare(rule, v1("POST", f"customers/{path}/events", {"name": "a", **more})))[0]["id"])
    assert len(ids) == 1


def test_remembered_email_changes_no_event_id():
    item = v2(person("event", {"email": "ada@northpine.example"}, name="a"))
    alone = sent(prepare("", item, origin(Customer(key="cus_1"))))[0]["id"]
    assert sent(prepare("email", item, origin(remembered_email=True)))[0]["id"] == alone
    assert sent(prepare("email", item))[0]["id"] != alone, "its own email"
