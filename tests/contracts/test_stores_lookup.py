"""Customers are found by what a user knows of them, and listed by their latest messages."""

from __future__ import annotations

from contracts.test_stores_facts import payment
from nicobar.store.tables.base import LAST_CHARACTER

PREFIX = "dodo-payments//payment/"


async def keys(store, *prefixes: str, limit: int = 10) -> list[str]:
    return [fact.key for fact in await store.facts_like("app", prefixes, limit=limit)]


async def test_facts_are_found_by_the_beginning_of_their_keys(store):
    for number, of in enumerate(("pay_1", "pay_10", "pay_2", "päy", f"pay_1{LAST_CHARACTER}")):
        await store.append(payment(f"evt_{number}", payment_id=of))
    assert await keys(store, PREFIX + "pay_1") == [PREFIX + of for of in ("pay_1", "pay_10")]
    assert await keys(store, PREFIX + "p", "dodo-payments//customer/cus_1", limit=2) == [
        "dodo-payments//customer/cus_1",
        PREFIX + "pay_1",
    ]
    assert await keys(store, PREFIX + "pay_3", "dodo-payments/live/payment/pay_1") == []
    assert await keys(store) == []
    assert await store.facts_like("other", [PREFIX], limit=10) == []


async def test_customers_are_found_by_the_beginning_of_their_address(store):
    for number, email in enumerate(("Ada@shop.example", "ada@x.example", "ben@shop.example", None)):
        await store.append(payment(f"evt_{number}", customer_id=f"cus_{number}", email=email))
    found = await store.customers_with_email("app", "ada@", limit=10)
    assert [fact.customer_key for fact in found] == ["cus_0", "cus_1"]
    assert [fact.customer_key for fact in await store.customers_with_email("app", "ada@", limit=1)] == ["cus_0"]
    assert await store.customers_with_email("app", "%", limit=10) == []
    assert await store.customers_with_email("other", "ada@", limit=10) == []


async def test_customers_are_listed_by_their_latest_messages(store):
    for number, key in enumerate(("cus_a", "cus_b", "cus_a", "cus_c", "cus_b")):
        await store.append(payment(f"evt_{number}", customer_id=key))
    first = await store.latest_customers("app", limit=2)
    assert [(item.customer_key, item.message_id) for item in first.items] == [
        ("cus_b", "msg_evt_4"),
        ("cus_c", "msg_evt_3"),
    ]
    rest = await store.latest_customers("app", before=int(first.next), limit=2)
    assert [(item.customer_key, item.message_id) for item in rest.items] == [("cus_a", "msg_evt_2")]
    assert rest.next is None
    assert (await store.latest_customers("other", limit=2)).items == ()
    found = await store.latest_of_customers("app", ["cus_c", "cus_none", "cus_a"])
    assert [(item.customer_key, item.message_id) for item in found] == [
        ("cus_c", "msg_evt_3"),
        ("cus_a", "msg_evt_2"),
    ]
    assert await store.latest_of_customers("other", ["cus_a"]) == []
