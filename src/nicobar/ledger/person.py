"""The ledger of a person: what handlers get of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType

import msgspec

from nicobar.facts import Stated, StatedFact
from nicobar.ledger import MAX_SUBSCRIPTIONS, EventFact, History, Limits, OpenFailure, Snapshot, Subscription, Whom
from nicobar.ledger import objects as known
from nicobar.ledger.charges import Charges
from nicobar.ledger.contents import Contents
from nicobar.ledger.event_facts import event_facts
from nicobar.ledger.failures import open_failure, purchases
from nicobar.ledger.objects import LOST, SUCCEEDED, KnownSubscription, Payment, Reversal
from nicobar.ledger.product_names import named_facts, named_snapshot
from nicobar.ledger.subscriptions import ACTIVE, NONE, RANKS, began, in_order, is_first_missing, shown, started_at
from nicobar.ledger.totals import mrr, settled, totals
from nicobar.model import Event, FactKind

NO_LIMITS = Limits()
_REVERSED = {FactKind.REFUND: SUCCEEDED, FactKind.DISPUTE: LOST}
_TITLES = frozenset({"mr", "mrs", "ms", "miss", "dr", "prof"})
_NO_NAME = re.compile(r"[,@\d]")
# Korean, Japanese and Chinese.
_FAMILY_FIRST = re.compile(r"[\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af]")


class Ledger:
    """All that is known of a person, by the set of facts alone.

    `facts` are those of all customers that are the person, from sources of one kind and mode, and what the event in
    question states (`facts.state`), stored or not: twice is once. `is_whole`: these are all; there are no totals
    otherwise. Facts outside of `limits` do not count. `product_names` are an endpoint's, by product id.
    """

    def __init__(
        self,
        facts: Iterable[StatedFact],
        *,
        history: History,
        limits: Limits = NO_LIMITS,
        is_whole: bool = True,
        product_names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._product_names = product_names
        self.contents = Contents()
        self.facts = self.contents.merged_facts(facts)
        self.payments: list[Payment] = []
        self.reversals: list[Reversal] = []
        self.subscriptions: dict[str, KnownSubscription] = {}
        self._oldest_at: int | None = None
        self._newest_at = max((fact.occurred_at_ms for fact in self.facts.values()), default=0)
        self._read(limits)
        self.payments.sort(key=known.in_time)
        self.payments_of: dict[str, list[Payment]] = {}
        for payment in self.payments:
            for of in payment.subscription_ids:
                self.payments_of.setdefault(of, []).append(payment)
        self._charges: dict[str, Charges] = {}
        self._history = history
        self._is_whole = is_whole
        self.is_complete = self._is_complete()
        self.is_counted = self.is_complete and not any(payment.may_count for payment in self.payments)
        self.counted = [payment for payment in self.payments if payment.counts]
        self.began = sorted(began(self.subscriptions.values()), key=lambda one: (started_at(one), one.id))

    def has(self, facts: Iterable[StatedFact]) -> bool:
        """Whether the ledger would be the same with these facts, too."""
        return all(
            (known_fact := self.facts.get(fact.key)) is not None and self.contents.is_part(known_fact, fact)
            for fact in facts
        )

    def snapshot(self, whom: Whom) -> Snapshot:
        """`webhook.customer`."""
        return msgspec.structs.replace(
            self._snapshot,
            ids=whom.ids,
            identity=whom.identity,
            email=whom.email,
            name=whom.name,
            first_name=first_name(whom.name),
        )

    @cached_property
    def _snapshot(self) -> Snapshot:
        """That of no particular customer."""
        found = [(self._shown(one), one) for one in self.began]
        subscriptions = in_order([(one, started_at(of)) for one, of in found])
        first = self.counted[0].at if self.counted and self.is_counted else None
        snapshot = Snapshot(
            ids=(),
            identity=None,
            history_complete=self.is_complete,
            known_since=self._history.known_since_ms,
            status=subscriptions[0].status if subscriptions and subscriptions[0].status in RANKS else NONE,
            payments=len(self.counted) if self.is_counted else None,
            is_first_payment=len(self.counted) == 1 if self.is_counted else None,
            first_payment_at=first,
            last_payment_at=self.counted[-1].at if self.counted else None,
            customer_since=self._customer_since(),
            totals=totals(self.counted, self.payments_by_id, self.reversals) if self.is_counted else None,
            settled=settled(self.counted) if self.is_counted else None,
            open_failures=self._open_failures(),
            subscriptions=tuple(subscriptions[:MAX_SUBSCRIPTIONS]),
            subscriptions_active=sum(one.status in ACTIVE for one in subscriptions),
            mrr=mrr(found, self.payments_of) if self._is_whole else None,
        )
        return named_snapshot(snapshot, self._product_names)

    def event_facts(self, event: Event, stated: Stated) -> tuple[EventFact, ...]:
        """`webhook.facts`. `stated` is what is stored of the event: `facts.state`."""
        return named_facts(event_facts(self, event, stated), self._product_names)

    def charges(self, subscription_id: str) -> Charges:
        """The payments of a subscription."""
        if subscription_id not in self._charges:
            of = self.payments_of.get(subscription_id, ())
            self._charges[subscription_id] = Charges(subscription_id, of)
        return self._charges[subscription_id]

    @cached_property
    def payments_by_id(self) -> dict[str, Payment]:
        return {payment.id: payment for payment in self.payments}

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The place of each counted payment among them, from 1."""
        return {payment.id: number for number, payment in enumerate(self.counted, 1)}

    @cached_property
    def purchases(self) -> dict[str | None, tuple[int, str]]:
        return purchases(self.payments)

    def _read(self, limits: Limits) -> None:
        payments: dict[str, Payment] = {}
        reversals: list[tuple[FactKind, StatedFact]] = []
        for key, fact in self.facts.items():
            self._saw(fact.occurred_at_ms)
            kind, of = known.kind_and_id(key)
            if kind == FactKind.PAYMENT:
                payment = payments[key] = known.payment(of, fact)
                self._saw(payment.fields.created_at)
                if _is_inside(limits, payment.fields.business_id, payment.fields.brand_id):
                    self.payments.append(payment)
            elif kind == FactKind.SUBSCRIPTION:
                subscription = known.subscription(of, fact)
                self._saw(subscription.fields.started_at)
                if _is_inside(limits, subscription.fields.business_id, subscription.fields.brand_id):
                    self.subscriptions[of] = subscription
            elif kind in _REVERSED:
                reversals.append((FactKind(kind), fact))
        for of_kind, fact in reversals:
            self._read_reversal(of_kind, fact, payments, limits)

    def _read_reversal(self, kind: FactKind, fact: StatedFact, payments: dict[str, Payment], limits: Limits) -> None:
        reversal = known.reversal(kind, fact)
        fields = reversal.fields
        self._saw(fields.created_at)
        of = payments.get(fact.parent_key or "")
        business_id = fields.business_id or (None if of is None else of.fields.business_id)
        brand_id = fields.brand_id or (None if of is None else of.fields.brand_id)
        if fields.status == _REVERSED[kind] and _is_inside(limits, business_id, brand_id):
            self.reversals.append(reversal)

    def _saw(self, at: int | None) -> None:
        if at is not None and (self._oldest_at is None or at < self._oldest_at):
            self._oldest_at = at

    def _is_complete(self) -> bool:
        """Whether everything of the person is known. A fact that is older than the history, or a charge for a later
        period of a subscription without one for an earlier, says that something is not.
        """
        since = self._history.complete_since_ms
        if since is None or not self._is_whole or (self._oldest_at is not None and self._oldest_at < since):
            return False
        return not any(
            is_first_missing(payments, self.subscriptions.get(of)) for of, payments in self.payments_of.items()
        )

    def _customer_since(self) -> int | None:
        if not self.is_counted:
            return None
        times = [payment.at for payment in self.counted[:1]] + [started_at(one) for one in self.began[:1]]
        return min(times, default=None)

    def _shown(self, subscription: KnownSubscription) -> Subscription:
        return shown(subscription, self.charges(subscription.id), self._newest_at)

    def _open_failures(self) -> tuple[OpenFailure, ...]:
        found = (open_failure(payments, self.subscriptions.get(of), of) for of, payments in self.payments_of.items())
        return tuple(sorted((one for one in found if one), key=lambda one: (one.since, one.subscription_id)))


def _is_inside(limits: Limits, business_id: str | None, brand_id: str | None) -> bool:
    return (not limits.business_ids or business_id in limits.business_ids) and (
        not limits.brand_ids or brand_id in limits.brand_ids
    )


def first_name(name: str | None) -> str | None:
    """How a greeting addresses a customer: the first word of a name, without titles. None where the family name may
    come first.
    """
    words = (name or "").split()
    while words and words[0].rstrip(".").lower() in _TITLES:
        del words[0]
    if not words or _NO_NAME.search(words[0]) or (len(words) > 1 and _FAMILY_FIRST.search(words[0])):
        return None
    return words[0]
