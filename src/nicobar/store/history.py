"""What happened, for whoever looks: lists of messages, tries, customers, refused requests, versions and changes, and
counts.

Every list is a page between places in one order (`Page`), newest first unless it is asked for from a place on
(`after`). Where a filter fits little, a page looks at no more than `MAX_LOOK` rows and then says where to go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from nicobar.model import Attempt, Delivery, DeliveryState, Message, Record
from nicobar.reasons import Reason
from nicobar.store.catalogue import Audited

MAX_PAGE = 250
MAX_LOOK = 10_000
# A filter by what a body contains reads whole bodies.
MAX_LOOK_INSIDE = 1_000
MAX_PATH_STEPS = 20
# Tries are counted up to this number.
MAX_COUNT = 100_000
# A source keeps so many of the latest requests that it refused.
MAX_REFUSALS = 1_000
TALLY_MS = 300_000

T_co = TypeVar("T_co", covariant=True)


class Page(Record, Generic[T_co]):
    """Some of a list, in the order that was asked for. `next` is the place from which the next page goes on, None
    where nothing is left in that direction; a page may be short, or empty, and still have a next one.
    """

    items: tuple[T_co, ...]
    next: str | None


class MessageFilter(Record):
    """Which messages; all that is set has to fit. Times are those of acceptance, from `since_ms` up to but without
    `until_ms`. One of the `channels` is enough. `states` and `endpoint_id` ask for a delivery that fits both.
    `contains` are bytes of the body; `path` leads to a field of it that has the `value`, as `bodies.holds` says.
    Alerts, which are no application's messages, are found only with `alerts`.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    event_types: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    tag: str | None = None
    customer_key: str | None = None
    states: tuple[DeliveryState, ...] = ()
    endpoint_id: str | None = None
    contains: bytes | None = None
    path: tuple[str, ...] = ()
    value: str = ""
    alerts: bool = False


class AttemptFilter(Record):
    """Which tries; all that is set has to fit. Times are those of the tries' beginnings. `status_class` is the first
    digit of the answer's status, 0 for no answer. Those of alerts are found only with `alerts`.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    event_types: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    tag: str | None = None
    states: tuple[DeliveryState, ...] = ()
    status_class: int | None = None
    alerts: bool = False


class MessageAttempt(Record):
    """An attempt with its message, whose body is left out, and its endpoint."""

    message: Message
    endpoint_id: str
    attempt: Attempt


class Attempted(Record):
    """A message and its delivery for one endpoint; whom it waits behind is left out."""

    message: Message
    delivery: Delivery


class MessageDeliveries(Record):
    """A message and all of its deliveries."""

    message: Message
    deliveries: tuple[Delivery, ...]


class Seen(Record):
    """A customer and their latest message."""

    customer_key: str
    message_id: str
    event_type: str
    accepted_at_ms: int


class Tally(Record):
    """How many tries ended in one state, in the period that begins at `at_ms` or of one `event_type`. `duration_ms`
    is the sum of what they took; `latency_ms` that of the times from acceptance to the try's end, with the largest.
    """

    state: DeliveryState
    attempts: int
    duration_ms: int
    latency_ms: int
    latency_max_ms: int
    at_ms: int = 0
    event_type: str = ""


class Waits(Record):
    """What an endpoint's unfinished deliveries wait for: `sending` are under way, `due` ones for their turn, `later`
    ones for a time, the first for `next_at_ms`, `behind` ones for an earlier delivery of their customer. `more` says
    that there are others, which were not looked at.
    """

    sending: int = 0
    due: int = 0
    later: int = 0
    behind: int = 0
    next_at_ms: int | None = None
    more: bool = False


class RejectedRequest(Record):
    """A request that a source did not take. `seq` is 0 before it is kept."""

    source_id: str
    at_ms: int
    status: int
    reason: Reason
    event_id: str
    seq: int = 0

    @property
    def code(self) -> str:
        return self.reason.code


class Version(Record):
    """A version of an endpoint's transformation; its code is None where it was not asked for."""

    version: int
    created_at_ms: int
    code: str | None


class Change(Record):
    """A line of the audit log."""

    seq: int
    at_ms: int
    actor: str
    action: str
    app_id: str | None
    subject: str
    detail: str


class AuditFilter(Record):
    """Which lines of the audit log; all that is set has to fit. `actions` are alternatives."""

    app_id: str | None = None
    actor: str | None = None
    actions: tuple[str, ...] = ()
    subject: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class History(Protocol):
    """Places are ids of messages or tries, or numbers as text. `before` a place: newest first; `after` one: oldest
    first; neither: newest first from the newest. A place need not exist (any more). `limit` is at most MAX_PAGE.

    A time filter finds its place by the times in the ids, so it may miss what was made while the machine's clock was
    more than ten minutes off.
    """

    async def messages(
        self,
        app_id: str,
        which: MessageFilter,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int,
        with_body: bool = False,
    ) -> Page[Message]:
        """An application's messages; a customer's, where the filter has one. Without `with_body` bodies are empty."""
        ...

    async def find_message(self, app_id: str, message_id: str, *, alerts: bool = False) -> Message | None:
        """A message by its id, or else by its event id; an alert only with `alerts`."""
        ...

    async def attempts_of_endpoint(
        self,
        endpoint_id: str,
        which: AttemptFilter,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int,
    ) -> Page[MessageAttempt]: ...

    async def attempts_of_message(
        self,
        message_id: str,
        which: AttemptFilter,
        *,
        endpoint_id: str | None = None,
        before: str | None = None,
        after: str | None = None,
        limit: int,
    ) -> Page[MessageAttempt]: ...

    async def attempt(self, attempt_id: str) -> MessageAttempt | None: ...

    async def count_attempts(self, endpoint_id: str, which: AttemptFilter) -> tuple[int, bool]:
        """How many of an endpoint's latest MAX_COUNT tries fit; True if there are more that were not looked at."""
        ...

    async def attempted(
        self,
        endpoint_id: str,
        which: MessageFilter,
        states: Sequence[DeliveryState] = (),
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int,
        with_body: bool = False,
    ) -> Page[Attempted]:
        """The messages that an endpoint has a delivery of, in one of the states if any are given. What the filter
        says of the customer, of deliveries and of bodies is left out.
        """
        ...

    async def moments(
        self,
        app_id: str,
        which: MessageFilter,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int,
        with_body: bool = False,
    ) -> Page[MessageDeliveries]:
        """The messages that `messages` finds, each with its deliveries and whom they wait behind."""
        ...

    async def customers(self, app_id: str, prefix: str, *, after: str | None = None, limit: int) -> Page[Seen]:
        """The customers whose key begins with a prefix, by key."""
        ...

    async def tallies(
        self,
        app_id: str,
        *,
        since_ms: int,
        until_ms: int,
        step_ms: int,
        endpoint_id: str | None = None,
        event_types: Sequence[str] = (),
    ) -> list[Tally]:
        """Counts of tries by period of `step_ms`, a multiple of TALLY_MS, and state; only those that are not zero."""
        ...

    async def tallies_by_type(
        self,
        app_id: str,
        *,
        since_ms: int,
        until_ms: int,
        endpoint_id: str | None = None,
        event_types: Sequence[str] = (),
    ) -> list[Tally]:
        """Counts of tries by event type and state."""
        ...

    async def latencies(self, app_id: str, *, since_ms: int, limit: int, endpoint_id: str | None = None) -> list[int]:
        """How many ms after its acceptance (or the time at which it was wanted) each of the latest `limit` messages
        accepted since then was delivered; without those that were sent again by hand or by a replay.
        """
        ...

    async def waits(self, endpoint_id: str, *, now_ms: int) -> Waits:
        """What an endpoint's unfinished deliveries wait for; at most MAX_COUNT are looked at."""
        ...

    async def unfinished(
        self, endpoint_id: str, *, since_ms: int | None = None, until_ms: int | None = None
    ) -> dict[DeliveryState, int]:
        """How many of an endpoint's deliveries are not finished, of messages accepted in that time, to the second."""
        ...

    async def keep_refusals(self, refusals: Sequence[RejectedRequest]) -> None:
        """Keeps them in one transaction, and of each source the latest MAX_REFUSALS only."""
        ...

    async def refusals(
        self, source_id: str, *, before: str | None = None, after: str | None = None, limit: int
    ) -> Page[RejectedRequest]: ...

    async def versions(
        self,
        endpoint_id: str,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int,
        with_code: bool = False,
    ) -> Page[Version]:
        """An endpoint's transformations, the running one first; places are versions."""
        ...

    async def audit(
        self, which: AuditFilter, *, before: str | None = None, after: str | None = None, limit: int
    ) -> Page[Change]: ...

    async def expunge_attempt(self, attempt_id: str, *, audit_line: Audited | None = None) -> bool:
        """Takes out what the destination answered to a try; False if there is no such try."""
        ...
