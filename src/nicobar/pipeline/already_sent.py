"""Events with a natural key that another message has sent: they are omitted, and the attempt says which message. If
another one is about to send it, the later message waits until that is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nicobar.model import DeliveryState, Level, Verdict
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.transform import Ready, Stopped, Transformed
from nicobar.pipeline.work import Work
from nicobar.reasons import Reason, reason
from nicobar.store import Queue, SentKey

CODE = "already_sent"
# A delivery keeps the latest ids that were accepted of it. Each replay with new ids adds as many as there are events.
MAX_ACCEPTED_IDS = 1_000
_SOURCE = "docs/explanation/delivery.md"


async def without_sent(
    queue: Queue, target: OpenEndpoint, works: Sequence[Work], transformed: Sequence[Transformed]
) -> list[Transformed]:
    """The same without the events that other messages have sent. Raises StoreError."""
    workspaces = target.destination.workspaces
    keys = {call.event_id for ready in transformed if isinstance(ready, Ready) for call in ready.calls if call.once}
    sent = await queue.sent_keys(workspaces, sorted(keys)) if keys and workspaces else {}
    if not sent:
        return list(transformed)
    return [
        _left(ready, _of_others(sent, work.claimed.message.id)) if isinstance(ready, Ready) else ready
        for work, ready in zip(works, transformed, strict=True)
    ]


def about_to_be_sent(works: Sequence[Work], transformed: Sequence[Transformed]) -> set[int]:
    """The places in the page of deliveries with an event that an earlier one of another message sends."""
    senders: dict[str, str] = {}
    places: set[int] = set()
    for place, (work, result) in enumerate(zip(works, transformed, strict=True)):
        calls = result.calls if isinstance(result, Ready) else ()
        own = {call.event_id for call in calls if call.once}
        if any(senders.get(event_id, work.claimed.message.id) != work.claimed.message.id for event_id in own):
            places.add(place)
        else:
            senders |= dict.fromkeys(own, work.claimed.message.id)
    return places


def _of_others(sent: Mapping[str, SentKey], message_id: str) -> dict[str, SentKey]:
    return {event_id: key for event_id, key in sent.items() if key.message_id != message_id}


def _left(ready: Ready, sent: Mapping[str, SentKey]) -> Transformed:
    gone = [sent[call.event_id] for call in ready.calls if call.once and call.event_id in sent]
    if not gone:
        return ready
    calls = tuple(call for call in ready.calls if not (call.once and call.event_id in sent))
    verdicts = (*ready.verdicts, *(Verdict(level=Level.CORRECTION, reason=_why(key), source=_SOURCE) for key in gone))
    if all(call.added for call in calls):
        return Stopped(
            state=DeliveryState.CANCELED,
            code=CODE,
            reason=_why(gone[0]),
            requested=ready.requested,
            console=ready.console,
            verdicts=verdicts,
            duration_us=ready.duration_us,
            snapshot=ready.snapshot,
        )
    return msgspec.structs.replace(ready, calls=calls, verdicts=verdicts)


def _why(key: SentKey) -> Reason:
    return reason(
        CODE,
        "Already sent: message %(message_id)s sent the event with this `once` key, so it is omitted.",
        "To repeat it, replay this message with new event IDs.",
        message_id=key.message_id,
    )


def accepted_ids(work: Work) -> tuple[str, ...]:
    """The event ids that the destination has accepted of a delivery so far; () if this attempt adds none."""
    new = [call.event_id for call in work.accepted if call.event_id]
    if not new:
        return ()
    return tuple(dict.fromkeys((*work.claimed.accepted_ids, *new)))[-MAX_ACCEPTED_IDS:]


def sent_keys(target: OpenEndpoint, work: Work, now_ms: int) -> tuple[SentKey, ...]:
    """The ids made of natural keys that this attempt has sent, for each name of the workspace."""
    return tuple(
        SentKey(
            workspace=workspace,
            event_id=call.event_id,
            message_id=work.claimed.message.id,
            endpoint_id=target.endpoint.id,
            sent_at_ms=now_ms,
        )
        for call in work.accepted
        if call.once and call.event_id
        for workspace in target.destination.workspaces
    )
