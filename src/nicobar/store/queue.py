"""The hot path: deliveries, and the breakers of their endpoints."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Protocol

from nicobar.facts import About, StatedFact
from nicobar.model import Attempt, Breaker, DeliveryState, Json, Message, Outage, Record, Setbacks
from nicobar.people import IdentityRule
from nicobar.reasons import Reason
from nicobar.store.catalogue import Audited
from nicobar.store.repeats import RepeatSteps

# Other bodies under one event id of one source that are kept, and their bytes; the first ones stay.
MAX_REVISIONS = 10
MAX_REVISIONS_BYTES = 2 * 1024 * 1024


class NewMessage(Record):
    """A verified event to be stored. Each endpoint of `endpoint_seqs` gets a delivery. With `deliver_at_ms` the
    deliveries are due at that time, outside the order of their customer. `customer_email` and `customer_name` as in
    `Message`. `facts` are what it states; with `about` its customer is completed from earlier facts. `rules` say by
    what the deliveries of an endpoint are ordered; those of the others by the sender's customer id.
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
    customer_email: str | None = None
    customer_name: str | None = None
    about: About | None = None
    facts: tuple[StatedFact, ...] = ()
    rules: dict[int, IdentityRule] = {}


class Appended(Record):
    """The outcome of appending a `NewMessage`. A duplicate's `message_id` is that of the first message with its event
    id; `taken` says that the event id belongs to a different event of another source: nothing was stored. `revised`
    says that the same source sent another body under it, which is kept beside the first, and not delivered.
    """

    message_id: str
    duplicate: bool
    taken: bool = False
    revised: bool = False


class SentKey(Record):
    """An event id made of a natural key, and who sent it first to a workspace of a destination."""

    workspace: str
    event_id: str
    message_id: str
    endpoint_id: str
    sent_at_ms: int


# Deliveries accepted within this time, and not attempted yet, get their share of a claim as new ones.
NEW_MS = 300_000


class Shares(Record):
    """How a claim shares out its places. `oldest_new` and `newest_new` of them go to new deliveries (accepted within
    NEW_MS, not attempted, first of their customer), the rest, and places left, to those due longest. `chains` says
    that a customer's next deliveries may be claimed together with its first.
    """

    oldest_new: int = 0
    newest_new: int = 0
    chains: bool = False


NO_SHARES = Shares()


class Claimed(Record):
    """A delivery that this worker holds until its lease expires. `lease` has to be presented with the result.
    `attempts_used` counts attempts of the retry schedule so far, `edition` how often new event ids were requested,
    `replay_key` by which replay (see `Delivery`); `manual` says that the delivery was requested again by a person.
    `accepted_ids` and `half_sent` are those of the attempts before (see `Finished`). Deliveries with the same
    `order_key` are in order; None for one that waits for no other. `catalogue_version` is that of the configuration
    at the time of the claim.
    """

    message: Message
    endpoint_seq: int
    lease: int
    attempts_used: int
    order_key: str | None = None
    edition: int = 0
    manual: bool = False
    replay_key: str | None = ""
    accepted_ids: tuple[str, ...] = ()
    half_sent: bytes | None = None
    setbacks: Setbacks = Setbacks()
    catalogue_version: int = 0

    @property
    def order(self) -> Hashable:
        """The same for deliveries of an endpoint that wait for each other."""
        return self.message.seq if self.order_key is None else self.order_key


class Claim(Record):
    """What a worker asks for: deliveries of an endpoint, under the endpoint's lease of this term."""

    endpoint_seq: int
    term: int
    now_ms: int
    limit: int
    max_bytes: int
    lease_ms: int
    shares: Shares = NO_SHARES


class Finished(Record):
    """How an attempt ended. `state` is PENDING for another attempt at `due_at_ms`, else a final state; `due_at_ms` is
    None for PENDING if the delivery waits for an earlier one of its customer. `spent` says whether the attempt counts
    on the retry schedule. `attempt` is None if nothing was tried, so that there is nothing to show; `left` says that
    a request of it may have left all the same. `failure` is the key of equal failures, for FAILED. The customer's
    next delivery becomes due. `accepted_ids` are all event ids that the destination has accepted so far, () for no
    change. `half_sent` is what the next attempt needs to repeat this one, if a request of it had left; for PENDING.
    `awaits` are the keys of facts that may say who the customer is, where that was not known; None where it was.
    `sent_keys` are the ids made of natural keys that the destination has accepted; the first of each is kept.
    `repeats` say what changes of what is repeated.
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
    accepted_ids: tuple[str, ...] = ()
    half_sent: bytes | None = None
    sent_keys: tuple[SentKey, ...] = ()
    left: bool = False
    setbacks: Setbacks = Setbacks()
    awaits: tuple[str, ...] | None = None
    repeats: RepeatSteps | None = None

    @property
    def is_tried(self) -> bool:
        """Whether something of it may have been sent."""
        return self.left or self.attempt is not None or self.state is not DeliveryState.PENDING

    @property
    def is_warned(self) -> bool:
        """Whether it was delivered with warnings."""
        return self.attempt is not None and self.state is DeliveryState.SUCCESS and self.attempt.is_warned


class Overtaken(Record):
    """A delivery for which its customer's later ones no longer wait."""

    message_id: str
    failing_since_ms: int


class Backlog(Record):
    """Unfinished deliveries of one endpoint, and when the oldest one's message was accepted."""

    endpoint_seq: int
    unfinished: int
    oldest_accepted_at_ms: int


class Queue(Protocol):
    """Deliveries. Every change returns after the commit is on disk.

    Order: of the unfinished deliveries of one endpoint and one customer, only the first can be claimed: by
    acceptance, replayed ones after all that existed when the replay was requested. Deliveries of messages without a
    customer key are not ordered.
    """

    async def append(self, message: NewMessage, *, audit_line: Audited | None = None) -> Appended:
        """Stores the message and its deliveries in one transaction, or finds the message with that event id.

        Raises StoreBusy when too many writes are waiting, StoreUnavailable when the database cannot store it.
        """
        ...

    async def claim(self, asked: Claim) -> list[Claimed]:
        """Leases due deliveries of one endpoint, the longest due first except for its `shares`: at most `limit`, with
        bodies of at most `max_bytes` in total (the first always fits). Those of one customer are in order; one that
        has been attempted is claimed without those behind it. Deliveries with an expired lease are leased again.
        Nothing is claimed unless the endpoint's own lease has this term, 0 if there was none: raises LeaseLost.
        """
        ...

    async def release_strays(self, endpoint_seq: int, *, term: int, under_way: Collection[int], after_ms: int) -> int:
        """Makes deliveries of one endpoint due at once that are being sent, except those of the messages in
        `under_way`: after a claim or a record whose outcome is not known. Those that become due by `after_ms` stay:
        they may be under way at the worker from which they were taken over. Nothing unless the endpoint's lease has
        this term. Returns how many there were.
        """
        ...

    async def record(self, finished: Sequence[Finished]) -> int:
        """Stores the attempts and updates the deliveries, in one transaction; a finished delivery makes the next one
        of its customer due, in the place that its acceptance gives it. If the lease is no longer held, as after
        another worker has the endpoint now, the attempt is stored and the delivery is not changed. Returns how
        many deliveries changed.
        """
        ...

    async def sent_keys(self, workspaces: Sequence[str], event_ids: Sequence[str]) -> Mapping[str, SentKey]:
        """Which of these ids, made of natural keys, one of the workspaces has accepted, by id. They outlive their
        messages.
        """
        ...

    async def hasten_failed(
        self, endpoint_seq: int, *, term: int, outage: Outage, now_ms: int, over_ms: int, limit: int
    ) -> int:
        """Makes deliveries due within `over_ms` whose last failure, other than by a 429, lies within the outage: at
        most `limit`, the longest ago first, of those that would be due later and are not hastened already. Nothing
        unless the endpoint's lease has this term. Returns how many there were.
        """
        ...

    async def failing_since_ms(self, endpoint_seq: int) -> int | None:
        """When the first attempt of those failed that block their customer, of the earliest one; None if there is
        none. A delivery that is being sent does not count.
        """
        ...

    async def overtake(
        self, endpoint_seq: int, *, term: int, before_ms: int, now_ms: int, responds: bool, limit: int
    ) -> list[Overtaken]:
        """Takes deliveries out of the order of their customers, whose next ones become due: at most `limit` of those
        that have been failing since `before_ms` and wait for a retry, if three other deliveries of the endpoint
        succeeded since, or if the destination `responds` and no other delivery failed since. Nothing unless the
        endpoint's lease has this term.
        """
        ...

    async def next_due_at_ms(self, endpoint_seq: int) -> int | None:
        """When the endpoint's next delivery becomes due or its lease expires; None if there is none."""
        ...

    async def due_times(self) -> Mapping[int, int]:
        """The same for all endpoints, by their `seq`; endpoints with none are omitted."""
        ...

    async def shift_times(self, endpoint_seqs: Sequence[int], *, after_ms: int, by_ms: int) -> int:
        """Shifts these endpoints' due times and leases after `after_ms` by `by_ms`, after the machine's clock was
        set: what was due in five minutes still is, and failures are as long ago as before. Returns how many due times
        were shifted.
        """
        ...

    async def bound_times(self, endpoint_seqs: Sequence[int], *, now_ms: int, latest_ms: int) -> int:
        """Makes these endpoints' deliveries due now that wait for their first attempt, and limits other due times to
        `latest_ms`, except for scheduled messages. For a worker that gets an endpoint: the clock by which they were
        set may have been ahead. Returns how many changed.
        """
        ...

    async def backlog(self, endpoint_seq: int | None = None) -> list[Backlog]:
        """Unfinished deliveries by endpoint, or of one endpoint; endpoints without any are omitted. They are kept,
        not counted: the cost grows with the endpoints, not with what they have.
        """
        ...

    async def breakers(self) -> Mapping[int, Breaker]:
        """The stored breakers, by the endpoints' `seq`."""
        ...

    async def keep_breaker(self, endpoint_seq: int, breaker: Breaker, *, term: int) -> None:
        """Stores the breaker, for the next worker of the endpoint and for the dashboard, if the endpoint's lease has
        this term, 0 if there was none.
        """
        ...
