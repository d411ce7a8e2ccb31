"""Asks for replays: what `nicobar replay`, the API and the dashboard have in common."""

from __future__ import annotations

import msgspec

from nicobar.errors import Refusal
from nicobar.model import DeliveryState, Endpoint, Message
from nicobar.store import NewTask, ReplayCount, ReplayFilter, Replays, Resent, Task, TaskKind, TaskStatus
from nicobar.use_cases.edit import Actor, OperationServices
from nicobar.use_cases.endpoint_state import check_enabled

FINAL_STATES = (DeliveryState.SUCCESS, DeliveryState.FAILED, DeliveryState.CANCELED)


def replay_filter(kind: TaskKind, endpoint: Endpoint, wanted: ReplayFilter) -> ReplayFilter:
    """What a replay of this kind looks for. What is missing is what the endpoint would get today: the endpoint's own
    filter holds, narrowed by what is wanted.
    """
    if kind is not TaskKind.REPLAY_MISSING:
        return wanted
    types = endpoint.event_types
    if types and wanted.event_types:
        types = tuple(event_type for event_type in wanted.event_types if event_type in types) or (
            "",
        )  # no type is empty: nothing fits
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
    action: str | None = None,
) -> Task:
    """Keeps the replay, and its line of the audit log (`action`, or else its kind), for the process that delivers.
    Raises Refusal 409 for a disabled endpoint, and StoreError.
    """
    check_enabled(endpoint)
    which = replay_filter(kind, endpoint, wanted)
    count = await services.store.count_replay(endpoint.seq, which)
    task_id = services.ids.new("qtask")
    said = services.said(caller, action or kind.value, endpoint.id, app_id=endpoint.app_id, detail=task_id)
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
        said=said,
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
    action = "endpoint.replay_failures"
    return await start_replay(services, caller, TaskKind.BULK_REPLAY, endpoint, which, new_ids=new_ids, action=action)


def group_filter(failure: str) -> ReplayFilter:
    return ReplayFilter(states=(DeliveryState.FAILED,), failure=failure)


async def cancel_replay(services: OperationServices, caller: Actor, task: Task) -> Task:
    """Stops a task; what a replay has put into the queue and was not tried yet becomes what it was before, also when
    it has put all there. One that is being canceled stays so. Raises Refusal 409 where nothing is left to cancel.
    """
    if task.status is not TaskStatus.CANCELED:
        said = services.said(caller, "task.cancel", task.id, app_id=task.app_id)
        canceled = await services.store.cancel_task(task.id, now_ms=services.clock.now_ms(), said=said)
        # It may have been taken back already.
        if canceled is not None and is_canceled(canceled):
            return canceled
    raise _ended(task)


def check_cancelable(task: Task, untried: int) -> None:
    """Raises Refusal 409 where nothing is left to cancel; `untried` deliveries were queued and not attempted yet."""
    if task.status is not TaskStatus.RUNNING and not (task.status is TaskStatus.FINISHED and untried):
        raise _ended(task)


def _ended(task: Task) -> Refusal:
    return Refusal(409, "task_ended", f"The task {task.id} does not run any more.", "Nothing is left to cancel.")


def is_canceled(task: Task) -> bool:
    """Whether it was canceled, or is being."""
    return task.status in {TaskStatus.CANCELING, TaskStatus.CANCELED}


async def resend(
    services: OperationServices,
    caller: Actor,
    message: Message,
    endpoint: Endpoint,
    *,
    new_ids: bool,
    dry_run: bool = False,
) -> str:
    """Sends a message to an endpoint again, behind what the same customer has waiting; one that waits for its next
    attempt is tried at once. Returns what became of it, as a sentence; with `dry_run` what would, changing nothing.
    Raises Refusal 409 where that cannot be.
    """
    check_enabled(endpoint)
    now_ms = services.clock.now_ms()
    detail = f"to {endpoint.id}{', under new ids' if new_ids else ''}"
    said = services.said(caller, "message.resend", message.id, app_id=message.app_id, detail=detail)
    if dry_run:
        return _resent(await _would_resend(services, message, endpoint), message.id, endpoint.name)
    resent = await services.store.resend(message.id, endpoint.id, now_ms=now_ms, new_ids=new_ids, said=said)
    done = _resent(resent, message.id, endpoint.name)
    services.wake([endpoint.seq])
    if endpoint.paused_reason is not None:
        done += f" {endpoint.name} is paused ({endpoint.paused_reason}): nothing is sent until it is resumed."
    return done


async def _would_resend(services: OperationServices, message: Message, endpoint: Endpoint) -> Resent:
    if message.expunged_at_ms is not None:
        return Resent.EXPUNGED
    deliveries = await services.store.deliveries(message.id)
    known = next((delivery for delivery in deliveries if delivery.endpoint_id == endpoint.id), None)
    if known is None or known.state in FINAL_STATES:
        return Resent.QUEUED
    if known.state is DeliveryState.SENDING:
        return Resent.SENDING
    return Resent.BEHIND if known.due_at_ms is None else Resent.HASTENED


def _resent(resent: Resent, message_id: str, endpoint: str) -> str:
    match resent:
        case Resent.QUEUED:
            return f"{message_id} is in the queue of {endpoint} again."
        case Resent.HASTENED:
            return f"{message_id} waited for its next attempt at {endpoint}; it is due now."
        case Resent.SENDING:
            raise Refusal(
                409, "delivery_sending", f"{message_id} is being sent to {endpoint} now.", "Wait for the result."
            )
        case Resent.BEHIND:
            raise Refusal(
                409,
                "delivery_behind",
                f"{message_id} is queued behind an earlier message of its customer at {endpoint}.",
                "Resend that one, or wait: this one follows automatically.",
            )
        case Resent.EXPUNGED:
            raise Refusal(
                409, "message_expunged", f"The payload of {message_id} is deleted.", "It cannot be sent again."
            )
        case _:
            raise Refusal(
                409,
                "delivery_unknown",
                f"{endpoint} has no delivery of message {message_id}.",
                "Check both ids: they must belong to one application.",
            )
