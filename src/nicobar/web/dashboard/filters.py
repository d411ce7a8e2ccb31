"""Lists whose pages all have URLs: filters and a position in the query."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Generic, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from nicobar.clock import unix_ms
from nicobar.errors import Refusal
from nicobar.model import WARNED, DeliveryState, Record
from nicobar.store.history import MAX_LOOK, MAX_LOOK_INSIDE, Page
from nicobar.web.dashboard.language import noop
from nicobar.web.query_names import shortened

PAGE = 25
MAX_CHARS = 256
# The filter's values, and the states that each stands for. WARNED is a part of those that succeeded (`is_warned`).
STATES: dict[str, tuple[DeliveryState, ...]] = {
    "": (),
    "succeeded": (DeliveryState.SUCCESS,),
    WARNED: (DeliveryState.SUCCESS,),
    "failed": (DeliveryState.FAILED,),
    "waiting": (DeliveryState.PENDING, DeliveryState.SENDING),
    "canceled": (DeliveryState.CANCELED,),
}
STATE_TITLES = {
    "": noop("All"),
    "succeeded": noop("Delivered"),
    WARNED: noop("Delivered with warnings"),
    "failed": noop("Failed"),
    "waiting": noop("Waiting"),
    "canceled": noop("Canceled"),
}

T = TypeVar("T")


class Place(Record):
    """The position of a page, newest first: `before` an item or `after` one; neither for the newest page."""

    before: str | None = None
    after: str | None = None


class Listed(Record, Generic[T]):
    """A page of a list, newest first, with the URLs of its neighbors; None if there are none. `looked` is the number
    of items searched if the search stopped early, else 0; `next` is then where it stopped, and `further` continues
    from there.
    """

    items: tuple[T, ...]
    newer: str | None
    older: str | None
    newest: str
    looked: int = 0
    next: str | None = None
    further: str | None = None


def address(path: str, **query: str | None) -> str:
    """The path with the query parameters that are set."""
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
    """The page of results from a position. `inside` says that payloads were searched."""
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
    """For a query parameter that the page does not have."""
    given, names = shortened(name), ", ".join(sorted(filters))
    return Refusal(
        422,
        "unknown_name",
        "Unknown filter: %(given)s.",
        "Use one of: %(names)s.",
        given=given,
        names=names,
    )


def invalid_value(name: str, reason: str) -> Refusal:
    """For a value in the query or path that the page cannot parse."""
    return Refusal(
        422,
        "invalid_value",
        "Invalid value for %(name)s: %(reason)s.",
        "Correct the value in the URL.",
        name=name,
        reason=reason,
    )


def zone_of(name: str) -> tuple[tzinfo, str]:
    """The viewer's time zone and its name; defaults to UTC. Raises Refusal 422 for an unknown zone."""
    try:
        return (ZoneInfo(name), name) if name else (UTC, "UTC")
    except (ValueError, KeyError, OSError) as error:
        given = shortened(name)
        raise Refusal(
            422,
            "unknown_zone",
            "Unknown time zone: %(given)s.",
            "Use a name such as Europe/Berlin.",
            given=given,
        ) from error


def day_ms(text: str, zone: tzinfo, *, end: bool = False) -> int | None:
    """The start of a day such as 2026-03-01 in a time zone, or its end; None without a day. Raises Refusal 422 for an
    invalid date.
    """
    if not text.strip():
        return None
    try:
        day = date.fromisoformat(text.strip()) + timedelta(days=int(end))
        return unix_ms(datetime.combine(day, time(), zone))
    except (ValueError, OverflowError, OSError) as error:
        given = shortened(text)
        raise Refusal(
            422, "not_a_day", "Invalid date: %(given)s.", "Use the format 2026-03-01.", given=given
        ) from error


def known_state(text: str) -> str:
    """Raises Refusal 422 for an unknown status."""
    if text not in STATES:
        given, names = shortened(text), ", ".join(state for state in STATES if state)
        raise Refusal(
            422,
            "unknown_state",
            "Unknown status: %(given)s.",
            "Use one of: %(names)s.",
            given=given,
            names=names,
        )
    return text


def is_warned(state: str) -> bool | None:
    """Whether a value of the filter asks for warnings; None if it does not matter."""
    return True if state == WARNED else None


def percentile(values: Sequence[int], share: float) -> int | None:
    """The smallest value that is at least as large as that share of the values; None without values."""
    if not values:
        return None
    return sorted(values)[max(0, -(-len(values) * int(share * 100) // 100) - 1)]
