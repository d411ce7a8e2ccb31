"""Pages of what happened, as the API's pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, TypedDict, TypeVar

import msgspec
from msgspec import Meta

from nicobar.store.history import Page as Found
from nicobar.web.api.errors import Invalid
from nicobar.web.api.lookups import MAX_KEY_CHARS
from nicobar.web.api.paging import Ordering, Place, write_iterator
from nicobar.web.api.shapes import Page, unix_ms

I = TypeVar("I")  # noqa: E741 - an item
T = TypeVar("T")

MessageKey = Annotated[
    str, Meta(description="The message's id, or the `eventId` that it was sent with.", max_length=MAX_KEY_CHARS)
]
# Texts: a time without a zone is accepted as UTC.
TIME = {"format": "date-time"}
Before = Annotated[str | None, Meta(description="Only what is older than this time.", extra_json_schema=TIME)]
After = Annotated[str | None, Meta(description="Only what is newer than this time.", extra_json_schema=TIME)]
EventTypes = Annotated[
    list[Annotated[str, Meta(max_length=16_384)]] | None,
    Meta(description="Only these event types: repeated, or separated by commas."),
]
ChannelFilter = Annotated[str, Meta(max_length=128, description="Only messages of this channel.")] | None
TagFilter = Annotated[str, Meta(max_length=128, description="Only messages with this tag.")] | None
WithContent = Annotated[bool, Meta(description="Whether payloads and answers are shown too.")]
Expanded = Annotated[bool, Meta(description="Whether what was canceled is shown as such, and not as a success.")]


class Span(TypedDict):
    """The places that a page lies between, as the store takes them."""

    before: str | None
    after: str | None


def span_of(place: Place, order: Ordering = Ordering.DESCENDING, *, start: str = "") -> Span:
    """What the store is asked for a page from this place on. `start` lies before the first item."""
    if (order is Ordering.DESCENDING) is not place.backwards:
        return Span(before=place.key, after=None)
    return Span(before=None, after=start if place.key is None else place.key)


def page_of_found(found: Found[I], *, place: Place, key: Callable[[I], str], shape: Callable[[I], T]) -> Page[T]:
    """A page as it was found. One that looked at enough rows without filling up goes on where that look ended."""
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
    """The first millisecond that is newer. Raises Invalid."""
    return None if after is None else ms_of(after, where) + 1


def until(before: str | datetime | None, where: str = "query.before") -> int | None:
    """Raises Invalid."""
    return None if before is None else ms_of(before, where)


def ms_of(at: str | datetime, where: str) -> int:
    """Without a zone it is taken for UTC, as the clients mean it. Raises Invalid for what is no RFC 3339 time."""
    try:
        moment = msgspec.convert(at, datetime)
    except msgspec.ValidationError as error:
        raise Invalid(where, "It is no time.", "Write it as 2026-03-01T09:30:00Z.") from error
    return unix_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
