"""Typical states of the ledger before an event, for dry runs. Each consists of earlier facts about the event's own
customer, from which the ledger is computed as from real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from nicobar import facts
from nicobar.facts import StatedFact, complete
from nicobar.ledger import History, Identity, Whom
from nicobar.ledger.person import Ledger
from nicobar.model import Customer, Event, Fact, FactKind, Json, Record
from nicobar.people import IdentityRule, Person, PersonOrigin, resolve
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.handler_runs import LedgerView
from nicobar.pipeline.transform import Subject
from nicobar.sources import SourceKind
from nicobar.sources.registry import source_kind

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_SHOP_BEGAN_MS = 400 * _DAY_MS
_TRIAL_DAYS = 14
_PRICE, _CURRENCY = 2_900, "USD"
_SUBSCRIPTION, _OTHER_SUBSCRIPTION, _PRODUCT = "sub_sample", "sub_sample_other", "pdt_sample"


class LedgerState(StrEnum):
    """The ledger of a customer before an event. All but `HISTORY_UNKNOWN` know everything."""

    FIRST_PURCHASE = "first_purchase"
    TRIAL = "trial"
    SECOND_FAILURE = "second_failure"
    TWO_SUBSCRIPTIONS = "two_subscriptions"
    HISTORY_UNKNOWN = "history_unknown"


USUAL_STATE = LedgerState.FIRST_PURCHASE
OTHER_STATES = tuple(state for state in LedgerState if state is not USUAL_STATE)


class _Plan(Record):
    """A subscription as the event describes it, as far as it does."""

    id: str
    product_id: str
    price: int
    currency: str


class StateLedger:
    """The ledger of handlers, as if the customer of each event were in this state."""

    def __init__(self, state: LedgerState, kind_of: Callable[[Subject], SourceKind]) -> None:
        self._state = state
        self._kind_of = kind_of
        self._codes: set[str] = set()

    def is_needed(self, code_id: str) -> bool:
        return code_id in self._codes

    def need(self, code_id: str) -> None:
        self._codes.add(code_id)

    async def views(self, target: OpenEndpoint, subjects: Sequence[Subject]) -> list[LedgerView]:
        return [_view(target, self._kind_of(subject), subject, self._state) for subject in subjects]


def kind_of_sample(subject: Subject) -> SourceKind:
    """The kind of source that reads a sample or a pasted event."""
    if subject.about is None:  # all have it
        raise AssertionError(subject.message.id)
    return source_kind(subject.about.source_kind)


def _view(target: OpenEndpoint, kind: SourceKind, subject: Subject, state: LedgerState) -> LedgerView:
    message, customer = subject.message, subject.customer
    event = kind.read_body(message.event_type, message.body)
    stated = facts.state(
        kind.kind, event, event_id=message.event_id, body=message.body, accepted_at_ms=message.accepted_at_ms
    )
    names = target.destination.product_names
    if customer is None:
        ledger = Ledger(stated.facts, history=History(), product_names=names)
        return LedgerView(facts=ledger.event_facts(event, stated))
    at_ms = min((fact.occurred_at_ms for fact in stated.facts), default=event.occurred_at_ms or 0)
    began_ms = at_ms - _SHOP_BEGAN_MS
    past = _Past(stated.about.source_kind, customer)
    past.come_to(state, at_ms, event, _plan(event, next(iter(names), _PRODUCT)))
    complete_since_ms = None if state is LedgerState.HISTORY_UNKNOWN else began_ms
    ledger = Ledger(
        (*past.facts, *stated.facts),
        history=History(complete_since_ms=complete_since_ms, known_since_ms=began_ms),
        product_names=names,
    )
    known = customer if subject.known is None else complete(stated.about, subject.known).customer or customer
    snapshot = ledger.snapshot(_whom(target.destination.identity_rule, customer, known))
    return LedgerView(customer=snapshot, facts=ledger.event_facts(event, stated))


def _whom(rule: IdentityRule | None, customer: Customer, known: Customer) -> Whom:
    by_sender = Person(kind="id", value=customer.key, origin=PersonOrigin.CUSTOMER_ID)
    person = resolve(rule, customer) if rule else by_sender
    identity = None
    if isinstance(person, Person):
        identity = Identity(kind=person.kind, value=person.value, origin=person.origin)
    return Whom(ids=(customer.key,), identity=identity, email=known.email, name=known.name)


def _plan(event: Event, product_id: str) -> _Plan:
    """The event's subscription, or one like it."""
    fields: dict[str, Json] = {}
    for fact in event.facts:
        if fact.kind in {FactKind.PAYMENT, FactKind.SUBSCRIPTION}:
            fields |= fact.fields
    named = [fact.id for fact in event.facts if fact.kind is FactKind.SUBSCRIPTION]
    paid_for = fields.get("subscription_ids")
    ids = [*named, *(paid_for if isinstance(paid_for, list) else ())]
    price, amount, tax = (fields.get(name) for name in ("price", "amount", "tax"))
    if not isinstance(price, int) and isinstance(amount, int):
        price = amount - tax if isinstance(tax, int) else amount
    currency, product = fields.get("currency"), fields.get("product_id")
    return _Plan(
        id=next((one for one in ids if isinstance(one, str)), _SUBSCRIPTION),
        product_id=product if isinstance(product, str) else product_id,
        price=price if isinstance(price, int) and price > 0 else _PRICE,
        currency=currency if isinstance(currency, str) else _CURRENCY,
    )


class _Past:
    """Facts that earlier events have stated, in their order."""

    def __init__(self, source: str, customer: Customer) -> None:
        self._source = source
        self._customer = customer
        self.facts: list[StatedFact] = []

    def come_to(self, state: LedgerState, at_ms: int, event: Event, plan: _Plan) -> None:
        """All that happened before the event."""
        other = msgspec.structs.replace(plan, id=_OTHER_SUBSCRIPTION)
        match state:
            case LedgerState.TRIAL:
                # What an event states of its own subscription is newer than that it is in a trial.
                in_trial = other if _states(event, FactKind.SUBSCRIPTION) else plan
                has_ended = _states(event, FactKind.PAYMENT)
                self.trial(in_trial, at_ms - _HOUR_MS if has_ended else at_ms + _TRIAL_DAYS // 2 * _DAY_MS)
            case LedgerState.SECOND_FAILURE:
                first_ms, failed_ms = at_ms - 63 * _DAY_MS, at_ms - 3 * _DAY_MS
                self.subscribe(plan, first_ms)
                self.pay(plan, "first", first_ms, charge_type="new")
                self.pay(plan, "second", at_ms - 33 * _DAY_MS, charge_type="renewal")
                self.change(plan, at_ms - 33 * _DAY_MS, **_period(at_ms - 33 * _DAY_MS))
                self.pay(plan, "third", failed_ms, charge_type="renewal", status="failed", retry_attempt=0)
                self.change(plan, failed_ms, status="on_hold")
            case LedgerState.TWO_SUBSCRIPTIONS:
                renewed_ms = at_ms - 10 * _DAY_MS
                self.subscribe(other, at_ms - 40 * _DAY_MS)
                self.pay(other, "other_first", at_ms - 40 * _DAY_MS, charge_type="new")
                self.pay(other, "other_second", renewed_ms, charge_type="renewal")
                self.change(other, renewed_ms, **_period(renewed_ms))
            case LedgerState.FIRST_PURCHASE | LedgerState.HISTORY_UNKNOWN:
                pass

    def subscribe(self, plan: _Plan, at_ms: int, **fields: Json) -> None:
        begun: dict[str, Json] = {
            "status": "active",
            "product_id": plan.product_id,
            "quantity": 1,
            "price": plan.price,
            "currency": plan.currency,
            "interval": "month",
            "interval_count": 1,
            "started_at": at_ms,
            "trial_ends_at": None,
            **_period(at_ms),
        }
        self._state(FactKind.SUBSCRIPTION, plan.id, at_ms, begun | fields)

    def trial(self, plan: _Plan, ends_ms: int) -> None:
        began_ms = ends_ms - _TRIAL_DAYS * _DAY_MS
        self.subscribe(plan, began_ms, trial_ends_at=ends_ms, period_end=ends_ms)

    def change(self, plan: _Plan, at_ms: int, **fields: Json) -> None:
        self._state(FactKind.SUBSCRIPTION, plan.id, at_ms, fields)

    def pay(self, plan: _Plan, name: str, at_ms: int, *, status: str = "succeeded", **fields: Json) -> None:
        paid: dict[str, Json] = {
            "status": status,
            "amount": plan.price,
            "tax": 0,
            "currency": plan.currency,
            "subscription_ids": [plan.id],
            "created_at": at_ms,
        }
        self._state(FactKind.PAYMENT, f"pay_sample_{name}", at_ms, paid | fields)

    def _state(self, kind: FactKind, of: str, at_ms: int, fields: dict[str, Json]) -> None:
        fact = Fact(kind=kind, id=of, fields={"customer_id": self._customer.key, **fields})
        event = Event(event_type="", occurred_at_ms=at_ms, customer=self._customer, facts=(fact,))
        name = f"sample-{len(self.facts)}"
        self.facts += facts.state(self._source, event, event_id=name, body=b"", accepted_at_ms=at_ms).facts


def _states(event: Event, kind: FactKind) -> bool:
    return any(fact.kind is kind and fact.fields for fact in event.facts)


def _period(start_ms: int) -> dict[str, Json]:
    return {"period_start": start_ms, "period_end": start_ms + 30 * _DAY_MS}
