"""What Dodo's events state about its customers, subscriptions, payments, refunds and disputes."""

from __future__ import annotations

from nicobar.facts import object_id, of_customer
from nicobar.model import Customer, Fact, FactKind, Json
from nicobar.sources import envelope
from nicobar.sources.dodo import objects

# The field with the id of each kind of object; the nearest to the customer first.
_IDS = {
    FactKind.SUBSCRIPTION: "subscription_id",
    FactKind.PAYMENT: "payment_id",
    FactKind.REFUND: "refund_id",
    FactKind.DISPUTE: "dispute_id",
}
_OF_A_PAYMENT = {FactKind.REFUND, FactKind.DISPUTE}
_FIELDS = tuple(_IDS.items())
# How far a status is from the beginning. Those that are not listed are in between.
_STATUS_RANKS = {
    "pending": 1,
    "processing": 1,
    "review": 2,
    "dispute_opened": 1,
    "dispute_challenged": 2,
    "failed": 4,
    "cancelled": 4,
    "expired": 5,
    "succeeded": 6,
    "dispute_accepted": 4,
    "dispute_cancelled": 4,
    "dispute_expired": 4,
    "dispute_won": 5,
    "dispute_lost": 5,
}
_STATUS_IN_BETWEEN = 3


def stated(read: envelope.Envelope, customer: Customer | None) -> tuple[Fact, ...]:
    """A subscription, payment, refund or dispute is stated by the events of its own types; other events name it."""
    data = read.data
    own_kind = read.event_type.partition(".")[0]
    found = [] if customer is None else [of_customer(customer)]
    for kind, field in _FIELDS:
        given = data.get(field)
        if given is None or not (of := object_id(given)):
            continue
        if kind != own_kind:
            found.append(Fact(kind=kind, id=of))
            continue
        fields: dict[str, Json] = {} if customer is None else {"customer_id": customer.key}
        if kind in _OF_A_PAYMENT and (payment_id := object_id(data.get("payment_id"))):
            fields["payment_id"] = payment_id
        fields |= objects.stated(kind, data, read.occurred_at_ms)
        for name, value in of_business(read).items():
            if value:
                fields[name] = value
        found.append(
            Fact(
                kind=kind,
                id=of,
                fields=fields,
                metadata=envelope.members(data.get("metadata")),
                is_final=kind is FactKind.PAYMENT and fields.get("status") == objects.SUCCEEDED,
            )
        )
    return tuple(found)


def of_business(read: envelope.Envelope) -> dict[str, str | None]:
    """The business and the brand of an event. All say the business, most the brand."""
    return {
        "business_id": envelope.text(read.business_id),
        "brand_id": envelope.text(read.data.get("brand_id")),
    }


def ranks(read: envelope.Envelope) -> tuple[int, int]:
    """An event about any change comes before the one about what has changed."""
    status = read.data.get("status", read.data.get("dispute_status"))
    rank = _STATUS_RANKS.get(status, _STATUS_IN_BETWEEN) if isinstance(status, str) else 0
    return rank, 0 if read.event_type.endswith(".updated") else 1
