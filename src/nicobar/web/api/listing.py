"""Parameters and pages of the lists of messages and attempts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, TypedDict, TypeVar

import msgspec
from msgspec import Meta

from nicobar.clock import unix_ms
from nicobar.store.history import Page as Found
from nicobar.web.api.errors import Invalid
from nicobar.web.api.lookups import MAX_KEY_CHARS
from nicobar.web.api.paging import Ordering, Place, write_iterator
from nicobar.web.api.shapes import Page
from nicobar.web.query_names import shortened

I = TypeVar("I")  # noqa: E741 - an item
T = TypeVar("T")

MessageKey = Annotated[str, Meta(description="The message's ID or `eventId`.", max_length=MAX_KEY_CHARS)]
# Strings, since a time without a zone is accepted as UTC.
TIME = {"format": "date-time"}
Before = Annotated[
    str | None, Meta(description="Filter by time: only items before this time (RFC 3339).", extra_json_schema=TIME)
]
After = Annotated[
    str | None, Meta(description="Filter by time: only items after this time (RFC 3339).", extra_json_schema=TIME)
]
EventTypes = Annotated[
    list[Annotated[str, Meta(max_length=16_384)]] | None,
    Meta(description="Filter by event type. Repeat the parameter or separate values with commas."),
]
ChannelFilter = Annotated[str, Meta(max_length=128, description="Filter by channel.")] | None
TagFilter = Annotated[str, Meta(max_length=128, description="Filter by tag.")] | None
WithContent = Annotated[bool, Meta(description="Include payloads and responses. Defaults to true.")]
Expanded = Annotated[
    bool,
    Meta(description="Return canceled deliveries as status 4 (canceled) instead of 0 (success). Defaults to false."),
]


class Span(TypedDict):
    """The bounds of a page, as arguments of the store."""

    before: str | None
    after: str | None


def span_of(place: Place, order: Ordering = Ordering.DESCENDING, *, start: str = "") -> Span:
    """The bounds of the page that starts at a place. `start` is before the first item."""
    if (order is Ordering.DESCENDING) is not place.backwards:
        return Span(before=place.key, after=None)
    return Span(before=None, after=start if place.key is None else place.key)


def page_of_found(found: Found[I], *, place: Place, key: Callable[[I], str], shape: Callable[[I], T]) -> Page[T]:
    """A page of the API. If a search stopped at its limit of rows, the next page continues there."""
    items = list(found.items)
    ends = [key(item) for item in items]
    first = ends[0] if ends else place.key
    last = found.next or (ends[-1] if ends else place.key)
    if place.backwards:
        items.reverse()
        first, last = last, first
    return Page(
        data=[shape(item) for item in items],
        iterator=None if last is None else write_iterator(last, backwards=False),
        prev_iterator=None if first is None else write_iterator(first, backwards=True),
        done=found.next is None,
    )


def since(after: str | datetime | None, where: str = "query.after") -> int | None:
    """The first millisecond after a time. Raises Invalid."""
    return None if after is None else ms_of(after, where) + 1


def until(before: str | datetime | None, where: str = "query.before") -> int | None:
    """Raises Invalid."""
    return None if before is None else ms_of(before, where)


def ms_of(at: str | datetime, where: str) -> int:
    """The Unix time in milliseconds. A time without a zone is UTC, as in the public clients. Raises Invalid."""
    try:
        moment = msgspec.convert(at, datetime)
    except msgspec.ValidationError as error:
        name = where.rpartition(".")[2]
        raise Invalid(
            where, f'{name} is not a time: "{shortened(str(at))}".', "Use RFC 3339: 2026-03-01T09:30:00Z."
        ) from error
    return unix_ms(moment)
