"""Sending again what was sent, or what failed, or what was never sent."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from nicobar.model import DeliveryState, Json, Record
from nicobar.reasons import Reason
from nicobar.store.catalogue import Audited

# A replay moves whole customers in one transaction, so that nothing newer of theirs gets in between. Of one customer
# it moves at most so many at once; what is left comes with a later page, in order all the same.
MAX_BEHIND_A_PAGE = 10_000
# So many messages one page looks at, whether they fit its filter or not: everybody else's writes wait meanwhile.
MAX_LOOK_MESSAGES = 20_000

# So many tasks that only found something are kept, the latest.
MAX_RESULTS = 100


class ReplayFilter(Record):
    """Which deliveries of one endpoint; all that is set has to fit. Times are those of acceptance, from `since_ms` up
    to but without `until_ms`. `states` are final ones. `missing` asks for the messages that have no delivery instead.
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
    """What a replay would do: so many deliveries of so many customers. `overtaken` counts the customers to whom
    something newer was delivered since: their attributes may be set back to what they were. `earlier_ids` counts what
    an earlier version sent, which derived event ids differently, at this endpoint or, if this one sent nothing, at
    another: replayed, these events are new ones.
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
    """A task to be done: a replay at an endpoint, the purge of an application's payloads, or one that is done already
    and has found `result`. `app_id` is empty for one about all applications. With `new_ids` every event gets an id
    that the destination has not seen, so that emails go out again.
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
    """A task and how far it is: `moved` of `expected` deliveries are in the queue again (or, once canceled, were), or
    so many messages are empty.
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
    """What became of a wish to send a delivery again; all but QUEUED and HASTENED change nothing."""

    QUEUED = "queued"
    HASTENED = "hastened"
    SENDING = "sending"
    BEHIND = "behind"
    EXPUNGED = "expunged"
    UNKNOWN = "unknown"


class FailureGroup(Record):
    """Failed deliveries of one endpoint that failed alike. Times are Unix milliseconds; `reason` and `message_id` are
    those of the last one.
    """

    endpoint_id: str
    failure: str
    count: int
    first_at_ms: int
    last_at_ms: int
    reason: Reason | None
    message_id: str


class Replays(Protocol):
    """Replays wait behind everything that the same customer has waiting when they are asked for, and whatever comes
    later waits behind them. What is unfinished is left as it is.
    """

    async def resend(
        self, message_id: str, endpoint_id: str, *, now_ms: int, new_ids: bool, audit_line: Audited | None = None
    ) -> Resent:
        """Puts one finished or missing delivery into the queue again. One that waits for its next try is due at once;
        one that waits behind another, or is being sent, stays.
        """
        ...

    async def count_replay(self, endpoint_seq: int, which: ReplayFilter) -> ReplayCount:
        """What a replay would move now. One is counted at a time."""
        ...

    async def add_task(self, task: NewTask, *, audit_line: Audited | None = None) -> Task:
        """Keeps the task; it covers the messages that are there now."""
        ...

    async def task(self, task_id: str) -> Task | None: ...

    async def open_tasks(self) -> list[Task]:
        """Those that run or are to be canceled, oldest first."""
        ...

    async def tasks(
        self, *, app_ids: Sequence[str], before_seq: int | None, after_seq: int | None, limit: int
    ) -> list[Task]:
        """A page of tasks, newest first: those before one, or (oldest first) after one."""
        ...

    async def work_on_task(self, task_id: str, *, now_ms: int, limit: int) -> Task | None:
        """Moves the next deliveries, whole customers until there are `limit`, in one transaction. One that is to be
        canceled makes up to `limit` of them again what it has found, where nothing of them was sent since: finished
        as they were, or missing. What is being sent becomes so when it comes back untried. What may have been sent,
        since its lease ended without a record, stays in the queue, as does what somebody has hastened. A purge
        empties the next `limit` messages.
        """
        ...

    async def cancel_task(self, task_id: str, *, now_ms: int, audit_line: Audited | None = None) -> Task | None:
        """Asks a task to stop that runs, or a replay that has moved all it found while some of it was not tried yet;
        any other stays as it is. None if there is none of that id.
        """
        ...

    async def count_untried(self, task_id: str) -> int:
        """How many deliveries a replay has put into the queue that were not tried yet, which canceling gives back."""
        ...

    async def cancel_pending(
        self, endpoint_seq: int, *, now_ms: int, limit: int, reason: Reason, audit_line: Audited | None = None
    ) -> int:
        """Cancels up to so many deliveries that wait; returns how many, which is the log's detail too. What is being
        sent goes on.
        """
        ...

    async def failure_groups(self, app_id: str, endpoint_id: str | None = None) -> list[FailureGroup]:
        """Failed deliveries grouped by what they have in common, the latest first; at most 500 groups."""
        ...
