"""Operations on single deliveries: resend and cancel."""

from __future__ import annotations

from nicobar.audit import AuditAction
from nicobar.errors import Refusal
from nicobar.model import DeliveryState, Endpoint, Message
from nicobar.reasons import reason
from nicobar.store import History, Resent, Store
from nicobar.store.facts import People
from nicobar.use_cases.edit import Actor, OperationServices, audit_line
from nicobar.use_cases.endpoints import check_enabled

FINAL_STATES = (DeliveryState.SUCCESS, DeliveryState.FAILED, DeliveryState.CANCELED)
UNFINISHED_STATES = (DeliveryState.PENDING, DeliveryState.SENDING)
CANCEL_STEP_DELIVERIES = 1_000
MAX_CANCELED_DELIVERIES = 100_000
CANCELED = reason("canceled_by_hand", "canceled by hand")


async def count_unfinished(store: Store, *messages: Message) -> int:
    """How many of the messages' deliveries are not finished."""
    deliveries = await store.deliveries_of_messages([message.id for message in messages])
    return sum(delivery.state in UNFINISHED_STATES for found in deliveries.values() for delivery in found)


async def count_cancelable(history: History, endpoint: Endpoint) -> int:
    """How many deliveries `cancel_pending` would cancel."""
    pending = (await history.unfinished(endpoint.id)).get(DeliveryState.PENDING, 0)
    return min(MAX_CANCELED_DELIVERIES, pending)


async def cancel_pending(services: OperationServices, actor: Actor, endpoint: Endpoint) -> tuple[int, bool]:
    """Cancels the pending deliveries of an endpoint, MAX_CANCELED_DELIVERIES at most. Those that are being sent stay.
    Returns how many were canceled, and whether none is left.
    """
    line = audit_line(services, actor, AuditAction.ENDPOINT_CANCEL_PENDING, endpoint.id, app_id=endpoint.app_id)
    canceled, last = 0, CANCEL_STEP_DELIVERIES
    while last == CANCEL_STEP_DELIVERIES and canceled < MAX_CANCELED_DELIVERIES:
        last = await services.store.cancel_pending(
            endpoint.seq,
            now_ms=services.clock.now_ms(),
            limit=CANCEL_STEP_DELIVERIES,
            reason=CANCELED,
            audit_line=line,
        )
        canceled += last
    return canceled, last < CANCEL_STEP_DELIVERIES


async def resend(
    services: OperationServices,
    caller: Actor,
    message: Message,
    endpoint: Endpoint,
    *,
    people: People,
    new_ids: bool,
    dry_run: bool = False,
) -> str:
    """Sends a message to an endpoint again, after pending messages of the same customer. A delivery that is waiting
    for a retry becomes due now. Returns the outcome as a sentence; with `dry_run`, changes nothing. Raises Refusal
    409 where that is not possible.
    """
    check_enabled(endpoint)
    now_ms = services.clock.now_ms()
    if dry_run:
        return _resent(await _would_resend(services, message, endpoint), message.id, endpoint.name)
    detail = f"to {endpoint.id}{', under new ids' if new_ids else ''}"
    action = AuditAction.MESSAGE_RESEND
    line = audit_line(services, caller, action, message.id, app_id=message.app_id, detail=detail)
    resent = await services.store.resend(
        message.id,
        endpoint.id,
        now_ms=now_ms,
        new_ids=new_ids,
        people=people,
        audit_line=line,
    )
    done = _resent(resent, message.id, endpoint.name)
    services.wake([endpoint.seq])
    stop = stop_note(endpoint)
    return done if stop is None else f"{done} {stop}"


def stop_note(endpoint: Endpoint) -> str | None:
    """Why an endpoint does not send at present and what continues it, as two sentences; None if it sends."""
    if endpoint.paused_reason is None:
        return None
    stopped = f"{endpoint.name} is {'on hold' if endpoint.on_hold else 'paused'} ({endpoint.paused_reason})."
    if endpoint.paused_by_hand:
        return f"{stopped} Nothing is sent until you resume it."
    return f"{stopped} Sending continues when the destination accepts requests again."


async def _would_resend(services: OperationServices, message: Message, endpoint: Endpoint) -> Resent:
    if message.expunged_at_ms is not None:
        return Resent.EXPUNGED
    deliveries = await services.store.deliveries(message.id)
    delivery = next((item for item in deliveries if item.endpoint_id == endpoint.id), None)
    if delivery is None or delivery.state in FINAL_STATES:
        return Resent.QUEUED
    if delivery.state is DeliveryState.SENDING:
        return Resent.SENDING
    return Resent.BEHIND if delivery.due_at_ms is None else Resent.HASTENED


def _resent(resent: Resent, message_id: str, endpoint: str) -> str:
    match resent:
        case Resent.QUEUED:
            return f"Message {message_id} queued again for {endpoint}."
        case Resent.HASTENED:
            return f"Message {message_id} was waiting for a retry to {endpoint}. It is due now."
        case Resent.SENDING:
            raise Refusal(
                409,
                "delivery_sending",
                "Message %(message_id)s is being sent to %(endpoint)s right now.",
                "Wait for the result.",
                message_id=message_id,
                endpoint=endpoint,
            )
        case Resent.BEHIND:
            raise Refusal(
                409,
                "delivery_behind",
                "Message %(message_id)s to %(endpoint)s is queued after an earlier message of the same customer.",
                "Resend the earlier message, or wait: this one follows automatically.",
                message_id=message_id,
                endpoint=endpoint,
            )
        case Resent.EXPUNGED:
            raise Refusal(
                409,
                "message_expunged",
                "The payload of message %(message_id)s was deleted.",
                "The message cannot be resent.",
                message_id=message_id,
            )
        case _:
            raise Refusal(
                409,
                "delivery_unknown",
                "No delivery of message %(message_id)s to %(endpoint)s exists.",
                "Check that both ids belong to the same application.",
                endpoint=endpoint,
                message_id=message_id,
            )
