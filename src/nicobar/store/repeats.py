"""Calls that set a person's attributes and are repeated: the destination may have processed them in another
order than they were sent. They are kept with the result of the delivery that sent them (`Finished.repeats`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from nicobar.model import Record

# How long after the newest call of a person it is repeated.
REPEAT_AFTER_MS = 120_000
# What could not be sent for so long is not sent: others may have set newer values since.
MAX_LATE_MS = 86_400_000


class KeptRepeat(Record):
    """What is to be repeated about a person, or was (`is_sent`), a short time ago. `order_key` is that of the
    delivery that sent the last call.
    """

    person: str
    order_key: str | None
    is_sent: bool
    content: bytes


class RepeatChange(Record):
    """What is kept of a person from now on; nothing with `content` None."""

    person: str
    order_key: str | None = None
    due_at_ms: int = 0
    content: bytes | None = None


class RepeatSteps(Protocol):
    """What the calls of a delivery change of what is repeated. It is decided in the transaction that stores the
    result of the delivery, so that endpoints that share a workspace do not overwrite each other's calls, and nothing
    that is deleted meanwhile returns.
    """

    @property
    def place(self) -> str:
        """The workspace. Of several endpoints there, the last one to send a call repeats it."""
        ...

    @property
    def beside(self) -> Collection[int]:
        """The other endpoints there."""
        ...

    @property
    def people(self) -> Collection[str]: ...

    @property
    def order_key(self) -> str | None: ...

    def changes(self, kept: Mapping[str, KeptRepeat]) -> Sequence[RepeatChange]:
        """By what is kept, by person: at least of these people, and of deliveries in this order. Never raises."""
        ...


class DueRepeat(Record):
    """What is repeated now. `catalogue_version` is that of the configuration at the time."""

    place: str
    person: str
    turn: int
    content: bytes
    catalogue_version: int


class RepeatEnd(Record):
    """The result of a call that was due. Sent (`sent_at_ms`), it is deleted at `due_at_ms`; otherwise it is due
    again then. None deletes it.
    """

    place: str
    person: str
    turn: int
    due_at_ms: int | None = None
    sent_at_ms: int | None = None


class RecentOrders(Record):
    """The orders of deliveries that were attempted recently. `is_whole` says that these are all."""

    order_keys: frozenset[str | None]
    is_whole: bool


class Repeats(Protocol):
    """What is repeated. Changes need the endpoint's lease of this term; without it, nothing changes."""

    async def due_repeats(
        self, endpoint_seq: int, *, term: int, now_ms: int, limit: int, beside: Collection[int] = ()
    ) -> list[DueRepeat]:
        """What is due, the longest due first, but not for longer than MAX_LATE_MS, and not what unfinished deliveries
        in the same order may replace, of this endpoint and those `beside` it.
        """
        ...

    async def settle_repeats(self, endpoint_seq: int, *, term: int, now_ms: int, ended: Sequence[RepeatEnd]) -> None:
        """Stores results, except for what was replaced meanwhile, and deletes those that were sent and are due."""
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
