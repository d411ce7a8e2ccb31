"""Any sender that follows Standard Webhooks."""

from __future__ import annotations

from collections.abc import Mapping

from nicobar import facts
from nicobar.model import Customer, Event, EventType, Json, Mode
from nicobar.sources import SetupPart, SetupStep, envelope, samples
from nicobar.sources.signing import StandardWebhooksSigning, check_any_secret


class StandardWebhooks(StandardWebhooksSigning):
    """Events in the recommended envelope. The customer is read from where most senders put it: `data.customer_id`, or
    `data.customer` with an `id` or `customer_id`.
    """

    kind = "standard-webhooks"
    name = "Standard Webhooks"
    summary = "Any sender that signs webhooks as described at standardwebhooks.com."

    setup = (
        SetupStep(text="Add this URL to the sender's webhook settings.", shows=SetupPart.ADDRESS),
        SetupStep(
            text="Paste the sender's signing secret as the sender shows it: whsec_ followed by base64, other text, "
            "or a public key that starts with whpk_.",
            shows=SetupPart.SECRET,
        ),
        SetupStep(
            text="Send an event: a JSON object with a type, and the headers webhook-id, webhook-timestamp and "
            "webhook-signature (or svix-id, svix-timestamp and svix-signature).",
            shows=SetupPart.FIRST_EVENT,
        ),
    )
    rotation_note = ""
    personal_fields = ()
    usual_event_type = ""
    customer_id_attribute = ""  # the sender is not known

    def check_secret(self, secret: str) -> None:
        check_any_secret(secret)

    def read(self, headers: Mapping[str, str], body: bytes) -> Event:
        del headers
        return _event(envelope.read(body))

    def read_body(self, event_type: str, body: bytes) -> Event:
        return _event(envelope.read_body(event_type, body))

    def mode_in(self, body: bytes) -> Mode | None:
        del body
        return None

    def event_types(self) -> tuple[EventType, ...]:
        return ()

    def nullable_fields(self, event_type: EventType) -> tuple[str, ...]:
        del event_type
        return ()  # the sender is not known

    def sample(
        self, event_type: EventType, now_ms: int, customer: Customer | None = None, *, event_id: str = ""
    ) -> bytes:
        del event_id
        return samples.fresh(event_type, now_ms, customer)


def _event(read: envelope.Envelope) -> Event:
    customer = _customer(read.data)
    return Event(
        event_type=read.event_type,
        occurred_at_ms=read.occurred_at_ms,
        customer=customer,
        facts=() if customer is None else (facts.of_customer(customer),),
    )


def _customer(data: dict[str, Json]) -> Customer | None:
    about = data.get("customer")
    if not isinstance(about, dict):
        metadata = envelope.members(data.get("metadata"))
        return envelope.customer(data.get("customer_id"), data.get("email"), data.get("name"), metadata)
    metadata = {**envelope.members(about.get("metadata")), **envelope.members(data.get("metadata"))}
    key = about.get("customer_id") or about.get("id")
    return envelope.customer(key, about.get("email"), about.get("name"), metadata)
