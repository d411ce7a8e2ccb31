"""What handlers return, to calls: nothing that a handler returns raises, the same output gives the same bytes, and
the emulator, which was written apart, accepts every call that is sent.
"""

from __future__ import annotations

import msgspec

from fuzz.choices import HOSTILE, Choices
from nicobar.connectors import Origin
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.customerio.track_api import ACTIONS, MAX_ITEM_BYTES
from nicobar.connectors.http import HttpEndpoint
from nicobar.emulator.contract import problems
from nicobar.model import Customer, Level
from nicobar.pipeline.exact_numbers import find_rounded, rounded_in
from nicobar.sandbox import Bounds, Calls
from nicobar.sandbox.replies import InvalidReply, judge
from nicobar.sandbox.wire import Kind, Reply

BOUNDS = Bounds(output_bytes=4_000)
CUSTOMERIO, HTTP = CustomerIo(), HttpEndpoint()
TRACK = CUSTOMERIO.open(CUSTOMERIO.example.settings, CUSTOMERIO.example.credentials)
RECEIVER = HTTP.open(HTTP.example.settings, HTTP.example.credentials, {"authorization": "Bearer operator"})
ULID = "01K4VJ0W00QF7D2S9N3B6X8C1M"
ORIGIN = Origin(
    message_id="msg_1",
    endpoint_id="ep_1",
    occurred_at_ms=1_789_000_000_000,
    now_ms=1_790_000_000_000,
    customer=Customer(key="cus_ada", email="ada@northpine.example"),
    body=b'{"type":"a.b","data":{"amount":1999,"id":90071992547409931}}',
    app_uid="default",
    event_id="evt_1",
)
FIELDS = {
    name for kind in ACTIONS.values() for action in kind.values() for name in (*action.required, *action.optional)
}
NAMES = ("type", "action", "batch", "id", "email", "cio_id", "token", "platform", *sorted(FIELDS))
VALUES = (
    "person",
    "object",
    "event",
    "identify",
    "track",
    "ada",
    ULID,
    1_789_000_000,
    90071992547409931,
    9e15,
    *HOSTILE,
)
PERSON = {"type": "person", "identifiers": {"id": "ada"}}
EVENT = {**PERSON, "action": "event", "name": "paid", "attributes": {"amount": 19.99}, "id": ULID}
IDENTIFY = {**PERSON, "action": "identify", "attributes": {"plan": "pro"}}
URLS = (TRACK.url, "https://track.customer.io/api/v2/batch", RECEIVER.url, "http://track.customer.io/api/v2/entity")
V1 = "https://track.customer.io/api/v1/"
PATHS = (
    "customers/ada",
    "customers/ada/events",
    "merge_customers",
    "segments/7/add_customers?id_type=email",
    "events",
)
SEEDS = (bytes(20), bytes(range(90)), b"\2\0\1\1\4\2\0" * 9, b"\1\3\2\7" + bytes(range(200, 255)))


def run(data: bytes) -> None:
    it = Choices(data)
    calls = [call_of(it) for _ in range(1 + it.byte() % 3)]
    written = msgspec.json.encode(calls)
    try:
        result = judge(Reply(number=0, kind=Kind.CALLS, calls=written), 0, BOUNDS)
    except InvalidReply:
        return
    if not isinstance(result, Calls):
        return
    _ = rounded_in(result.calls, find_rounded(ORIGIN.body))
    for destination in (TRACK, RECEIVER):
        prepared = destination.prepare(result.calls, ORIGIN)
        errors = [verdict for verdict in prepared.verdicts if verdict.level is Level.ERROR]
        assert bool(prepared.calls) is not bool(errors)
        assert destination.prepare(result.calls, ORIGIN) == prepared
        for call in prepared.calls:
            request = destination.pack([call])
            assert not any(set("\r\n\0") & set(name + value) for name, value in request.headers.items())
            if destination is RECEIVER and not call.url.startswith("https://example.com/"):
                assert "Bearer operator" not in request.headers.values()
    for call in TRACK.prepare(result.calls, ORIGIN).calls:
        assert call.url.startswith("https://track.customer.io/api/")
        assert len(call.body) <= MAX_ITEM_BYTES or not call.batchable
        if call.batchable:
            assert not list(problems(msgspec.json.decode(call.body))), call.body


def call_of(it: Choices) -> dict[str, object]:
    base = it.pick((EVENT, IDENTIFY, {"batch": [EVENT, IDENTIFY]}, {}, {"name": "paid", "data": {}}))
    url = V1 + it.pick(PATHS) if it.byte() % 4 == 3 else it.pick(URLS)
    headers = {it.pick(("x-a", "Authorization", "webhook-id", "host")): it.text(7)} if it.byte() % 8 == 7 else {}
    return {
        "method": it.pick(("POST", "PUT", "DELETE", "PATCH")),
        "url": url + it.text(7) if it.byte() % 8 == 7 else url,
        "headers": headers,
        "payload": it.changed(base, NAMES, VALUES),
    }
