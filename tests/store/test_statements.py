"""What an event costs its database: statements of SQLite, round trips of PostgreSQL, their transactions included."""

from __future__ import annotations

import pytest

from contracts.test_stores import claim, done, endpoint, message
from support.counted_statements import counted_statements
from support.stated import body_of, rule, stated_message
from support.store import STORES, drop_store, open_store

PAGE = 50
ADA = {"customer_id": "cus_ada", "email": "ada@northpine.example"}
PAYMENT = body_of("payment.succeeded", 1, payment_id="pay_1", customer=ADA)
THIN = body_of("dispute.opened", 2, payment_id="pay_1", dispute_id="dp_1")
# To accept an event of one endpoint, and of three; one that states two facts, and one whose customer earlier facts
# say; to claim a page; to record one delivery of it, and a page.
PROMISED = {
    "sqlite": {
        "accept": 7,
        "accept for three endpoints": 9,
        "accept facts": 8,
        "accept for a person": 9,
        "claim": 7,
        "record one": 9,
        "record a page": 205,
    },
    "postgres": {
        "accept": 4,
        "accept for three endpoints": 4,
        "accept facts": 4,
        "accept for a person": 5,
        "claim": 5,
        "record one": 8,
        "record a page": 8,
    },
}


@pytest.fixture(params=STORES)
async def counted(request, tmp_path):
    """A store with three endpoints, and the number of statements that were run on it."""
    with counted_statements() as statements:
        store = await open_store(tmp_path, database=request.param)
        for number in range(1, 4):
            await store.change([await endpoint(store, f"ep_{number}")])
        await store.append(message(0, endpoints=()))
        statements.look()
        yield request.param, store, statements
        await store.close()
        drop_store(tmp_path)


async def test_an_event_costs_so_many_statements_and_no_more(counted):
    name, store, statements = counted
    found = {}
    await store.append(message(1, "cus_0", endpoints=(1,)))
    found["accept"] = statements.look()
    await store.append(message(2, "cus_0", endpoints=(1, 2, 3)))
    found["accept for three endpoints"] = statements.look()
    await store.append(stated_message("evt_said", PAYMENT, endpoints=(3,), rules={3: rule("email")}))
    found["accept facts"] = statements.look()
    await store.append(stated_message("evt_thin", THIN, endpoints=(3,), rules={3: rule("email")}))
    found["accept for a person"] = statements.look()
    for number in range(3, PAGE + 3):
        await store.append(message(number, f"cus_{number}"))
    statements.look()
    page = await claim(store, limit=PAGE + 1)
    found["claim"] = statements.look()
    assert len(page) == PAGE + 1
    await store.record([done(page[0])])
    found["record one"] = statements.look()
    await store.record([done(claimed, attempt=f"atmpt_{claimed.message.seq}") for claimed in page[1:]])
    found["record a page"] = statements.look()
    assert found == PROMISED[name]
