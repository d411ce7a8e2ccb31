"""Lists whose every page has an address: filters and a place in the query."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Generic, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from nicobar.errors import Refusal
from nicobar.model import DeliveryState, Record
from nicobar.store.history import MAX_LOOK, MAX_LOOK_INSIDE, Page
from nicobar.web.dashboard.language import noop
from nicobar.web.query_names import shortened

PAGE = 25
MAX_CHARS = 256
# What one asks for, and the states that this means.
STATES: dict[str, tuple[DeliveryState, ...]] = {
    "": (),
    "succeeded": (DeliveryState.SUCCESS,),
    "failed": (DeliveryState.FAILED,),
    "waiting": (DeliveryState.PENDING, DeliveryState.SENDING),
    "canceled": (DeliveryState.CANCELED,),
}
STATE_TITLES = {
    "": noop("All"),
    "succeeded": noop("Succeeded"),
    "failed": noop("Failed"),
    "waiting": noop("Waiting"),
    "canceled": noop("Canceled"),
}

T = TypeVar("T")


class Place(Record):
    """Where a page begins: newest first `before` an item, or what came `after` one; neither: with the newest."""

    before: str | None = None
    after: str | None = None


class Listed(Record, Generic[T]):
    """A page of a list, newest first, with the addresses of its neighbours; None where nothing lies there. `looked`
    is how many items were looked at where that was the end of the page, 0 where the page is full or the list ended;
    `next` is then the place where the look ended, and `further` goes on from there.
    """

    items: tuple[T, ...]
    newer: str | None
    older: str | None
    newest: str
    looked: int = 0
    next: str | None = None
    further: str | None = None


def address(path: str, **query: str | None) -> str:
    """The path with what is set of the query."""
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def listed(
    found: Page[T],
    place: Place,
    *,
    limit: int,
    key: Callable[[T], str],
    link: Callable[[Place], str],
    inside: bool = False,
) -> Listed[T]:
    """What was found from a place on. `inside` says that bodies were looked into."""
    items = tuple(reversed(found.items)) if place.after is not None else found.items
    first, last = (key(items[0]), key(items[-1])) if items else (None, None)
    newer = older = None
    if place.after is not None:
        newer = found.next
        older = last
    else:
        older = found.next
        newer = first if place.before is not None else None
    ended_early = found.next is not None and len(found.items) < limit
    further = link(Place(after=found.next) if place.after is not None else Place(before=found.next))
    return Listed(
        items=items,
        newer=None if newer is None else link(Place(after=newer)),
        older=None if older is None else link(Place(before=older)),
        newest=link(Place()),
        looked=(MAX_LOOK_INSIDE if inside else MAX_LOOK) if ended_early else 0,
        next=found.next if ended_early else None,
        further=further if ended_early else None,
    )


def unknown_name(name: str, filters: Collection[str]) -> Refusal:
    """For an address with a name in its query that the page does not have."""
    given, names = shortened(name), ", ".join(sorted(filters))
    return Refusal(
        422,
        "unknown_name",
        "This page has no filter named %(given)s.",
        "Use one of %(names)s.",
        given=given,
        names=names,
    )


def invalid_value(name: str, reason: str) -> Refusal:
    """For an address with a value in its query or path that the page cannot read."""
    return Refusal(
        422,
        "invalid_value",
        "Invalid value for %(name)s: %(reason)s.",
        "Correct it in the address.",
        name=name,
        reason=reason,
    )


def zone_of(name: str) -> tuple[tzinfo, str]:
    """The viewer's zone and its name; UTC without one. Raises Refusal 422 for an unknown zone."""
    try:
        return (ZoneInfo(name), name) if name else (UTC, "UTC")
    except (ValueError, KeyError, OSError) as error:
        given = shortened(name)
        raise Refusal(
            422,
            "unknown_zone",
            "There is no time zone named %(given)s.",
            "Use a name such as Europe/Berlin.",
            given=given,
        ) from error


def day_ms(text: str, zone: tzinfo, *, end: bool = False) -> int | None:
    """When a day, written as 2026-03-01, begins in a zone, or ends; None without one. Raises Refusal 422 for text
    that is not a day.
    """
    if not text.strip():
        return None
    try:
        day = date.fromisoformat(text.strip()) + timedelta(days=int(end))
        return int(datetime.combine(day, time(), zone).timestamp() * 1000)
    except (ValueError, OverflowError, OSError) as error:
        given = shortened(text)
        raise Refusal(
            422, "not_a_day", "%(given)s is not a valid day.", "Write it as 2026-03-01.", given=given
        ) from error


def known_state(text: str) -> str:
    """Raises Refusal 422 for a state that does not exist."""
    if text not in STATES:
        given, names = shortened(text), ", ".join(state for state in STATES if state)
        raise Refusal(
            422,
            "unknown_state",
            "There is no state named %(given)s.",
            "Use one of %(names)s.",
            given=given,
            names=names,
        )
    return text


def percentile(values: Sequence[int], share: float) -> int | None:
    """The value that so large a share of the values does not exceed; None of none."""
    if not values:
        return None
    return sorted(values)[max(0, -(-len(values) * int(share * 100) // 100) - 1)]
