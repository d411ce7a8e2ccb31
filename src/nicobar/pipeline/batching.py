"""Groups calls into requests. Plain functions over plain values."""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.connectors import BatchBounds, ReadyCall
from nicobar.model import Record

# The bytes around and between the items of a batch: `{"batch":[`, commas, `]}`.
_FRAME_BYTES = 64


class Parcel(Record):
    """Deliveries that are sent together, by their position in the page: in one request after another, each as full as
    allowed. Parcels do not wait for each other.
    """

    members: tuple[int, ...]


def plan(page: Sequence[Sequence[ReadyCall]], bounds: BatchBounds | None) -> list[Parcel]:
    """Packs a page's deliveries into parcels. A page has at most one delivery per customer, so their order is free;
    the calls of a delivery keep their order.

    Deliveries whose calls are all batchable are packed one after another. A delivery with a call that must be sent
    alone, or with more calls than a batch may hold, is a separate parcel.
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
    """Cuts one parcel's calls into requests, as (from, to) positions, in order; batchable neighbors share one."""
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
