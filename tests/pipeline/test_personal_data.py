"""Personal data is sent as it is, and kept and logged without it."""

from __future__ import annotations

import msgspec
import pytest
from structlog.testing import capture_logs

from nicobar.connectors import Response
from nicobar.model import DeliveryState
from nicobar.store import NewMessage
from support.worker import OK, status, world

PHONE, CARD, EMAIL = "+12065550143", "4242", "mira@solberg.example"
HANDLER = """function handler(webhook) {
  const data = webhook.payload.data;
  console.log("dial", data.customer.phone_number);
  console.log(JSON.stringify(data.customer));
  if (data.name === "throw") { throw new Error("no " + data.customer.phone_number + " of " + data.customer.email); }
  if (data.name === "wrong") { webhook.payload = {action: "event", name: data.customer.phone_number, bad: 1}; }
  else { webhook.payload = nicobar.event(data.name, {tel: data.customer.phone_number, card: data.card_last_four}); }
  return webhook;
}"""


async def accept(it, name: str, customer: str = "cus_a", phone: str = PHONE) -> str:
    body = msgspec.json.encode(
        {
            "type": "a.b",
            "data": {
                "name": name,
                "card_last_four": CARD,
                "customer": {"customer_id": customer, "email": EMAIL, "phone_number": phone},
            },
        }
    )
    endpoints = tuple(endpoint.seq for endpoint in it.snapshot.endpoints)
    now_ms = it.clock.now_ms()
    message = NewMessage(
        id=it.ids.new("msg"),
        app_id="app",
        source_id=it.snapshot.sources[0].id,
        event_id=it.ids.new("evt"),
        event_type="a.b",
        customer_key=customer,
        occurred_at_ms=now_ms,
        accepted_at_ms=now_ms,
        body=body,
        endpoint_seqs=endpoints,
    )
    message_id = (await it.store.append(message)).message_id
    it.worker.wake(endpoints)
    return message_id


def sent(items) -> list[object]:
    return [(item["attributes"]["tel"], item["attributes"]["card"]) for item in items if item.get("name") == "paid"]


async def test_attempts_are_stored_without_what_was_sent_and_retried(tmp_path):
    async with world(tmp_path, handler=HANDLER) as it:
        quote = Response(status=503, headers={"x-note": f"of {PHONE}"}, body=f"no {PHONE}".encode(), duration_ms=1)
        it.network.answer = lambda _items: quote
        message_id = await accept(it, "paid")
        first = await it.network.sent.get()
        await it.next_recorded()
        (failed,) = await it.attempts(message_id)
        delivery = await it.delivery(message_id)
        rows = repr((failed, delivery, await it.store.breakers()))
        assert "***" in failed.requests[0].body
        assert (failed.console[0], failed.response) == ("dial ***", "no ***")
        assert [value for value in (PHONE, "2065550143", f'"{CARD}"') if value in rows] == []
        # The same is sent again, from what was kept whole.
        it.network.answer = lambda _items: OK
        await it.move(6_000)
        again = await it.network.sent.get()
        assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
    assert sent(first) == sent(again) == [(PHONE, CARD)]
    assert again == first


async def test_a_shared_response_shows_no_other_customer_s_data(tmp_path):
    async with world(tmp_path, handler=HANDLER) as it:
        other = "+493055500199"
        it.network.answer = lambda _items: status(503)
        it.network.open.clear()
        held = await accept(it, "first", "cus_0")
        await it.network.sent.get()
        messages = [await accept(it, "paid", "cus_a"), await accept(it, "paid", "cus_b", other)]
        answer = Response(status=503, headers={}, body=f"no {other}, no {PHONE}".encode(), duration_ms=1)
        it.network.answer = lambda _items: answer
        it.network.open.set()
        for _ in (held, *messages):
            await it.next_recorded()
        stored = [(await it.attempts(message_id))[0] for message_id in messages]
    assert {attempt.response for attempt in stored} == {"no ***, no ***"}
    assert [value for value in (other, PHONE) if value in repr(stored)] == []


@pytest.mark.parametrize("name", ["throw", "wrong"])
async def test_handlers_errors_are_logged_without_values(tmp_path, name):
    with capture_logs() as lines:
        async with world(tmp_path, handler=HANDLER) as it:
            message_id = await accept(it, name)
            recorded = await it.next_recorded()
            delivery = await it.delivery(message_id)
    assert recorded.attempt.state is DeliveryState.FAILED
    assert PHONE not in repr((recorded.attempt, delivery))
    (failed,) = [line for line in lines if line["event"] == "failed"]
    assert failed["message_id"] == message_id
    assert [value for value in (PHONE, EMAIL, CARD) if value in repr(lines)] == []
    if name == "throw":
        assert failed["reason"] == "line 5: The handler threw …"
        assert EMAIL in str(recorded.attempt.reason)
