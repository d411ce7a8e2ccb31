"""What the facts of a person come to: what was paid, what failed, what is subscribed to.

`person.py` computes it: pure functions of the set of facts. Nothing depends on the order in which events arrived, on
the clock, or on what was sent. This file has the shape of what handlers get.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from nicobar.model import Json, Record

# A handler gets so many subscriptions: live ones first, then the newest.
MAX_SUBSCRIPTIONS = 20
# A person with more facts has no totals: they could be wrong.
MAX_FACTS = 20_000


class History(Record):
    """What a source knows of the time before its first event. All events of the shop since `complete_since_ms` were
    received, because the shop did not exist before; None if not stated. `known_since_ms` is when the first event
    was accepted.
    """

    complete_since_ms: int | None = None
    known_since_ms: int | None = None


def of_sources(histories: Iterable[History]) -> History:
    """What several sources of one kind and mode know together, whose facts are not told apart: complete where all
    are, since the latest of them.
    """
    several = list(histories)
    complete = [history.complete_since_ms for history in several if history.complete_since_ms is not None]
    known = [history.known_since_ms for history in several if history.known_since_ms is not None]
    return History(
        complete_since_ms=max(complete) if complete and len(complete) == len(several) else None,
        known_since_ms=min(known, default=None),
    )


class Limits(Record):
    """The businesses and brands whose facts count at an endpoint; empty for all. A fact that does not state its brand
    is outside of any; a refund or dispute has that of its payment.
    """

    business_ids: tuple[str, ...] = ()
    brand_ids: tuple[str, ...] = ()


class Identity(Record):
    """Who the person is at the endpoint: `kind` and `value` as in `people.Person`, and where that comes from."""

    kind: str
    value: str
    origin: str = msgspec.field(name="from")


class Whom(Record):
    """The person of an event, as far as the ledger does not say it: see `Snapshot`."""

    ids: tuple[str, ...]
    identity: Identity | None = None
    email: str | None = None
    name: str | None = None


class Total(Record):
    """Money in one currency, in its minor units. `paid` is what counted payments took, with tax; counted is what
    succeeded, is more than 0, and is no card update. `net` is `paid` without refunds and lost disputes, of each
    payment at most what was paid. `refunded`, `disputed` and `net` are None if an amount is not known.
    """

    currency: str
    paid: int
    refunded: int | None
    disputed: int | None
    net: int | None
    payments: int


class Settled(Record):
    """What counted payments brought to the merchant's account, in its currency."""

    currency: str
    amount: int
    payments: int


class OpenFailure(Record):
    """A subscription that has not ended, and whose last charge failed: since when, after how many attempts."""

    subscription_id: str
    since: int
    attempts: int


class Subscription(Record):
    """A subscription as the ledger knows it. Times are Unix milliseconds, `price` is in minor units and before tax
    unless `tax_inclusive`. What is not known is None. `status` is the sender's; `trialing` for an active one in its
    trial. `cancel_at` is set while a cancellation is scheduled.
    """

    id: str
    status: str
    product_id: str | None = None
    product_name: str | None = None
    quantity: int | None = None
    has_addons: bool | None = None
    price: int | None = None
    tax_inclusive: bool | None = None
    currency: str | None = None
    interval: str | None = None
    interval_count: int | None = None
    started_at: int | None = None
    trial_ends_at: int | None = None
    period_start: int | None = None
    period_end: int | None = None
    cancel_at: int | None = None
    cancel_announced_at: int | None = None
    cancelled_at: int | None = None
    cancelled_by: str | None = None
    feedback: str | None = None
    paused_at: int | None = None
    past_due_until: int | None = None
    scheduled_change: Json = None
    ended_at: int | None = None


class Snapshot(Record):
    """`webhook.customer`: the person of an event, by all facts that are known when the handler runs. Times are Unix
    milliseconds. None: not known. `ids` are the sender's customer IDs that are this person at the endpoint.

    `status` is the best of the subscriptions' statuses, `none` without one; `subscriptions[0]` has it.
    `subscriptions_active` counts those that are active or trialing. Subscriptions that never began are left out.
    Only with a complete history are `payments`, `is_first_payment` (there is one payment, and it is the first),
    `first_payment_at`, `customer_since`, `totals` and `settled` known.
    """

    ids: tuple[str, ...]
    identity: Identity | None
    history_complete: bool
    known_since: int | None
    status: str
    email: str | None = None
    name: str | None = None
    first_name: str | None = None
    payments: int | None = None
    is_first_payment: bool | None = None
    first_payment_at: int | None = None
    last_payment_at: int | None = None
    customer_since: int | None = None
    totals: tuple[Total, ...] | None = None
    settled: tuple[Settled, ...] | None = None
    open_failures: tuple[OpenFailure, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    subscriptions_active: int = 0
    mrr: dict[str, int] | None = None


class Period(StrEnum):
    """Which period of a subscription a fact is about. Its own fields say so, whatever the history is."""

    TRIAL = "trial"
    FIRST = "first"
    LATER = "later"


class Paid(Record):
    """The payment for a period of a subscription, with tax, in minor units."""

    payment_id: str
    amount: int
    currency: str | None


class EventFact(Record):
    """One of `webhook.facts`: what the event itself states, and what is true of it. Facts that the event only names
    are left out.

    `fields` are those of the normal form (`fact.fields.status`); what the event does not state is missing, what it
    states as null is null. `key` names the occurrence, the same under another event ID of the sender: for `once`.
    `occurred_at` is the event's time.

    `outdated` are the fields of which something newer says otherwise. `is_current`: `status` is none of them (none
    is, where no status is stated), and a failed payment was not made good. `previous`: the values that the object had
    before, where they differ and are known. `status` of a subscription is the sender's, in all three: never
    `trialing`.

    Of a payment: `payment_number` and `is_first_payment` count the person's, and are None unless the history is
    complete and the payment counts. `attempt` of a failed one: how many failures in a row its subscription has with
    it. `recovered_after` of a counted one: how many failures in a row it has ended, 0 for none. Both are None without
    a subscription.

    Of a payment or subscription: `period` of the only subscription, None if not known. A payment for the first period
    after a trial is `first`.

    Of a subscription: `is_first_subscription` of the person, None unless the history is complete. `cancellation`
    names the scheduled cancellation that the event states, or undoes: for `once`. It is the same for all events about
    it. `paid` is the payment for the period that the event states.
    """

    kind: str
    id: str
    key: str | None
    occurred_at: int
    fields: dict[str, Json]
    is_current: bool
    previous: dict[str, Json]
    outdated: tuple[str, ...] = ()
    payment_number: int | None = None
    is_first_payment: bool | None = None
    attempt: int | None = None
    recovered_after: int | None = None
    period: Period | None = None
    is_first_subscription: bool | None = None
    cancellation: str | None = None
    paid: Paid | None = None
