"""The objects of a person, each as all facts about it say: payments, refunds, disputes and subscriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from nicobar.facts import ANNOUNCED, StatedFact
from nicobar.ledger.contents import Said, values
from nicobar.model import FactKind, Json, Record

SUCCEEDED, FAILED, LOST = "succeeded", "failed", "lost"
ENDED = frozenset({"cancelled", "expired"})
NEVER_BEGAN = frozenset({"pending", "failed"})
PLAN_CHANGE = "plan_change"
# The hexadecimal digits at the end of the first word of a place: see `facts.py`.
_TIME = slice(-28, -16)

_JSON = msgspec.json.Decoder(Json)


class Charged(Record, gc=False):
    """A period of a subscription that a payment is for. `proration`: the part that was charged, 1 for all."""

    subscription_id: str
    start: int | None = None
    end: int | None = None
    proration: float | None = None


class Product(Record, gc=False):
    id: str
    quantity: int | None = None


class _Fields(Record, gc=False):
    """What is known of an object, as in the normal form: None if it is not known, or known to be nothing."""

    customer_id: str | None = None
    business_id: str | None = None
    brand_id: str | None = None
    status: str | None = None


class PaymentFields(_Fields, gc=False):
    amount: int | None = None
    tax: int | None = None
    currency: str | None = None
    settled_amount: int | None = None
    settled_currency: str | None = None
    subscription_ids: tuple[str, ...] | None = None
    charge_type: str | None = None
    retry_attempt: int | None = None
    is_card_update: bool | None = None
    includes_usage: bool | None = None
    products: tuple[Product, ...] | None = None
    periods: tuple[Charged, ...] | None = None
    created_at: int | None = None


class ReversalFields(_Fields):
    """Of a refund or dispute. A dispute always concerns the amount that it names."""

    payment_id: str | None = None
    amount: int | None = None
    currency: str | None = None
    is_partial: bool | None = None
    created_at: int | None = None


class SubscriptionFields(_Fields):
    product_id: str | None = None
    product_name: str | None = None
    quantity: int | None = None
    has_addons: bool | None = None
    price: int | None = None
    tax_inclusive: bool | None = None
    currency: str | None = None
    interval: str | None = None
    interval_count: int | None = None
    started_at: int | None = None
    trial_ends_at: int | None = None
    period_start: int | None = None
    period_end: int | None = None
    cancel_at: int | None = None
    cancelled_at: int | None = None
    cancelled_by: str | None = None
    feedback: str | None = None
    paused_at: int | None = None
    past_due_until: int | None = None
    scheduled_change: Json = None
    ended_at: int | None = None


class Payment(Record, gc=False):
    """`at`: when it was made."""

    id: str
    at: int
    fields: PaymentFields

    @property
    def subscription_ids(self) -> tuple[str, ...]:
        return self.fields.subscription_ids or ()

    @property
    def succeeded(self) -> bool:
        """Whether it is for what was bought; a card update is not."""
        return self.fields.status == SUCCEEDED and not self.fields.is_card_update

    @property
    def failed(self) -> bool:
        return self.fields.status == FAILED and not self.fields.is_card_update

    @property
    def counts(self) -> bool:
        return self.succeeded and (self.fields.amount or 0) > 0 and self.fields.currency is not None

    @property
    def may_count(self) -> bool:
        """Whether it is not known if it counts, or for how much."""
        fields = self.fields
        if fields.status is None:
            return True
        return self.succeeded and (fields.amount is None or (fields.amount > 0 and fields.currency is None))


def in_time(payment: Payment) -> tuple[int, str]:
    """The order of payments."""
    return payment.at, payment.id


class Reversal(Record):
    """A refund that succeeded, or a dispute that was lost."""

    kind: FactKind
    fields: ReversalFields


class KnownSubscription(Record):
    """`newest_at` is when the newest event about it happened. `before` is the status before the newest one; the times
    are when each was last said. `announced_at` is when its scheduled cancellation was first stated, `undone_at` when
    it was last stated before that there is none.
    """

    id: str
    newest_at: int
    fields: SubscriptionFields
    status_at: int | None = None
    before: str | None = None
    before_at: int | None = None
    announced_at: int | None = None
    undone_at: int | None = None


_PAYMENT = msgspec.json.Decoder(dict[str, PaymentFields])
_REVERSAL = msgspec.json.Decoder(dict[str, ReversalFields])
_SUBSCRIPTION = msgspec.json.Decoder(dict[str, SubscriptionFields])
_F = TypeVar("_F", bound=_Fields)


def kind_and_id(key: str) -> tuple[str, str]:
    _, _, kind, of = key.split("/", 3)
    return kind, of


def payment(of: str, fact: StatedFact) -> Payment:
    fields, _ = _read(fact.content, PaymentFields, _PAYMENT)
    at = fact.occurred_at_ms if fields.created_at is None else fields.created_at
    return Payment(id=of, at=at, fields=fields)


def reversal(kind: FactKind, fact: StatedFact) -> Reversal:
    fields, _ = _read(fact.content, ReversalFields, _REVERSAL)
    return Reversal(kind=kind, fields=fields)


def subscription(of: str, fact: StatedFact) -> KnownSubscription:
    fields, place = _read(fact.content, SubscriptionFields, _SUBSCRIPTION)
    if place is not None:
        status_at = None if fields.status is None else time_of(place)
        return KnownSubscription(id=of, newest_at=fact.occurred_at_ms, fields=fields, status_at=status_at)
    said = values(fact.content)
    statuses = said.get("status", [])
    before = statuses[1] if statuses[1:] else None
    announced_at, undone_at = announced(said, fields.cancel_at)
    return KnownSubscription(
        id=of,
        newest_at=fact.occurred_at_ms,
        fields=fields,
        status_at=time_of(statuses[0].place) if statuses else None,
        before=None if before is None else str(_JSON.decode(before.value)),
        before_at=None if before is None else time_of(before.place),
        announced_at=announced_at,
        undone_at=undone_at,
    )


def announced(said: Mapping[str, list[Said]], cancel_at: int | None) -> tuple[int | None, int | None]:
    """When a scheduled cancellation was first stated, and when it was last stated that there is none, unless that is
    newer.
    """
    first = said.get(f"{ANNOUNCED}{cancel_at}")
    if cancel_at is None or first is None:
        return None, None
    ends = said.get("cancel_at", [])
    undone = next((one for one in ends[1:] if one.value == b"null"), None)
    return int(first[0].value), None if undone is None else time_of(undone.place)


def time_of(place: str) -> int:
    """When the event happened that has this place."""
    return int(place.partition(" ")[0][_TIME], 16)


def _read(content: str, fields: type[_F], decoder: msgspec.json.Decoder[dict[str, _F]]) -> tuple[_F, str | None]:
    """The newest value of each field, and the place if all have one. A value of another type than in the normal form
    is not known.
    """
    try:
        layers = decoder.decode(content)
        if len(layers) == 1:
            ((place, only),) = layers.items()
            return only, place
    except msgspec.ValidationError:
        pass
    newest = {name: said[0].value for name, said in values(content).items() if name in fields.__struct_fields__}
    return _converted({name: _JSON.decode(value) for name, value in newest.items()}, fields), None


def _converted(known: Mapping[str, Json], fields: type[_F]) -> _F:
    try:
        return msgspec.convert(known, fields)
    except msgspec.ValidationError:
        return msgspec.convert({name: value for name, value in known.items() if _fits(name, value, fields)}, fields)


def _fits(name: str, value: Json, fields: type[_F]) -> bool:
    try:
        msgspec.convert({name: value}, fields)
    except msgspec.ValidationError:
        return False
    return True
