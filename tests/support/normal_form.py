"""The fields of facts and their types, the same for all sources. A field that is not stated is missing."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from nicobar.model import Fact, FactKind


class _Of(Struct, forbid_unknown_fields=True, kw_only=True):
    customer_id: str | UnsetType = UNSET
    business_id: str | UnsetType = UNSET
    brand_id: str | UnsetType = UNSET
    raw_status: str | UnsetType = UNSET


class Product(Struct, forbid_unknown_fields=True):
    id: str
    quantity: int | UnsetType = UNSET


class Period(Struct, forbid_unknown_fields=True):
    subscription_id: str
    start: int | UnsetType = UNSET
    end: int | UnsetType = UNSET
    proration: float | UnsetType = UNSET


class Change(Struct, forbid_unknown_fields=True):
    id: str | UnsetType = UNSET
    product_id: str | UnsetType = UNSET
    product_name: str | UnsetType | None = UNSET
    quantity: int | UnsetType = UNSET
    has_addons: bool | UnsetType = UNSET
    effective_at: int | UnsetType = UNSET
    created_at: int | UnsetType = UNSET


class Payment(_Of):
    status: Literal["processing", "requires_action", "succeeded", "failed", "cancelled", "unknown"] | UnsetType = (
        UNSET
    )
    amount: int | UnsetType | None = UNSET
    tax: int | UnsetType | None = UNSET
    currency: str | UnsetType | None = UNSET
    settled_amount: int | UnsetType | None = UNSET
    settled_currency: str | UnsetType | None = UNSET
    subscription_ids: list[str] | UnsetType = UNSET
    charge_type: Literal["new", "renewal", "plan_change", "on_demand", "one_time"] | UnsetType | None = UNSET
    retry_attempt: int | UnsetType | None = UNSET
    is_card_update: bool | UnsetType | None = UNSET
    includes_usage: bool | UnsetType | None = UNSET
    products: list[Product] | UnsetType | None = UNSET
    periods: list[Period] | UnsetType | None = UNSET
    discount_codes: list[str] | UnsetType | None = UNSET
    failure_kind: Literal["soft", "hard", "action_required", "unknown"] | UnsetType | None = UNSET
    failure_reason: (
        Literal["insufficient_funds", "expired_card", "authentication_required", "declined", "other"]
        | UnsetType
        | None
    ) = UNSET
    invoice_url: str | UnsetType | None = UNSET
    created_at: int | UnsetType | None = UNSET


class Refund(_Of):
    payment_id: str | UnsetType = UNSET
    status: Literal["pending", "review", "succeeded", "failed", "unknown"] | UnsetType = UNSET
    amount: int | UnsetType | None = UNSET
    currency: str | UnsetType | None = UNSET
    is_partial: bool | UnsetType | None = UNSET
    created_at: int | UnsetType | None = UNSET


class Dispute(_Of):
    payment_id: str | UnsetType = UNSET
    status: (
        Literal["opened", "challenged", "accepted", "cancelled", "expired", "won", "lost", "unknown"] | UnsetType
    ) = UNSET
    stage: str | UnsetType | None = UNSET
    amount: int | UnsetType | None = UNSET
    currency: str | UnsetType | None = UNSET
    is_rdr: bool | UnsetType | None = UNSET
    created_at: int | UnsetType | None = UNSET


class Subscription(_Of):
    status: (
        Literal["pending", "active", "past_due", "on_hold", "paused", "cancelled", "expired", "failed", "unknown"]
        | UnsetType
    ) = UNSET
    product_id: str | UnsetType | None = UNSET
    product_name: str | UnsetType | None = UNSET
    quantity: int | UnsetType | None = UNSET
    has_addons: bool | UnsetType | None = UNSET
    price: int | UnsetType | None = UNSET
    tax_inclusive: bool | UnsetType | None = UNSET
    currency: str | UnsetType | None = UNSET
    interval: str | UnsetType | None = UNSET
    interval_count: int | UnsetType | None = UNSET
    started_at: int | UnsetType | None = UNSET
    trial_ends_at: int | UnsetType | None = UNSET
    period_start: int | UnsetType | None = UNSET
    period_end: int | UnsetType | None = UNSET
    cancel_at: int | UnsetType | None = UNSET
    cancel_announced_at: int | UnsetType | None = UNSET
    cancelled_at: int | UnsetType | None = UNSET
    cancelled_by: str | UnsetType | None = UNSET
    feedback: str | UnsetType | None = UNSET
    paused_at: int | UnsetType | None = UNSET
    past_due_until: int | UnsetType | None = UNSET
    scheduled_change: Change | UnsetType | None = UNSET
    ended_at: int | UnsetType | None = UNSET


class Customer(Struct, forbid_unknown_fields=True):
    email: str | UnsetType = UNSET
    name: str | UnsetType = UNSET


FORMS: dict[FactKind, type[Struct]] = {
    FactKind.CUSTOMER: Customer,
    FactKind.PAYMENT: Payment,
    FactKind.REFUND: Refund,
    FactKind.DISPUTE: Dispute,
    FactKind.SUBSCRIPTION: Subscription,
}
# What every payment platform says of an object that its events are about.
ALWAYS = {
    FactKind.PAYMENT: {"status", "amount", "currency", "subscription_ids", "created_at"},
    FactKind.REFUND: {"payment_id", "status", "amount", "currency", "created_at"},
    FactKind.DISPUTE: {"payment_id", "status", "stage", "amount", "currency", "created_at"},
    FactKind.SUBSCRIPTION: {"status", "product_id", "price", "currency", "interval", "interval_count", "started_at"},
    FactKind.CUSTOMER: set(),
}


def in_form(fact: Fact) -> Struct:
    """The fact as a value of the normal form. Raises ValidationError."""
    return msgspec.convert(fact.fields, FORMS[fact.kind])
