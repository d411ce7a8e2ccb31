"""How often an event is read on its way, and what it costs to find its endpoints."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicobar.model import Customer, Endpoint
from nicobar.pipeline.subscriptions import Subscriptions, wants
from support.json_counts import counted
from support.server import running

MARK = b"read-me-once"
HANDLER = """function handler(webhook) {
  const {customer, total_amount, currency} = webhook.payload.data;
  webhook.payload = [
    nicobar.identify({plan: "pro", spent: nicobar.money(total_amount, currency)}),
    nicobar.event("paid", {amount: nicobar.money(total_amount, currency)}),
  ];
  return webhook;
}"""


def body(currency: str = "EUR", name: str = "Ada") -> bytes:
    customer = {"customer_id": "cus_ada", "email": "ada@northpine.example", "name": name}
    data = {"customer": customer, "total_amount": 4_900, "currency": currency, "note": MARK.decode()}
    return msgspec.json.encode({"type": "payment.succeeded", "timestamp": "2026-09-14T08:12:24Z", "data": data})


def is_event(content: object) -> bool:
    return isinstance(content, bytes) and MARK in content


async def test_an_event_is_decoded_once_from_arrival_to_delivery(tmp_path):
    async with running(tmp_path, HANDLER) as nicobar:
        with counted("decode", is_event) as decoded:
            assert (await nicobar.send(body()))[0] == 202
            sent = await nicobar.next_recorded()
        assert sent.attempt.state.value == "success"
        assert nicobar.state.activities, "the customer's email came with it"
    assert len(decoded) == 1


async def test_amounts_without_cents_are_looked_up_once_more(tmp_path):
    async with running(tmp_path, HANDLER) as nicobar:
        with counted("decode", is_event) as decoded:
            await nicobar.send(body("JPY"))
            await nicobar.next_recorded()
    assert len(decoded) == 2


async def test_an_event_with_masked_fields_is_decoded_once_more(tmp_path):
    async with running(tmp_path, HANDLER) as nicobar:
        with counted("decode", is_event) as decoded:
            await nicobar.send(body().replace(b'"note"', b'"phone":"+12065550143","note"'))
            await nicobar.next_recorded()
    assert len(decoded) == 2


@pytest.mark.parametrize("name", ["", "Ada\0", "a" * 501])
async def test_the_customer_is_the_same_wherever_it_is_read(tmp_path, name):
    async with running(tmp_path, HANDLER) as nicobar:
        _, answer = await nicobar.send(body(name=name))
        kept = await nicobar.message(answer["id"])
        configuration = nicobar.runtime.configuration
    earlier = msgspec.structs.replace(kept, customer_email=None, customer_name=None)
    customer = Customer(key="cus_ada", email="ada@northpine.example", name=name or None)
    assert configuration.customer(kept) == configuration.customer(earlier) == customer
    assert kept.customer_name == (None if name else "")


class Compared(str):
    """Text that counts how often it is compared."""

    __slots__ = ()
    count = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Compared.count += 1
        return str.__eq__(self, other)


def endpoint(seq: int, event_types: tuple[str, ...], channels: tuple[str, ...] = (), app_id: str = "app") -> Endpoint:
    return Endpoint(
        seq=seq,
        id=f"ep_{seq}",
        app_id=app_id,
        name="a",
        connector="http",
        settings={},
        sealed_credentials=b"",
        credential_references={},
        event_types=event_types,
        channels=channels,
        variables={},
        disabled=False,
        paused_reason=None,
        transformation=None,
    )


@pytest.mark.parametrize("others", [10, 4_000])
def test_finding_endpoints_costs_the_same_with_ten_or_thousands(others):
    elsewhere = [endpoint(seq, ("order.paid",), app_id="other") for seq in range(others)]
    own = [endpoint(others + seq, (f"type.{seq}",), ("blue",)) for seq in range(others)]
    both = [endpoint(9_000, ("order.paid",)), endpoint(9_001, (), ("red",))]
    subscriptions = Subscriptions([*elsewhere, *own, *both])
    Compared.count = 0
    assert subscriptions.of("app", Compared("order.paid"), ("red",)) == (9_000, 9_001)
    assert Compared.count == 1


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(tuple)


@given(filters=st.lists(st.tuples(NAMES, NAMES), max_size=6), channels=NAMES)
def test_the_index_agrees_with_each_endpoint_s_own_filter(filters, channels):
    endpoints = [endpoint(seq, event_types, own) for seq, (event_types, own) in enumerate(filters)]
    wanting = tuple(each.seq for each in endpoints if wants(each, "a", channels))
    assert Subscriptions(endpoints).of("app", "a", channels) == wanting
