"""Pages: what lies between two places of a list, in either direction, after a bounded look."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from nicobar.ids import first_id
from nicobar.store import history
from nicobar.store.history import MAX_PAGE, AttemptFilter, MessageFilter, Page
from nicobar.store.session import Row, Session
from nicobar.store.tables.base import existing
from nicobar.store.tables.rows import MESSAGE_COLUMNS

T = TypeVar("T")

# How far an id's time may be from the time that its row is asked for: an attempt gets its id when it ends.
_SLACK_MS = 600_000
_ABOVE_ALL = 2**63 - 1
NEWEST_SEQ = _ABOVE_ALL - 1
_MAX_DIGITS = 18
_ABOVE_ALL_IDS = "~"
# Bodies are looked into by so many at once.
_BODIES_AT_ONCE = 50


class Span(NamedTuple):
    """What lies between two places, both excluded. `place` is the place of a row, `name` that place as text."""

    above: int | str
    below: int | str
    newest_first: bool
    place: Callable[[Row], int | str]
    name: Callable[[int | str], str]


class Rows(NamedTuple):
    """The rows of a page, and where the next one begins."""

    rows: Sequence[Row]
    next: str | None

    def read(self, read: Callable[[Row], T]) -> Page[T]:
        return Page(items=tuple(read(row) for row in self.rows), next=self.next)


def span_of_messages(
    session: Session,
    which: MessageFilter,
    before: str | None,
    after: str | None,
    until_seq: int = NEWEST_SEQ,
) -> Span:
    """In the order of acceptance up to `until_seq`; places are ids of messages, times are looked up by the ids of
    their second.
    """
    lowest = [0]
    highest = [until_seq + 1]
    if which.since_ms is not None:
        lowest.append(_seq_until(session, first_id("msg", which.since_ms - _SLACK_MS)))
    if which.until_ms is not None:
        highest.append(_seq_from(session, first_id("msg", which.until_ms + _SLACK_MS)))
    if after is not None:
        lowest.append(_seq_until(session, after))
    elif before is not None:
        highest.append(_seq_from(session, before))

    def name(place: int | str) -> str:
        (message_id,) = existing(session.row("message_id", {"seq": place}))
        return str(message_id)

    return Span(max(lowest), min(highest), after is None, lambda row: row[0], name)


def span_of_attempts(
    which: AttemptFilter, before: str | None, after: str | None, until_ms: int | None = None
) -> Span:
    """In the order of ids, up to those made at `until_ms`."""
    lowest = [after or ""]
    highest = [_ABOVE_ALL_IDS if before is None or after is not None else before]
    if until_ms is not None:
        highest.append(first_id("atmpt", until_ms))
    if which.since_ms is not None:
        lowest.append(first_id("atmpt", which.since_ms - _SLACK_MS))
    if which.until_ms is not None:
        highest.append(first_id("atmpt", which.until_ms + _SLACK_MS))
    return Span(max(lowest), min(highest), after is None, lambda row: row[MESSAGE_COLUMNS + 1], str)


def span_of_numbers(before: str | None, after: str | None) -> Span:
    below = _ABOVE_ALL if before is None or after is not None else _number(before)
    return Span(_number(after or "0"), below, after is None, lambda row: row[0], str)


def _number(place: str) -> int:
    """A number that no row has may have any number of digits."""
    return _ABOVE_ALL if len(place) > _MAX_DIGITS else int(place)


def _seq_from(session: Session, message_id: str) -> int:
    row = session.row("first_message_from", {"id": message_id})
    return _ABOVE_ALL if row is None else int(row[0])


def _seq_until(session: Session, message_id: str) -> int:
    row = session.row("last_message_until", {"id": message_id})
    return 0 if row is None else int(row[0])


def page(
    session: Session,
    name: str,
    values: Mapping[str, object],
    span: Span,
    limit: int,
    *,
    look: int | None = 0,
    fits: Callable[[Row], bool] | None = None,
) -> Rows:
    """A page of the list, of its next `look` rows: MAX_LOOK of them for 0, all of them for None."""
    check_limit(limit)
    direction, moving = ("before", "below") if span.newest_first else ("after", "above")
    bounds: dict[str, object] = {"above": span.above, "below": span.below, "look": look or history.MAX_LOOK}
    next_place = None
    if look is not None:
        ends = session.rows(f"edge_of_{name}_{direction}", {**values, **bounds})
        if len(ends) > 1:
            next_place = ends[0][0]
            bounds["above" if span.newest_first else "below"] = ends[1][0]
    if fits is None:
        rows = session.rows(f"{name}_{direction}", {**values, **bounds, "limit": limit + 1})
    else:
        rows = []
        more: list[Row] | None = None
        while len(rows) <= limit and (more is None or len(more) == _BODIES_AT_ONCE):
            more = session.rows(f"{name}_{direction}", {**values, **bounds, "limit": _BODIES_AT_ONCE})
            rows += filter(fits, more)
            if more:
                bounds[moving] = span.place(more[-1])
    if len(rows) > limit:
        next_place = span.place(rows[limit - 1])
    return Rows(rows[:limit], None if next_place is None else span.name(next_place))


def check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_PAGE:  # the caller has checked it
        raise AssertionError(limit)
