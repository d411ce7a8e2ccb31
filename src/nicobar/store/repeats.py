"""Calls that set a person's attributes and are sent once more: the destination may have processed them in another
order than they were sent. They are kept with the result of the delivery that sent them (`Finished.repeats`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from nicobar.model import Record

# How long after the newest call of a person it is sent once more.
REPEAT_AFTER_MS = 120_000


class RepeatChange(Record):
    """What the calls of a delivery change of what is to be sent once more about a person: `joined` is kept if the row
    that it was joined with still has this `turn`, else `alone`; nothing is kept if that is None. `order_key` is that
    of the delivery.
    """

    person: str
    order_key: str | None = None
    due_at_ms: int = 0
    turn: int = 0
    joined: bytes | None = None
    alone: bytes | None = None


class KeptRepeat(Record):
    """What is to be sent once more about a person, or was (`is_sent`), a short time ago."""

    person: str
    order_key: str | None
    turn: int
    is_sent: bool
    content: bytes


class DueRepeat(Record):
    """What is sent once more now. `catalogue_version` is that of the configuration at the time."""

    person: str
    turn: int
    content: bytes
    catalogue_version: int


class RepeatEnd(Record):
    """The result of a call that was due. Sent (`sent_at_ms`), it is forgotten at `due_at_ms`; otherwise it is due
    again then. None deletes it.
    """

    person: str
    turn: int
    due_at_ms: int | None = None
    sent_at_ms: int | None = None


class RecentOrders(Record):
    """The orders of deliveries that were attempted recently. `is_whole` says that these are all."""

    order_keys: frozenset[str | None]
    is_whole: bool


class Repeats(Protocol):
    """What is sent once more. Changes need the endpoint's lease of this term; without it, nothing changes."""

    async def repeats_of_people(
        self, endpoint_seq: int, people: Collection[str], order_keys: Collection[str]
    ) -> list[KeptRepeat]:
        """What is kept of these people, and of deliveries in these orders."""
        ...

    async def due_repeats(self, endpoint_seq: int, *, term: int, now_ms: int, limit: int) -> list[DueRepeat]:
        """What is due, the longest due first, except what unfinished deliveries in the same order may replace."""
        ...

    async def settle_repeats(self, endpoint_seq: int, *, term: int, now_ms: int, ended: Sequence[RepeatEnd]) -> None:
        """Stores results, except for what was replaced meanwhile, and forgets what was sent and is due."""
        ...

    async def next_repeat_at_ms(self, endpoint_seq: int) -> int | None:
        """When the next one of an endpoint is due; None if there is none."""
        ...

    async def recent_orders(self, endpoint_seq: int, *, since_ms: int) -> RecentOrders:
        """The orders of the endpoint's deliveries that were attempted since then."""
        ...

    async def forget_repeats(self, *, limit: int) -> int:
        """Deletes what is kept for deleted endpoints; returns how many."""
        ...
