"""Two messages with one natural key that are claimed together: the later one is not sent while the first may be."""

from __future__ import annotations

from nicobar.model import DeliveryState
from support.worker import OK, status, world

ONCE = """function handler(webhook) {
  const {name, note} = webhook.payload.data;
  webhook.payload = nicobar.event(name, {}, {once: note, identifiers: {id: "cus_shared"}});
  return webhook;
}"""


async def test_second_message_of_a_page_with_the_key_is_canceled(tmp_path):
    async with world(tmp_path, handler=ONCE) as it:
        it.network.open.clear()
        await it.accept("first", note="other")
        await it.network.sent.get()
        paid = [await it.accept("paid", customer=customer, note="pay_1") for customer in ("cus_a", "cus_a", "cus_b")]
        it.network.open.set()
        assert [item["name"] for item in await it.network.sent.get()] == ["paid"]
        recorded = [await it.next_recorded() for _ in range(4)][1:]
        states = {item.message.id: item.attempt.state for item in recorded}
        assert [states[message_id] for message_id in paid] == [
            DeliveryState.SUCCESS,
            DeliveryState.CANCELED,
            DeliveryState.CANCELED,
        ]
        assert {item.attempt.reason.code for item in recorded if item.attempt.reason} == {"already_sent"}
        assert it.network.sent.empty()


async def test_second_message_is_sent_where_the_first_failed(tmp_path):
    async with world(tmp_path, handler=ONCE) as it:
        it.network.open.clear()
        await it.accept("first", note="other")
        await it.network.sent.get()
        paid = [await it.accept("paid", customer=customer, note="pay_1") for customer in ("cus_a", "cus_b")]
        answers = [OK, status(503), OK]
        it.network.answer = lambda _items: answers.pop(0)
        it.network.open.set()
        recorded = [await it.next_recorded() for _ in range(3)][1:]
        assert {item.message.id: item.attempt.state for item in recorded} == {
            paid[0]: DeliveryState.PENDING,
            paid[1]: DeliveryState.SUCCESS,
        }
