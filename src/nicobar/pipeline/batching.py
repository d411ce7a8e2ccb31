"""Which calls travel together. Plain functions over plain values."""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.connectors import BatchBounds, ReadyCall
from nicobar.model import Record

# What a batch needs around and between its items: `{"batch":[`, commas, `]}`.
_FRAME_BYTES = 64


class Parcel(Record):
    """Deliveries, by their place in the page, that go out together: their calls in one request after the other,
    each request as full as it may be. Parcels do not wait for each other.
    """

    members: tuple[int, ...]


def plan(page: Sequence[Sequence[ReadyCall]], bounds: BatchBounds | None) -> list[Parcel]:
    """Packs a page's deliveries. Of one customer there is at most one in a page, so their order is free; a
    delivery's own calls stay in theirs.

    Deliveries whose calls are all batchable are packed one after the other. One with a call that has to go alone,
    or with more calls than a batch holds, is a parcel of its own.
    """
    parcels: list[Parcel] = []
    shared: list[int] = []
    items = size_bytes = 0
    for index, calls in enumerate(page):
        own_items = len(calls)
        own_bytes = sum(len(call.body) + 1 for call in calls)
        if not _fits(calls, bounds, own_items, own_bytes):
            parcels.append(Parcel(members=(index,)))
            continue
        if shared and not _room(bounds, items + own_items, size_bytes + own_bytes):
            parcels.append(Parcel(members=tuple(shared)))
            shared, items, size_bytes = [], 0, 0
        shared.append(index)
        items += own_items
        size_bytes += own_bytes
    if shared:
        parcels.append(Parcel(members=tuple(shared)))
    return parcels


def requests(calls: Sequence[ReadyCall], bounds: BatchBounds | None) -> list[tuple[int, int]]:
    """Cuts one parcel's calls into requests, as (from, to) places, in order; batchable neighbours share one."""
    cuts: list[tuple[int, int]] = []
    start = size_bytes = 0
    for index, call in enumerate(calls):
        own_bytes = len(call.body) + 1
        alone = not call.batchable or not calls[start].batchable
        if index > start and (alone or not _room(bounds, index - start + 1, size_bytes + own_bytes)):
            cuts.append((start, index))
            start, size_bytes = index, 0
        size_bytes += own_bytes
    if calls:
        cuts.append((start, len(calls)))
    return cuts


def _fits(calls: Sequence[ReadyCall], bounds: BatchBounds | None, items: int, size_bytes: int) -> bool:
    return all(call.batchable for call in calls) and _room(bounds, items, size_bytes)


def _room(bounds: BatchBounds | None, items: int, size_bytes: int) -> bool:
    return bounds is not None and items <= bounds.max_items and size_bytes + _FRAME_BYTES <= bounds.max_bytes
