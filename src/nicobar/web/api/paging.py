"""Pages by keyset, in both directions. An iterator is opaque: a direction and the key that the page begins behind."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, TypeVar

from msgspec import Meta

from nicobar.model import Record
from nicobar.web.api.errors import Invalid
from nicobar.web.api.shapes import Page

DEFAULT_LIMIT = 50
MAX_LIMIT = 250
_NEXT, _BEFORE = ">", "<"
_MAX_KEY_CHARS = 512

I = TypeVar("I")  # noqa: E741 - an item
T = TypeVar("T")


class Ordering(StrEnum):
    """The order of a list, by the time at which things were made."""

    ASCENDING = "ascending"
    DESCENDING = "descending"


Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="How many items a page has at the most.")]
Iterator = (
    Annotated[
        str, Meta(max_length=1_024, description="The `iterator` or `prevIterator` of another page of this list.")
    ]
    | None
)
Order = Annotated[Ordering | None, Meta(description="The order of the list.")]


NoPlay = Annotated[bool | None, Meta(description="No effect: endpoints of Svix Play do not exist here.")]


class Place(Record):
    """Where a page begins: behind the item of this key in the list's order, or with `backwards` before it. Without a
    key at the list's start.
    """

    key: str | None = None
    backwards: bool = False


def read_iterator(text: str | None) -> Place:
    """Raises Invalid for what is no iterator."""
    if not text:
        return Place()
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        raw = ""
    if raw[:1] not in {_NEXT, _BEFORE} or not 1 < len(raw) <= _MAX_KEY_CHARS:
        raise Invalid("query.iterator", "It is no iterator.", "Give one that a page of this list had.")
    return Place(key=raw[1:], backwards=raw[0] == _BEFORE)


def write_iterator(key: str, *, backwards: bool) -> str:
    raw = f"{_BEFORE if backwards else _NEXT}{key}"
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def page_of(
    found: Sequence[I], *, place: Place, limit: int, key: Callable[[I], str], shape: Callable[[I], T]
) -> Page[T]:
    """A page of what was `found` from its place on in the direction of travel, nearest first: one more than `limit`
    where more follows.
    """
    items = list(found[:limit])
    if place.backwards:
        items.reverse()
    following = write_iterator(key(items[-1]), backwards=False) if items else None
    before = write_iterator(key(items[0]), backwards=True) if items else None
    return Page(
        data=[shape(item) for item in items], iterator=following, prev_iterator=before, done=len(found) <= limit
    )


def page_of_all(
    every: Sequence[I],
    *,
    iterator: str | None,
    limit: int,
    order: Ordering,
    key: Callable[[I], str],
    shape: Callable[[I], T],
) -> Page[T]:
    """A page of a list that is in memory whole; `key` orders it."""
    place = read_iterator(iterator)
    falling = (order is Ordering.DESCENDING) is not place.backwards
    ordered = sorted(every, key=key, reverse=falling)
    if place.key is not None:
        at = place.key
        ordered = [item for item in ordered if (key(item) < at if falling else key(item) > at)]
    return page_of(ordered[: limit + 1], place=place, limit=limit, key=key, shape=shape)


def names(given: Sequence[str] | None) -> tuple[str, ...]:
    """A list in the query: a repeated parameter, or separated by commas, as the clients write it."""
    return tuple(dict.fromkeys(part for text in given or () for part in text.split(",") if part))
