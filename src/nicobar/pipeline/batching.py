"""Groups calls into requests. Plain functions over plain values."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import chain

from nicobar.connectors import BatchBounds, ReadyCall
from nicobar.connectors.people_calls import PeopleCalls, kind_of
from nicobar.model import Record

# The bytes around and between the items of a batch: `{"batch":[`, commas, `]}`.
_FRAME_BYTES = 64
# Stands for all people.
_ANYONE = ""


class Parcel(Record):
    """Deliveries that are sent together, by their position in the page: in one request after another, each as full as
    allowed. Parcels do not wait for each other.
    """

    members: tuple[int, ...]


class Merged(Record):
    """A call that has the effect of several ones, by their positions."""

    call: ReadyCall
    members: tuple[int, ...]


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


def merge(calls: Sequence[ReadyCall], people: PeopleCalls | None) -> list[Merged]:
    """Joins the calls of one request that set attributes of one person, at the place of the first, so that they come
    before the events between them: calls of one request have no order at some destinations. Nothing is joined over a
    call that changes the person otherwise, or may.
    """
    merged: list[Merged] = []
    # By person, the place of the call that later ones are joined to.
    places: dict[str, int] = {}
    for index, call in enumerate(calls):
        effect = None if people is None else people.effect(call)
        if people is not None and effect is not None and effect.sets:
            (person,) = effect.people
            place = places.get(person)
            joined = None if place is None else people.joined(merged[place].call, call)
            if place is not None and joined is not None:
                merged[place] = Merged(call=joined, members=(*merged[place].members, index))
                continue
            # Another kind of identifier may name the same person.
            places = {other: at for other, at in places.items() if kind_of(other) == kind_of(person)}
            places[person] = len(merged)
        elif effect is not None and effect.changes:
            places.clear()
        merged.append(Merged(call=call, members=(index,)))
    return merged


def conflict(merged: Sequence[Merged], people: PeopleCalls | None) -> int | None:
    """The position of the first call that must not share a request with one before it, since both change a person and
    have no order there; None if there is none.
    """
    changed: set[str] = set()
    for call in merged:
        effect = None if people is None else people.effect(call.call)
        if effect is None or not effect.changes:
            continue
        if changed & {*effect.people, _ANYONE} or (effect.is_anyone and changed):
            return call.members[0]
        changed |= {*effect.people, *([_ANYONE] if effect.is_anyone else ())}
    return None


def _fits(calls: Sequence[ReadyCall], bounds: BatchBounds | None, items: int, size_bytes: int) -> bool:
    return all(call.batchable for call in calls) and _room(bounds, items, size_bytes)


def _room(bounds: BatchBounds | None, items: int, size_bytes: int) -> bool:
    return bounds is not None and items <= bounds.max_items and size_bytes + _FRAME_BYTES <= bounds.max_bytes
