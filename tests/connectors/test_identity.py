"""What an event's id depends on, and what it does not: Customer.io's events and the HTTP connector's webhook ids."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.connectors import Origin
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.http import HttpEndpoint
from nicobar.model import Call, Customer, Level

ADA = Customer(key="cus_1", email="ada@northpine.example")
ULID = "01K4VJ0W00QF7D2S9N3B6X8C1M"
BASE = "https://track.customer.io"
AS_CUSTOMER = {"id": "cus_1"}
FIXED_TIME = "01KDVDNA00"  # 2026-01-01T00:00:00Z as the first ten characters of a ULID


def origin(**changes: object) -> Origin:
    values = {
        "message_id": "msg_1",
        "endpoint_id": "ep_1",
        "occurred_at_ms": 1_789_000_000_123,
        "now_ms": 9,
        "customer": ADA,
        "app_uid": "default",
        "event_id": "evt_1",
    }
    return Origin(**(values | changes))


def event(name: str = "paid", who: dict[str, str] | None = None, **more: object) -> dict[str, object]:
    return {"type": "person", "action": "event", "name": name, "identifiers": who or AS_CUSTOMER, **more}


def prepared(*items: object, path: str = "/api/v2/entity", settings: object = None, **changes: object):
    it = CustomerIo().open({"keep_profile": False, **(settings or {})}, {"site_id": "a", "api_key": "b"})
    calls = [Call(method="POST", url=BASE + path, headers={}, payload=item) for item in items]
    return it.prepare(calls, origin(**changes))


def ids(*items: object, **how: object) -> list[str]:
    result = prepared(*items, **how)
    assert result.calls, result.verdicts
    return [msgspec.json.decode(call.body)["id"] for call in result.calls]


def one_id(item: object, **how: object) -> str:
    (found,) = ids(item, **how)
    return found


@pytest.mark.parametrize(
    "ours",
    [
        {"message_id": "msg_2"},
        {"endpoint_id": "ep_2"},
        {"occurred_at_ms": 5},
        {"now_ms": 1_900_000_000_000},
        {"edition": 3},
    ],
    ids=str,
)
def test_id_does_not_depend_on_our_own_ids(ours):
    items = (event(), event(id="order-7"), event(once="pay/1"), event(key="k"))
    assert ids(*items, **ours) == ids(*items)


@pytest.mark.parametrize(
    "other",
    [{"app_uid": "other"}, {"event_id": "evt_2"}, {"replay_key": "qtask_1"}, {"test": "t1"}],
    ids=str,
)
def test_id_depends_on_what_identifies_the_event(other):
    assert one_id(event(), **other) != one_id(event())
    if "event_id" not in other:
        for item in (event(id="order-7"), event(once="pay/1")):
            assert one_id(item, **other) != one_id(item)


def test_id_has_a_fixed_time_and_is_a_ulid():
    for item in (event(), event(id="order-7"), event(once="pay/1")):
        found = one_id(item)
        assert (found[:10], len(found)) == (FIXED_TIME, 26)


def test_message_without_event_id_is_known_by_its_own():
    assert one_id(event(), event_id="") != one_id(event(), event_id="", message_id="msg_2")


def test_natural_keys_and_event_ids_never_meet():
    same = "payment/pay_1/succeeded"
    found = [one_id(event(), event_id=same), one_id(event(once=same)), one_id(event(id=same))]
    assert len(set(found)) == 3


def test_once_takes_the_place_of_the_message_only():
    found = one_id(event(once="pay/1"))
    assert one_id(event(once="pay/1"), event_id="evt_2", message_id="msg_2") == found
    assert one_id(event(once="pay/2")) != found
    assert one_id(event("failed", once="pay/1")) != found
    assert one_id(event(once="pay/1", who={"id": "cus_2"})) != found


def test_once_of_two_customers_are_two_events():
    other = Customer(key="cus_2", email="bo@northpine.example")
    first = one_id(event(once="first_payment"))
    assert one_id(event(once="first_payment", who={"id": "cus_2"}), customer=other, event_id="evt_2") != first


@pytest.mark.parametrize("who", [{"email": ADA.email}, {"email": "ADA@NorthPine.Example"}], ids=str)
def test_customer_is_one_person_however_identified(who):
    assert one_id(event(who=who)) == one_id(event())
    by_path = "/api/v1/customers/{}/events"
    assert one_id({"name": "paid"}, path=by_path.format("cus%5F1")) == one_id(event())
    assert one_id({"name": "paid"}, path=by_path.format(next(iter(who.values())))) == one_id(event())


def test_other_people_are_identified_by_the_handler():
    people = [{"id": "bo@x.example"}, {"email": "bo@x.example"}, {"cio_id": "bo"}, {"phone": "+15551234567"}]
    found = [one_id(event(who=who)) for who in people]
    assert len({*found, one_id(event())}) == 5
    assert one_id(event(who={"email": "BO@X.example"})) == found[1]
    assert one_id({"name": "paid"}, path="/api/v1/customers/cio_bo/events") == found[2]


def test_person_in_the_path_wins_over_an_anonymous_id():
    path = "/api/v1/customers/{}/events"
    items = [{"name": "paid"}, {"name": "paid", "once": "first_payment"}]
    for item in items:
        alone = [one_id(item, path=path.format(person)) for person in ("cus_1", "cus_2")]
        beside = [one_id({**item, "anonymous_id": "a"}, path=path.format(person)) for person in ("cus_1", "cus_2")]
        assert beside == alone
        assert len(set(alone)) == 2


@pytest.mark.parametrize("path", ["/api/v2/entity", "/api/v1/customers/cus_1/events"])
def test_once_and_key_without_ids_are_warned_about(path):
    off = {"correct_event_id": False}
    item = event(once="x", key="k") if "v2" in path else {"name": "paid", "once": "x", "key": "k"}
    result = prepared(item, path=path, settings=off)
    ignored = [(verdict.level, verdict.path) for verdict in result.verdicts if verdict.rule == "event_key_ignored"]
    assert ignored == [(Level.WARNING, "[0].payload.once"), (Level.WARNING, "[0].payload.key")]
    assert "event_key_ignored" not in {verdict.rule for verdict in prepared(item, path=path).verdicts}


def test_anonymous_and_invited_people_differ():
    calls = [{"name": "seen", "anonymous_id": "a"}, {"name": "seen", "anonymous_id": "b"}]
    calls += [{"name": "seen", "data": {"recipient": f"{name}@x.example"}} for name in ("a", "b")]
    found = ids(*calls, path="/api/v1/events")
    assert len(set(found)) == 4
    assert ids(*reversed(calls), path="/api/v1/events") == found[::-1], "in any order"


def test_order_of_different_events_changes_no_id():
    items = [
        event("a"),
        event("b"),
        event("a", who={"id": "cus_2"}),
        event("a", key="1"),
        event("a", key="2"),
        event("a", once="x"),
        event("a", action="page"),
        event("a", id="order-7"),
    ]
    found = ids(*items)
    assert len(set(found)) == len(items)
    assert ids(*reversed(items)) == found[::-1]
    for left_out in range(len(items)):
        rest = [*items[:left_out], *items[left_out + 1 :]]
        assert ids(*rest) == [*found[:left_out], *found[left_out + 1 :]]


def equal_events(result) -> list[str]:
    return [verdict.path for verdict in result.verdicts if verdict.rule == "equal_events"]


def test_equal_events_all_arrive_and_warn():
    for more in ({}, {"key": "k"}, {"once": "x"}):
        items = [event(**more)] * 3
        result = prepared(*items)
        assert len(set(ids(*items))) == 3
        assert equal_events(result) == ["[1].payload.name", "[2].payload.name"]
        assert one_id(items[0]) == ids(*items)[0], "the first one is what it was alone"
    assert not equal_events(prepared(event(key="1"), event(key="2"), event(), event(once="x"), event(id=ULID)))


def test_equal_natural_ids_are_one_event():
    first, second = ids(event(id="order-7"), event(id="order-7"))
    assert first == second
    assert not equal_events(prepared(event(id="order-7"), event(id="order-7")))
    assert one_id(event(id="order-7", key="k")) != first


def test_id_of_the_customer_is_no_natural_id():
    for given in ("cus_1", ADA.email.upper()):
        by_email = event(id=given, who={"email": ADA.email})
        assert one_id(by_email) != one_id(by_email, event_id="evt_2")


@pytest.mark.parametrize("settings", [{}, {"correct_event_id": False}], ids=str)
def test_given_ulid_is_unchanged_except_on_request(settings):
    assert one_id(event(id=ULID), settings=settings, event_id="evt_9") == ULID
    changed = [{"replay_key": "qtask_1"}, {"replay_key": "qtask_2"}, {"test": "t1"}, {"test": "t2"}]
    found = [one_id(event(id=ULID), settings=settings, **how) for how in changed]
    assert len({*found, ULID}) == 5
    assert one_id(event(id=ULID), settings=settings, replay_key="qtask_1") == found[0], "the same on every attempt"


@pytest.mark.parametrize("settings", [{}, {"correct_event_id": False}], ids=str)
@pytest.mark.parametrize("field", ["once", "key"])
def test_own_fields_never_reach_customer_io(field, settings):
    items = [
        event(**{field: "x"}),
        {**event(action="page"), field: "x"},
        {
            "type": "person",
            "action": "identify",
            "identifiers": AS_CUSTOMER,
            "attributes": {field: "kept"},
            field: "x",
        },
        event(**{field: None}),
    ]
    sent = [msgspec.json.decode(call.body) for call in prepared(*items, settings=settings).calls]
    (sent_v1,) = prepared(
        {"name": "paid", field: "x"}, path="/api/v1/customers/cus_1/events", settings=settings
    ).calls
    assert all(field not in item for item in [*sent, msgspec.json.decode(sent_v1.body)])
    assert sent[2]["attributes"] == {field: "kept"}, "an attribute of that name is data"


def test_attribute_named_key_of_v1_is_data():
    it = CustomerIo().open({}, {"site_id": "a", "api_key": "b"})
    attributes = {"key": "blue", "once": "yes"}
    identify = Call(method="PUT", url=f"{BASE}/api/v1/customers/cus_1", headers={}, payload=attributes)
    (call,) = it.prepare([identify], origin()).calls
    assert msgspec.json.decode(call.body) == attributes


@pytest.mark.parametrize("field", ["once", "key"])
@pytest.mark.parametrize("given", [5, 1.5, True, "", "  ", {}, {"a": 1}, [], ["x"]], ids=repr)
def test_once_and_key_have_to_be_text(field, given):
    for item, path in ((event(**{field: given}), "/api/v2/entity"), ({"name": "a", field: given}, "/api/v1/events")):
        result = prepared(item, path=path)
        (error,) = [verdict for verdict in result.verdicts if verdict.level is Level.ERROR]
        assert (error.rule, error.path, result.calls) == ("event_key", f"[0].payload.{field}", ())
        assert error.reason.detail().startswith(f"`{field}` is {msgspec.json.encode(given).decode()}. ")
        assert f"{field}: String(value)" in error.reason.fix()


@pytest.mark.parametrize("given", [ULID, "order-7"])
def test_once_beside_an_id_is_an_error(given):
    result = prepared(event(id=given, once="x"))
    assert ([verdict.rule for verdict in result.verdicts if verdict.level is Level.ERROR], result.calls) == (
        ["event_key"],
        (),
    )


# As the version before derived them.
EARLIER = {
    0: ["01M24BB8KV4FK1EY4EBHDDEQFK", "0000000000WKQ1Q7WSMZG048PA", "01M24BB8KVRX2SR0EA9A1M7MQX",
        "01M24BB8KVWSJB7K1VA0V4JKMH"],
    2: ["01M24BB8KVJ45M5QSFVRA2Q475", "000000000017G5DT6QYNTASRJY", "01M24BB8KV2YRGKSKQARZ7G5AK",
        "01M24BB8KVWYVHPV5EKSF0XQ4C"],
}  # fmt: skip


@pytest.mark.parametrize("edition", EARLIER)
def test_delivery_of_the_version_before_keeps_its_ids(edition):
    items = [event("a"), event("b", id="order-7"), event("b", id="cus_1"), event("c")]
    it = CustomerIo().open({"keep_profile": False}, {"site_id": "a", "api_key": "b"})
    call = Call(method="POST", url=f"{BASE}/api/v2/entity", headers={}, payload=items)
    result = it.prepare([call], origin(replay_key=None, edition=edition, customer=Customer(key="cus_1")))
    assert [msgspec.json.decode(call.body)["id"] for call in result.calls] == EARLIER[edition]


# --- the HTTP connector ---

URL = "https://shop.example/hooks"
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def webhook_ids(*calls: Call, url: str = URL, **changes: object) -> list[str]:
    it = HttpEndpoint().open({"url": url}, {"secret": SECRET})
    result = it.prepare(calls, origin(**changes))
    assert result.calls, result.verdicts
    return [call.headers["webhook-id"] for call in result.calls]


def post(event_type: str | None = "a.b", url: str = URL, method: str = "POST") -> Call:
    payload: dict[str, object] = {"n": 1} if event_type is None else {"type": event_type}
    return Call(method=method, url=url, headers={}, payload=payload)


def test_webhook_ids_of_a_message_are_unique_and_stable():
    calls = [post(), post(), post("c.d"), post(None), post(url=f"{URL}/2"), post(method="PUT")]
    found = webhook_ids(*calls)
    assert len(set(found)) == len(calls)
    assert all(item.startswith("evt_") for item in found)
    ours = {"message_id": "msg_2", "endpoint_id": "ep_2", "now_ms": 77, "occurred_at_ms": 5, "edition": 3}
    assert webhook_ids(*calls, **ours) == found
    assert webhook_ids(*calls[2:], calls[0]) == [*found[2:], found[0]], "in any order"


def test_webhook_id_outlives_the_endpoint_s_address():
    moved = "https://shop.example/moved"
    assert webhook_ids(post(url=moved), url=moved) == webhook_ids(post())


@pytest.mark.parametrize(
    "other", [{"event_id": "evt_2"}, {"app_uid": "b"}, {"replay_key": "qtask_1"}, {"test": "t1"}], ids=str
)
def test_webhook_id_is_another_for_other_events_and_new_ids(other):
    assert webhook_ids(post(), **other) != webhook_ids(post())


def test_webhook_id_of_the_version_before_is_kept():
    assert webhook_ids(post(), replay_key=None) == ["msg_1"]
    assert webhook_ids(post(), post(), replay_key=None, edition=2) == ["msg_1_r2.0", "msg_1_r2.1"]
