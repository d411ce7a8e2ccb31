"""Asks for replays: what `nicobar replay`, the API and the dashboard have in common."""

from __future__ import annotations

import msgspec

from nicobar.admin.services import Actor, Services
from nicobar.errors import ConfigurationError, Refusal
from nicobar.model import DeliveryState, Endpoint, Message
from nicobar.store import Audited, NewTask, ReplayCount, ReplayFilter, Replays, Resent, Task, TaskKind, TaskStatus

FINAL_STATES = (DeliveryState.SUCCESS, DeliveryState.FAILED, DeliveryState.CANCELED)


def replay_filter(kind: TaskKind, endpoint: Endpoint, wanted: ReplayFilter) -> ReplayFilter:
    """What a replay of this kind looks for. What is missing is what the endpoint would get today: the endpoint's own
    filter holds, narrowed by what is wanted.
    """
    if kind is not TaskKind.REPLAY_MISSING:
        return wanted
    types = endpoint.event_types
    if types and wanted.event_types:
        types = tuple(one for one in wanted.event_types if one in types) or ("",)  # no type is empty: nothing fits
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
    replays: Replays,
    kind: TaskKind,
    endpoint: Endpoint,
    wanted: ReplayFilter,
    *,
    task_id: str,
    new_ids: bool,
    now_ms: int,
    said: Audited | None = None,
) -> Task:
    """Keeps the replay, and what the audit log says of it, for the process that delivers. Raises StoreError."""
    which = replay_filter(kind, endpoint, wanted)
    count = await replays.count_replay(endpoint.seq, which)
    return await replays.add_task(
        NewTask(
            id=task_id,
            app_id=endpoint.app_id,
            endpoint_seq=endpoint.seq,
            endpoint_id=endpoint.id,
            kind=kind,
            filter=which,
            new_ids=new_ids,
            expected=count.deliveries,
            created_at_ms=now_ms,
        ),
        said=said,
    )


async def replay_group(
    services: Services, caller: Actor, endpoint: Endpoint, failure: str, *, new_ids: bool
) -> Task | None:
    """Sends everything of a group of failures again, each customer's in their order; None where nothing is in it."""
    which = group_filter(failure)
    count = await count_replay(services.store, TaskKind.BULK_REPLAY, endpoint, which)
    if not count.deliveries:
        return None
    task_id = services.ids.new("qtask")
    action = "endpoint.replay_failures"
    return await start_replay(
        services.store,
        TaskKind.BULK_REPLAY,
        endpoint,
        which,
        task_id=task_id,
        new_ids=new_ids,
        now_ms=services.clock.now_ms(),
        said=services.said(caller, action, endpoint.id, app_id=endpoint.app_id, detail=task_id),
    )


def group_filter(failure: str) -> ReplayFilter:
    return ReplayFilter(states=(DeliveryState.FAILED,), failure=failure)


async def cancel_replay(services: Services, caller: Actor, task: Task) -> Task:
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
    services: Services,
    caller: Actor,
    message: Message,
    endpoint: Endpoint,
    *,
    new_ids: bool,
    dry_run: bool = False,
) -> None:
    """Sends a message to an endpoint again, behind what the same customer has waiting; one that waits for its next
    try is tried at once. Raises Refusal 409 where that cannot be. With `dry_run` nothing is changed.
    """
    if endpoint.disabled:
        raise Refusal(409, "endpoint_disabled", "The endpoint is disabled.", "Enable it first.")
    now_ms = services.clock.now_ms()
    detail = f"to {endpoint.id}{', under new ids' if new_ids else ''}"
    said = services.said(caller, "message.resend", message.id, app_id=message.app_id, detail=detail)
    if dry_run:
        resent = await _would_resend(services, message, endpoint)
    else:
        resent = await services.store.resend(message.id, endpoint.id, now_ms=now_ms, new_ids=new_ids, said=said)
    try:
        check_resent(resent, message.id, endpoint.id)
    except ConfigurationError as error:
        raise Refusal(409, error.code, error.detail, error.fix) from error
    if not dry_run:
        services.wake([endpoint.seq])


async def _would_resend(services: Services, message: Message, endpoint: Endpoint) -> Resent:
    if message.expunged_at_ms is not None:
        return Resent.EXPUNGED
    deliveries = await services.store.deliveries(message.id)
    known = next((one for one in deliveries if one.endpoint_id == endpoint.id), None)
    if known is None or known.state in FINAL_STATES:
        return Resent.QUEUED
    if known.state is DeliveryState.SENDING:
        return Resent.SENDING
    return Resent.BEHIND if known.due_at_ms is None else Resent.HASTENED


def check_resent(resent: Resent, message_id: str, endpoint_id: str) -> str:
    """What became of a wish to send one delivery again, as a sentence. Raises ConfigurationError where nothing
    did.
    """
    match resent:
        case Resent.QUEUED:
            return f"{message_id} is in the queue of {endpoint_id} again."
        case Resent.HASTENED:
            return f"{message_id} waited for its next try at {endpoint_id}; it is due now."
        case Resent.SENDING:
            raise ConfigurationError(
                "delivery_sending", f"{message_id} is being sent to {endpoint_id} just now.", "See what comes of it."
            )
        case Resent.BEHIND:
            raise ConfigurationError(
                "delivery_behind",
                f"{message_id} waits behind an earlier message of its customer at {endpoint_id}, and goes by itself.",
                "Resend that one, or wait.",
            )
        case Resent.EXPUNGED:
            raise ConfigurationError(
                "message_expunged", f"The payload of {message_id} is gone.", "It cannot be sent again."
            )
        case _:
            raise ConfigurationError(
                "delivery_unknown",
                f"There is no message {message_id} that {endpoint_id} could get.",
                "Check both ids; they have to be of one application.",
            )
