"""What events state, in the normal form, of one invented customer."""

from __future__ import annotations

from itertools import count
from typing import Any

from nicobar.facts import Stated, StatedFact, state
from nicobar.ledger import EventFact, History, Limits, Snapshot, Whom
from nicobar.ledger.person import NO_LIMITS, Ledger
from nicobar.model import Event, Fact, FactKind, Json, Record

SOURCE, CUSTOMER = "toy", "cus_1"
HOUR, DAY = 3_600_000, 86_400_000
# When the shop opened, long before the events are received.
OPENED = 1_780_000_000_000
ACCEPTED = OPENED + 1_000 * DAY
COMPLETE = History(complete_since_ms=OPENED, known_since_ms=OPENED)
UNKNOWN = History(known_since_ms=OPENED)

_numbers = count()


class Statement(Record):
    """An event about one object, and what is stored of it."""

    event: Event
    stated: Stated

    @property
    def facts(self) -> tuple[StatedFact, ...]:
        return self.stated.facts


def statement(kind: FactKind, of: str, at: int, event_type: str, fields: dict[str, Json]) -> Statement:
    """`at` is the time since the shop opened. What is ... is not stated."""
    stated = {name: value for name, value in {"customer_id": CUSTOMER, **fields}.items() if value is not ...}
    is_final = kind is FactKind.PAYMENT and stated.get("status") == "succeeded"
    fact = Fact(kind=kind, id=of, fields=stated, is_final=is_final)
    event = Event(event_type=event_type, occurred_at_ms=OPENED + at, customer=None, facts=(fact,))
    event_id = f"evt_{next(_numbers)}"
    return Statement(event=event, stated=state(SOURCE, event, event_id=event_id, body=b"", accepted_at_ms=ACCEPTED))


def payment(of: str, at: int, status: str = "succeeded", *, sub: str | None = "sub_1", **fields: Json) -> Statement:
    usual: dict[str, Json] = {
        "status": status,
        "amount": 2_900,
        "tax": 0,
        "currency": "USD",
        "subscription_ids": [sub] if sub else [],
        "charge_type": "new" if sub else "one_time",
        "is_card_update": False,
        "includes_usage": False,
        "created_at": OPENED + at,
    }
    return statement(FactKind.PAYMENT, of, at, f"payment.{status}", usual | fields)


def refund(
    of: str, at: int, payment_id: str, amount: int | None, status: str = "succeeded", **fields: Json
) -> Statement:
    usual: dict[str, Json] = {
        "payment_id": payment_id,
        "status": status,
        "amount": amount,
        "currency": "USD",
        "created_at": OPENED + at,
    }
    return statement(FactKind.REFUND, of, at, f"refund.{status}", usual | fields)


def dispute(of: str, at: int, payment_id: str, status: str, **fields: Json) -> Statement:
    usual: dict[str, Json] = {
        "customer_id": ...,
        "payment_id": payment_id,
        "status": status,
        "stage": "dispute",
        "amount": 2_900,
        "currency": "USD",
        "created_at": OPENED + at,
    }
    return statement(FactKind.DISPUTE, of, at, f"dispute.{status}", usual | fields)


def subscription(of: str, at: int, status: str = "active", event: str | None = None, **fields: Json) -> Statement:
    """A monthly one, which has begun when the shop opened."""
    usual: dict[str, Json] = {
        "status": status,
        "product_id": "pdt_basic",
        "quantity": 1,
        "price": 2_900,
        "currency": "USD",
        "interval": "month",
        "interval_count": 1,
        "started_at": OPENED,
        "trial_ends_at": None,
        "cancel_at": None,
    }
    return statement(FactKind.SUBSCRIPTION, of, at, f"subscription.{event or status}", usual | fields)


def ledger(
    *told: Statement, history: History = COMPLETE, limits: Limits = NO_LIMITS, is_whole: bool = True
) -> Ledger:
    facts = [fact for one in told for fact in one.facts]
    return Ledger(facts, history=history, limits=limits, is_whole=is_whole)


def snapshot(*told: Statement, history: History = COMPLETE, **others: Any) -> Snapshot:
    return ledger(*told, history=history, **others).snapshot(Whom(ids=(CUSTOMER,)))


def event_fact(of: Statement, *others: Statement, history: History = COMPLETE) -> EventFact:
    """What is true of an event when it and the others are known."""
    (fact,) = ledger(of, *others, history=history).event_facts(of.event, of.stated)
    return fact
