"""Merges of people at a destination that a user asked for: their customers, and what came of each."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from nicobar.model import Record
from nicobar.people import Identifier
from nicobar.reasons import Reason
from nicobar.store.catalogue import Audited

# The latest merges are kept, up to this number.
MAX_MERGES = 100


class MergeStatus(StrEnum):
    """STOPPED: the reason for it no longer holds; `reason` says why."""

    RUNNING = "running"
    FINISHED = "finished"
    CANCELED = "canceled"
    STOPPED = "stopped"


class PairState(StrEnum):
    """`waiting → identified → merged`: the primary was identified, then the merge was accepted; or else the
    destination rejected it, there was nothing to merge, or the merge ended before. MERGED with a reason: they were
    one person.
    """

    WAITING = "waiting"
    IDENTIFIED = "identified"
    MERGED = "merged"
    REJECTED = "rejected"
    SKIPPED = "skipped"
    CANCELED = "canceled"


OPEN_STATES = (PairState.WAITING, PairState.IDENTIFIED)


class Pair(Record):
    """Two people who are one customer. `changed_at_ms` is when the pair got into its state, 0 at first."""

    customer_key: str
    secondary: Identifier
    primary: Identifier
    number: int = 0
    state: PairState = PairState.WAITING
    changed_at_ms: int = 0
    reason: Reason | None = None


class NewMerge(Record):
    """A merge of these pairs. `rule` is what identified people when it began, as text."""

    id: str
    app_id: str
    endpoint_seq: int
    endpoint_id: str
    rule: str
    created_at_ms: int
    pairs: tuple[Pair, ...]


class Merge(Record):
    """A merge and its progress. `reason` says why it waits or was stopped."""

    seq: int
    id: str
    app_id: str
    endpoint_seq: int
    endpoint_id: str
    rule: str
    status: MergeStatus
    reason: Reason | None
    created_at_ms: int
    updated_at_ms: int
    counts: dict[PairState, int] = {}

    @property
    def expected(self) -> int:
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        return self.expected - sum(self.counts.get(state, 0) for state in OPEN_STATES)


class SentCustomer(Record):
    """A customer by the sender's id, and whether the endpoint was sent something under that id."""

    customer_key: str
    by_sender_id: bool


class Merges(Protocol):
    """Merges, latest first, and whom they could be about."""

    async def sent_customers(
        self, app_id: str, endpoint_seq: int, *, after: str, limit: int
    ) -> tuple[SentCustomer, ...]:
        """The next customers of an application, by key."""
        ...

    async def sent_identifiers(self, app_id: str, endpoint_seq: int, customer_key: str) -> tuple[str, ...]:
        """The values by which deliveries of a customer were ordered that the endpoint accepted, latest first."""
        ...

    async def another_has_email(self, app_id: str, customer_key: str, email: str) -> bool:
        """Whether a message of another customer has this address. Reads all there is."""
        ...

    async def merged_before(self, endpoint_seq: int, values: Sequence[str]) -> frozenset[str]:
        """Which of these secondary identifiers were merged."""
        ...

    async def add_merge(self, new: NewMerge, *, audit_line: Audited | None = None) -> Merge | None:
        """Stores the merge; None where another one of the endpoint is running."""
        ...

    async def merge(self, merge_id: str) -> Merge | None: ...

    async def merges(self, endpoint_seq: int, *, limit: int) -> tuple[Merge, ...]: ...

    async def open_merges(self) -> tuple[Merge, ...]:
        """Running merges, oldest first."""
        ...

    async def merge_pairs(self, merge_seq: int, *, after: int, limit: int) -> tuple[Pair, ...]:
        """The pairs with a higher number than `after`."""
        ...

    async def pairs_to_do(self, merge_seq: int, state: PairState, *, limit: int) -> tuple[Pair, ...]:
        """The next pairs in this state."""
        ...

    async def unfinished_among(self, endpoint_seq: int, values: Sequence[str]) -> frozenset[str]:
        """By which of these values unfinished deliveries of the endpoint are ordered."""
        ...

    async def put_pairs(self, merge_seq: int, pairs: Sequence[Pair], *, now_ms: int) -> None:
        """Stores what came of these pairs. One that was canceled meanwhile stays so, unless it was merged."""
        ...

    async def put_merge(self, merge_seq: int, status: MergeStatus, reason: Reason | None, *, now_ms: int) -> None:
        """Ends a running merge, or says why it waits. Pairs that are left are canceled with its end."""
        ...

    async def cancel_merge(self, merge_id: str, *, now_ms: int, audit_line: Audited | None = None) -> Merge | None:
        """Cancels a running merge; others are left alone. None if there is no merge with that id."""
        ...

    async def forget_merges(self, *, before_ms: int, limit: int) -> int:
        """Deletes up to `limit` pairs of merges that ended before `before_ms`, and those merges; returns how many
        pairs.
        """
        ...
