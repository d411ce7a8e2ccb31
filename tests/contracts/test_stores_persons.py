"""All facts of a person, under whichever of the sender's customer ids."""

from __future__ import annotations

import msgspec
import pytest

from nicobar import facts
from nicobar.facts import StatedFact
from nicobar.people import Person, PersonOrigin
from nicobar.store.facts import Whose
from nicobar.store.tables import persons
from support.stated import body_of, rule, stated_message
from support.store import run_sql

KIND = "dodo-payments"
ADA = Person(kind="email", value="ada@b.example", origin=PersonOrigin.EMAIL)
USER_42 = Person(kind="id", value="42", origin=PersonOrigin.METADATA)


def bought(number, customer, **of_customer):
    """A payment, a subscription, and a dispute that names no customer."""
    told = {"customer": {"customer_id": customer, **of_customer}}
    return [
        stated_message(f"evt_p{number}", body_of("payment.succeeded", number, payment_id=f"pay_{number}", **told)),
        stated_message(
            f"evt_s{number}", body_of("subscription.active", number, subscription_id=f"sub_{number}", **told)
        ),
        stated_message(
            f"evt_d{number}", body_of("dispute.opened", number, dispute_id=f"dp_{number}", payment_id=f"pay_{number}")
        ),
    ]


async def put(store, *messages):
    for new in messages:
        await store.put_facts("app", new.facts)


def ids(found):
    return [fact.key.removeprefix(f"{KIND}//") for fact in found.facts]


def all_of(*numbers, customers):
    kinds = {"dispute": "dp", "payment": "pay", "subscription": "sub"}
    objects = [f"{kind}/{short}_{number}" for kind, short in kinds.items() for number in numbers]
    return sorted([*(f"customer/{customer}" for customer in customers), *objects])


async def test_customers_with_one_address_have_one_ledger(store):
    await put(store, *bought(1, "cus_1", email="Ada@b.example"), *bought(2, "cus_2", email="ada@B.example"))
    await put(store, *bought(3, "cus_3", email="eve@b.example"))
    one = Whose(source_kind=KIND, mode="", customer_key="cus_2", person=ADA)
    alone = Whose(source_kind=KIND, mode="", customer_key="cus_3")
    unknown = Whose(source_kind=KIND, mode="", customer_key="cus_9")
    found = await store.ledger("app", rule("email"), [one, alone, unknown])
    assert found[one].customer_keys == ("cus_1", "cus_2")
    assert ids(found[one]) == all_of(1, 2, customers=("cus_1", "cus_2"))
    assert (found[alone].customer_keys, ids(found[alone])) == (("cus_3",), all_of(3, customers=("cus_3",)))
    assert (found[unknown].customer_keys, found[unknown].facts) == (("cus_9",), ())
    # Where the sender's ID identifies people, each customer is one.
    by_id = msgspec.structs.replace(one, person=Person(kind="id", value="cus_2", origin=PersonOrigin.CUSTOMER_ID))
    assert (await store.ledger("app", rule("customer_id"), [by_id]))[by_id].customer_keys == ("cus_2",)
    assert (await store.ledger("other", rule("email"), [one]))[one].facts == ()


async def test_customers_with_one_id_in_their_metadata_have_one_ledger(store):
    await put(
        store,
        *bought(1, "cus_1", email="ada@b.example", metadata={"user": 42, "note": "x" * 151, "flag": True}),
        *bought(2, "cus_2", email="ada@b.example", metadata={"user": "42"}),
        *bought(3, "cus_3", metadata={"user": 42.0}),
        *bought(4, "cus_4", metadata={"user": "7", "other": "42"}),
        *bought(5, "cus_5", email="ada@b.example"),
    )
    by_metadata = rule("metadata.user")
    one = Whose(source_kind=KIND, mode="", customer_key="cus_1", person=USER_42)
    found = (await store.ledger("app", by_metadata, [one]))[one]
    assert found.customer_keys == ("cus_1", "cus_2", "cus_3")
    assert ids(found) == all_of(1, 2, 3, customers=found.customer_keys)
    # By their address only who has no ID.
    fallback = Person(kind="email", value="ada@b.example", origin=PersonOrigin.FALLBACK)
    five = Whose(source_kind=KIND, mode="", customer_key="cus_5", person=fallback)
    assert (await store.ledger("app", by_metadata, [five]))[five].customer_keys == ("cus_5",)


async def test_an_id_as_number_and_as_text_is_one_id(store):
    told = [("cus_1", 42), ("cus_1", "42"), ("cus_1", 42.0), ("cus_2", "42")]
    for number, (customer, user_id) in enumerate(told):
        about = {"customer_id": customer, "metadata": {"user_id": user_id}}
        await put(store, stated_message(f"evt_{number}", body_of("payment.succeeded", number, customer=about)))
    one = Whose(source_kind=KIND, mode="", customer_key="cus_2", person=USER_42)
    found = await store.ledger("app", rule("metadata.user_id"), [one])
    assert found[one].customer_keys == ("cus_1", "cus_2")


async def test_a_customer_has_the_ledger_of_its_newest_id(store, tmp_path):
    await put(store, *bought(1, "cus_1", metadata={"user": "42"}), *bought(2, "cus_2", metadata={"user": "42"}))
    await put(store, *bought(3, "cus_2", metadata={"user": "43"}), *bought(4, "cus_2", metadata={"user": "44"}))
    by_metadata = rule("metadata.user")
    one = Whose(source_kind=KIND, mode="", customer_key="cus_1", person=USER_42)
    assert (await store.ledger("app", by_metadata, [one]))[one].customer_keys == ("cus_1",)
    values = "SELECT value FROM metadata_ids WHERE key LIKE '%cus_2' ORDER BY value"
    assert run_sql(tmp_path, values) == [("43",), ("44",)]
    await store.expunge_customer("app", "cus_2", now_ms=1, limit=10)
    assert run_sql(tmp_path, values) == []


async def test_sources_of_other_kinds_and_modes_have_other_ledgers(store):
    places = [("dodo-payments", ""), ("dodo-payments", "live"), ("dodo-payments", "test"), ("standard-webhooks", "")]
    for kind, mode in places:
        key = facts.fact_key(kind, facts.FactKind.CUSTOMER, "cus_1", mode)
        content = '{"0":{"email":"ada@b.example"}}'
        stated = StatedFact(key=key, occurred_at_ms=1, content=content, customer_key="cus_1", email="ada@b.example")
        await store.put_facts("app", [stated])
    whose = [Whose(source_kind=kind, mode=mode, customer_key="cus_1", person=ADA) for kind, mode in places]
    found = await store.ledger("app", rule("email"), whose)
    assert [[fact.key for fact in found[one].facts] for one in whose] == [
        [facts.fact_key(kind, facts.FactKind.CUSTOMER, "cus_1", mode)] for kind, mode in places
    ]


@pytest.mark.parametrize(("of_page", "of_person"), [(6, 4), (3, 20)])
async def test_persons_with_too_many_facts_are_told_apart(store, monkeypatch, of_page, of_person):
    monkeypatch.setattr(persons, "MAX_FACTS_OF_PAGE", of_page)
    monkeypatch.setattr(persons, "MAX_FACTS", of_person)
    await put(store, *bought(1, "cus_1", email="ada@b.example"), *bought(2, "cus_2", email="ada@b.example"))
    await put(store, *bought(3, "cus_3", email="eve@b.example"))
    whose = [
        Whose(source_kind=KIND, mode="", customer_key=key, person=person)
        for key, person in (("cus_1", ADA), ("cus_2", ADA), ("cus_3", None))
    ]
    found = await store.ledger("app", rule("email"), whose)
    assert [found[one].is_whole for one in whose] == [of_person == 20, of_person == 20, True]
    assert len(found[whose[2]].facts) == 4
    if of_person == 20:
        assert ids(found[whose[0]]) == all_of(1, 2, customers=("cus_1", "cus_2"))
    else:
        assert any("subscription" in key for key in ids(found[whose[0]]))
