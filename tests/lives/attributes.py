"""What Customer.io must know of a person in the end, by what really happened; None for an attribute that must be
missing. An attribute about which the texts leave a choice is not among them.
"""

from __future__ import annotations

from lives.oracle import GONE, is_counted, unix_ms
from lives.shop import DAY_MS, Data, Life, Plan, Tracked
from nicobar.model import Json

_DECIMALS = {"JPY": 0, "KWD": 3}
# The best first.
_STATUSES = ("active", "trialing", "past_due", "on_hold", "paused", "cancelled", "expired")
_UNITS = {"Day": "day", "Week": "week", "Month": "month", "Year": "year"}


def expected(life: Life, *, history: bool) -> dict[str, Json]:
    paid = [payment.now for payment in life.payments if is_counted(payment.now)]
    attributes: dict[str, Json] = {"email": life.email, **_of_subscriptions(life)}
    attributes |= {"payment_failed_at": _failed_at(life)}
    if not history:
        return attributes | dict.fromkeys(("payments", "total_spent", "first_payment_at", "customer_since"))
    attributes["payments"] = len(paid)
    totals = _net(life)
    for currency, net in totals.items():
        attributes[f"total_spent_{currency.lower()}"] = net / 10 ** _DECIMALS.get(currency, 2)
    attributes["total_spent"] = (
        next(iter(totals.values())) / 10 ** _DECIMALS.get(next(iter(totals)), 2) if len(totals) == 1 else None
    )
    return attributes


def same(value: Json, text: str | None) -> bool:
    if value is None or text is None:
        return value is None and text is None
    if isinstance(value, str):
        return value == text
    return float(str(value)) == float(text)


def status_of(life: Life, of: Tracked) -> str:
    """When the life ends."""
    status = str(of.now["status"])
    if status != "active" or not of.now["trial_period_days"]:
        return status
    ends = unix_ms(of.now["created_at"]) + int(str(of.now["trial_period_days"])) * DAY_MS
    return "trialing" if life.now_ms < ends and not _paid(life, of) else status


def _of_subscriptions(life: Life) -> dict[str, Json]:
    own = [(status_of(life, of), of) for of in life.subscriptions]
    own = [(status, of) for status, of in own if status in _STATUSES]
    if not own:
        return {}
    newest_first = sorted(own, key=lambda item: unix_ms(item[1].now["created_at"]), reverse=True)
    status, shown = min(newest_first, key=lambda item: _STATUSES.index(item[0]))
    data, plan = shown.now, life.plan_of[shown.id]
    is_flagged = bool(data["cancel_at_next_billing_date"]) and status not in GONE
    attributes: dict[str, Json] = {
        "subscription_status": status,
        "subscription_plan": plan.name,
        "subscription_price": plan.price / 10 ** _DECIMALS.get(plan.currency, 2),
        "subscription_currency": plan.currency,
        "subscription_interval": _interval(plan),
        "subscription_cancel_at": unix_ms(data["next_billing_date"]) // 1000 if is_flagged else None,
    }
    if status in {"active", "trialing"}:
        renews = None if is_flagged else unix_ms(data["next_billing_date"]) // 1000
        attributes["subscription_renews_at"] = renews
    elif status in GONE:
        attributes["subscription_renews_at"] = None
    if status != "trialing":
        attributes["subscription_trial_ends_at"] = None
    if all(status in {"active", "trialing", *GONE} for status, _ in own):
        attributes["subscriptions_active"] = sum(status in {"active", "trialing"} for status, _ in own)
    return attributes


def _interval(plan: Plan) -> str:
    unit = _UNITS[plan.interval]
    return unit if plan.interval_count == 1 else f"{plan.interval_count} {unit}s"


def _paid(life: Life, of: Tracked) -> list[Data]:
    return [
        payment.now
        for payment in life.payments
        if payment.now["subscription_id"] == of.id and is_counted(payment.now)
    ]


def _failed_at(life: Life) -> Json:
    """The oldest failure that is still open, of subscriptions that did not end."""
    found: list[int] = []
    for of in life.subscriptions:
        if of.now["status"] in {*GONE, "failed", "pending"}:
            continue
        last_paid = max((unix_ms(data["created_at"]) for data in _paid(life, of)), default=0)
        failed = [
            unix_ms(payment.now["created_at"])
            for payment in life.payments
            if payment.now["subscription_id"] == of.id and payment.now["status"] == "failed"
        ]
        found += [at for at in failed if at > last_paid]
    return min(found) // 1000 if found else None


def _net(life: Life) -> dict[str, int]:
    """What is left of what was paid: refunds and lost disputes take at most what their payment brought."""
    net: dict[str, int] = {}
    for payment in life.payments:
        if not is_counted(payment.now):
            continue
        amount = int(str(payment.now["total_amount"]))
        lost = sum(
            int(str(refund.now["amount"]))
            for refund in life.refunds
            if refund.now["payment_id"] == payment.id and refund.now["status"] == "succeeded"
        )
        lost += sum(
            int(str(dispute.now["amount"]))
            for dispute in life.disputes
            if dispute.now["payment_id"] == payment.id and dispute.now["dispute_status"] == "dispute_lost"
        )
        currency = str(payment.now["currency"])
        net[currency] = net.get(currency, 0) + amount - min(lost, amount)
    return net
