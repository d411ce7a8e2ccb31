"""Dodo's objects in the normal form: money in minor units, times in Unix milliseconds, statuses in the same words for
all senders. What a body does not state is missing; what it states as null is None.
"""

from __future__ import annotations

from collections.abc import Mapping

from nicobar.facts import object_id
from nicobar.model import FactKind, Json
from nicobar.sources.dodo.failures import failure
from nicobar.sources.envelope import members, unix_ms
from nicobar.sources.stated_values import (
    Reading,
    currency_code,
    flag,
    integer,
    minor_units,
    moment,
    number,
    read,
    text,
    texts,
)

_DAY_MS = 86_400_000
SUCCEEDED = "succeeded"
UNKNOWN = "unknown"
_ENDED = {"cancelled", "expired"}
# Statuses that are spelled differently. A partial capture counts as nothing: its amount is unknown.
_PAYMENT_STATUSES = {
    **{status: status for status in ("processing", SUCCEEDED, "failed", "cancelled")},
    "requires_customer_action": "requires_action",
    "requires_payment_method": "requires_action",
    "requires_confirmation": "requires_action",
    "requires_merchant_action": "processing",
    "requires_capture": "processing",
}
_SUBSCRIPTION_STATUSES = frozenset(
    ["pending", "active", "past_due", "on_hold", "paused", "cancelled", "expired", "failed"]
)
_REFUND_STATUSES = frozenset(["pending", "review", "succeeded", "failed"])
_DISPUTE_STATUSES = frozenset(["opened", "challenged", "accepted", "cancelled", "expired", "won", "lost"])
_DISPUTE_PREFIX = "dispute_"
_CHARGE_TYPES = frozenset(["new", "renewal", "plan_change", "on_demand", "one_time"])
_ONE_TIME = "one_time"


def stated(kind: FactKind, data: Mapping[str, Json], occurred_at_ms: int | None) -> dict[str, Json]:
    """What the body of an event of this kind states of its own object."""
    if kind is FactKind.PAYMENT:
        return _payment(data)
    if kind is FactKind.SUBSCRIPTION:
        return _subscription(data, occurred_at_ms)
    if kind is FactKind.REFUND:
        return _status(data, "status", _REFUND_STATUSES) | read(data, _REFUND)
    return _dispute(data)


def _status(data: Mapping[str, Json], of: str, statuses: frozenset[str], prefix: str = "") -> dict[str, Json]:
    """An unknown status stays in `raw_status`; without one there is none."""
    raw = text(data.get(of))
    if raw is None:
        return {}
    status = raw.removeprefix(prefix)
    return {"status": status} if status in statuses else {"status": UNKNOWN, "raw_status": raw}


def _interval(value: Json) -> str | None:
    return value.lower() if isinstance(value, str) and value else None


def _charge_type(value: Json) -> str | None:
    return value if isinstance(value, str) and value in _CHARGE_TYPES else None


def _products(value: Json) -> list[Json] | None:
    if not isinstance(value, list):
        return None
    return [read(members(item), _PRODUCT) for item in value if text(members(item).get("product_id"))]


def _periods(value: Json) -> list[Json] | None:
    if not isinstance(value, list):
        return None
    return [read(members(item), _PERIOD) for item in value if text(members(item).get("subscription_id"))]


def _discount_codes(value: Json) -> list[Json] | None:
    return [code for item in value if (code := text(members(item).get("code")))] if isinstance(value, list) else None


def _has_any(value: Json) -> bool | None:
    return bool(value) if isinstance(value, list) else None


def _actor(value: Json) -> str | None:
    return text(members(value).get("actor_type"))


def _change(value: Json) -> dict[str, Json] | None:
    return read(value, _CHANGE) or None if isinstance(value, dict) else None


_PRODUCT: tuple[Reading, ...] = (("id", "product_id", text), ("quantity", "quantity", integer))
_PERIOD: tuple[Reading, ...] = (
    ("subscription_id", "subscription_id", text),
    ("start", "starts_at", moment),
    ("end", "ends_at", moment),
    ("proration", "proration_factor", number),
)
_CHANGE: tuple[Reading, ...] = (
    ("id", "id", text),
    ("product_id", "product_id", text),
    ("product_name", "product_name", text),
    ("quantity", "quantity", integer),
    ("has_addons", "addons", _has_any),
    ("effective_at", "effective_at", moment),
    ("created_at", "created_at", moment),
)
_PAYMENT: tuple[Reading, ...] = (
    ("amount", "total_amount", integer),
    ("tax", "tax", integer),
    ("currency", "currency", currency_code),
    ("settled_amount", "settlement_amount", integer),
    ("settled_currency", "settlement_currency", currency_code),
    ("retry_attempt", "retry_attempt", integer),
    ("is_card_update", "is_update_payment_method", flag),
    ("includes_usage", "includes_usage", flag),
    ("products", "product_cart", _products),
    ("periods", "service_periods", _periods),
    ("discount_codes", "discounts", _discount_codes),
    ("invoice_url", "invoice_url", text),
    ("created_at", "created_at", moment),
)
_OF_THE_CHARGE: tuple[Reading, ...] = (("charge_type", "charge_type", _charge_type),)
_SUBSCRIPTION: tuple[Reading, ...] = (
    ("product_id", "product_id", text),
    ("quantity", "quantity", integer),
    ("has_addons", "addons", _has_any),
    ("price", "recurring_pre_tax_amount", integer),
    ("tax_inclusive", "tax_inclusive", flag),
    ("currency", "currency", currency_code),
    ("interval", "payment_frequency_interval", _interval),
    ("interval_count", "payment_frequency_count", integer),
    ("started_at", "created_at", moment),
    ("period_start", "previous_billing_date", moment),
    ("period_end", "next_billing_date", moment),
    ("cancelled_at", "cancelled_at", moment),
    ("cancelled_by", "cancelled_by", _actor),
    ("feedback", "cancellation_feedback", text),
    ("paused_at", "paused_at", moment),
    ("past_due_until", "past_due_ends_at", moment),
    ("scheduled_change", "scheduled_change", _change),
)
_REFUND: tuple[Reading, ...] = (
    ("amount", "amount", integer),
    ("currency", "currency", currency_code),
    ("is_partial", "is_partial", flag),
    ("created_at", "created_at", moment),
)
_DISPUTE: tuple[Reading, ...] = (
    ("stage", "dispute_stage", text),
    ("currency", "currency", currency_code),
    ("is_rdr", "is_resolved_by_rdr", flag),
    ("created_at", "created_at", moment),
)


def _payment(data: Mapping[str, Json]) -> dict[str, Json]:
    fields: dict[str, Json] = {}
    raw = text(data.get("status"))
    if raw is not None:
        status = fields["status"] = _PAYMENT_STATUSES.get(raw, UNKNOWN)
        if status != raw:
            fields["raw_status"] = raw
        if "error_code" in data or status == "failed":
            fields |= failure(status, data.get("error_code"))
    fields |= read(data, _PAYMENT)
    fields |= _subscriptions(data)
    return fields


def _subscriptions(data: Mapping[str, Json]) -> dict[str, Json]:
    """The subscriptions of a payment, and its charge type, which is null for one without a subscription. One that
    starts several names them in the list alone, and earlier payloads had no list.
    """
    fields = read(data, _OF_THE_CHARGE)
    several, one = texts(data.get("subscription_ids")), text(data.get("subscription_id"))
    ids = [item for item in several if object_id(item)] if several else []
    if one and not ids:
        ids = [one]
    if ids or several is not None:
        fields["subscription_ids"] = ids
    if not ids and several is not None and not fields.get("charge_type"):
        fields["charge_type"] = _ONE_TIME
    return fields


def _subscription(data: Mapping[str, Json], occurred_at_ms: int | None) -> dict[str, Json]:
    fields = _status(data, "status", _SUBSCRIPTION_STATUSES) | read(data, _SUBSCRIPTION)
    flagged = flag(data.get("cancel_at_next_billing_date"))
    ends = unix_ms(data.get("next_billing_date"))
    if (
        fields.get("status") == "cancelled"
        and flagged
        and not fields.get("cancelled_at")
        and None not in {ends, occurred_at_ms}
        and (ends or 0) > (occurred_at_ms or 0)
    ):
        # By some accounts a cancellation at the end of the period is announced like this. What has ended says when.
        fields |= {"status": "active", "raw_status": "cancelled"}
    status = fields.get("status")
    if flagged is not None and status is not None:
        is_scheduled = flagged and status not in _ENDED | {"failed"}
        if not is_scheduled or ends is not None:
            fields["cancel_at"] = ends if is_scheduled else None
    return fields | _trial(data, fields) | _end(data, status, fields, occurred_at_ms)


def _trial(data: Mapping[str, Json], fields: Mapping[str, Json]) -> dict[str, Json]:
    """Until the first period is over, the trial ends when it does, also if the merchant has moved that date."""
    days = integer(data.get("trial_period_days"))
    if days is None:
        return {}
    if days <= 0:
        return {"trial_ends_at": None}
    began, start, end = (integer(fields.get(name)) for name in ("started_at", "period_start", "period_end"))
    if began is None:
        return {}
    trial_ms = days * _DAY_MS
    if start is not None and end is not None and end > start and start - began < trial_ms // 2:
        return {"trial_ends_at": end}
    return {"trial_ends_at": began + trial_ms}


def _end(
    data: Mapping[str, Json], status: Json, fields: Mapping[str, Json], occurred_at_ms: int | None
) -> dict[str, Json]:
    """When the subscription ended. `expires_at` is the end of its whole term, which may be years away."""
    if status is None or status == UNKNOWN:
        return {}
    if status not in _ENDED:
        return {"ended_at": None}
    cancelled_at = integer(fields.get("cancelled_at"))
    if cancelled_at is not None:
        return {"ended_at": cancelled_at}
    term_ms = unix_ms(data.get("expires_at"))
    is_over = term_ms is not None and occurred_at_ms is not None and term_ms <= occurred_at_ms
    return {"ended_at": term_ms} if is_over else {}


def _dispute(data: Mapping[str, Json]) -> dict[str, Json]:
    fields = _status(data, "dispute_status", _DISPUTE_STATUSES, _DISPUTE_PREFIX) | read(data, _DISPUTE)
    amount = minor_units(data.get("amount"), data.get("currency"))
    return fields if amount is None else fields | {"amount": amount}
