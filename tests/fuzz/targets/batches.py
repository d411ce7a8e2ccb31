"""Deliveries to requests: each call is sent once, in the order of its customer, and no request exceeds its limits."""

from __future__ import annotations

import msgspec

from fuzz.choices import Choices
from nicobar.connectors import BatchBounds, ReadyCall
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.customerio.identifies import identified
from nicobar.connectors.customerio.profiles import ItemCall
from nicobar.pipeline.batching import chains, merge, plan, requests

CUSTOMERIO = CustomerIo()
TRACK = CUSTOMERIO.open(CUSTOMERIO.example.settings, CUSTOMERIO.example.credentials)
SEEDS = (bytes(16), bytes(range(64)), b"\5\3\2\1\0\1\2\3" * 8, b"\xff" * 48)
# What `batching` counts around the items of a request.
FRAME_BYTES = 64


def run(data: bytes) -> None:
    it = Choices(data)
    bounds = it.pick(
        (None, BatchBounds(max_items=1 + it.byte() % 6, max_bytes=80 + it.number(400), keeps_order=True))
    )
    page, orders = [], []
    for number in range(it.byte() % 8):
        page.append([call_of(it, f"{number}.{place}") for place in range(1 + it.byte() % 3)])
        orders.append(it.byte() % 4)
    parcels = plan(page, bounds, orders)
    members = [index for parcel in parcels for index in parcel.members]
    assert sorted(members) == list(range(len(page)))
    for chain in chains(orders):
        holders = [parcel for parcel in parcels if set(parcel.members) & set(chain)]
        assert len(holders) == 1
        assert [index for index in holders[0].members if index in chain] == list(chain)
    for parcel in parcels:
        calls = [call for index in parcel.members for call in page[index]]
        check_requests(calls, bounds)
        check_merge(calls)


def call_of(it: Choices, mark: str) -> ReadyCall:
    if it.byte() % 3 == 0:
        body = mark.encode() + b"x" * it.number(300)
        return ReadyCall(method="POST", url=TRACK.url, headers={}, body=body, batchable=it.flag())
    item = {
        "type": "person",
        "action": "identify",
        "identifiers": {it.pick(("id", "email")): it.pick(("ada", "bob"))},
        "attributes": {it.pick("abc"): it.number(9) for _ in range(it.byte() % 3)},
    }
    body = msgspec.json.encode(item)
    return ItemCall(
        method="POST",
        url=TRACK.url,
        headers={},
        body=body,
        batchable=True,
        is_event=False,
        identifies=identified(item),
    )


def check_requests(calls: list[ReadyCall], bounds: BatchBounds | None) -> None:
    cuts = requests(calls, bounds)
    assert [place for start, end in cuts for place in range(start, end)] == list(range(len(calls)))
    for start, end in cuts:
        part = calls[start:end]
        if len(part) > 1:
            assert bounds is not None
            assert all(call.batchable for call in part)
            assert len(part) <= bounds.max_items
            assert sum(len(call.body) + 1 for call in part) + FRAME_BYTES <= bounds.max_bytes
            assert len(TRACK.pack(part).body) <= bounds.max_bytes


def check_merge(calls: list[ReadyCall]) -> None:
    """Merged calls set for each person what the calls set one after the other."""
    merged = merge(calls, TRACK.people_calls)
    assert sorted(member for item in merged for member in item.members) == list(range(len(calls)))
    assert state_of([item.call for item in merged]) == state_of(calls)


def state_of(calls: list[ReadyCall]) -> dict[str, dict[str, object]]:
    state: dict[str, dict[str, object]] = {}
    for call in calls:
        if isinstance(call, ItemCall):
            item = msgspec.json.decode(call.body)
            state.setdefault(str(item["identifiers"]), {}).update(item["attributes"])
    return state
