"""Keyset pagination in both directions. An iterator is opaque: a direction and the key before the page."""

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
from nicobar.web.query_names import shortened

DEFAULT_LIMIT = 50
MAX_LIMIT = 250
_NEXT, _BEFORE = ">", "<"
_MAX_KEY_CHARS = 512

I = TypeVar("I")  # noqa: E741 - an item
T = TypeVar("T")


class Ordering(StrEnum):
    """`ascending` or `descending`."""

    ASCENDING = "ascending"
    DESCENDING = "descending"


Limit = Annotated[
    int, Meta(ge=1, le=MAX_LIMIT, description="Maximum number of items per page. Defaults to 50. Maximum 250.")
]
Iterator = (
    Annotated[
        str,
        Meta(
            max_length=1_024,
            description="The `iterator` or `prevIterator` of a previous page. Defaults to the first page.",
        ),
    ]
    | None
)
Order = Annotated[Ordering | None, Meta(description="Sort order. Defaults to `descending` (newest first).")]
OrderByName = Annotated[Ordering | None, Meta(description="Sort order by name. Defaults to `ascending`.")]


NoPlay = Annotated[bool | None, Meta(description="No effect. Accepted for compatibility with Svix clients.")]


class Place(Record):
    """The start of a page: after the item with this key, or before it if `backwards`. Without a key, the start of the
    list.
    """

    key: str | None = None
    backwards: bool = False


def read_iterator(text: str | None) -> Place:
    """Raises Invalid."""
    if not text:
        return Place()
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        raw = ""
    if raw[:1] not in {_NEXT, _BEFORE} or not 1 < len(raw) <= _MAX_KEY_CHARS:
        raise invalid_iterator(text)
    return Place(key=raw[1:], backwards=raw[0] == _BEFORE)


def invalid_iterator(text: str) -> Invalid:
    return Invalid("query.iterator", f'Invalid iterator "{shortened(text)}".', "Use the iterator of a previous page.")


def write_iterator(key: str, *, backwards: bool) -> str:
    raw = f"{_BEFORE if backwards else _NEXT}{key}"
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def page_of(
    found: Sequence[I], *, place: Place, limit: int, key: Callable[[I], str], shape: Callable[[I], T]
) -> Page[T]:
    """A page of `found`, the items from a place on, nearest first. It has one item more than `limit` if more items
    follow.
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
    """A page of a list in memory, sorted by `key`."""
    place = read_iterator(iterator)
    falling = (order is Ordering.DESCENDING) is not place.backwards
    ordered = sorted(every, key=key, reverse=falling)
    if place.key is not None:
        at = place.key
        ordered = [item for item in ordered if (key(item) < at if falling else key(item) > at)]
    return page_of(ordered[: limit + 1], place=place, limit=limit, key=key, shape=shape)


def names(given: Sequence[str] | None) -> tuple[str, ...]:
    """A list in the query: a repeated parameter, or values separated by commas."""
    return tuple(dict.fromkeys(part for text in given or () for part in text.split(",") if part))
