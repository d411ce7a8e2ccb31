"""Lists and counts of messages, attempts, customers, rejected requests, versions and audit lines.

Every list is read in pages (`Page`), newest first unless `after` a place. If few rows match a filter, a page reads at
most `MAX_LOOK` rows and says where to continue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from nicobar.model import Attempt, Delivery, DeliveryState, Message, Record
from nicobar.reasons import Reason
from nicobar.store.catalogue import Audited

MAX_PAGE = 250
MAX_LOOK = 10_000
# A filter on the content of bodies reads whole bodies.
MAX_LOOK_INSIDE = 1_000
MAX_PATH_STEPS = 20
# Attempts are counted up to this number.
MAX_COUNT = 100_000
# The latest rejected requests of a source that are kept.
MAX_REFUSALS = 1_000
TALLY_MS = 300_000

T_co = TypeVar("T_co", covariant=True)


class Page(Record, Generic[T_co]):
    """A part of a list. `next` is the place where the next page begins, None if nothing is left in that direction; a
    page may be short, or empty, and still have a next one.
    """

    items: tuple[T_co, ...]
    next: str | None


class MessageFilter(Record):
    """Which messages; everything that is set has to match. Times are those of acceptance, from `since_ms` up to but
    not including `until_ms`. One of the `channels` is enough. `states`, `endpoint_id` and `warned` (it was delivered
    with warnings, or it was not) require a delivery that matches all of them. `contains` is a text in the body;
    `path` names a field with the `value` (`bodies.holds`). Alerts are included only with `alerts`.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    event_types: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    tag: str | None = None
    customer_key: str | None = None
    states: tuple[DeliveryState, ...] = ()
    endpoint_id: str | None = None
    warned: bool | None = None
    contains: bytes | None = None
    path: tuple[str, ...] = ()
    value: str = ""
    alerts: bool = False


class AttemptFilter(Record):
    """Which attempts; everything that is set has to match. Times are when the attempts started. `status_class` is the
    first digit of the response's status, 0 for no response. Attempts of alerts are included only with `alerts`.
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
    """An attempt with its message, without the body, and its endpoint."""

    message: Message
    endpoint_id: str
    attempt: Attempt


class Revision(Record):
    """Another body that a message's source sent under its event id; nothing was sent for it."""

    accepted_at_ms: int
    body: bytes


class Attempted(Record):
    """A message and its delivery for one endpoint, without what it waits for."""

    message: Message
    delivery: Delivery


class MessageDeliveries(Record):
    """A message and all of its deliveries."""

    message: Message
    deliveries: tuple[Delivery, ...]


class Seen(Record):
    """A customer and the customer's latest message."""

    customer_key: str
    message_id: str
    event_type: str
    accepted_at_ms: int


class Tally(Record):
    """How many attempts ended in one state, in the period that begins at `at_ms`, of one `event_type` or of one
    endpoint. `duration_ms` is the sum of their durations, `latency_ms` the sum of the times from acceptance to their
    end, with the largest. `warned` counts those that succeeded with warnings.
    """

    state: DeliveryState
    attempts: int
    duration_ms: int
    latency_ms: int
    latency_max_ms: int
    warned: int = 0
    at_ms: int = 0
    event_type: str = ""
    endpoint_id: str = ""


class Waits(Record):
    """What an endpoint's unfinished deliveries wait for: `sending` are under way, `due` are next, `later`
    for a time, the first for `next_at_ms`, `behind` for an earlier delivery of their customer. `more` are the others:
    of those that are due and of those that wait for a time, MAX_LOOK are told apart from them.
    """

    sending: int = 0
    due: int = 0
    later: int = 0
    behind: int = 0
    next_at_ms: int | None = None
    more: int = 0


class RejectedRequest(Record):
    """A request that a source rejected. `seq` is 0 before it is stored."""

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
    """A version of an endpoint's transformation; its code is None if it was not requested."""

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
    """Which lines of the audit log; everything that is set has to match. One of the `actions` is enough."""

    app_id: str | None = None
    actor: str | None = None
    actions: tuple[str, ...] = ()
    subject: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class History(Protocol):
    """Places are ids of messages or attempts, or numbers as text. `before` a place: newest first; `after` one: oldest
    first; neither: newest first from the newest. A place need not exist. `limit` is at most MAX_PAGE.

    Reading `after` the last place again and again finds every message once: a page ends before messages that are
    being stored. With several processes, it finds attempts one minute after they ended.

    Time filters use the times in ids, so they may miss rows that were created while the machine's clock was more than
    ten minutes off.
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
        """Messages of an application, or of the filter's customer. Bodies are empty unless `with_body`."""
        ...

    async def find_message(self, app_id: str, message_id: str, *, alerts: bool = False) -> Message | None:
        """A message by its id, or by its event id; an alert only with `alerts`."""
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
        """How many of an endpoint's latest MAX_COUNT attempts match; True if there are older ones."""
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
        """Messages with a delivery for an endpoint, in one of the states if any are given. The filter's customer,
        state, endpoint and body conditions are ignored.
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
        """The messages that `messages` finds, each with its deliveries and what they wait for."""
        ...

    async def deliveries_of_messages(self, message_ids: Sequence[str]) -> dict[str, list[Delivery]]:
        """The deliveries of each of these messages, and what they wait for."""
        ...

    async def revisions(self, message_id: str) -> list[Revision]:
        """The other bodies that a message's source sent under its event id, first to last, as far as they were
        kept.
        """
        ...

    async def accepted_ids(self, message_ids: Sequence[str]) -> dict[tuple[str, str], tuple[str, ...]]:
        """The event ids that destinations have accepted, of each of these messages at each endpoint where there are
        any.
        """
        ...

    async def attempts_of_deliveries(
        self, message_ids: Sequence[str], endpoint_id: str | None = None
    ) -> dict[tuple[str, str], list[Attempt]]:
        """The attempts, first to last, of each of these messages at each endpoint, or at this one."""
        ...

    async def customers(self, app_id: str, prefix: str, *, after: str | None = None, limit: int) -> Page[Seen]:
        """Customers whose key begins with the prefix, by key."""
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
        """Counts of attempts by period of `step_ms`, a multiple of TALLY_MS, and state, without zeros."""
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
        """Counts of attempts by event type and state."""
        ...

    async def tallies_by_endpoint(self, app_id: str, *, since_ms: int, until_ms: int) -> list[Tally]:
        """Counts of attempts by endpoint and state."""
        ...

    async def latencies(self, app_id: str, *, since_ms: int, limit: int, endpoint_id: str | None = None) -> list[int]:
        """How many ms after acceptance (or the scheduled time) each of the latest `limit` messages accepted since
        `since_ms` was delivered, without resends and replays.
        """
        ...

    async def waits(self, endpoint_id: str, *, now_ms: int) -> Waits:
        """What an endpoint's unfinished deliveries wait for. The cost does not grow with their number."""
        ...

    async def unfinished(
        self, endpoint_id: str, *, since_ms: int | None = None, until_ms: int | None = None
    ) -> dict[DeliveryState, int]:
        """Unfinished deliveries of an endpoint by state, of messages accepted in that time, to the second. The cost
        grows with their number only where a time is given.
        """
        ...

    async def keep_refusals(self, refusals: Sequence[RejectedRequest]) -> None:
        """Stores them in one transaction, and keeps the latest MAX_REFUSALS of each source."""
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
        """Versions of an endpoint's transformation, newest first; places are version numbers."""
        ...

    async def audit(
        self, which: AuditFilter, *, before: str | None = None, after: str | None = None, limit: int
    ) -> Page[Change]: ...

    async def add_audit_line(self, line: Audited) -> None:
        """Adds a line about something that changes nothing here. The configuration's version stays the same."""
        ...

    async def expunge_attempt(self, attempt_id: str, *, audit_line: Audited | None = None) -> bool:
        """Deletes the response of an attempt; False if there is no such attempt."""
        ...
