"""Pages of a list by position, in both directions: `before` or `after` a number in the query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Generic, TypeVar

from msgspec import Meta

from nicobar.model import Record
from nicobar.store.history import Page

T = TypeVar("T")

PAGE = 25
# A position; at most as many digits as SQLite's integers have.
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)] | None


class Shown(Record, Generic[T]):
    """A page, newest first; `newer` and `older` are the positions of its neighbors, None if there are none."""

    items: tuple[T, ...]
    newer: str | None
    older: str | None


def text(place: int | None) -> str | None:
    return None if place is None else str(place)


def shown(found: Page[T], *, before: int | None, after: int | None, key: Callable[[T], str]) -> Shown[T]:
    """The items `before` a position, newest first, or `after` one, oldest first."""
    items = found.items
    if after is not None:
        items = tuple(reversed(items))
        return Shown(items=items, newer=found.next, older=key(items[-1]) if items else str(after))
    newer = None if before is None else key(items[0]) if items else str(max(0, before - 1))
    return Shown(items=items, newer=newer, older=found.next)
