"""Customers with one address are found, by the newest address that each of them has."""

from __future__ import annotations

import itertools

from contracts.test_stores_facts import payment

CUSTOMERS = [f"dodo-payments//customer/cus_{number}" for number in range(4)]
SAID = (
    payment("evt_1", 1, customer_id="cus_0", email="Ada@B.example "),
    payment("evt_2", 2, customer_id="cus_1", email="ada@b.example"),
    payment("evt_3", 1, customer_id="cus_2", email="ada@b.example"),
    payment("evt_4", 2, customer_id="cus_2", email="ÉVA@b.example"),
    payment("evt_5", 1, customer_id="cus_3", email="ada@b.example"),
    payment("evt_6", 2, customer_id="cus_3", email="not-an-email"),
    payment("evt_7", 3, customer_id="cus_0", email=None),
)


async def with_address(store, app_id: str, *emails: str) -> list[str]:
    return sorted(fact.key for fact in await store.people(app_id, [], emails))


async def test_any_order_of_arrival_finds_the_same_customers(store):
    for number, order in enumerate((SAID, SAID[::-1], (*SAID[3:], *SAID[:3]))):
        app_id = f"app_{number}"
        for new in order:
            await store.put_facts(app_id, new.facts)
        assert await with_address(store, app_id, "ada@b.example") == CUSTOMERS[:2]
        assert await with_address(store, app_id, "éva@b.example") == CUSTOMERS[2:3]
        assert await with_address(store, app_id, "ada@b.example", "éva@b.example", "x@y.example") == CUSTOMERS[:3]
        assert await with_address(store, app_id) == []


async def test_customers_are_found_by_key_too_each_once(store):
    for new in SAID:
        await store.put_facts("app", new.facts)
    found = {fact.key: fact.values["email"] for fact in await store.people("app", CUSTOMERS[1:3], ["ada@b.example"])}
    assert list(itertools.chain.from_iterable(found[key] for key in sorted(found))) == [
        "Ada@B.example ",
        "ada@b.example",
        "ÉVA@b.example",
        "ada@b.example",
    ]
    assert await store.people("other", CUSTOMERS, ["ada@b.example"]) == []


async def test_the_address_of_the_message_before_is_found(store):
    for event_id, customer_id, email in (
        ("evt_1", "cus_0", "a@b.example"),
        ("evt_2", "cus_1", "c@d.example"),
        ("evt_3", "cus_0", None),
        ("evt_4", "cus_0", "e@f.example"),
        ("evt_5", "cus_0", "e@f.example"),
    ):
        await store.append(payment(event_id, customer_id=customer_id, email=email))
    seqs = [(await store.message(f"msg_evt_{number}")).seq for number in range(1, 6)]
    before = await store.addresses_before(seqs)
    assert [before.get(seq) for seq in seqs] == [None, None, "a@b.example", "a@b.example", "e@f.example"]
