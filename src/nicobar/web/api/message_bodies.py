"""The response body of a message, and finding a message by its key."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from nicobar.model import UNREADABLE_EVENT_TYPE, Application, Message, given_event_id
from nicobar.redaction import Redactor
from nicobar.store import NewMessage
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.errors import not_found
from nicobar.web.api.shapes import MessageId, Moment, Shape, moment

# Replaces a deleted payload, as in the public Svix API.
EXPUNGED = b'{"expired":true}'
# The only field of the payload of an event that cannot be read: its body as text.
UNREADABLE = "unreadable"

# A dictionary in the schema; at run time the stored bytes.
Payload: TypeAlias = Annotated[
    dict[str, Any], Meta(examples=[{"type": "payment.succeeded", "data": {"total_amount": 4990}}])
]


class MessageOut(Shape):
    """A message. `eventId` is null if the sender provided none. `payload` is `{}` without `with_content`, and
    `{"expired":true}` after it was deleted; of an event that cannot be read, it is `{"unreadable": "…"}` with the
    body as text. Personal data in `payload`, such as phone numbers, is `***` for read-only tokens and for dashboard
    links. Additions to the Svix API: `sourceId`, `customerKey` and `occurredAt`.
    """

    id: MessageId
    event_type: str
    event_id: str | None
    payload: Payload
    channels: list[str] | None
    tags: list[str] | None
    timestamp: Moment
    deliver_at: Moment | None
    source_id: str
    customer_key: str | None
    occurred_at: Moment


def redactor_for(services: Services, caller: Caller, message: Message) -> Redactor | None:
    """What masks a message's personal data; None for a caller that sees the payload whole."""
    return None if caller.sees_payloads else services.configuration.redactor(message)


def shown(message: Message | NewMessage, redactor: Redactor | None = None, *, with_content: bool) -> MessageOut:
    return MessageOut(**fields_of(message, redactor, with_content=with_content))


def fields_of(
    message: Message | NewMessage, redactor: Redactor | None = None, *, with_content: bool
) -> dict[str, Any]:
    """The fields of a message, its payload masked by `redactor`."""
    body = payload_of(message, redactor) if with_content else b"{}"
    return {
        "id": message.id,
        "event_type": message.event_type,
        "event_id": given_event_id(message.id, message.event_id),
        "payload": msgspec.Raw(body),
        "channels": list(message.channels) or None,
        "tags": list(message.tags) or None,
        "timestamp": moment(message.accepted_at_ms),
        "deliver_at": None if message.deliver_at_ms is None else moment(message.deliver_at_ms),
        "source_id": message.source_id,
        "customer_key": message.customer_key,
        "occurred_at": moment(message.occurred_at_ms),
    }


def payload_of(message: Message | NewMessage, redactor: Redactor | None = None) -> bytes:
    if isinstance(message, Message) and message.expunged_at_ms is not None:
        return EXPUNGED
    body = message.body if redactor is None else redactor.event(message.body)
    if message.event_type == UNREADABLE_EVENT_TYPE:
        return msgspec.json.encode({UNREADABLE: body.decode("utf-8", "replace")})
    return body


async def message_of(services: Services, application: Application, key: str) -> Message:
    """Raises Refusal 404."""
    found = await services.store.find_message(application.id, key)
    if found is None:
        raise not_found("message", key)
    return found
