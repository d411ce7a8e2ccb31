"""Each rule of Customer.io's contract, with a call that breaks just it."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.connectors import Origin
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.customerio.corrections import has_address
from nicobar.connectors.customerio.rules import RULES
from nicobar.connectors.customerio.track_api import ACTIONS
from nicobar.model import Call, Customer, Level

BASE = "https://track.customer.io"
SECRETS = {"site_id": "site", "api_key": "key"}
NOW_S = 1_789_000_000
ULID = "01K4VJ0W00QF7D2S9N3B6X8C1M"
DEVICE = {"token": "tok", "platform": "ios"}
TO_OBJECT = {"identifiers": {"object_type_id": "1", "object_id": "team_9"}}
# For tests that are not about payloads: without corrections, a call is sent alone with its error.
AS_WRITTEN = {"correct_action": False, "correct_event_id": False, "correct_timestamp": False, "keep_profile": False}


def person(action: str, **more: object) -> dict[str, object]:
    return {"type": "person", "action": action, "identifiers": {"email": "ada@northpine.example"}, **more}


def event(**more: object) -> dict[str, object]:
    return person("event", **{"name": "paid", "id": ULID, "timestamp": NOW_S, **more})


def thing(action: str, **more: object) -> dict[str, object]:
    return {"type": "object", "action": action, **TO_OBJECT, **more}


def identify(**attributes: object) -> dict[str, object]:
    return person("identify", attributes=attributes)


def related(**attributes: object) -> dict[str, object]:
    return person("add_relationships", cio_relationships=[{**TO_OBJECT, "relationship_attributes": attributes}])


def v1_related(**fields: object) -> dict[str, object]:
    wrapped = {"action": "add_relationships", "relationships": [{**TO_OBJECT, **fields}]}
    return {"payload": {"cio_relationships": wrapped}, "path": "/api/v1/customers/u1", "method": "PUT"}


def prepared(payload: object, path: str = "/api/v2/entity", method: str = "POST", *, base: str = BASE, **how: object):
    settings = how.pop("settings", AS_WRITTEN)
    it = CustomerIo().open(settings, SECRETS)
    origin = Origin(
        message_id="msg_1",
        endpoint_id="ep_1",
        occurred_at_ms=NOW_S * 1000,
        now_ms=how.pop("now_ms", NOW_S * 1000 + 60_000),
        customer=how.pop("customer", None),
        body=msgspec.json.encode(how.pop("event", None)),
        test=how.pop("test", ""),
    )
    assert not how
    return it.prepare([Call(method=method, url=base + path, headers={}, payload=payload)], origin)


JPY = {"data": {"total_amount": 4_980, "currency": "JPY", "items": [{"amount": "1250", "currency": "KWD"}]}}
ADA = Customer(key="cus_1", email="ada@northpine.example", name="Ada")

# rule → calls that break it and nothing else, as arguments of `prepared`.
BREAKS: dict[str, list[dict[str, object]]] = {
    "host": [{"payload": event(), "base": "https://evil.example"}, {"payload": event(), "base": BASE + ".evil"}],
    "path": [
        {"payload": event(), "path": "/api/v2/things"},
        {"payload": event(), "path": "/api/v2/entity", "method": "PUT"},
        {"payload": {}, "path": "/api/v1/customers/u1", "method": "POST"},
        {"payload": {}, "path": "/api/v1/customers//events"},
    ]
    + [
        {"payload": {}, "path": f"/api/v1/customers/{who}", "method": "PUT"}
        for who in ("q?x=1", "a#b", "a b", "50%", "김", "a\nb", "a\\b", "a/b", "../b")
    ]
    + [{"payload": {}, "path": path} for path in ("/api/v1/forms/a b/submit", "/unsubscribe/d#1")],
    "json": [
        {"payload": event(attributes={"a": 10**5000})},
        {"payload": {"a": 10**5000}, "path": "/api/v1/customers/u1", "method": "PUT"},
    ],
    "payload": [
        {"payload": "text"},
        {"payload": [5]},
        {"payload": {"batch": "x"}},
        {"payload": None, "path": "/api/v1/customers/u1", "method": "PUT"},
    ],
    "empty": [{"payload": []}, {"payload": {"batch": []}}, {"payload": {"batch": []}, "path": "/api/v2/batch"}],
    "size": [{"payload": event(attributes={"a": "x" * 33_000})}],
    "type": [{"payload": {}}, {"payload": {"type": "people"}}, {"payload": {"type": []}}],
    "unknown_action": [
        {"payload": person("payment_completed", name="Payment Completed")},
        {"payload": person("payment_completed"), "settings": {}},
        {"payload": person([])},
        {"payload": thing("event", name="x")},
        {"payload": {"type": "delivery", "action": "identify"}},
    ],
    "missing": [
        {"payload": {"type": "person", "action": "identify"}},
        {"payload": {"type": "person", "action": "merge", "primary": {"id": "a"}}},
        {"payload": person("add_device")},
        {"payload": person("add_relationships")},
        {"payload": {"type": "object", "action": "delete"}},
    ],
    "identifiers": [
        {"payload": {**event(), "identifiers": value}}
        for value in (
            None,
            {},
            [],
            {"id": "a", "email": "b"},
            {"id": True},
            {"id": ""},
            {"name": "a"},
            {"email": None},
        )
    ]
    + [
        {"payload": thing("delete", identifiers=value)}
        for value in ({}, {"object_id": "a"}, {"object_type_id": None, "object_id": "a"}, {"id": "a"})
    ]
    + [
        {
            "payload": {
                "type": "delivery",
                "action": "event",
                "name": "opened",
                "identifiers": {},
                "attributes": {"device_token": "tok"},
            }
        }
    ],
    "id_length": [
        {"payload": {**event(), "identifiers": {"id": "é" * 76}}, "customer": None},
        {"payload": thing("delete", identifiers={"object_type_id": "1", "object_id": "x" * 151})},
        {"payload": {}, "path": "/api/v1/customers/" + "x" * 151, "method": "PUT"},
    ],
    "phone": [{"payload": person("identify", identifiers={"phone": "030 1234"})}],
    "cio_id": [{"payload": person("identify", identifiers={"cio_id": "cio_03000001"})}],
    "object_type": [{"payload": thing("delete", identifiers={"object_type_id": "team", "object_id": "a"})}],
    "event_name": [{"payload": event(name=value)} for value in (None, "", "  ", 5, ["a"])]
    + [{"payload": {"id": ULID}, "path": "/api/v1/customers/a@b.example/events"}],
    "event_name_length": [{"payload": event(name="é" * 51)}],
    "event_id": [{"payload": event(id=value)} for value in ("order-7", 5, "8" + ULID[1:], ULID + "0")],
    "event_type": [{"payload": {"name": "a", "id": ULID, "type": "click"}, "path": "/api/v1/events"}],
    "timestamp": [
        {"payload": event(timestamp=value)} for value in ("2026-01-01", 1.5, True, -1, 1_789_000_000_000, None)
    ]
    + [{"payload": event(timestamp="soon"), "settings": {**AS_WRITTEN, "correct_timestamp": True}}]
    + [
        {"payload": {"plan": "pro", "_timestamp": value}, "path": "/api/v1/customers/u1", "method": "PUT"}
        for value in ("2026-01-01", 1.5, True, -1, 1_789_000_000_000, None)
    ],
    "attributes": [{"payload": event(attributes=value)} for value in (None, [], "a")],
    "attribute_count": [
        {"payload": related(**{f"a{n}": n for n in range(301)})},
        {"payload": identify(**{f"a{n}": n for n in range(301)})},
    ],
    "attribute_name": [
        {"payload": related(**{"x" * 151: 1})},
        {"payload": identify(**{"x" * 151: 1})},
        {"payload": thing("identify", attributes={"x" * 151: 1})},
        {"payload": {"x" * 151: 1}, "path": "/api/v1/customers/u1", "method": "PUT"},
    ],
    "attribute_value": [
        {
            "payload": thing(
                "add_relationships",
                cio_relationships=[{"identifiers": {"id": "a"}, "relationship_attributes": {"note": "x" * 1_001}}],
            )
        },
        {"payload": identify(note="é" * 501)},
        {"payload": identify(note=["x" * 500, "y" * 500])},
    ],
    "data": [
        {"payload": {"name": "a", "id": ULID, "data": value}, "path": "/api/v1/customers/a@b.example/events"}
        for value in (None, "x", {"a": "x" * 100_001})
    ],
    "relationships": [
        {"payload": person("add_relationships", cio_relationships=value)}
        for value in ({}, [], [{}], [{"identifiers": {"id": "a"}}], [{**TO_OBJECT, "relationship_attributes": 5}])
    ]
    + [{"payload": thing("add_relationships", cio_relationships=[{"identifiers": {"phone": "+155512345"}}])}]
    + [{"payload": thing("identify_anonymous", cio_relationships=[{"identifiers": {"id": "a"}}])}]
    + [
        {"payload": {"cio_relationships": value}, "path": "/api/v1/customers/u1", "method": "PUT"}
        for value in (None, [], {"action": "identify"}, {"action": "add_relationships", "relationships": [{}]})
    ],
    "relationship_size": [v1_related(relationship_attributes={f"a{n}": "x" * 990 for n in range(101)})],
    "device": [
        {"payload": person("add_device", device={"token": "tok", "platform": "nokia"})},
        {"payload": person("add_device", device={"platform": "ios"})},
        {"payload": person("delete_device", device={"token": ""})},
        {"payload": {"device": {"id": "tok"}}, "path": "/api/v1/customers/u1/devices", "method": "PUT"},
    ],
    "merge": [
        {
            "payload": {
                "type": "person",
                "action": "merge",
                "primary": {"id": "a"},
                "secondary": {"phone": "+15551234567"},
            }
        },
        {"payload": {"primary": {"id": "a"}, "secondary": {"id": None}}, "path": "/api/v1/merge_customers"},
    ],
    "delivery": [
        {
            "payload": {
                "type": "delivery",
                "action": "event",
                "identifiers": {"id": "dlv"},
                "name": name,
                "attributes": {"device_token": token},
            }
        }
        for name, token in (("clicked", "tok"), ("opened", ""))
    ],
    "segment": [
        {"payload": {"ids": value}, "path": "/api/v1/segments/7/add_customers"}
        for value in (None, [], [None], ["a"] * 1_001)
    ]
    + [{"payload": {"ids": ["a"]}, "path": "/api/v1/segments/vip/add_customers"}]
    + [
        {"payload": {"ids": ["a"]}, "path": f"/api/v1/segments/7/remove_customers?id_type={value}"}
        for value in ("", "phone", "ID", "id&id_type=email", "i%20d")
    ],
    "form": [
        {"payload": {"data": value}, "path": "/api/v1/forms/f1/submit"}
        for value in (None, {}, {"id": "a", "email": "b"}, {"email": "b", "adult": True})
    ],
    "name_beside_identify": [{"payload": {**identify(plan="pro"), "name": "Customer Identified"}}],
    "iso_date": [{"payload": identify(renews=value)} for value in ("2026-09-14T08:12:24.201733Z", "2026-09-14")]
    + [
        {"payload": event(attributes={"ends": value})}
        for value in (
            "2026-09-14 08:12",
            "2026/09/14",
            "20260914T081224Z",
            "Mon, 14 Sep 2026 08:12:24 GMT",
            "14 Sep 2026 08:12:24 +0200",
            "Mon Sep 14 2026 08:12:24 GMT+0000 (Coordinated Universal Time)",
            ["2026-09-14"],
            {"next": [{"on": "2026-09-14T08:12:24Z"}]},
            "20260914",
            "20260914081224",
            "Mon, 14 Sep 26 08:12:24 GMT",
        )
    ]
    + [{"payload": thing("identify", attributes={"renews_at": "2026-09-14"})}]
    + [{"payload": related(since="2026-09-14")}],
    "milliseconds": [
        {"payload": identify(**{name: value})}
        for name, value in (
            ("renews_at", 1_789_000_000_000),
            ("seen", 1_789_000_000_000.5),
            ("renews_at", "1789000000000"),
            ("renews_at", "1789000000000.25"),
            ("plan", {"ends": [1_789_000_000_000]}),
        )
    ],
    "placeholder": [
        {"payload": identify(plan=value)}
        for value in ("undefined", "null", "NaN", "Invalid Date", "undefined undefined", "to [object Object]")
    ]
    + [{"payload": person("identify", identifiers={"id": value})} for value in ("undefined", "null", "None", "${id}")]
    + [
        {"payload": {"plan": "pro"}, "path": f"/api/v1/customers/{who}", "method": "PUT"}
        for who in (":id", "%7Bid%7D")
    ]
    + [{"payload": {"plan": "pro"}, "path": "/api/v1/customers/undefined", "method": "PUT"}],
    "unknown_field": [
        {"payload": event(data={"amount": 5})},
        {"payload": event(properties={"amount": 5})},
        {"payload": event(context={"ip": "203.0.113.1"})},
        {"payload": person("page", name="Home", id=ULID, url="https://shop.example")},
        {"payload": person("identify", traits={"plan": "pro"})},
        {"payload": person("identify", plan="pro")},
        {"payload": identify(attributes={"plan": "pro"})},
        {"payload": event(attributes={"data": {"amount": 5}})},
        {"payload": person("add_relationships", cio_relationships=[{**TO_OBJECT, "attributes": {"role": "owner"}}])},
        v1_related(role="owner"),
        {"payload": thing("identify", properties={"plan": "pro"})},
        {"payload": person("add_device", device=DEVICE, attributes={"plan": "pro"})},
    ]
    + [
        {"payload": {"name": "paid", "id": ULID, field: {"amount": 5}}, "path": "/api/v1/customers/u1/events"}
        for field in ("attributes", "properties")
    ]
    + [{"payload": {"name": "paid", "id": ULID, "amount": 5}, "path": "/api/v1/customers/u1/events"}]
    + [
        {"payload": {field: {"plan": "pro"}}, "path": "/api/v1/customers/u1", "method": "PUT"}
        for field in ("attributes", "data", "traits", "identifiers")
    ],
    "misplaced_field": [
        {"payload": event(id=None, attributes={"id": value}), "settings": {**AS_WRITTEN, "correct_event_id": True}}
        for value in (ULID, "0b5a2f6c-1f6d-4a3e-9d3c-2b1a0f9e8d7c", "evt_2nYkW8xQ")
    ]
    + [
        {
            "payload": event(timestamp=None, attributes={"timestamp": NOW_S}),
            "settings": {**AS_WRITTEN, "correct_timestamp": True},
        }
    ],
    "invalid_email": [
        {"payload": identify(email=value)}
        for value in (
            "not an address",
            "lena(at)shop",
            "ada@shop",
            "Ada <ada@shop.example>",
            "",
            5,
            "a@b.example, c@d.example",
            "a..b@shop.example",
            "ada@-shop.example",
            f"{'x' * 250}@shop.example",
        )
    ]
    + [{"payload": person("identify", identifiers={"email": "lena(at)shop"})}]
    + [{"payload": {"email": "lena"}, "path": "/api/v1/customers/u1", "method": "PUT"}]
    + [{"payload": {"data": {"email": "lena"}}, "path": "/api/v1/forms/f1/submit"}]
    + [{"payload": {"name": "invited", "id": ULID, "data": {"recipient": "lena"}}, "path": "/api/v1/events"}],
    "not_boolean": [{"payload": identify(unsubscribed=value)} for value in ("yes", "unsubscribed", 2, NOW_S, [])]
    + [{"payload": identify(cio_subscription_preferences={"topics": {"topic_1": "yes"}})}]
    + [{"payload": identify(**{"cio_subscription_preferences.topics.topic_1": 1})}],
    "time_zone": [{"payload": identify(timezone=value)} for value in ("KST", "UTC+9", "+09:00", "Asia/Sole", 9)],
    "attribute_case": [
        {"payload": identify(**{name: "a"})} for name in ("Email", "EMAIL", "Unsubscribed", "timeZone")
    ],
    "from_one_event": [
        {"payload": identify(**{name: value})}
        for name, value in (
            ("total_spent", 29),
            ("totalSpent", 29),
            ("lifetime_value", 29),
            ("ltv", 29),
            ("payment_count", 1),
            ("customer_since", NOW_S),
            ("memberSince", NOW_S),
            ("first_payment_at", NOW_S),
            ("number_of_orders", 1),
            ("avg_order_value", 29),
        )
    ],
    "anonymous_person": [{"payload": {**person("page", name="Home", id=ULID), "identifiers": {"anonymous_id": "a"}}}],
    "encoded_twice": [
        {"payload": {"plan": "pro"}, "method": "PUT", "path": "/api/v1/customers/a%2540b.example"},
        {"payload": {"plan": "pro"}, "method": "PUT", "path": "/api/v1/customers/%25EA%25B9%2580"},
    ],
    "segment_identifiers": [
        {"payload": {"ids": ["a"]}, "path": f"/api/v1/segments/7/{what}_customers"} for what in ("add", "remove")
    ],
    "merge_race": [
        {
            "payload": [
                identify(plan="pro"),
                {
                    "type": "person",
                    "action": "merge",
                    "primary": {"email": "Ada@northpine.example"},
                    "secondary": {"id": "b"},
                },
            ]
        }
    ],
    "money_as_text": [
        {"payload": event(attributes={name: value})}
        for name, value in (
            ("amount", "31.54"),
            ("totalSpent", "5"),
            ("cost", "USD 12"),
            ("offer", "€9,90"),
            ("fee", "100 kr"),
            ("income", "5 THB"),
        )
    ],
    "wrong_decimals": [
        {"payload": event(attributes={"amount": 49.8}), "event": JPY},
        {"payload": identify(last_paid=12.5), "event": JPY},
    ],
    "mail_property": [{"payload": event(attributes={"recipient": "x@y.example"})}],
    "own_attribute": [{"payload": identify(cio_id="a")}],
    "internal_name": [{"payload": identify(_plan="pro")}],
    "old_event": [{"payload": event(), "now_ms": (NOW_S + 72 * 3_600 + 1) * 1000}],
    "no_address": [{"payload": {**event(), "identifiers": {"id": "cus_1"}}, "customer": ADA}],
    "event_key": [{"payload": event(**{field: value})} for field in ("once", "key") for value in (5, "", [])]
    + [{"payload": event(once="order-7")}],
    "equal_events": [
        {"payload": [event(id=None, **more)] * 2, "settings": {**AS_WRITTEN, "correct_event_id": True}}
        for more in ({}, {"key": "a"}, {"once": "a"})
    ],
    "event_key_ignored": [
        {"payload": {name: value for name, value in event(**{field: "a"}).items() if name != "id"}}
        for field in ("once", "key")
    ],
    "person_as_event_id": [{"payload": {**event(id=ULID), "identifiers": {"id": ULID}}}],
    "no_event_id": [{"payload": {name: value for name, value in event().items() if name != "id"}}],
    "action_corrected": [
        {"payload": person("payment_completed", name="a", id=ULID, timestamp=1_789_000_000), "settings": {}}
    ],
    "event_id_corrected": [
        {"payload": event(id="order-7"), "settings": {}},
        {"payload": {**event(id=ULID), "identifiers": {"id": ULID}}, "settings": {}},
    ],
    "identifier_as_text": [
        {"payload": person("identify", identifiers={"id": 432})},
        {"payload": {"type": "person", "action": "merge", "primary": {"id": 432}, "secondary": {"id": "b"}}},
        {"payload": thing("delete", identifiers={"object_type_id": 1, "object_id": "a"})},
        {"payload": thing("add_relationships", cio_relationships=[{"identifiers": {"id": 5}}])},
        {"payload": {"primary": {"id": "a"}, "secondary": {"id": 5}}, "path": "/api/v1/merge_customers"},
        {"payload": {"name": "seen", "id": ULID, "anonymous_id": 5}, "path": "/api/v1/events"},
        {"payload": {"ids": ["a", 5, 6]}, "path": "/api/v1/segments/7/add_customers"},
        {"payload": {"data": {"id": 5, "age": 41}}, "path": "/api/v1/forms/f1/submit"},
        v1_related(identifiers={"object_type_id": 1, "object_id": 9}),
    ],
    "timestamp_corrected": [
        {"payload": {**identify(plan="pro"), "timestamp": "1789000000"}, "settings": {}},
        {
            "payload": {"plan": "pro", "_timestamp": "2026-09-10T00:26:40Z"},
            "path": "/api/v1/customers/u1",
            "method": "PUT",
            "settings": {},
        },
    ]
    + [
        {"payload": event(timestamp=value), "settings": {}}
        for value in (
            "2026-09-10T00:26:40Z",
            1_789_000_000_123,
            1_789_000_000.5,
            "1789000000",
            "1789000000123",
            "1789000000.5",
        )
    ],
    "email_trimmed": [
        {"payload": identify(email=" a@b.example")},
        {"payload": person("identify", identifiers={"email": "a@b.example\t"}, attributes={"plan": "pro"})},
        {"payload": {"email": "a@b.example "}, "method": "PUT", "path": "/api/v1/customers/u1"},
    ],
    "event_id_added": [{"payload": event(id=None), "settings": {}}],
    "timestamp_added": [{"payload": event(timestamp=None), "settings": {}}],
    "test_marked": [
        {"payload": event(), "test": "t1"},
        {
            "payload": {"name": "a", "id": ULID, "timestamp": NOW_S},
            "path": "/api/v1/customers/u1/events",
            "test": "t1",
        },
    ],
    "profile_added": [{"payload": {**event(), "identifiers": {"id": "cus_1"}}, "settings": {}, "customer": ADA}],
}
# The rules about people, in test_identification.py and test_address_warnings.py, and those about names, in
# test_renaming.py.
ELSEWHERE = {
    "shared_address",
    "changed_address",
    "identifier_kept",
    "several_ids",
    "metadata_trusted",
    "chosen_by_metadata",
    "identifier_replaced",
    "identity_fallback",
    "id_dropped",
    "attributes_renamed",
    "customer_id_added",
    "name_taken",
    "names_changed",
}
# What a call that breaks a rule is told besides.
ALONG_WITH = {
    "equal_events": {"event_id_added"},
    "event_key_ignored": {"no_event_id"},
    "misplaced_field": {"event_id_added", "timestamp_added"},
    "person_as_event_id": {"no_address"},
    "event_id_corrected": {"no_address"},
    "identifier_as_text": {"segment_identifiers"},
}
CASES = [(name, number) for name, cases in BREAKS.items() for number in range(len(cases))]


def test_every_rule_has_a_call_that_breaks_it():
    assert BREAKS.keys() | ELSEWHERE == RULES.keys()
    assert all(BREAKS.values())


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_call_that_breaks_one_rule_is_told_just_that(name, number):
    result = prepared(**BREAKS[name][number])
    assert {verdict.rule for verdict in result.verdicts} - ALONG_WITH.get(name, set()) == {name}
    assert bool(result.calls) == (RULES[name].level is not Level.ERROR)
    for verdict in result.verdicts:
        assert verdict.level is RULES[verdict.rule].level
        assert verdict.path.startswith(("[0].payload", "[0].url")), verdict
        assert all((verdict.reason.detail(), verdict.reason.fix(), verdict.source.startswith("https://")))


FINE = [
    identify(email="a@b.example", plan="pro", renews_at=NOW_S, seats=3, note=None, _update=True),
    event(attributes={"amount": 49.5, "currency": "EUR", "paid": True, "started": "monday"}),
    person("page", name="Pricing", id=ULID),
    person("screen", name="Home", id=ULID, attributes={}),
    person("delete"),
    person("suppress"),
    person("unsuppress"),
    person("identify", identifiers={"phone": "+15551234567"}),
    {**identify(plan="pro"), "name": None},
    identify(id="u1", phone="+15551234567", anonymous_id="a", unsubscribed="TRUE", timezone="Europe/Paris"),
    person("identify", identifiers={"cio_id": "03000001"}),
    person("identify", identifiers={"id": "x" * 150}, cio_relationships=[TO_OBJECT]),
    person("add_relationships", cio_relationships=[{"identifiers": {"cio_object_id": "o1"}}]),
    person("delete_relationships", cio_relationships=[TO_OBJECT]),
    person("add_device", device={**DEVICE, "last_used": NOW_S}),
    person("delete_device", device={"token": "tok"}),
    {"type": "person", "action": "merge", "primary": {"id": "a"}, "secondary": {"email": "b@c.example"}},
    thing("identify", attributes={"name": "Northpine"}, cio_relationships=[{"identifiers": {"id": "u1"}}]),
    thing("identify_anonymous", cio_relationships=[{"identifiers": {"anonymous_id": "x"}}]),
    thing("delete"),
    thing("add_relationships", cio_relationships=[{"identifiers": {"email": "a@b.example"}}]),
    thing("delete_relationships", cio_relationships=[{"identifiers": {"cio_id": "03"}}]),
    {
        "type": "delivery",
        "action": "event",
        "identifiers": {"id": "dlv"},
        "name": "opened",
        "attributes": {"device_token": "tok"},
    },
]


def test_the_calls_of_v2_are_the_documented_ones():
    assert {kind: len(actions) for kind, actions in ACTIONS.items()} == {"person": 12, "object": 5, "delivery": 1}
    assert {(item["type"], item["action"]) for item in FINE} == {
        (kind, action) for kind, actions in ACTIONS.items() for action in actions
    }


@pytest.mark.parametrize("item", FINE, ids=lambda item: f"{item['type']}-{item['action']}")
def test_valid_call_is_sent_unchanged_without_verdicts(item):
    result = prepared(item)
    assert result.verdicts == ()
    assert [msgspec.json.decode(call.body) for call in result.calls] == [item]


@pytest.mark.parametrize(
    ("method", "path", "payload"),
    [
        ("PUT", "/api/v1/customers/u%201%2F%C3%A9", {"email": "a@b.example", "plan": "pro", "_timestamp": NOW_S}),
        ("DELETE", "/api/v1/customers/u1", {"anything": 1}),
        ("POST", "/api/v1/customers/u1/events", {"name": "paid", "id": ULID, "timestamp": NOW_S, "data": {"a": 1}}),
        ("POST", "/api/v1/events", {"name": "seen", "id": ULID, "anonymous_id": "x", "type": "page"}),
        ("POST", "/api/v1/customers/u1/suppress", None),
        ("POST", "/api/v1/customers/u1/unsuppress", {}),
        ("PUT", "/api/v1/customers/u1/devices", {"device": {"id": "tok", "platform": "android"}}),
        ("DELETE", "/api/v1/customers/u1/devices/tok", None),
        ("POST", "/api/v1/merge_customers", {"primary": {"id": "a"}, "secondary": {"id": "b"}}),
        ("POST", "/api/v1/segments/7/add_customers?id_type=email", {"ids": ["a@b.example"]}),
        ("POST", "/api/v1/segments/7/remove_customers", {"ids": ["u1"] * 1_000}),
        ("POST", "/api/v1/forms/f1/submit", {"data": {"email": "a@b.example", "color": "teal"}}),
        ("POST", "/api/v1/metrics", {"event": "opened"}),
        ("POST", "/api/v1/push/events", {"event": "opened"}),
        ("POST", "/unsubscribe/RPILAgUBcRhIBqSfeiIwdIYJKxTY", {"unsubscribe": True}),
        ("POST", "/api/v1/events", {"name": "invited", "id": ULID, "data": {"recipient": "a@b.example"}}),
        ("PUT", "/api/v1/customers/auth0|7", {"id": "u1", "email": "a@b.example"}),
    ],
)
def test_v1_calls_are_sent_alone_with_their_own_body(method, path, payload):
    result = prepared(payload, path, method)
    assert [verdict.rule for verdict in result.verdicts] == (["segment_identifiers"] if "segments" in path else [])
    (ready,) = result.calls
    without_body = method == "DELETE" or "suppress" in path
    assert (ready.method, ready.url, ready.batchable) == (method, BASE + path, False)
    assert ready.body == (b"" if without_body else msgspec.json.encode(payload))


def test_v1_event_gets_an_id_and_a_timestamp():
    result = prepared(
        {"name": "paid", "timestamp": "2026-09-10T00:26:40Z"}, "/api/v1/customers/u1/events", settings={}
    )
    sent = msgspec.json.decode(result.calls[0].body)
    assert (len(sent["id"]), sent["timestamp"]) == (26, 1_789_000_000)
    assert [verdict.rule for verdict in result.verdicts] == ["event_id_added", "timestamp_corrected"]


def test_ulid_in_small_letters_is_sent_in_capitals():
    for settings in ({}, AS_WRITTEN):
        (sent,) = prepared(event(id=ULID.lower()), settings=settings).calls
        assert sent.event_id == msgspec.json.decode(sent.body)["id"] == ULID


def test_numbers_that_identify_are_sent_as_their_digits():
    result = prepared({**event(), "identifiers": {"id": 9_007_199_254_740_993}})
    assert msgspec.json.decode(result.calls[0].body)["identifiers"] == {"id": "9007199254740993"}


NOT_MEANT_ELSEWHERE = {
    "order_id": 5_234_567_890_123,
    "isbn": "9783161484100",
    "api_version": "2026-09-14",
    "amount_text": "54.50 USD",
    "price_id": "12345",
    "tax_rate": "0.2",
    "total_items": "5",
    "promo_code": "USD 10",
    "seat_count": 5,
    "past_due_since": NOW_S,
    "total_amount": 29,
    "plan": "Nullable",
    "first_name": "Undine",
    "number_of_seats": 5,
    "reference": "20260914",
    "days_since_signup": 3,
}


@pytest.mark.parametrize("name", NOT_MEANT_ELSEWHERE)
def test_value_that_only_looks_wrong_is_not_warned_about(name):
    paid = {"data": {"total_amount": 2_900, "currency": "USD"}}
    assert prepared(identify(**{name: NOT_MEANT_ELSEWHERE[name]}), event=paid).verdicts == ()


def test_warnings_of_one_attribute_are_bounded():
    result = prepared(event(attributes={"items": [{"price": "9.90"}] * 500}))
    assert [verdict.path for verdict in result.verdicts] == [
        f"[0].payload.attributes.items[{n}].price" for n in range(3)
    ]


def test_amounts_with_two_decimals_and_other_numbers_pass():
    paid = {"data": {"total_amount": 100, "currency": "JPY", "other": {"amount": 4_990, "currency": "EUR"}}}
    fine = {"amount": 49.9, "quantity": 1, "count": 1.0, "total": 100}
    assert prepared(event(attributes=fine), event=paid).verdicts == ()


@pytest.mark.parametrize(
    "address", ["not-an-email", " ada@shop.example ", "ada@shop", "a@b@c.example", f"{'x' * 333}@a.example", ""]
)
def test_unusable_address_is_no_address(address):
    items = [
        {"type": "person", "action": "identify", "identifiers": {"id": "1"}, "attributes": {"email": address}},
        {"type": "person", "action": "event", "identifiers": {"id": "1"}, "name": "paid"},
    ]
    assert not has_address({"id": "1"}, items)
    assert not has_address({"email": address}, items)
    assert has_address({"email": "ada@shop.example"}, items)
