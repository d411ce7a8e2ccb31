"""Charges that failed and were not made good."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from nicobar.ledger import OpenFailure
from nicobar.ledger.objects import ENDED, NEVER_BEGAN, PLAN_CHANGE, KnownSubscription, Payment, in_time

_IN_ARREARS = frozenset({"on_hold", "past_due"})
# The event about a failed charge and the one about its subscription have nearly one time.
_NEAR_MS = 600_000
_DAY_MS = 86_400_000
# Events about one change. In between, an event may still have the status before it.
_SAME_MOMENT_MS = 60_000


def streak_before(payments: Sequence[Payment], until: Payment | None = None) -> list[Payment]:
    """The failures in a row, of a subscription's payments in their order, that `until` continues or ends; the last
    without one.
    """
    end = len(payments) if until is None else bisect_left(payments, in_time(until), key=in_time)
    streak: list[Payment] = []
    for place in range(end - 1, -1, -1):
        payment = payments[place]
        if payment.succeeded:
            break
        if payment.failed:
            streak.append(payment)
    return streak[::-1]


def is_paid_since(payments: Sequence[Payment], payment: Payment) -> bool:
    """Whether one of these, in their order, is later than `payment` and has succeeded."""
    at = in_time(payment)
    for one in reversed(payments):
        if in_time(one) <= at:
            return False
        if one.succeeded:
            return True
    return False


def attempts(streak: Sequence[Payment]) -> int:
    """How often a charge was tried. The sender may have counted attempts that are not known."""
    counted = max((payment.fields.retry_attempt or 0 for payment in streak), default=-1) + 1
    return max(len(streak), counted)


def open_failure(payments: Sequence[Payment], subscription: KnownSubscription | None, of: str) -> OpenFailure | None:
    """That of a subscription. None for one that has ended, or never began: that money is not waited for."""
    if subscription is not None and subscription.fields.status in ENDED | NEVER_BEGAN:
        return None
    streak = unpaid(streak_before(payments), subscription)
    return OpenFailure(subscription_id=of, since=streak[0].at, attempts=attempts(streak)) if streak else None


def unpaid(streak: Sequence[Payment], subscription: KnownSubscription | None) -> list[Payment]:
    """The failures that the subscription does not say to be made good: it was in arrears after the first, which may
    be unknown where a retry is known, and is active since.
    """
    if not streak or subscription is None or subscription.before_at is None or subscription.status_at is None:
        return list(streak)
    is_in_time = streak[0].at <= subscription.before_at + _NEAR_MS or bool(streak[0].fields.retry_attempt)
    was_in_arrears = subscription.before in _IN_ARREARS and is_in_time
    if not was_in_arrears or subscription.fields.status != "active":
        return list(streak)
    return [payment for payment in streak if payment.at >= subscription.status_at]


def is_made_good(
    failed: Payment, failed_at: int, payments: Sequence[Payment], subscription: KnownSubscription | None
) -> bool:
    """Whether something newer says that a charge that failed then needs no more attention: its subscription was paid
    since, has ended, or is active, whatever the reason is. `payments` are all of the subscription, in order.
    """
    if is_paid_since(payments, failed):
        return True
    if subscription is None or subscription.status_at is None:
        return False
    if subscription.fields.status in ENDED:
        return subscription.status_at > failed_at
    if subscription.fields.status != "active":
        return False
    is_later = subscription.status_at > failed_at + _SAME_MOMENT_MS
    # Late payloads are newer than their events: a period that began after the failure was paid for.
    return is_later or (subscription.fields.period_start or 0) > failed_at


def recovered_after(
    payment: Payment, before: Sequence[Payment], subscription: KnownSubscription | None, *, is_last: bool
) -> int:
    """How many failures in a row a charge has ended: `before` are those that are known. None unless it `is_last`: no
    later charge has succeeded, too. The charge for another plan ends only failures of such: what is overdue has a
    charge of its own.
    """
    if not is_last:
        return 0
    retries = payment.fields.retry_attempt or 0
    if payment.fields.charge_type == PLAN_CHANGE and not retries:
        before = [failed for failed in before if failed.fields.charge_type == PLAN_CHANGE]
    before = [failed for failed in before if not _is_active_between(failed, payment, subscription)]
    return max(attempts(before) if before else 0, retries)


def _is_active_between(failed: Payment, payment: Payment, subscription: KnownSubscription | None) -> bool:
    """Whether the subscription was active again before the charge, so that another one has ended the failure: it was
    said to be, or the charge is for a later period, as an active subscription has.
    """
    lengths = [one.end - one.start for one in payment.fields.periods or () if one.start is not None and one.end]
    is_later_period = bool(lengths) and payment.at - failed.at > max(lengths) - _DAY_MS
    if subscription is None or subscription.status_at is None:
        return is_later_period
    if subscription.fields.status != "active":
        return False
    return is_later_period or failed.at + _NEAR_MS < subscription.status_at < payment.at


def purchases(payments: Iterable[Payment]) -> dict[str | None, tuple[int, str]]:
    """When each product was last bought without a subscription, and when anything unknown was, of payments in their
    order.
    """
    last: dict[str | None, tuple[int, str]] = {}
    for payment in payments:
        if payment.succeeded and not payment.subscription_ids:
            last |= dict.fromkeys(_products(payment) or (None,), in_time(payment))
    return last


def is_bought_since(failed: Payment, last: Mapping[str | None, tuple[int, str]]) -> bool:
    """Whether what a failed payment without a subscription was for may have been bought later. Without known products
    any later purchase may be it: an email that says that the payment failed would be wrong.
    """
    wanted = _products(failed)
    return any(at > in_time(failed) for product_id, at in last.items() if not wanted or product_id in {None, *wanted})


def _products(payment: Payment) -> set[str]:
    return {product.id for product in payment.fields.products or ()}
