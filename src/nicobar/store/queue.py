"""The hot path: durable work, and the health of where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from nicobar.model import Attempt, Breaker, DeliveryState, Json, Message, Record
from nicobar.reasons import Reason
from nicobar.store.catalogue import Audited


class NewMessage(Record):
    """A verified event on its way to disk. `endpoint_seqs` are the endpoints that want it, each gets a delivery; it
    is due at `deliver_at_ms` where that is set, and then waits for nobody and holds up nobody.
    """

    id: str
    app_id: str
    source_id: str
    event_id: str
    event_type: str
    customer_key: str | None
    occurred_at_ms: int
    accepted_at_ms: int
    body: bytes
    endpoint_seqs: tuple[int, ...]
    channels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    params: Json = None
    deliver_at_ms: int | None = None


class Appended(Record):
    """What became of a `NewMessage`. A duplicate's `message_id` is that of the first message with its event id;
    `taken` says that this one is another event, of another source: nothing was stored.
    """

    message_id: str
    duplicate: bool
    taken: bool = False


class Claimed(Record):
    """A delivery that this worker holds until its lease ends. `lease` has to be shown when the try is recorded.
    `tries` counts the spent ones before this, `edition` how often ids of its own were asked for, `replay_key` by what
    (see `Delivery`); `manual` says that somebody asked for this delivery again.
    """

    message: Message
    endpoint_seq: int
    lease: int
    tries: int
    edition: int = 0
    manual: bool = False
    replay_key: str | None = ""


class Finished(Record):
    """How a try ended. `state` is PENDING for one more try at `due_at_ms`, else a final state. `spent` says
    whether the try counts on the retry schedule. `attempt` is None where nothing was tried, so that there is nothing
    to show. `failure` is what equal failures have in common, for FAILED. The customer's next delivery becomes due at
    `ended_at_ms`.
    """

    message_seq: int
    endpoint_seq: int
    lease: int
    state: DeliveryState
    due_at_ms: int | None
    spent: bool
    reason: Reason | None
    ended_at_ms: int
    attempt: Attempt | None
    failure: str | None = None


class Backlog(Record):
    """Unfinished deliveries of one endpoint, and when the oldest one's message was accepted."""

    endpoint_seq: int
    unfinished: int
    oldest_accepted_at_ms: int


class Queue(Protocol):
    """Durable work. Everything that changes something returns after the commit is on disk.

    Order: of the unfinished deliveries of one endpoint and one customer, only the first can be claimed: first by
    acceptance, replayed ones behind all that were there when they were asked for. Deliveries of messages without a
    customer key wait for nobody.
    """

    async def append(self, message: NewMessage, *, audit_line: Audited | None = None) -> Appended:
        """Stores the message and its deliveries in one transaction, or finds the message of that event id.

        Raises StoreBusy when the bound of the write queue is hit, StoreUnavailable when the disk refuses.
        """
        ...

    async def claim(
        self, endpoint_seq: int, *, now_ms: int, limit: int, max_bytes: int, lease_ms: int
    ) -> list[Claimed]:
        """Takes due deliveries of one endpoint, first come first served: at most `limit`, whose bodies together
        have at most `max_bytes` (the first always fits). Leases that have ended are taken over.
        """
        ...

    async def record(self, finished: Sequence[Finished]) -> int:
        """Keeps the attempts and moves the deliveries on, all in one transaction; a finished one makes the next
        of its customer due. A lease that is no longer held keeps its attempt but moves nothing. Returns how many
        moved.
        """
        ...

    async def next_due_at_ms(self, endpoint_seq: int) -> int | None:
        """When the endpoint's next delivery becomes due or its lease ends; None if none will by itself."""
        ...

    async def release_leases(self) -> int:
        """Makes everything that is being sent due again, for a worker that knows that it is the only one, at its
        start. Returns how many there were.
        """
        ...

    async def shift_times(self, *, after_ms: int, by_ms: int) -> int:
        """Moves what is due after that time by so much, leases too: the machine's clock was set by `by_ms`, so what
        was five minutes away still is. Returns how many were moved.
        """
        ...

    async def bound_times(self, *, now_ms: int, latest_ms: int) -> int:
        """Makes what waits for its first try due now, and nothing due later than `latest_ms`, except what somebody
        wanted later: for a start at which the clock may be behind what it was. Returns how many were moved.
        """
        ...

    async def backlog(self, endpoint_seq: int | None = None) -> list[Backlog]:
        """The unfinished deliveries by endpoint, or those of one endpoint; an endpoint without any is left out. All
        of them are counted: where one endpoint is shown, ask for that one.
        """
        ...

    async def breakers(self) -> Mapping[int, Breaker]:
        """The breakers that were kept, by the endpoints' `seq`."""
        ...

    async def keep_breaker(self, endpoint_seq: int, breaker: Breaker) -> None:
        """Keeps it for the next start and for whoever looks."""
        ...
