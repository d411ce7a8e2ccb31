"""The money of a person: what was paid, given back, settled, and comes every month."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nicobar.ledger import Period, Settled, Subscription, Total
from nicobar.ledger.objects import KnownSubscription, Payment, Reversal
from nicobar.ledger.subscriptions import paid_period
from nicobar.model import FactKind

_DAY_MS = 86_400_000
# Months of an interval, in days: 400 years of the Gregorian calendar have 146,097 days and 4,800 months.
_DAYS_OF_400_YEARS, _MONTHS_OF_400_YEARS = 146_097, 4_800
_MONTHS = {"month": 1, "year": 12}
_DAYS = {"day": 1, "week": 7}
# Months differ by so much, and a period begins when it is charged.
_SLACK_DAYS = 3
_PAYS = frozenset({"active", "past_due"})
_PAYS_NOTHING = frozenset({"trialing", "paused", "on_hold", "cancelled", "expired"})


def totals(
    counted: Iterable[Payment], payments: Mapping[str, Payment], reversals: Iterable[Reversal]
) -> tuple[Total, ...]:
    """By currency. `payments` are all, by id. What was given back of a payment that does not count, does not count.
    Without its payment it is known to be given back, and is not taken from other payments.
    """
    by_currency: dict[str, _Sums] = {}
    for payment in counted:
        by_currency.setdefault(payment.fields.currency or "", _Sums()).paid.append(payment)
    for reversal in reversals:
        of = payments.get(reversal.fields.payment_id or "")
        currency = reversal.fields.currency if of is None else of.fields.currency
        if currency is not None and (of is None or of.counts):
            by_currency.setdefault(currency, _Sums()).given_back.append((reversal, of))
    return tuple(by_currency[currency].total(currency) for currency in sorted(by_currency))


class _Sums:
    """What one currency's figures are the sums of."""

    def __init__(self) -> None:
        self.paid: list[Payment] = []
        self.given_back: list[tuple[Reversal, Payment | None]] = []

    def total(self, currency: str) -> Total:
        given_back: dict[FactKind, list[int | None]] = {FactKind.REFUND: [], FactKind.DISPUTE: []}
        of_payment: dict[str, list[int | None]] = {}
        for reversal, payment in self.given_back:
            amount = _amount(reversal, payment)
            given_back[reversal.kind].append(amount)
            if payment is not None:
                of_payment.setdefault(payment.id, []).append(amount)
        left = [
            _left(payment, of_payment[payment.id]) if payment.id in of_payment else payment.fields.amount
            for payment in self.paid
        ]
        return Total(
            currency=currency,
            paid=sum(payment.fields.amount or 0 for payment in self.paid),
            refunded=_sum(given_back[FactKind.REFUND]),
            disputed=_sum(given_back[FactKind.DISPUTE]),
            net=_sum(left),
            payments=len(self.paid),
        )


def _sum(amounts: Iterable[int | None]) -> int | None:
    known = list(amounts)
    return None if None in known else sum(amount or 0 for amount in known)


def _amount(reversal: Reversal, payment: Payment | None) -> int | None:
    """What was given back, in the currency of the payment."""
    fields = reversal.fields
    is_its_currency = payment is None or fields.currency in {None, payment.fields.currency}
    if is_its_currency and fields.amount is not None and fields.amount >= 0:
        return fields.amount
    if payment is not None and fields.is_partial is False:
        return payment.fields.amount
    return None


def _left(payment: Payment, given_back: Iterable[int | None]) -> int | None:
    amounts = list(given_back)
    paid = payment.fields.amount or 0
    if sum(amount or 0 for amount in amounts) >= paid:
        return 0
    taken = _sum(amounts)
    return None if taken is None else paid - taken


def settled(counted: Iterable[Payment]) -> tuple[Settled, ...] | None:
    """None unless all counted payments say it."""
    by_currency: dict[str, list[int]] = {}
    for payment in counted:
        amount, currency = payment.fields.settled_amount, payment.fields.settled_currency
        if amount is None or currency is None:
            return None
        by_currency.setdefault(currency, []).append(amount)
    return tuple(
        Settled(currency=currency, amount=sum(amounts), payments=len(amounts))
        for currency, amounts in sorted(by_currency.items())
    )


def mrr(
    subscriptions: Iterable[tuple[Subscription, KnownSubscription]], payments_of: Mapping[str, Sequence[Payment]]
) -> dict[str, int] | None:
    """What all subscriptions bring a month, by currency; None if that of one is not known."""
    by_currency: dict[str, int] = {}
    for shown, known in subscriptions:
        if shown.status in _PAYS_NOTHING:
            if shown.currency is not None:
                by_currency.setdefault(shown.currency, 0)
            continue
        monthly = _monthly(known, payments_of.get(shown.id, ())) if shown.status in _PAYS else None
        if monthly is None:
            return None
        currency, amount = monthly
        by_currency[currency] = by_currency.get(currency, 0) + amount
    return dict(sorted(by_currency.items()))


def _monthly(subscription: KnownSubscription, payments: Sequence[Payment]) -> tuple[str, int] | None:
    """By the latest payment for a period: only one that is for exactly one period of one subscription says it."""
    latest = next(
        (one for one in reversed(payments) if one.succeeded and one.fields.charge_type in {"new", "renewal"}), None
    )
    if latest is None or paid_period(latest, subscription) is Period.TRIAL:
        return None
    fields = latest.fields
    is_plain = fields.includes_usage is False and len(latest.subscription_ids) == 1
    if not is_plain or fields.amount is None or fields.tax is None or fields.currency is None:
        return None
    months = _months(latest, subscription)
    if months is None:
        return None
    amount, (numerator, denominator) = fields.amount - fields.tax, months
    return fields.currency, (2 * amount * denominator + numerator) // (2 * numerator)


def _months(payment: Payment, subscription: KnownSubscription) -> tuple[int, int] | None:
    """How many months a payment is for, as a fraction."""
    interval, count = subscription.fields.interval, subscription.fields.interval_count
    periods = payment.fields.periods or ()
    if interval is None or count is None or count <= 0 or len(periods) != 1:
        return None
    charged = periods[0]
    if charged.proration not in {None, 1.0} or charged.start is None or charged.end is None:
        return None
    if interval in _MONTHS:
        months = (_MONTHS[interval] * count, 1)
    elif interval in _DAYS:
        months = (_DAYS[interval] * count * _MONTHS_OF_400_YEARS, _DAYS_OF_400_YEARS)
    else:
        return None
    days = months[0] * _DAYS_OF_400_YEARS / _MONTHS_OF_400_YEARS / months[1]
    # The plan may have changed since: then its interval is not that of the payment.
    return months if abs((charged.end - charged.start) / _DAY_MS - days) <= _SLACK_DAYS else None
