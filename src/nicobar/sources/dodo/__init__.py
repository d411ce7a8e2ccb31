"""Dodo Payments. Facts: https://docs.dodopayments.com/developer-resources/webhooks."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nicobar.model import Customer, Event, EventType, Json, Mode
from nicobar.redaction import PersonalData, PersonalField
from nicobar.sources import SetupPart, SetupStep, envelope, samples
from nicobar.sources.dodo import facts
from nicobar.sources.dodo.event_types import EVENT_TYPES
from nicobar.sources.dodo.nullable import NULLABLE, SHARED
from nicobar.sources.signing import StandardWebhooksSigning

# The id of an occurrence: a payment, refund, dispute, ledger entry, license key or grant.
_OCCURRENCE = re.compile(r"(pay|ref|dp|cle|lic|grant)_[0-9A-Za-z]{21}")

# Links to invoices and checkouts are the only sign of the mode.
_HOSTS = re.compile(rb"https:\\?/\\?/([a-z.]{1,30}\.dodopayments\.com)[/\"\\]")
_HOSTS_OF = {
    Mode.LIVE: {b"live.dodopayments.com", b"checkout.dodopayments.com"},
    Mode.TEST: {b"test.dodopayments.com", b"test.checkout.dodopayments.com"},
}

# The id of what a customer keeps.
_BELONGING = re.compile(r"(sub)_[0-9A-Za-z]{21}")


class DodoPayments(StandardWebhooksSigning):
    """Dodo signs by Standard Webhooks. It has its own envelope field `business_id` and no flag for test mode, so each
    mode is a separate source.
    """

    kind = "dodo-payments"
    name = "Dodo Payments"
    summary = "Payments, subscriptions, refunds, disputes and more: all 48 event types."

    setup = (
        SetupStep(
            text="In the Dodo dashboard, choose test mode or live mode. Each mode has its own webhooks "
            "and signing secrets."
        ),
        SetupStep(
            text="Go to Developer > Webhooks and add an endpoint with this URL.",
            shows=SetupPart.ADDRESS,
        ),
        SetupStep(
            text="Select the events to send, or select all. Events that no endpoint subscribes to are "
            "stored but not delivered."
        ),
        SetupStep(
            text="Open the new endpoint in the Dodo dashboard, copy its signing secret and paste it here.",
            shows=SetupPart.SECRET,
        ),
        SetupStep(text="Send a test event from Dodo, or wait for the first real event.", shows=SetupPart.FIRST_EVENT),
    )
    rotation_note = "After you rotate the secret in Dodo, Dodo signs with both secrets for 24 hours."
    usual_event_type = "payment.succeeded"
    customer_id_attribute = "dodo_customer_id"

    personal_fields = tuple(
        PersonalField(kind=kind, path=f"data.{path}")
        for kind, paths in {
            PersonalData.CARD: "card_last_four card_holder_name card_exp_month card_exp_year",
            PersonalData.LICENSE_KEY: "key license_key",
            PersonalData.SIGN_IN_LINK: "oauth_url payment_link invoice_url digital_product_delivery.external_url "
            "digital_product_delivery.files.download_url digital_product_delivery.instructions",
            PersonalData.PHONE: "customer.phone_number",
            PersonalData.BILLING_ADDRESS: "billing tax_id",
        }.items()
        for path in paths.split()
    )

    def read(self, headers: Mapping[str, str], body: bytes) -> Event:
        del headers
        return _event(envelope.read(body))

    def read_body(self, event_type: str, body: bytes) -> Event:
        return _event(envelope.read_body(event_type, body))

    def mode_in(self, body: bytes) -> Mode | None:
        hosts = set(_HOSTS.findall(body))
        found = {mode for mode, of in _HOSTS_OF.items() if hosts & of}
        return found.pop() if len(found) == 1 else None

    def event_types(self) -> tuple[EventType, ...]:
        return EVENT_TYPES

    def nullable_fields(self, event_type: EventType) -> frozenset[str]:
        return NULLABLE.get(event_type.name.partition(".")[0], frozenset()) | SHARED

    def sample(
        self, event_type: EventType, now_ms: int, customer: Customer | None = None, *, event_id: str = ""
    ) -> bytes:
        return samples.fresh(
            event_type, now_ms, customer, event_id=event_id, occurrence=_OCCURRENCE, belonging=_BELONGING
        )


def _event(read: envelope.Envelope) -> Event:
    customer = _customer(read.data)
    return Event(
        event_type=read.event_type,
        occurred_at_ms=read.occurred_at_ms,
        customer=customer,
        facts=facts.stated(read, customer),
        updated_at_ms=envelope.unix_ms(read.data.get("updated_at")),
        ranks=facts.ranks(read),
        **facts.of_business(read),
    )


def _customer(data: dict[str, Json]) -> Customer | None:
    """25 of the 48 types have `customer`, most others only `customer_id`; payouts have no customer. The metadata of a
    checkout is that of its payment or subscription.
    """
    checkout = envelope.members(data.get("metadata"))
    about = data.get("customer")
    if not isinstance(about, dict):
        return envelope.customer(data.get("customer_id"), metadata=checkout)
    metadata = {**envelope.members(about.get("metadata")), **checkout}
    return envelope.customer(about.get("customer_id"), about.get("email"), about.get("name"), metadata)
