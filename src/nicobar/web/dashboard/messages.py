"""`/logs/{message}`: one message with all attempts; resending it and deleting its payload."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nicobar.connectors.inspection import FailedChange, Unanswered
from nicobar.errors import NicobarError, Refusal, UserError
from nicobar.model import ALERT_SOURCE_ID, Attempt, Delivery, Endpoint, Message, Record, given_event_id
from nicobar.redaction import Redactor
from nicobar.store.history import AttemptFilter, Revision
from nicobar.use_cases import erase
from nicobar.use_cases.deliveries import count_unfinished, resend
from nicobar.use_cases.delivery_waits import Wait, WaitCause, read_waits
from nicobar.use_cases.inspection import failed_changes
from nicobar.use_cases.reveal import reveal_message
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, current_application, find_endpoint, not_found
from nicobar.web.dashboard.endpoint_inspection import can_be_asked
from nicobar.web.dashboard.logs import endpoint_names
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

# A delivery has 8 scheduled attempts, plus manual ones.
MAX_ATTEMPTS = 100
_RESENDABLE = {WaitCause.RETRY, WaitCause.LATER}


class Part(Record):
    """A delivery on the page: its endpoint (None if deleted), why it is waiting, and its attempts, latest first.
    `changes` are those that the destination could not make, None unless it was asked and answered.
    """

    delivery: Delivery
    endpoint: Endpoint | None
    wait: Wait | None
    attempts: tuple[Attempt, ...]
    can_resend: bool
    can_ask: bool = False
    changes: tuple[FailedChange, ...] | None = None


@get("/logs/{message_id}")
async def show(message_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The payload, and every attempt per endpoint with request and response."""
    return await _page(context, visitor, await _message(context, visitor, message_id))


@post("/logs/{message_id}/reveal")
async def revealed(message_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The message with its personal data; the audit log says who saw it."""
    message = await _message(context, visitor, message_id)
    await reveal_message(context.services, visitor, message)
    # The form's own address cannot be opened: a chosen language leads back to the message.
    visitor = msgspec.structs.replace(visitor, path=f"/logs/{message.id}")
    return await _page(context, visitor, message, is_whole=True)


@post("/logs/{message_id}/failed-changes", status=200)
async def asked_failed_changes(message_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The message with the changes that the destination accepted and could not make."""
    message = await _message(context, visitor, message_id)
    endpoint = find_endpoint(await context.snapshot(), visitor.form.get("to", ""))
    # The form's own address cannot be opened: a chosen language leads back to the message.
    shown = msgspec.structs.replace(visitor, path=f"/logs/{message.id}")
    found = await failed_changes(context.services, visitor, message, endpoint)
    if isinstance(found, Unanswered):
        return await _page(context, shown, message, UserError.because(found.reason))
    return await _page(context, shown, message, changes={endpoint.id: found})


@get("/logs/{message_id}/resend", needs=Needs.CHANGING)
async def ask_resend(message_id: str, context: Context, visitor: Visitor, to: str = "") -> Response[bytes]:
    """Explains the resend and asks for confirmation."""
    message = await _message(context, visitor, message_id)
    return page(visitor, "message_resend.html", message=message, endpoint=find_endpoint(await context.snapshot(), to))


@post("/logs/{message_id}/resend", status=303)
async def resent(message_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Queues the delivery again."""
    message = await _message(context, visitor, message_id)
    endpoint = find_endpoint(await context.snapshot(), visitor.form.get("to", ""))
    try:
        people, new_ids = context.services.configuration, "new_ids" in visitor.form
        await resend(context.services, visitor, message, endpoint, people=people, new_ids=new_ids)
    except Refusal as problem:
        return await _page(context, visitor, message, problem)
    return redirect(f"/logs/{message.id}#{endpoint.id}")


@get("/logs/{message_id}/expunge", needs=Needs.CHANGING)
async def ask_expunge(message_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Explains the deletion and asks for confirmation."""
    message = await _message(context, visitor, message_id)
    unfinished = await count_unfinished(context.services.store, message)
    return page(visitor, "message_expunge.html", message=message, unfinished=unfinished)


@post("/logs/{message_id}/expunge", status=303)
async def expunged(message_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Deletes the payload, and the attempts' copies of it."""
    message = await _message(context, visitor, message_id)
    await erase.expunge_message(context.services, visitor, message)
    return redirect(f"/logs/{message.id}")


async def _message(context: Context, visitor: Visitor, message_id: str) -> Message:
    """Raises Refusal 404."""
    app = current_application(await context.snapshot())
    found = await context.services.store.find_message(app.id, message_id, alerts=visitor.sees_alerts)
    if found is None:
        raise not_found("message")
    return found


async def _page(
    context: Context,
    visitor: Visitor,
    message: Message,
    problem: NicobarError | None = None,
    *,
    is_whole: bool = False,
    changes: Mapping[str, tuple[FailedChange, ...]] | None = None,
) -> Response[bytes]:
    snapshot = await context.snapshot()
    store = context.services.store
    endpoints = {item.id: item for item in snapshot.endpoints}
    tried = await store.attempts_of_message(message.id, AttemptFilter(alerts=True), limit=MAX_ATTEMPTS)
    now_ms = context.now_ms()
    waits = await read_waits(store, snapshot.endpoints, now_ms)
    redactor = context.services.configuration.redactor(message)
    parts: list[Part] = []
    for found in await store.deliveries(message.id):
        delivery = msgspec.structs.replace(found, reason=redactor.why(found.reason))
        endpoint = endpoints.get(delivery.endpoint_id)
        wait = waits.of(delivery)
        parts.append(
            Part(
                delivery=delivery,
                endpoint=endpoint,
                wait=wait,
                attempts=tuple(
                    redactor.attempt(each.attempt) for each in tried.items if each.endpoint_id == delivery.endpoint_id
                ),
                can_resend=_can_resend(message, endpoint, wait),
                can_ask=endpoint is not None and can_be_asked(context, endpoint),
                changes=_masked_changes(redactor, (changes or {}).get(delivery.endpoint_id)),
            )
        )
    payload = message.body if is_whole else redactor.event(message.body)
    revisions = await store.revisions(message.id)
    shown_revisions = revisions if is_whole else [_masked(context, message, revision) for revision in revisions]
    return page(
        visitor,
        "message.html",
        status=problem.status if isinstance(problem, Refusal) else 200,
        message=message,
        event_id=given_event_id(message.id, message.event_id),
        unreadable=context.services.configuration.reread(message)[1],
        payload=payload,
        is_whole=is_whole,
        is_masked=(payload, *shown_revisions) != (message.body, *revisions),
        revisions=shown_revisions,
        parts=parts,
        names=endpoint_names(snapshot),
        others=_others(message, snapshot.endpoints, parts),
        source=next((source for source in snapshot.sources if source.id == message.source_id), None),
        operational=message.source_id == ALERT_SOURCE_ID,
        # What is shown on request is not asked for again: each request is recorded.
        is_live=any(part.wait for part in parts) and not is_whole and changes is None,
        more_attempts=tried.next is not None,
        problem=problem,
        now_ms=now_ms,
    )


def _masked(context: Context, message: Message, revision: Revision) -> Revision:
    redactor = context.services.configuration.redactor(msgspec.structs.replace(message, body=revision.body))
    return msgspec.structs.replace(revision, body=redactor.event(revision.body))


def _masked_changes(redactor: Redactor, changes: tuple[FailedChange, ...] | None) -> tuple[FailedChange, ...] | None:
    if changes is None:
        return None
    return tuple(
        msgspec.structs.replace(item, person=redactor.text(item.person), detail=redactor.text(item.detail))
        for item in changes
    )


def _can_resend(message: Message, endpoint: Endpoint | None, wait: Wait | None) -> bool:
    if endpoint is None or endpoint.disabled or message.expunged_at_ms is not None:
        return False
    return wait is None or wait.cause in _RESENDABLE


def _others(message: Message, endpoints: tuple[Endpoint, ...], parts: list[Part]) -> list[Endpoint]:
    """The application's endpoints that did not receive the message."""
    got = {part.delivery.endpoint_id for part in parts}
    if message.expunged_at_ms is not None or message.source_id == ALERT_SOURCE_ID:
        return []
    return [
        endpoint
        for endpoint in endpoints
        if endpoint.app_id == message.app_id and endpoint.id not in got and not endpoint.disabled
    ]


OPERATIONS = (show, revealed, asked_failed_changes, ask_resend, resent, ask_expunge, expunged)
