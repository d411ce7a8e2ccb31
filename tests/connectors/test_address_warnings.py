"""Warnings about addresses that may not reach their person, which depends on the settings of the workspace."""

from __future__ import annotations

import pytest

from connectors.test_identification import found, origin, person, prepare, v1, v2
from nicobar.model import Customer
from nicobar.people import read_rule

BEN = Customer(key="cus_1", email="Ben@shop.example", name="Ben", metadata={"user": "u_1"})
SEEN = v2(person("event", name="seen"))
GIVEN = v2(person("identify", attributes={"email": "ben@SHOP.example "}), person("event", name="seen"))
OF_ANOTHER = v2(person("identify", who={"id": "other"}, attributes={"email": "other@shop.example"}))
OF_V1 = v1("PUT", "customers/cus_1", {"email": "ben@shop.example"})
OF_V1_BY_EMAIL = v1("PUT", "customers/ben%40shop.example", {"email": "ben@shop.example"})
MAY = ("shared_address", "changed_address")


@pytest.mark.parametrize(
    ("rule", "calls", "settings", "warned"),
    [
        ("", SEEN, {"keep_profile": True}, MAY),  # the added profile has the address
        ("", SEEN, {}, ()),
        ("", GIVEN, {}, MAY),
        ("", OF_V1, {}, MAY),
        ("", OF_V1_BY_EMAIL, {}, ()),
        ("", OF_ANOTHER, {}, ()),
        ("customer_id", GIVEN, {}, MAY),
        ("email", GIVEN, {}, ("changed_address",)),
        ("email", SEEN, {}, ("changed_address",)),
        ("email", OF_V1, {}, ("changed_address",)),
        ("email", OF_ANOTHER, {}, ()),
        ("metadata.user", GIVEN, {}, ()),  # the address is sent under another name
        ("metadata.user", GIVEN, {"trust_metadata": True}, MAY),
        ("metadata.other", SEEN, {}, ("changed_address",)),  # by email
    ],
)
def test_calls_are_warned_about_that_set_the_address(rule, calls, settings, warned):
    assert rule == "" or read_rule(rule)
    known = origin(BEN, shares_address=True, changed_address=True)
    prepared = prepare(rule, calls, known, **settings)
    assert prepared.calls
    assert tuple(found(prepared, *MAY)) == warned
    assert all("may" in verdict.reason.text() for verdict in prepared.verdicts if verdict.rule in MAY)
    assert found(prepare(rule, calls, origin(BEN), **settings), *MAY) == []


@pytest.mark.parametrize("email", ["not-an-email", "ada@", "a" * 300 + "@shop.example", "a b@shop.example"])
def test_an_address_that_cannot_be_one_is_named_as_the_cause(email):
    prepared = prepare("", SEEN, origin(Customer(key="cus_1", email=email)), keep_profile=True)
    (verdict,) = (verdict for verdict in prepared.verdicts if verdict.rule == "no_address")
    assert "is not valid" in verdict.reason.text()
    assert email not in verdict.reason.text()


def test_spaces_around_an_address_make_no_other_one():
    prepared = prepare("", SEEN, origin(Customer(key="cus_1", email=" sp@shop.example ")), keep_profile=True)
    assert b'"sp@shop.example"' in prepared.calls[0].body
    assert found(prepared, "no_address", "invalid_email") == []
