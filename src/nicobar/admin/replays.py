"""Asks for replays: what `nicobar replay` and the API have in common."""

from __future__ import annotations

import msgspec

from nicobar.errors import ConfigurationError
from nicobar.model import DeliveryState, Endpoint
from nicobar.store import Audited, NewTask, ReplayCount, ReplayFilter, Replays, Resent, Task, TaskKind

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
