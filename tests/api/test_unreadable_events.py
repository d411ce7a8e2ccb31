"""A correctly signed event is never lost, whatever is in its body."""

from __future__ import annotations

import gzip
import re

import pytest

from nicobar.model import UNREADABLE_EVENT_TYPE, DeliveryState
from nicobar.sources import envelope
from support.api import asking
from support.server import DODO

HANDLER = """function handler(webhook) {
  const {customer, amount} = webhook.payload.data;
  webhook.payload = nicobar.event("paid", {name: customer.name, amount, more: webhook.payload.data.more});
  return webhook;
}"""


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path, HANDLER) as it:
        yield it


def event(name: bytes = b'"Ada"', more: bytes = b"1", key: bytes = b"n") -> bytes:
    return (
        b'{"type":"made.up","data":{"customer":{"customer_id":"cus_1","email":"ada@northpine.example",'
        b'"name":%b},"amount":2,"%b":3,"more":%b}}' % (name, key, more)
    )


UNREADABLE = {
    "not a number": event(more=b"NaN"),
    "infinite": event(more=b"Infinity"),
    "invalid UTF-8": event(name=b'"\xff"'),
    "surrogate in UTF-8": event(name=b'"\xed\xa0\xbd"'),
    "too deep": event(more=b"[" * 300 + b"]" * 300),
    "endless": b"[" * 100_000,
    "empty": b"",
    "blank": b" ",
    "null": b"null",
    "a list": b"[]",
    "no type": b"{}",
    "a number as type": b'{"type":5}',
    "type with spaces": b'{"type":"order created"}',
    "type with NUL": b'{"type":"a\\u0000b"}',
    "type without characters": b'{"type":""}',
    "control character": event(name=b'"\x00"'),
    "text": b'"text"',
    "truncated": event()[:-5],
    "a form": b"type=made.up",
    "gzip": gzip.compress(event()),
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_unreadable_event_is_stored_and_shown(api, what):
    body = UNREADABLE[what]
    status, answer = await api.nicobar.send(body, "evt_1")
    assert status == 202
    assert (await api.nicobar.send(body, "evt_1"))[0] == 200
    recorded = await api.nicobar.next_recorded()
    assert (recorded.attempt.state, recorded.attempt.reason.code) == (DeliveryState.FAILED, "unreadable")
    assert (await api.nicobar.message(answer["id"])).body == body
    path = f"{api.app}/msg/{answer['id']}"
    shown = (await api.ask("GET", path)).body
    assert shown["eventType"] == UNREADABLE_EVENT_TYPE
    assert shown["payload"] == {"unreadable": body.decode("utf-8", "replace")}
    assert (await api.ask("GET", f"{api.app}/msg?with_content=true")).body["data"][0]["payload"] == shown["payload"]
    assert (await api.ask("GET", f"{path}/raw")).body["payload"] == body.decode("utf-8", "replace")
    assert "cannot be read" in (await api.ask("GET", f"{path}/revisions")).body["unreadable"]


READABLE = {
    "half a pair": (event(name=rb'"cut \ud83d"'), "cut �"),
    "half a pair in a key": (event(key=rb"\ude00"), "Ada"),
    "two halves in the wrong order": (event(name=rb'"\ude00\ud83d"'), "��"),
    "huge number": (event(more=b"1e400"), "Ada"),
    "endless integer": (event(more=b"9" * 5_000), "Ada"),
    "byte order mark": (b"\xef\xbb\xbf" + event(), "Ada"),
    "null data": (b'{"type":"made.up","data":null}', None),
}


@pytest.mark.parametrize("what", READABLE)
async def test_body_that_javascript_reads_is_delivered(api, what):
    body, name = READABLE[what]
    assert (await api.nicobar.send(body, "evt_1"))[0] == 202
    recorded = await api.nicobar.next_recorded()
    assert recorded.message.event_type == "made.up"
    if name is None:
        assert recorded.attempt.reason.code == "threw"
        return
    assert recorded.attempt.state is DeliveryState.SUCCESS, recorded.attempt.reason
    (activity,) = [item for item in api.nicobar.state.activities if item.name == "paid"]
    assert activity.data["name"] == name


@pytest.mark.parametrize("name", ["order:created", "한국.결제", "orders/paid", "a+b", "shop@order~1"])
async def test_event_types_of_other_alphabets_are_read(api, name):
    assert (await api.nicobar.send(b'{"type":"%b"}' % name.encode(), "evt_1"))[0] == 202
    assert (await api.nicobar.next_recorded()).message.event_type == name


async def test_unreadable_event_is_processed_once_it_can_be_read(api, monkeypatch):
    _, answer = await api.nicobar.send(event().replace(b"made.up", b"made up"), "evt_1")
    assert (await api.nicobar.next_recorded()).attempt.state is DeliveryState.FAILED
    monkeypatch.setattr(envelope, "EVENT_TYPE_NAME", re.compile(r"[\w ]+"))
    (endpoint,) = api.nicobar.runtime.configuration.snapshot.endpoints
    resent = await api.ask("POST", f"{api.app}/msg/{answer['id']}/endpoint/{endpoint.id}/resend")
    assert resent.status == 202, resent.body
    recorded = await api.nicobar.next_recorded()
    assert (recorded.message.id, recorded.attempt.state) == (answer["id"], DeliveryState.SUCCESS)


async def test_unsigned_unreadable_body_is_rejected(api):
    status, answer = await api.nicobar.send(b"\xff", headers={"webhook-id": "evt_1"})
    assert (status, answer["code"]) == (401, "missing_header")


async def test_wrong_signature_of_compressed_body_names_the_encoding(api):
    compressed = gzip.compress(event())
    headers = DODO.sign("evt_1", event(), api.nicobar.secrets[0], api.nicobar.runtime.clock.now_ms())
    headers["content-encoding"] = "gzip"
    status, answer = await api.nicobar.send(compressed, headers=headers)
    assert (status, answer["code"]) == (401, "signature_mismatch")
    assert "gzip" in answer["detail"]


async def test_other_body_of_one_event_is_shown_and_not_sent(api):
    _, answer = await api.nicobar.send(event(), "evt_1")
    await api.nicobar.next_recorded()
    other = event(name=b'"Eve"')
    assert await api.nicobar.send(other, "evt_1") == (200, {"id": answer["id"], "duplicate": True})
    revisions = (await api.ask("GET", f"{api.app}/msg/{answer['id']}/revisions")).body
    assert ([item["payload"] for item in revisions["data"]], revisions["unreadable"]) == ([other.decode()], None)
    assert len([item for item in api.nicobar.state.activities if item.name == "paid"]) == 1
    expunged = await api.ask("DELETE", f"{api.app}/msg/{answer['id']}/content")
    assert expunged.status in {200, 204}
    assert (await api.ask("GET", f"{api.app}/msg/{answer['id']}/revisions")).body["data"] == []
