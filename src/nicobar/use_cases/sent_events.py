"""Finds the message that sent an event to a destination, by the event's id there."""

from __future__ import annotations

from nicobar.model import Message
from nicobar.store.history import MessageFilter
from nicobar.use_cases.services import Services

# How many messages are searched, the latest first: event ids are stored with deliveries and have no index.
MAX_SEARCHED = 2_000
_TURN = 200


async def find_sender(services: Services, app_id: str, event_id: str, customer_key: str = "") -> Message | None:
    """The message of an event that a destination has accepted; the id may have letters of any case. An event with a
    `once` key is always found; another one among the latest messages of the customer, if known, and of the
    application.
    """
    event_id = event_id.upper()
    endpoints = services.configuration.endpoints.values()
    workspaces = sorted({name for item in endpoints for name in item.destination.workspaces})
    sent = await services.store.sent_keys(workspaces, [event_id]) if workspaces else {}
    if event_id in sent:
        return await services.store.find_message(app_id, sent[event_id].message_id)
    for customer in [customer_key, ""] if customer_key else [""]:
        message_id = await _look(services, app_id, event_id, MessageFilter(customer_key=customer or None))
        if message_id is not None:
            return await services.store.find_message(app_id, message_id)
    return None


async def _look(services: Services, app_id: str, event_id: str, which: MessageFilter) -> str | None:
    before: str | None = None
    for _ in range(MAX_SEARCHED // _TURN):
        page = await services.store.messages(app_id, which, before=before, limit=_TURN)
        accepted = await services.store.accepted_ids([message.id for message in page.items])
        for (message_id, _), event_ids in accepted.items():
            if event_id in map(str.upper, event_ids):
                return message_id
        before = page.next
        if before is None:
            return None
    return None
