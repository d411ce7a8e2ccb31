"""The payments of one subscription, indexed: a person may have thousands, and a page has many of their events."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property

from nicobar.ledger.objects import PLAN_CHANGE, Payment

# A sender charges a little before or after the moment at which a period begins.
SLACK_MS = 3_600_000


class Charges:
    """`payments` are in order."""

    def __init__(self, subscription_id: str = "", payments: Sequence[Payment] = ()) -> None:
        self.payments = payments
        self._subscription_id = subscription_id

    @cached_property
    def starts(self) -> list[int]:
        """When the periods begin that counted payments are for, sorted."""
        return sorted(self._start(payment) for payment in self.payments if payment.counts)

    def has_start(self, since: int, before: int) -> bool:
        place = bisect_left(self.starts, since)
        return place < len(self.starts) and self.starts[place] < before

    def paid(self, start: int) -> Payment | None:
        """The first payment for the period that begins then."""
        first, end = (bisect_left(self._paid, (at, 0)) for at in (start - SLACK_MS, start + SLACK_MS + 1))
        near = self._paid[first:end]
        return self.payments[min(place for _, place in near)] if near else None

    def paid_since(self, start: int) -> Payment | None:
        """The payment for the first period that begins then or later."""
        place = bisect_left(self._paid, (start - SLACK_MS, 0))
        return self.payments[self._paid[place][1]] if place < len(self._paid) else None

    @cached_property
    def _paid(self) -> list[tuple[int, int]]:
        """When the periods begin that are paid alone, sorted, and the places of these payments."""
        return sorted(
            (self._start(payment), place)
            for place, payment in enumerate(self.payments)
            if payment.counts and payment.fields.charge_type != PLAN_CHANGE and len(payment.subscription_ids) == 1
        )

    def _start(self, payment: Payment) -> int:
        return period_start(payment, self._subscription_id, payment.at)


NO_CHARGES = Charges()


def period_start(payment: Payment, subscription_id: str, otherwise: int) -> int:
    for charged in payment.fields.periods or ():
        if charged.subscription_id == subscription_id and charged.start is not None:
            return charged.start
    return otherwise
