"""Any sender that follows Standard Webhooks."""

from __future__ import annotations

from nicobar.model import Customer, Event, EventType, Json
from nicobar.sources import envelope
from nicobar.sources.signing import StandardWebhooksSigning


class StandardWebhooks(StandardWebhooksSigning):
    """Events in the suggested envelope. Whom an event is about is read from where most senders put it:
    `data.customer_id`, or `data.customer` with an `id` or `customer_id`.
    """

    kind = "standard-webhooks"
    name = "Standard Webhooks"
    summary = "Any sender that signs as standardwebhooks.com describes."

    def read(self, body: bytes) -> Event:
        read = envelope.read(body)
        return Event(event_type=read.event_type, occurred_at_ms=read.occurred_at_ms, customer=_customer(read.data))

    def event_types(self) -> tuple[EventType, ...]:
        return ()


def _customer(data: dict[str, Json]) -> Customer | None:
    about = data.get("customer")
    if isinstance(about, dict):
        return envelope.customer(about.get("customer_id") or about.get("id"), about.get("email"), about.get("name"))
    return envelope.customer(data.get("customer_id"), data.get("email"), data.get("name"))
