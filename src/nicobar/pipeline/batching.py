"""Groups calls into requests. Plain functions over plain values."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import chain

from nicobar.connectors import BatchBounds, ReadyCall
from nicobar.model import Record

# The bytes around and between the items of a batch: `{"batch":[`, commas, `]}`.
_FRAME_BYTES = 64


class Parcel(Record):
    """Deliveries that are sent together, by their position in the page: in one request after another, each as full as
    allowed. Parcels do not wait for each other.
    """

    members: tuple[int, ...]


class Merged(Record):
    """A call that has the effect of `count` successive ones."""

    call: ReadyCall
    count: int = 1


def chains(orders: Iterable[Hashable]) -> list[tuple[int, ...]]:
    """The positions of a page's deliveries by their order: those of one customer are one chain, in order."""
    found: dict[Hashable, list[int]] = {}
    for index, order in enumerate(orders):
        found.setdefault(order, []).append(index)
    return [tuple(members) for members in found.values()]


def plan(page: Sequence[Sequence[ReadyCall]], bounds: BatchBounds | None, orders: Sequence[Hashable]) -> list[Parcel]:
    """Packs a page's deliveries into parcels. Each chain (deliveries of the same order) is in one parcel and keeps
    its order, and so do the calls of a delivery.

    Chains whose calls are all batchable are packed one after another. A chain with a call that must be sent alone, or
    with more calls than a batch may hold, is a separate parcel.
    """
    parcels: list[Parcel] = []
    shared: list[int] = []
    items = size_bytes = 0
    for members in chains(orders):
        calls = list(chain.from_iterable(page[index] for index in members))
        own_items = len(calls)
        own_bytes = sum(len(call.body) + 1 for call in calls)
        if not _fits(calls, bounds, own_items, own_bytes):
            parcels.append(Parcel(members=members))
            continue
        if shared and not _room(bounds, items + own_items, size_bytes + own_bytes):
            parcels.append(Parcel(members=tuple(shared)))
            shared, items, size_bytes = [], 0, 0
        shared += members
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


def merge(calls: Sequence[ReadyCall], owners: Sequence[Hashable]) -> list[Merged]:
    """Merges successive calls of different deliveries where their connector can: the attributes of one person, set
    several times in one request, have no order there.
    """
    merged: list[Merged] = []
    for index, call in enumerate(calls):
        together = None
        if merged and call.batchable and owners[index] != owners[index - 1]:
            together = merged[-1].call.merged_with(call)
        if together is None:
            merged.append(Merged(call=call))
        else:
            merged[-1] = Merged(call=together, count=merged[-1].count + 1)
    return merged


def _fits(calls: Sequence[ReadyCall], bounds: BatchBounds | None, items: int, size_bytes: int) -> bool:
    return all(call.batchable for call in calls) and _room(bounds, items, size_bytes)


def _room(bounds: BatchBounds | None, items: int, size_bytes: int) -> bool:
    return bounds is not None and items <= bounds.max_items and size_bytes + _FRAME_BYTES <= bounds.max_bytes
