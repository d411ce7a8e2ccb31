"""The bodies of events: each kind of source reads them or says why not, and reads a stored one the same way."""

from __future__ import annotations

import json

from fuzz.choices import Choices
from nicobar.errors import Refusal
from nicobar.model import UNREADABLE_EVENT_TYPE
from nicobar.pipeline.unreadable import read_event, repaired
from nicobar.sources.registry import SOURCES

NAMES = ("type", "timestamp", "data", "customer", "customer_id", "id", "email", "name", "business_id")
VALUES = (
    "payment.succeeded",
    "2026-03-01T09:30:00Z",
    "cus_1",
    "a@b.example",
    "\ud800",
    "x" * 300,
    "a\0b",
    5,
    None,
    {},
    [],
)
SEEDS = (
    b'\0\0{"type":"payment.succeeded","timestamp":"2026-03-01T09:30:00Z","data":{"customer":{"customer_id":"c"}}}',
    b'\1\0{"type":"a.b","data":{"customer_id":"c","email":"a@b.example","name":"A"}}',
    b"\0\1" + bytes(range(7, 60)),
    b'\1\0{"type":"\\ud800","data":1e999}',
    b"\1\0\x1f\x8b\x08",
    b"\0\0\xef\xbb\xbf{}",
)


def run(data: bytes) -> None:
    it = Choices(data)
    kind = it.pick(SOURCES)
    if it.flag():
        value = {name: it.json(NAMES, VALUES) for name in NAMES if it.byte() % 4}
        body = json.dumps(value).encode("utf-8", "surrogatepass")
    else:
        body = it.rest()
    try:
        event = kind.read({}, body)
    except Refusal as refusal:
        assert refusal.status == 400
        assert refusal.detail
        event = None
    event_type = event.event_type if event else "a.b"
    stored = kind.read_body(event_type, body)
    if event is not None:
        assert stored == event
        assert json.loads(body.removeprefix(b"\xef\xbb\xbf"))["type"] == event.event_type
    check_unreadable(kind, body, readable=event is not None)


def check_unreadable(kind, body: bytes, *, readable: bool) -> None:
    """A body that cannot be read is stored, too."""
    event, why = read_event(kind, {}, body)
    assert (event.event_type == UNREADABLE_EVENT_TYPE) >= (why is not None)
    if readable:
        assert why is None
    fixed = repaired(body)
    if fixed is not None:
        json.loads(fixed, parse_constant=int)
        assert repaired(fixed) is None
    customer = event.customer
    if customer is not None:
        assert 0 < len(customer.key) <= 256
        assert "\0" not in customer.key
