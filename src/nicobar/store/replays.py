"""Replays and resends: deliveries that were sent, that failed, or that were never created."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from nicobar.model import DeliveryState, Json, Message, Record
from nicobar.reasons import Reason
from nicobar.store.catalogue import Audited
from nicobar.store.facts import People

# A replay moves all matching deliveries of a customer in one transaction, so that nothing newer gets in between. Of
# the customers of one page it moves at most this many; the rest follow with a later page, still in order.
MAX_BEHIND_A_PAGE = 10_000
# One page reads at most this many messages, whether they match or not: other writes wait meanwhile.
MAX_LOOK_MESSAGES = 20_000

# The latest tasks with a result are kept, up to this number.
MAX_RESULTS = 100


class ReplayFilter(Record):
    """Which deliveries of one endpoint; everything that is set has to match. Times are those of acceptance, from
    `since_ms` up to but not including `until_ms`. `states` are final. `missing` selects messages without a delivery
    instead.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    states: tuple[DeliveryState, ...] = (DeliveryState.FAILED,)
    missing: bool = False
    event_types: tuple[str, ...] = ()
    customer_key: str | None = None
    failure: str | None = None
    channels: tuple[str, ...] = ()
    tag: str | None = None


class ReplayCount(Record):
    """What a replay would move. `overtaken` counts the customers to whom something newer was delivered since: their
    attributes may be set back. `earlier_ids` counts deliveries of earlier versions, which derived event ids
    differently, of this endpoint or, if it sent nothing, of another one: if replayed, their events are new ones.
    """

    deliveries: int
    customers: int
    overtaken: int
    oldest_accepted_at_ms: int | None
    earlier_ids: int = 0


class TaskKind(StrEnum):
    """Named as the public Svix API names its background tasks."""

    RECOVER = "endpoint.recover"
    REPLAY_MISSING = "endpoint.replay"
    BULK_REPLAY = "endpoint.bulk-replay"
    PURGE = "application.purge_content"
    APP_STATS = "application.stats"
    EVENT_TYPES = "event-type.aggregate"


class TaskStatus(StrEnum):
    RUNNING = "running"
    CANCELING = "canceling"
    CANCELED = "canceled"
    FINISHED = "finished"
    FAILED = "failed"


class NewTask(Record):
    """A new task: a replay of an endpoint, the purge of an application's payloads, or a finished one with a `result`.
    `app_id` is empty for a task about all applications. With `new_ids` every event gets an id that the destination
    has not seen, so that emails are sent again.
    """

    id: str
    app_id: str
    kind: TaskKind
    created_at_ms: int
    endpoint_seq: int = 0
    endpoint_id: str = ""
    filter: ReplayFilter = ReplayFilter()
    new_ids: bool = False
    expected: int = 0
    result: Json = None


class Task(Record):
    """A task and its progress: `moved` of `expected` deliveries are in the queue again (or were, once canceled), or
    that many messages were emptied.
    """

    seq: int
    id: str
    app_id: str
    endpoint_seq: int
    endpoint_id: str
    kind: TaskKind
    status: TaskStatus
    filter: ReplayFilter
    new_ids: bool
    after_seq: int
    until_seq: int
    expected: int
    moved: int
    created_at_ms: int
    updated_at_ms: int
    result: Json = None


class Resent(StrEnum):
    """The outcome of a request to resend a delivery; all but QUEUED and HASTENED change nothing."""

    QUEUED = "queued"
    HASTENED = "hastened"
    SENDING = "sending"
    BEHIND = "behind"
    EXPUNGED = "expunged"
    UNKNOWN = "unknown"


class FailureGroup(Record):
    """Failed deliveries of one endpoint with the same failure. Times are Unix milliseconds; `reason` and `message_id`
    are those of the last one.
    """

    endpoint_id: str
    failure: str
    count: int
    first_at_ms: int
    last_at_ms: int
    reason: Reason | None
    message_id: str


class Replays(Protocol):
    """Replayed deliveries are queued after everything that their customer has waiting, and before what is accepted
    later. Unfinished deliveries are not changed.
    """

    async def resend(
        self,
        message_id: str,
        endpoint_id: str,
        *,
        now_ms: int,
        new_ids: bool,
        people: People | None = None,
        audit_line: Audited | None = None,
    ) -> Resent:
        """Queues a finished or missing delivery again. One that waits for its next attempt becomes due at once; one
        that is queued after another, or is being sent, is not changed. Without `people` it is ordered by the sender's
        customer id.
        """
        ...

    async def count_replay(self, endpoint_seq: int, which: ReplayFilter) -> ReplayCount:
        """What a replay would move now. Counts run one at a time."""
        ...

    async def replayable(
        self, endpoint_seq: int, which: ReplayFilter, *, after_seq: int, limit: int, max_bytes: int
    ) -> list[Message]:
        """The next messages after a place that a replay would move now, by acceptance: at most `limit`, with bodies
        of at most `max_bytes` in total (the first always fits).
        """
        ...

    async def add_task(self, task: NewTask, *, audit_line: Audited | None = None) -> Task:
        """Stores the task; it covers the messages that exist now."""
        ...

    async def task(self, task_id: str) -> Task | None: ...

    async def open_tasks(self) -> list[Task]:
        """Running and canceling tasks, oldest first."""
        ...

    async def tasks(
        self, *, app_ids: Sequence[str], before_seq: int | None, after_seq: int | None, limit: int
    ) -> list[Task]:
        """A page of tasks: newest first before `before_seq`, or oldest first after `after_seq`."""
        ...

    async def work_on_task(
        self, task_id: str, *, now_ms: int, limit: int, people: People | None = None
    ) -> Task | None:
        """Moves the next deliveries in one transaction, whole customers until there are `limit`. A canceled task
        restores up to `limit` deliveries that were not sent since, as they were: finished, or missing. Deliveries
        that are being sent are restored if they return without an attempt. Deliveries that may have been sent,
        because their lease expired without a result, stay in the queue, and so do hastened ones. A purge empties the
        next `limit` messages.
        """
        ...

    async def cancel_task(self, task_id: str, *, now_ms: int, audit_line: Audited | None = None) -> Task | None:
        """Cancels a running task, or a finished replay with deliveries that were not tried yet; others are left
        alone. None if there is no task with that id.
        """
        ...

    async def count_untried(self, task_id: str) -> int:
        """How many deliveries of a replay have no attempt yet: those that canceling would restore."""
        ...

    async def cancel_pending(
        self, endpoint_seq: int, *, now_ms: int, limit: int, reason: Reason, audit_line: Audited | None = None
    ) -> int:
        """Cancels up to `limit` waiting deliveries; returns how many, which is also the audit line's detail.
        Deliveries that are being sent are not changed.
        """
        ...

    async def failure_groups(self, app_id: str, endpoint_id: str | None = None) -> list[FailureGroup]:
        """Failed deliveries grouped by failure, the latest first; at most 500 groups."""
        ...
