"""What an event states, and what is true of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicobar.facts import ANNOUNCED, Stated, StatedFact
from nicobar.ledger import EventFact, Paid, Period
from nicobar.ledger.charges import NO_CHARGES, Charges
from nicobar.ledger.failures import (
    attempts,
    is_bought_since,
    is_made_good,
    is_paid_since,
    recovered_after,
    streak_before,
)
from nicobar.ledger.objects import ENDED, FAILED, NEVER_BEGAN, KnownSubscription, Payment, kind_and_id, time_of
from nicobar.ledger.subscriptions import is_announced_again, paid_period, period_of
from nicobar.model import Event, Fact, FactKind, Json

if TYPE_CHECKING:
    from nicobar.ledger.person import Ledger

_STATUS, _CANCEL_AT = "status", "cancel_at"
# What a fact's content has beside the fields of the normal form.
_OTHERS = ("metadata.", ANNOUNCED)
_decode = msgspec.json.Decoder(Json).decode


def event_facts(ledger: Ledger, event: Event, stated: Stated) -> tuple[EventFact, ...]:
    by_object = {kind_and_id(fact.key): fact for fact in stated.facts}
    found = []
    for fact in event.facts:
        own = by_object.get((fact.kind, fact.id))
        if own is not None:
            found.append(_of_payment(ledger, _of_subscription(ledger, _basic(ledger, event, fact, own))))
    return tuple(found)


def _basic(ledger: Ledger, event: Event, fact: Fact, own: StatedFact) -> EventFact:
    values = ledger.contents.values
    said = {name: of[0] for name, of in values(own.content).items() if not name.startswith(_OTHERS)}
    known = ledger.facts.get(own.key, own)
    outdated: list[str] = []
    previous: dict[str, Json] = {}
    if known.content != own.content:
        of = values(known.content)
        for name, one in said.items():
            differing = [other for other in of[name] if other.value != one.value]
            if any(other.place > one.place for other in differing):
                outdated.append(name)
            older = next((other for other in differing if other.place < one.place), None)
            if older is not None:
                previous[name] = _decode(older.value)
    place = next((one.place for one in said.values()), None)
    return EventFact(
        kind=fact.kind,
        id=fact.id,
        key=_key(event, fact),
        occurred_at=own.occurred_at_ms if place is None else time_of(place),
        fields=fact.fields,
        outdated=tuple(sorted(outdated)),
        is_current=_STATUS not in outdated if _STATUS in said else not outdated,
        previous=previous,
    )


def _key(event: Event, fact: Fact) -> str | None:
    status = fact.fields.get(_STATUS)
    match fact.kind:
        case FactKind.PAYMENT | FactKind.REFUND:
            return f"{fact.kind}/{fact.id}/{status}"
        case FactKind.DISPUTE:
            return f"{fact.kind}/{fact.id}/{fact.fields.get('stage')}/{status}"
        case FactKind.SUBSCRIPTION if event.occurred_at_ms is not None:
            return f"{fact.kind}/{fact.id}/{event.event_type}/{event.occurred_at_ms}"
    return None


def _of_payment(ledger: Ledger, fact: EventFact) -> EventFact:
    payment = ledger.payments_by_id.get(fact.id) if fact.kind == FactKind.PAYMENT else None
    if payment is None:
        return fact
    is_failed = payment.failed and fact.fields.get(_STATUS) == payment.fields.status
    of = payment.subscription_ids
    subscription = ledger.subscriptions.get(of[0]) if of else None
    streaks = [(one, _streak_of(ledger, fact, payment, one)) for one in of]
    before = max((streak for _, streak in streaks), key=attempts, default=[])
    attempt = attempts([*before, payment]) if payment.failed and of else None
    is_last = not any(is_paid_since(ledger.payments_of[one], payment) for one in of)
    recovered = max(
        (
            recovered_after(payment, streak, ledger.subscriptions.get(one), is_last=is_last)
            for one, streak in streaks
            if payment.counts
        ),
        default=None,
    )
    number = ledger.numbers[payment.id] if ledger.is_counted and payment.counts else None
    return msgspec.structs.replace(
        fact,
        is_current=fact.is_current and not (is_failed and _is_made_good(ledger, payment, fact.occurred_at)),
        payment_number=number,
        is_first_payment=None if number is None else number == 1,
        attempt=attempt,
        recovered_after=recovered,
        period=paid_period(payment, subscription, ledger.charges(of[0]) if of else NO_CHARGES),
    )


def _streak_of(ledger: Ledger, fact: EventFact, payment: Payment, subscription_id: str) -> list[Payment]:
    """The failures of a subscription before the payment, which may have failed itself before it succeeded."""
    streak = streak_before(ledger.payments_of[subscription_id], payment)
    return [*streak, payment] if fact.previous.get(_STATUS) == FAILED else streak


def _is_made_good(ledger: Ledger, failed: Payment, failed_at: int) -> bool:
    of = failed.subscription_ids
    if not of:
        return is_bought_since(failed, ledger.purchases)
    return all(is_made_good(failed, failed_at, ledger.payments_of[one], ledger.subscriptions.get(one)) for one in of)


def _paid(charges: Charges, subscription: KnownSubscription, start: int, period: Period | None) -> Paid | None:
    """What was paid for the period that begins then. The charge after a trial may succeed days later, and its period
    may begin then; the subscription may still state the end of the trial.
    """
    payment = charges.paid(start)
    trial_ends_at = subscription.fields.trial_ends_at
    if payment is None and period is Period.FIRST and trial_ends_at is not None:
        late = charges.paid_since(trial_ends_at)
        payment = late if late and paid_period(late, subscription, charges) is Period.FIRST else None
    if payment is None or payment.fields.amount is None:
        return None
    return Paid(payment_id=payment.id, amount=payment.fields.amount, currency=payment.fields.currency)


def _of_subscription(ledger: Ledger, fact: EventFact) -> EventFact:
    subscription = ledger.subscriptions.get(fact.id)
    if fact.kind != FactKind.SUBSCRIPTION or subscription is None:
        return fact
    start = fact.fields.get("period_start")
    charges = ledger.charges(fact.id)
    period = period_of(start, subscription, charges) if isinstance(start, int) else None
    status = fact.fields.get(_STATUS)
    is_first = None
    if ledger.is_complete and status not in NEVER_BEGAN and ledger.began:
        is_first = ledger.began[0].id == fact.id
    return msgspec.structs.replace(
        fact,
        period=period,
        is_first_subscription=is_first,
        paid=None if not isinstance(start, int) else _paid(charges, subscription, start, period),
        cancellation=_cancellation(fact, subscription),
    )


def _cancellation(fact: EventFact, subscription: KnownSubscription) -> str | None:
    """Named by its end, so that whatever arrives between or later, events about one announcement name it alike. Of
    announcements with one end only the first and the others are told apart: a missing email is better than two.
    """
    cancel_at = fact.fields.get(_CANCEL_AT)
    if isinstance(cancel_at, int):
        is_this = subscription.fields.cancel_at == cancel_at and _CANCEL_AT not in fact.outdated
        is_again = is_this and is_announced_again(subscription.announced_at, subscription.undone_at)
        return f"{cancel_at}/again" if is_again else str(cancel_at)
    undone = fact.previous.get(_CANCEL_AT)
    is_undone = _CANCEL_AT in fact.fields and isinstance(undone, int) and fact.fields.get(_STATUS) not in ENDED
    return str(undone) if is_undone else None
