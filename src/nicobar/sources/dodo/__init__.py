"""Dodo Payments. Facts: https://docs.dodopayments.com/developer-resources/webhooks."""

from __future__ import annotations

import msgspec

from nicobar.model import Customer, Event, EventType, Json
from nicobar.sources import envelope
from nicobar.sources.dodo.event_types import EVENT_TYPES
from nicobar.sources.signing import StandardWebhooksSigning


class DodoPayments(StandardWebhooksSigning):
    """Dodo signs by Standard Webhooks. It has its own envelope field `business_id` and no flag for test mode, so
    each mode is a source of its own.
    """

    kind = "dodo-payments"
    name = "Dodo Payments"
    summary = "Payments, subscriptions, refunds, disputes and the rest of Dodo's 48 event types."

    def read(self, body: bytes) -> Event:
        read = envelope.read(body)
        return Event(event_type=read.event_type, occurred_at_ms=read.occurred_at_ms, customer=_customer(read.data))

    def event_types(self) -> tuple[EventType, ...]:
        return EVENT_TYPES


def read_any(body: bytes, event_type: str) -> Event:
    """An event that came without an envelope of its own: when it happened and whom it is about, where the body has
    Dodo's shape.
    """
    try:
        found = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _Body()
    return Event(
        event_type=event_type,
        occurred_at_ms=envelope.unix_ms(found.timestamp),
        customer=_customer(found.data) if isinstance(found.data, dict) else None,
    )


class _Body(msgspec.Struct):
    timestamp: Json = None
    data: Json = None


def _customer(data: dict[str, Json]) -> Customer | None:
    """25 of the 48 types have `customer`, most others only `customer_id`; payouts are about no customer."""
    about = data.get("customer")
    if isinstance(about, dict):
        return envelope.customer(about.get("customer_id"), about.get("email"), about.get("name"))
    return envelope.customer(data.get("customer_id"))
