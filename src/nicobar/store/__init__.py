"""What the rest of Nicobar asks of a database: two narrow protocols, the queue (hot path) and the catalogue
(configuration and look-ups). Every store passes one contract suite, `tests/store`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nicobar.model import (
    Application,
    Attempt,
    Delivery,
    DeliveryState,
    Endpoint,
    EventType,
    Message,
    Record,
    Setting,
    Source,
    Token,
)

# --- the hot path ---


class NewMessage(Record):
    """A verified event on its way to disk. `endpoint_seqs` are the endpoints that want it, each gets a delivery."""

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


class Appended(Record):
    """What became of a `NewMessage`. A duplicate's `message_id` is that of the first message with its event id;
    `taken` says that this one is another event, of another source: nothing was stored.
    """

    message_id: str
    duplicate: bool
    taken: bool = False


class Claimed(Record):
    """A delivery that this worker holds until its lease ends. `lease` has to be shown when the try is recorded.
    `tries` counts the spent ones before this.
    """

    message: Message
    endpoint_seq: int
    lease: int
    tries: int


class Finished(Record):
    """How a try ended. `state` is PENDING for one more try at `due_at_ms`, else a final state. `spent` says
    whether the try counts on the retry schedule. `attempt` is None where nothing was tried, so that there is nothing
    to show. The customer's next delivery becomes due at `ended_at_ms`.
    """

    message_seq: int
    endpoint_seq: int
    lease: int
    state: DeliveryState
    due_at_ms: int | None
    spent: bool
    reason: str | None
    ended_at_ms: int
    attempt: Attempt | None


class Backlog(Record):
    """Unfinished deliveries of one endpoint, and when the oldest one's message was accepted."""

    endpoint_seq: int
    unfinished: int
    oldest_accepted_at_ms: int


class Queue(Protocol):
    """Durable work. Everything that changes something returns after the commit is on disk.

    Order: of the unfinished deliveries of one endpoint and one customer, only the first by acceptance can be
    claimed. Deliveries of messages without a customer key wait for nobody.
    """

    async def append(self, message: NewMessage) -> Appended:
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

    async def backlog(self) -> list[Backlog]:
        """The unfinished deliveries, by endpoint."""
        ...


# --- the catalogue ---


class PutSource(Record, tag=True):
    """Adds the source, or replaces the one with its id."""

    source: Source


class RemoveSource(Record, tag=True):
    source_id: str


class PutEndpoint(Record, tag=True):
    """Adds the endpoint, or replaces the one with its id; its transformations and its pause stay as they are."""

    id: str
    app_id: str
    name: str
    connector: str
    settings: dict[str, Setting]
    sealed_credentials: bytes
    credential_references: dict[str, str]
    event_types: tuple[str, ...]
    variables: dict[str, str]
    disabled: bool


class RemoveEndpoint(Record, tag=True):
    """Takes the endpoint out; its deliveries that are not finished are canceled, its history stays."""

    endpoint_id: str


class AddTransformation(Record, tag=True):
    """Makes `code` the endpoint's newest version, which is the one that runs."""

    endpoint_id: str
    code: str
    created_at_ms: int


class PauseEndpoint(Record, tag=True):
    """Stops sending to the endpoint until it is resumed (`reason` None)."""

    endpoint_id: str
    reason: str | None


class PutEventType(Record, tag=True):
    app_id: str
    event_type: EventType


class PutToken(Record, tag=True):
    """Adds the token, or replaces the one of its name."""

    token: Token


Change = (
    PutSource
    | RemoveSource
    | PutEndpoint
    | RemoveEndpoint
    | AddTransformation
    | PauseEndpoint
    | PutEventType
    | PutToken
)


class Snapshot(Record):
    """The configuration at one moment. `version` grows with every change."""

    version: int
    applications: tuple[Application, ...]
    sources: tuple[Source, ...]
    endpoints: tuple[Endpoint, ...]
    event_types: tuple[EventType, ...]


class Catalogue(Protocol):
    """Configuration and look-ups."""

    async def version(self) -> int:
        """The snapshot's version; cheap, so that processes can ask often."""
        ...

    async def snapshot(self) -> Snapshot:
        """All of the configuration, read in one transaction."""
        ...

    async def change(self, changes: Sequence[Change]) -> int:
        """Makes the changes in one transaction, all or none; returns the new version."""
        ...

    async def tokens(self) -> list[Token]: ...

    async def message(self, message_id: str) -> Message | None: ...

    async def deliveries(self, message_id: str) -> list[Delivery]: ...

    async def attempts(self, message_id: str, endpoint_id: str) -> list[Attempt]:
        """The tries of one delivery, first to last."""
        ...


class Store(Queue, Catalogue, Protocol):
    """A database that holds both."""

    async def check(self) -> None:
        """Raises StoreError unless a write can be committed now."""
        ...

    async def close(self) -> None:
        """Finishes what was handed in, then lets go of the database."""
        ...
