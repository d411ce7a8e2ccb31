"""Any sender that follows Standard Webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nicobar.crypto import webhook_secret_key
from nicobar.model import Customer, Event, EventType, Json
from nicobar.sources import Verified, envelope, signing


class StandardWebhooks:
    """Events in the suggested envelope. Whom an event is about is read from where most senders put it:
    `data.customer_id`, or `data.customer` with an `id` or `customer_id`.
    """

    kind = "standard-webhooks"
    name = "Standard Webhooks"
    summary = "Any sender that signs as standardwebhooks.com describes."

    def check_secret(self, secret: str) -> None:
        webhook_secret_key(secret)

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_ms: int) -> Verified:
        return signing.verify(headers, body, secrets, now_ms)

    def read(self, body: bytes) -> Event:
        read = envelope.read(body)
        return Event(event_type=read.event_type, occurred_at_ms=read.occurred_at_ms, customer=_customer(read.data))

    def event_types(self) -> tuple[EventType, ...]:
        return ()

    def sign(self, event_id: str, body: bytes, secret: str, now_ms: int) -> dict[str, str]:
        return signing.sign(event_id, body, secret, now_ms)


def _customer(data: dict[str, Json]) -> Customer | None:
    about = data.get("customer")
    if isinstance(about, dict):
        return envelope.customer(about.get("customer_id") or about.get("id"), about.get("email"), about.get("name"))
    return envelope.customer(data.get("customer_id"), data.get("email"), data.get("name"))
