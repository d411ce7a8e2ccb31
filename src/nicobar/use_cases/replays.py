"""Replays: many deliveries of one endpoint, in the background."""

from __future__ import annotations

import msgspec

from nicobar.audit import AuditAction
from nicobar.errors import Refusal
from nicobar.model import DeliveryState, Endpoint
from nicobar.store import NewTask, ReplayCount, ReplayFilter, Replays, Task, TaskKind, TaskStatus
from nicobar.use_cases.edit import Actor, OperationServices, audit_line
from nicobar.use_cases.endpoints import check_enabled


def replay_filter(kind: TaskKind, endpoint: Endpoint, wanted: ReplayFilter) -> ReplayFilter:
    """The filter of a replay of this kind. Missing messages are those that the endpoint would receive today: its own
    filter applies, narrowed by the given one.
    """
    if kind is not TaskKind.REPLAY_MISSING:
        return wanted
    types = endpoint.event_types
    if types and wanted.event_types:
        types = tuple(event_type for event_type in wanted.event_types if event_type in types) or (
            "",
        )  # no type is empty: matches nothing
    return msgspec.structs.replace(
        wanted,
        missing=True,
        event_types=types or wanted.event_types,
        channels=wanted.channels or endpoint.channels,
        failure=None,
    )


async def count_replay(replays: Replays, kind: TaskKind, endpoint: Endpoint, wanted: ReplayFilter) -> ReplayCount:
    """What the replay would do now; changes nothing."""
    return await replays.count_replay(endpoint.seq, replay_filter(kind, endpoint, wanted))


async def start_replay(
    services: OperationServices,
    caller: Actor,
    kind: TaskKind,
    endpoint: Endpoint,
    wanted: ReplayFilter,
    *,
    new_ids: bool,
    action: AuditAction | None = None,
) -> Task:
    """Keeps the replay, and its line of the audit log (`action`, or else its kind), for the process that delivers.
    Raises Refusal 409 for a disabled endpoint, and StoreError.
    """
    check_enabled(endpoint)
    which = replay_filter(kind, endpoint, wanted)
    count = await services.store.count_replay(endpoint.seq, which)
    task_id = services.ids.new("qtask")
    action = action or AuditAction(kind.value)
    line = audit_line(services, caller, action, endpoint.id, app_id=endpoint.app_id, detail=task_id)
    return await services.store.add_task(
        NewTask(
            id=task_id,
            app_id=endpoint.app_id,
            endpoint_seq=endpoint.seq,
            endpoint_id=endpoint.id,
            kind=kind,
            filter=which,
            new_ids=new_ids,
            expected=count.deliveries,
            created_at_ms=services.clock.now_ms(),
        ),
        audit_line=line,
    )


async def replay_group(
    services: OperationServices, caller: Actor, endpoint: Endpoint, failure: str, *, new_ids: bool
) -> Task | None:
    """Sends everything of a group of failures again, each customer's in their order; None where nothing is in it.
    Raises Refusal 409 for a disabled endpoint.
    """
    check_enabled(endpoint)
    which = group_filter(failure)
    count = await count_replay(services.store, TaskKind.BULK_REPLAY, endpoint, which)
    if not count.deliveries:
        return None
    action = AuditAction.ENDPOINT_REPLAY_FAILURES
    return await start_replay(services, caller, TaskKind.BULK_REPLAY, endpoint, which, new_ids=new_ids, action=action)


def group_filter(failure: str) -> ReplayFilter:
    return ReplayFilter(states=(DeliveryState.FAILED,), failure=failure)


async def cancel_replay(services: OperationServices, caller: Actor, task: Task) -> Task:
    """Stops a task; what a replay has put into the queue and was not attempted yet becomes what it was before, also
    when it has put all there. One that is being canceled stays so. Raises Refusal 409 where nothing is left to
    cancel.
    """
    if task.status is not TaskStatus.CANCELED:
        line = audit_line(services, caller, AuditAction.TASK_CANCEL, task.id, app_id=task.app_id)
        canceled = await services.store.cancel_task(task.id, now_ms=services.clock.now_ms(), audit_line=line)
        # It may have been canceled already.
        if canceled is not None and is_canceled(canceled):
            return canceled
    raise _ended(task)


def check_cancelable(task: Task, untried: int) -> None:
    """Raises Refusal 409 where nothing is left to cancel; `untried` deliveries were queued and not attempted yet."""
    if task.status is not TaskStatus.RUNNING and not (task.status is TaskStatus.FINISHED and untried):
        raise _ended(task)


def _ended(task: Task) -> Refusal:
    return Refusal(
        409, "task_ended", "Task %(id)s has already ended.", "There is nothing left to cancel.", id=task.id
    )


def is_canceled(task: Task) -> bool:
    """Whether it was canceled, or is being."""
    return task.status in {TaskStatus.CANCELING, TaskStatus.CANCELED}
