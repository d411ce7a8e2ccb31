"""What stores remember of events, and the order of deliveries that depends on it."""

from __future__ import annotations

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint
from nicobar import facts
from support.stated import body_of, rule, stated_message
from support.store import run_sql

CUSTOMER, PAYMENT = "dodo-payments//customer/cus_1", "dodo-payments//payment/pay_1"
NOW_MS = 2_000_000_000_000
BY_EMAIL = {1: rule("email")}


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    return store


def payment(
    event_id, at_ms=1, *, customer_id="cus_1", email=None, payment_id="pay_1", endpoints=(1,), rules=None, **data
):
    customer = {"customer_id": customer_id, "email": email, "name": "Ada"}
    body = body_of("payment.succeeded", at_ms, payment_id=payment_id, customer=customer, **data)
    return stated_message(event_id, body, endpoints=endpoints, rules=rules)


def dispute(event_id="evt_dispute", at_ms=9, **known):
    return stated_message(event_id, body_of("dispute.opened", at_ms, dispute_id="dp_1", payment_id="pay_1"), **known)


async def values(store, key):
    return (await store.facts("app", [key]))[key].values


async def test_any_order_of_arrival_leaves_the_same_rows(store):
    said = [
        payment(f"evt_{at}", at, email=email, metadata={"user_id": user, "n": number, f"key_{at}": at})
        for at, email, user, number in (
            (1, "a@b.example", "u_1", 1),
            (2, "c@d.example", "u_2", 1.0),
            (3, "a@b.example", "é 한", True),
            (4, None, "u_2", 12345678901234567890123),
        )
    ]
    said += [dispute(), stated_message("evt_thin", body_of("credit.added", 20, customer_id="cus_1"))]
    expected = facts.merged_facts(fact for new in said for fact in new.facts)
    orders = (said, said[::-1], [*said[3:], *said[:3]], [said[1], said[3], said[0], *said[2:], said[1]])
    for number, order in enumerate(orders):
        app_id = f"app_{number}"
        for new in order:
            await store.put_facts(app_id, new.facts)
        known = await store.facts(app_id, [fact.key for fact in expected])
        assert known == {fact.key: facts.known_fact(fact) for fact in expected}


async def test_the_newest_metadata_is_kept_within_the_bound(store):
    said = [
        payment(f"evt_{at}", at, metadata={f"key_{at:03}": at}).facts for at in range(facts.MAX_METADATA_KEYS + 3)
    ]
    for new in reversed(said):
        await store.put_facts("app", new)
    assert (
        await values(store, CUSTOMER)
        == facts.known_fact(
            next(fact for fact in facts.merged_facts(fact for new in said for fact in new) if fact.key == CUSTOMER)
        ).values
    )


async def test_a_dispute_belongs_to_the_customer_of_its_payment(store):
    await store.append(payment("evt_1"))
    await store.append(dispute())
    assert (await store.message("msg_evt_dispute")).customer_key == "cus_1"
    first, second = await claim(store, now_ms=NOW_MS), await claim(store, now_ms=NOW_MS)
    assert [item.message.id for item in first] == ["msg_evt_1"]
    assert second == []  # behind the payment


async def test_two_customers_with_one_address_are_one_person(store):
    await store.append(payment("evt_1", customer_id="cus_1", email="Ada@B.example", rules=BY_EMAIL, endpoints=(1, 2)))
    await store.append(payment("evt_2", customer_id="cus_2", email="ada@b.example", rules=BY_EMAIL, endpoints=(1, 2)))
    (first,) = await claim(store, now_ms=NOW_MS)
    assert (first.message.id, first.order_key) == ("msg_evt_1", "ada@b.example")
    await store.record([done(first)])
    (second,) = await claim(store, now_ms=NOW_MS)
    assert second.message.id == "msg_evt_2"
    # Where no rule says otherwise, each customer is a person.
    assert [item.order_key for item in await claim(store, endpoint_seq=2, now_ms=NOW_MS)] == ["cus_1", "cus_2"]


async def test_an_event_without_an_address_waits_for_its_person(store):
    await store.append(payment("evt_1", email="ada@b.example", rules=BY_EMAIL))
    thin = body_of("dunning.started", 2, customer_id="cus_1", subscription_id="sub_1")
    await store.append(stated_message("evt_2", thin, rules=BY_EMAIL))
    (first,) = await claim(store, now_ms=NOW_MS)
    await store.record([done(first)])
    (second,) = await claim(store, now_ms=NOW_MS)
    assert second.order_key == "ada@b.example"


async def test_the_order_key_is_that_of_the_rule_at_acceptance(store):
    """A changed answer moves nothing that waits."""
    await store.append(payment("evt_1", email="ada@b.example"))
    await store.append(payment("evt_2", email="ada@b.example", rules=BY_EMAIL))
    assert [item.order_key for item in await claim(store, now_ms=NOW_MS)] == ["cus_1", "ada@b.example"]


async def test_facts_are_taken_of_another_body_but_not_of_another_source(store):
    await store.append(payment("evt_1", 1, email="a@b.example"))
    assert (await store.append(payment("evt_1", 2, email="c@d.example"))).revised
    assert (await values(store, CUSTOMER))["email"] == ["c@d.example", "a@b.example"]
    foreign = msgspec.structs.replace(payment("evt_1", 3, email="e@f.example"), source_id="other")
    assert (await store.append(foreign)).taken
    assert (await values(store, CUSTOMER))["email"] == ["c@d.example", "a@b.example"]


async def test_a_repetition_brings_back_nothing_that_was_erased(store):
    await store.append(payment("evt_1", email="a@b.example"))
    await store.append(dispute())
    early = stated_message("evt_e", body_of("dispute.opened", 9, dispute_id="dp_2", payment_id="pay_1"))
    await store.put_facts("app", early.facts)
    await store.expunge_customer("app", "cus_1", now_ms=NOW_MS, limit=10)
    await store.append(payment("evt_1", email="a@b.example"))
    assert await store.facts("app", [CUSTOMER, PAYMENT, "dodo-payments//dispute/dp_1"]) == {}


async def test_an_erased_customer_leaves_no_fact(store, tmp_path):
    await store.append(dispute())  # before its payment
    await store.append(payment("evt_1", email="a@b.example"))
    await store.append(payment("evt_2", customer_id="cus_2", payment_id="pay_2"))
    await store.expunge_customer("app", "cus_1", now_ms=NOW_MS, limit=10)
    kept = sorted(key for (key,) in run_sql(tmp_path, "SELECT key FROM facts"))
    assert kept == ["dodo-payments//customer/cus_2", "dodo-payments//payment/pay_2"]
