"""What Dodo's events state about its customers, subscriptions, payments, refunds and disputes."""

from __future__ import annotations

from nicobar.facts import object_id, of_customer
from nicobar.model import Customer, Fact, FactKind, Json
from nicobar.sources import envelope

# The field with the id of each kind of object; the nearest to the customer first.
_IDS = {
    FactKind.SUBSCRIPTION: "subscription_id",
    FactKind.PAYMENT: "payment_id",
    FactKind.REFUND: "refund_id",
    FactKind.DISPUTE: "dispute_id",
}
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
    facts = [] if customer is None else [of_customer(customer)]
    for kind, field in _IDS.items():
        if not (of := object_id(data.get(field))):
            continue
        if kind != own_kind:
            facts.append(Fact(kind=kind, id=of))
            continue
        fields: dict[str, Json] = {} if customer is None else {"customer_id": customer.key}
        if kind is FactKind.PAYMENT:
            fields |= _subscriptions(data)
        elif kind is not FactKind.SUBSCRIPTION and (payment_id := object_id(data.get("payment_id"))):
            fields["payment_id"] = payment_id
        facts.append(Fact(kind=kind, id=of, fields=fields, metadata=envelope.members(data.get("metadata"))))
    return tuple(facts)


def ranks(read: envelope.Envelope) -> tuple[int, int]:
    """An event about any change comes before the one about what has changed."""
    status = read.data.get("status", read.data.get("dispute_status"))
    rank = _STATUS_RANKS.get(status, _STATUS_IN_BETWEEN) if isinstance(status, str) else 0
    return rank, 0 if read.event_type.endswith(".updated") else 1


def _subscriptions(data: dict[str, Json]) -> dict[str, Json]:
    several = data.get("subscription_ids")
    one = data.get("subscription_id")
    found: list[Json] = [item for item in several if object_id(item)] if isinstance(several, list) else []
    return {"subscription_ids": found or [one]} if found or object_id(one) else {}
