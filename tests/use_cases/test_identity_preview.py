"""How the latest customers resolve by an answer, and what a change of the answer changes."""

from __future__ import annotations

from nicobar.model import Customer
from nicobar.people import NoIdentity, Person, read_rule
from nicobar.redaction import Redaction
from nicobar.use_cases.identity_preview import KnownCustomer, preview

BY_ID, BY_EMAIL = read_rule("metadata.user_id"), read_rule("email")
KNOWN = [
    KnownCustomer(
        customer=Customer(key="cus_1", email=" Ada@Shop.Example ", metadata={"user_id": 42, "plan": "pro"})
    ),
    KnownCustomer(customer=Customer(key="cus_2", email="bo@shop.example", metadata={"paid": True, "plan": ""})),
    KnownCustomer(customer=Customer(key="cus_3", email="no address", metadata={"user_id": "", "plan": "free"})),
]


def test_each_customer_resolves_or_has_a_reason():
    found = preview(KNOWN, None, BY_ID)
    ada, bo, eve = found.customers
    assert isinstance(ada.after, Person)
    assert isinstance(bo.after, Person)
    assert isinstance(eve.after, NoIdentity)
    assert [(person.kind, person.value) for person in (ada.after, bo.after)] == [
        ("id", "42"),
        ("email", "bo@shop.example"),
    ]
    assert (found.by_fallback, found.unidentified) == (1, 1)
    assert "cus_3" in eve.after.reason.text()
    assert [customer.before for customer in found.customers] == [None, None, None]


def test_a_change_counts_the_changed_identifiers():
    found = preview(KNOWN, BY_EMAIL, BY_ID)
    assert [customer.changes for customer in found.customers] == [True, False, False]
    assert found.changed == 1
    assert preview(KNOWN, BY_EMAIL, BY_EMAIL).changed == 0


def test_only_metadata_that_could_be_an_id_is_suggested():
    assert preview(KNOWN, None, None).metadata_keys == ("plan", "user_id")


def test_previewed_identifiers_are_masked_and_still_compared():
    masks = (Redaction("email").of().redactor(b'{"data": {"customer": {"email": "ada@shop.example"}}}'),)
    known = [
        KnownCustomer(customer=Customer(key="cus_1", email="ada@shop.example", metadata={"mail": "x"}), masks=masks)
    ]
    (ada,) = preview(known, BY_EMAIL, read_rule("metadata.mail")).customers
    assert isinstance(ada.before, Person)
    assert "shop.example" not in ada.before.value
    assert ada.changes
