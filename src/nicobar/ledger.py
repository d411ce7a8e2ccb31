"""What the facts of a person come to: what was paid, what failed, what is subscribed to.

Pure functions over facts; nothing here depends on the order in which events arrived.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from nicobar.model import Json, Record

# A handler gets so many subscriptions: live ones first, then the newest.
MAX_SUBSCRIPTIONS = 20
# A person with more facts has no totals: they could be wrong.
MAX_FACTS = 20_000


class Mode(StrEnum):
    """Whether a source's events are about real money."""

    LIVE = "live"
    TEST = "test"


class History(Record):
    """What a source knows of the time before its first event. All events of the shop since `complete_since_ms` were
    received, because the shop did not exist before; None if nobody says so. `known_since_ms` is when the first event
    was accepted.
    """

    complete_since_ms: int | None = None
    known_since_ms: int | None = None


class Identity(Record):
    """Who the person is at the endpoint: `kind` and `value` as in `people.Person`, and where that comes from."""

    kind: str
    value: str
    origin: str = msgspec.field(name="from")


class Total(Record):
    """Money in one currency, in its minor units. `net` is what was paid without refunds and lost disputes, of each
    payment at most what was paid. `payments` are counted payments: succeeded, more than 0, and no card update.
    """

    currency: str
    paid: int
    refunded: int
    disputed: int
    net: int
    payments: int


class OpenFailure(Record):
    """A subscription whose last charge failed: since when, after how many attempts."""

    subscription_id: str
    since: int
    attempts: int


class Subscription(Record):
    """A subscription as the ledger knows it. Times are Unix milliseconds, `price` is in minor units and before tax
    unless `tax_inclusive`. What is not known is None.
    """

    id: str
    status: str
    product_id: str | None = None
    product_name: str | None = None
    quantity: int | None = None
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
    paused_at: int | None = None
    past_due_until: int | None = None
    scheduled_change: Json = None
    ended_at: int | None = None


class Snapshot(Record):
    """`webhook.customer`: the person of an event, by all facts that are known when the handler runs. Times are Unix
    milliseconds. None: not known. `ids` are the sender's customer IDs that are this person at the endpoint.
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
    settled: tuple[Total, ...] | None = None
    open_failures: tuple[OpenFailure, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    subscriptions_active: int = 0
    mrr: dict[str, int] | None = None


class EventFact(Record):
    """One of `webhook.facts`: what the event itself states, and what is true of it whatever comes later. `fields` are
    those of the normal form. `is_current`: nothing newer is known of the object. `previous`: the values that it had
    before, where they differ.
    """

    kind: str
    id: str
    key: str | None
    fields: dict[str, Json]
    is_current: bool
    previous: dict[str, Json]
    payment_number: int | None = None
    is_first_payment: bool | None = None
