"""The subscriptions of a person: which are live, and which period a payment is for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nicobar.ledger import Period, Subscription
from nicobar.ledger.charges import NO_CHARGES, SLACK_MS, Charges, period_start
from nicobar.ledger.objects import ENDED, NEVER_BEGAN, KnownSubscription, Payment

# The best status of several wins; others than these do not count.
RANKS = {
    status: rank
    for rank, status in enumerate(("active", "trialing", "past_due", "on_hold", "paused", "cancelled", "expired"))
}
ACTIVE = frozenset({"active", "trialing"})
NONE = "none"
NEW, PLAN_CHANGE, ON_DEMAND = "new", "plan_change", "on_demand"
_MAY_BE_LATER = frozenset({"renewal", PLAN_CHANGE, ON_DEMAND})

_DAY_MS = 86_400_000
_SHORTEST_DAYS = {"day": 1, "week": 7, "month": 28, "year": 365}


def began(subscriptions: Iterable[KnownSubscription]) -> list[KnownSubscription]:
    """Those that are or were subscriptions."""
    return [one for one in subscriptions if one.fields.status is not None and one.fields.status not in NEVER_BEGAN]


def started_at(subscription: KnownSubscription) -> int:
    at = subscription.fields.started_at
    return subscription.newest_at if at is None else at


def shown(subscription: KnownSubscription, charges: Charges, as_of_ms: int) -> Subscription:
    """`charges` are those of the subscription; `as_of_ms` is the time of the newest fact of the person."""
    fields = subscription.fields
    status = fields.status or NONE
    if status == "active" and is_in_trial(subscription, charges, as_of_ms):
        status = "trialing"
    return Subscription(
        id=subscription.id,
        status=status,
        product_id=fields.product_id,
        product_name=fields.product_name,
        quantity=fields.quantity,
        has_addons=fields.has_addons,
        price=fields.price,
        tax_inclusive=fields.tax_inclusive,
        currency=fields.currency,
        interval=fields.interval,
        interval_count=fields.interval_count,
        started_at=fields.started_at,
        trial_ends_at=fields.trial_ends_at,
        period_start=fields.period_start,
        period_end=fields.period_end,
        cancel_at=None if status in ENDED else fields.cancel_at,
        cancel_announced_at=None if status in ENDED else _announced_at(subscription),
        cancelled_at=fields.cancelled_at,
        cancelled_by=fields.cancelled_by,
        feedback=fields.feedback,
        paused_at=fields.paused_at,
        past_due_until=fields.past_due_until,
        scheduled_change=fields.scheduled_change,
        ended_at=fields.ended_at,
    )


def is_announced_again(announced_at: int | None, undone_at: int | None) -> bool:
    """Whether a cancellation was taken back and announced again, with the same end. A body that was sent late may
    state one before it was announced, so what was undone soon after is not seen.
    """
    return announced_at is not None and undone_at is not None and announced_at + SLACK_MS <= undone_at


def _announced_at(subscription: KnownSubscription) -> int | None:
    """Not before it was undone: of an announcement that is repeated, only the last time is known."""
    announced_at, undone_at = subscription.announced_at, subscription.undone_at
    return undone_at if is_announced_again(announced_at, undone_at) else announced_at


def is_in_trial(subscription: KnownSubscription, charges: Charges, as_of_ms: int) -> bool:
    """By the facts alone, not by the clock: a trial is over once any fact of the person is newer than its end."""
    fields = subscription.fields
    ends_at = fields.trial_ends_at
    if ends_at is None or as_of_ms >= ends_at:
        return False
    if fields.period_start is not None and fields.period_start >= ends_at - SLACK_MS:
        return False
    return not charges.starts or charges.starts[-1] < ends_at - SLACK_MS


def period_of(
    started: int | None, subscription: KnownSubscription | None, charges: Charges = NO_CHARGES
) -> Period | None:
    """The period of a subscription that began then; `charges` are those of the subscription."""
    if started is None or subscription is None or subscription.fields.started_at is None:
        return None
    trial_ends_at = subscription.fields.trial_ends_at
    if trial_ends_at is not None and started < trial_ends_at - SLACK_MS:
        return Period.TRIAL
    first = subscription.fields.started_at if trial_ends_at is None else trial_ends_at
    if started <= first + SLACK_MS:
        return Period.FIRST
    return _period_after(first, started, subscription, charges)


def _period_after(first: int, started: int, subscription: KnownSubscription, charges: Charges) -> Period | None:
    """A period that is charged late may begin when it is paid, so the first ends only when the second can begin, or
    with an earlier charge: the interval may be that of another plan by now.
    """
    if charges.has_start(first - SLACK_MS, started - SLACK_MS):
        return Period.LATER
    shortest_days = _SHORTEST_DAYS.get(subscription.fields.interval or "")
    if shortest_days is None or subscription.fields.interval_count is None:
        return None
    second = first + shortest_days * subscription.fields.interval_count * _DAY_MS
    return Period.FIRST if started < second - SLACK_MS else Period.LATER


def paid_period(
    payment: Payment, subscription: KnownSubscription | None, charges: Charges = NO_CHARGES
) -> Period | None:
    """The period that a payment of one subscription is for. One at any time says nothing. `charges` are all of the
    subscription.
    """
    fields = payment.fields
    if len(payment.subscription_ids) != 1 or fields.charge_type == ON_DEMAND:
        return None
    found = period_of(period_start(payment, payment.subscription_ids[0], payment.at), subscription, charges)
    return Period.FIRST if found is None and fields.charge_type == NEW else found


def is_first_missing(payments: Iterable[Payment], subscription: KnownSubscription | None) -> bool:
    """Whether the first charge of a subscription is not known, or may not be, by the charges that are. While nothing
    tells when the subscription started, only a new one is surely the first: the subscription may be older than
    anything known.
    """
    first = next((payment for payment in payments if payment.succeeded), None)
    if first is None:
        return False
    if subscription is None or subscription.fields.started_at is None:
        return first.fields.charge_type in _MAY_BE_LATER
    if paid_period(first, subscription) is Period.LATER:
        return True
    return first.fields.charge_type == PLAN_CHANGE and subscription.fields.trial_ends_at is None


def in_order(subscriptions: Sequence[tuple[Subscription, int]]) -> list[Subscription]:
    """Live ones first, then the newest: those that started last."""
    last = len(RANKS)
    ordered = sorted(subscriptions, key=lambda one: (-one[1], one[0].id))
    return [one for one, _ in sorted(ordered, key=lambda one: RANKS.get(one[0].status, last))]
