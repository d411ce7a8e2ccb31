"""A shop at Dodo Payments, as its documentation describes it: what happens to a customer, the webhooks that say so,
and what each object looked like at each moment. Pure: the same seed gives the same bytes.

Where Dodo's texts disagree or say nothing, `Readings` has both; each life draws its own.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from nicobar.clock import utc_time
from nicobar.model import Json

Data = dict[str, Json]
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
# Two events of a customer are never within one second, so that a time names a webhook.
BETWEEN_MS = 2_000
BUSINESS = "bus_0NQldTgMalr0lMlleIqsX"
BRAND = "brnd_0NhCYfI3NkoALE6on6WMs"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def object_id(prefix: str, *of: object) -> str:
    number = int.from_bytes(hashlib.sha256(repr(of).encode()).digest())
    text = ""
    for _ in range(19):
        number, digit = divmod(number, len(_DIGITS))
        text += _DIGITS[digit]
    return f"{prefix}_0N{text}"


def iso(at_ms: int) -> str:
    return utc_time(at_ms).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Plan:
    product_id: str
    name: str
    price: int
    currency: str = "USD"
    interval: str = "Month"
    interval_count: int = 1
    tax_percent: int = 10

    @property
    def period_ms(self) -> int:
        return {"Day": 1, "Week": 7, "Month": 30, "Year": 365}[self.interval] * self.interval_count * DAY_MS


PLANS = {
    plan.name: plan
    for plan in (
        Plan(object_id("pdt", "basic"), "Basic", 2_900),
        Plan(object_id("pdt", "pro"), "Pro", 7_900),
        Plan(object_id("pdt", "quarterly"), "Quarterly", 8_700, interval_count=3),
        Plan(object_id("pdt", "yen"), "Yen", 4_980, currency="JPY"),
        Plan(object_id("pdt", "dinar"), "Dinar", 12_345, currency="KWD"),
        Plan(object_id("pdt", "book"), "Book", 1_500, currency="EUR"),
    )
}


@dataclass(frozen=True)
class Readings:
    """One choice for each thing that Dodo's texts leave open."""

    trial_has_payment: bool = True  # a payment of 0 when a trial starts
    conversion_is_new: bool = False  # the charge type of the first payment after a trial
    first_is_renewed: bool = True  # subscription.renewed comes with the first charge too
    recovery_is_renewed: bool = False  # and with a recovery
    announced_by: str = "updated"  # or beside it: plan_changed, cancelled
    ends_as: str = "cancelled"  # after a scheduled cancellation, or expired, or both
    is_updated_sent: bool = True  # subscription.updated beside most others
    payment_first: bool = False  # payment.succeeded before the subscription's own events
    grace_days: int = 0  # past_due before on_hold
    has_processing: bool = False  # payment.processing first
    stamps_updates: bool = True  # payments have updated_at

    @classmethod
    def drawn(cls, draw: random.Random) -> Readings:
        def either() -> bool:
            return draw.random() < 0.5

        return cls(
            trial_has_payment=either(),
            conversion_is_new=either(),
            first_is_renewed=either(),
            recovery_is_renewed=either(),
            announced_by=draw.choice(["updated", "plan_changed", "cancelled"]),
            ends_as=draw.choice(["cancelled", "expired", "both"]),
            is_updated_sent=either(),
            payment_first=either(),
            grace_days=draw.choice([0, 0, 3]),
            has_processing=either(),
            stamps_updates=either(),
        )


@dataclass(eq=False)
class Tracked:
    """An object of Dodo's, with what it was at each moment."""

    id: str
    versions: list[tuple[int, Data]] = field(default_factory=list)

    @property
    def now(self) -> Data:
        return self.versions[-1][1]

    def at(self, moment_ms: int) -> tuple[int, Data]:
        """The version of that moment, and since when."""
        return [version for version in self.versions if version[0] <= moment_ms][-1]


@dataclass(frozen=True, eq=False)
class Webhook:
    """`at_ms` is the envelope's time. `only` are fields that Dodo fills in this type of event alone."""

    id: str
    at_ms: int
    type: str
    of: Tracked
    only: Data = field(default_factory=dict)

    def body(self, moment_ms: int) -> bytes:
        """What Dodo sends at that moment: the object as it is then."""
        data = dict(sorted({**self.of.at(moment_ms)[1], **self.only}.items()))
        envelope = {"business_id": BUSINESS, "data": data, "timestamp": iso(self.at_ms), "type": self.type}
        return msgspec.json.encode(envelope)


@dataclass(frozen=True, eq=False)
class Truth:
    """Something that happened, of which the customer may be told once: `mail` is the name of the event in the
    catalog, `about` the object. `webhook` is the first that states it. `may`: right to send, and right not to.
    """

    mail: str
    about: str
    webhook: Webhook
    may: bool = False
    data: Data = field(default_factory=dict)


@dataclass(frozen=True)
class Who:
    """The sender's customer."""

    id: str
    email: str
    name: str

    @property
    def data(self) -> Data:
        return {"customer_id": self.id, "email": self.email, "metadata": {}, "name": self.name, "phone_number": None}


class Life:
    """One customer's life, written by calling what happens. Time passes by `wait`."""

    def __init__(self, name: str, number: int, readings: Readings, start_ms: int) -> None:
        self.name = name
        self.seed = f"{name}/{number}"
        self.readings = readings
        self.now_ms = start_ms
        self.email = f"{name.replace('_', '-')}-{number}@pine.example"
        self.who = Who(object_id("cus", self.seed), self.email, "Ada Lindqvist")
        self.customers = [self.who.id]
        self.webhooks: list[Webhook] = []
        self.truths: list[Truth] = []
        self.payments: list[Tracked] = []
        self.subscriptions: list[Tracked] = []
        self.refunds: list[Tracked] = []
        self.disputes: list[Tracked] = []
        self.plan_of: dict[str, Plan] = {}
        self._count = 0
        self._dunning: dict[str, Tracked] = {}

    # --- time and objects ---

    def wait(self, days: float = 0, hours: float = 0) -> None:
        self.now_ms += int(timedelta(days=days, hours=hours) / timedelta(milliseconds=1))

    def until(self, at_ms: int) -> None:
        self.now_ms = max(self.now_ms, at_ms)

    def forget(self) -> None:
        """What happened so far came before Nicobar: its webhooks were not sent anywhere."""
        self.webhooks.clear()
        self.truths.clear()

    def _id(self, prefix: str) -> str:
        self._count += 1
        return object_id(prefix, self.seed, self._count)

    def as_guest(self) -> None:
        """The next checkout makes another customer with the same address."""
        self.who = Who(self._id("cus"), self.email, self.who.name)
        self.customers.append(self.who.id)

    def change(self, of: Tracked, **fields: Json) -> None:
        before = of.versions[-1][1] if of.versions else {}
        of.versions.append((self.now_ms, {**before, **fields}))

    def fire(self, event_type: str, of: Tracked, **only: Json) -> Webhook:
        self.now_ms += BETWEEN_MS
        webhook = Webhook(self._id("msg"), self.now_ms, event_type, of, only)
        self.webhooks.append(webhook)
        return webhook

    def tell(self, mail: str, about: str, webhook: Webhook, *, may: bool = False, **data: Json) -> None:
        self.truths.append(Truth(mail, about, webhook, may=may, data=data))

    # --- payments ---

    def pay(
        self,
        amount: int,
        currency: str,
        *,
        subscription: Tracked | None = None,
        charge_type: str | None = None,
        retry: int = 0,
        product: Plan | None = None,
        **fields: Json,
    ) -> Tracked:
        """A payment under way."""
        self.now_ms += BETWEEN_MS
        of = Tracked(self._id("pay"))
        ids: list[Json] = [subscription.id] if subscription else []
        cart: Json = [{"product_id": product.product_id, "quantity": 1}] if product else None
        owner = subscription.now["customer"] if subscription else self.who.data
        base: Data = {
            **_PAYMENT,
            "payment_id": of.id,
            "status": "processing",
            "total_amount": amount,
            "settlement_amount": amount,
            "tax": None,
            "currency": currency,
            "settlement_currency": currency,
            "customer": owner,
            "subscription_id": ids[0] if ids else None,
            "subscription_ids": ids,
            "charge_type": charge_type,
            "product_cart": cart,
            "retry_attempt": retry,
            "created_at": iso(self.now_ms),
            "updated_at": None,
        }
        self.change(of, **{**base, **fields})
        self.payments.append(of)
        if self.readings.has_processing and not retry:
            self.fire("payment.processing", of)
        return of

    def settle(self, payment: Tracked, status: str, error: str | None = None) -> Webhook:
        stamp = iso(self.now_ms) if self.readings.stamps_updates else None
        amount = payment.now["total_amount"]
        tax = amount // 11 if status == "succeeded" and isinstance(amount, int) else None
        periods = self._service_periods(payment) if status == "succeeded" else []
        self.change(payment, status=status, error_code=error, updated_at=stamp, tax=tax, service_periods=periods)
        webhook = self.fire(f"payment.{status}", payment)
        if status == "succeeded" and amount and not payment.now["is_update_payment_method"]:
            self.tell("payment_succeeded", payment.id, webhook, amount_minor=amount, currency=payment.now["currency"])
            self.tell("first_payment_succeeded", payment.id, webhook, may=True, amount_minor=amount)
        elif status == "failed":
            is_card = bool(payment.now["is_update_payment_method"])
            self.tell("payment_failed", payment.id, webhook, may=is_card, amount_minor=amount)
        return webhook

    def _service_periods(self, payment: Tracked) -> list[Json]:
        of = next((item for item in self.subscriptions if item.id == payment.now["subscription_id"]), None)
        if of is None:
            return []
        period: Data = {
            "subscription_id": of.id,
            "starts_at": of.now["previous_billing_date"],
            "ends_at": of.now["next_billing_date"],
            "proration_factor": "0.5" if payment.now["charge_type"] == "plan_change" else None,
        }
        return [period]

    def buy(self, plan: Plan) -> Tracked:
        payment = self.pay(plan.price, plan.currency, product=plan)
        self.settle(payment, "succeeded")
        return payment

    def fail_to_buy(self, plan: Plan) -> Tracked:
        payment = self.pay(plan.price, plan.currency, product=plan)
        self.settle(payment, "failed", "CARD_DECLINED")
        return payment

    def abandon(self, payment: Tracked) -> Tracked:
        """An hour after a failed checkout."""
        self.wait(hours=1)
        checkout = Tracked(payment.id + "/abandoned")
        data: Data = {
            "abandoned_at": iso(self.now_ms),
            "abandonment_reason": "payment_failed",
            "brand_id": BRAND,
            "customer_id": self.who.id,
            "payload_type": "AbandonedCheckout",
            "payment_id": payment.id,
            "recovered_payment_id": None,
            "status": "abandoned",
        }
        self.change(checkout, **data)
        self.tell("abandoned_checkout_detected", checkout.id, self.fire("abandoned_checkout.detected", checkout))
        return checkout

    def come_back_to(self, checkout: Tracked, plan: Plan) -> None:
        payment = self.buy(plan)
        self.change(checkout, status="recovered", recovered_payment_id=payment.id)
        self.tell("abandoned_checkout_recovered", checkout.id, self.fire("abandoned_checkout.recovered", checkout))

    def refund(self, payment: Tracked, amount: int | None = None, *, status: str = "succeeded") -> None:
        self.now_ms += BETWEEN_MS
        paid = payment.now["total_amount"]
        refund = Tracked(self._id("ref"))
        value = paid if amount is None else amount
        data: Data = {
            **_REFUND,
            "refund_id": refund.id,
            "payment_id": payment.id,
            "status": "pending",
            "amount": value,
            "currency": payment.now["currency"],
            "is_partial": value != paid,
            "customer": payment.now["customer"],
            "created_at": iso(self.now_ms),
        }
        self.change(refund, **data)
        self.refunds.append(refund)
        self.wait(hours=1)
        self.change(refund, status=status)
        webhook = self.fire(f"refund.{status}", refund)
        self.tell(f"refund_{status}", refund.id, webhook, amount_minor=value, is_partial=value != paid)
        if status == "succeeded":
            self.change(payment, refund_status="full" if value == paid else "partial")

    def dispute(self, payment: Tracked, *statuses: str) -> None:
        """Each status two days after the one before."""
        self.now_ms += BETWEEN_MS
        dispute = Tracked(self._id("dp"))
        data: Data = {
            **_DISPUTE,
            "dispute_id": dispute.id,
            "payment_id": payment.id,
            "amount": str(payment.now["total_amount"]),
            "currency": payment.now["currency"],
            "customer": payment.now["customer"],
            "created_at": iso(self.now_ms),
        }
        self.change(dispute, **data, dispute_status="dispute_opened")
        self.disputes.append(dispute)
        for status in statuses:
            self.change(dispute, dispute_status=f"dispute_{status}")
            webhook = self.fire(f"dispute.{status}", dispute)
            self.tell(f"dispute_{status}", dispute.id, webhook, amount_minor=payment.now["total_amount"])
            self.wait(days=2)

    # --- subscriptions ---

    def subscribe(self, plan: Plan, trial_days: int = 0) -> Tracked:
        of = self._create(plan, trial_days)
        if trial_days:
            self._start_trial(of)
        else:
            self._start(of, plan)
        self._updated(of)
        return of

    def subscribe_to(self, *plans: Plan) -> list[Tracked]:
        """Several subscriptions at once, with one payment."""
        several = [self._create(plan, 0) for plan in plans]
        ids: list[Json] = [of.id for of in several]
        payment = self.pay(sum(map(_total, plans)), plans[0].currency, charge_type="new")
        self.change(payment, subscription_ids=ids, is_multi_subscription=True)
        for of in several:
            self.change(of, status="active")
            self.tell("subscription_started", of.id, self.fire("subscription.active", of))
        self.settle(payment, "succeeded")
        return several

    def _create(self, plan: Plan, trial_days: int) -> Tracked:
        self.now_ms += BETWEEN_MS
        of = Tracked(self._id("sub"))
        self.plan_of[of.id] = plan
        ends = self.now_ms + (trial_days * DAY_MS if trial_days else plan.period_ms)
        data: Data = {
            **_SUBSCRIPTION,
            **_of_plan(plan),
            "subscription_id": of.id,
            "status": "pending",
            "customer": self.who.data,
            "created_at": iso(self.now_ms),
            "previous_billing_date": iso(self.now_ms),
            "next_billing_date": iso(ends),
            "expires_at": iso(self.now_ms + 3_650 * DAY_MS),
            "trial_period_days": trial_days,
        }
        self.change(of, **data)
        self.subscriptions.append(of)
        return of

    def _start_trial(self, of: Tracked) -> None:
        self.change(of, status="active")
        active = self.fire("subscription.active", of)
        self.tell("trial_started", of.id, active)
        # Whether a trial is a start, too, is for the shop to say: at most one such mail.
        self.tell("subscription_started", of.id, active, may=True)
        if self.readings.trial_has_payment:
            payment = self.pay(0, str(of.now["currency"]), subscription=of, charge_type="new")
            self.settle(payment, "succeeded")

    def _start(self, of: Tracked, plan: Plan) -> None:
        payment = self.pay(_total(plan), plan.currency, subscription=of, charge_type="new")
        self.change(of, status="active")
        if self.readings.payment_first:
            self.settle(payment, "succeeded")
        self.tell("subscription_started", of.id, self.fire("subscription.active", of))
        if not self.readings.payment_first:
            self.settle(payment, "succeeded")
        if self.readings.first_is_renewed:
            self.fire("subscription.renewed", of, payment_id=payment.id)

    def _updated(self, of: Tracked, *, always: bool = False) -> None:
        if always or self.readings.is_updated_sent:
            self.fire("subscription.updated", of)

    def renew(self, of: Tracked) -> Tracked:
        """The next period is paid when it begins; the first after a trial converts it."""
        begins = _unix_ms(of.now["next_billing_date"])
        self.until(begins)
        converts = self._converts(of)
        charge_type = "new" if converts and self.readings.conversion_is_new else "renewal"
        plan = self.plan_of[of.id]
        payment = self.pay(_total(plan), plan.currency, subscription=of, charge_type=charge_type)
        self._next_period(of, begins)
        paid = self.settle(payment, "succeeded")
        renewed = self.fire("subscription.renewed", of, payment_id=payment.id)
        if converts:
            self.tell("trial_converted", of.id, paid, payment_id=payment.id)
        else:
            self.tell("subscription_renewed", of.id, renewed, period_start=begins // 1000)
        self._updated(of)
        return payment

    def _converts(self, of: Tracked) -> bool:
        days = of.now["trial_period_days"]
        return bool(days) and not any(
            payment.now["status"] == "succeeded" and payment.now["total_amount"]
            for payment in self.payments
            if payment.now["subscription_id"] == of.id
        )

    def _next_period(self, of: Tracked, begins: int) -> None:
        ends = begins + self.plan_of[of.id].period_ms
        self.change(of, previous_billing_date=iso(begins), next_billing_date=iso(ends), status="active")

    def fail_to_renew(self, of: Tracked, error: str = "INSUFFICIENT_FUNDS", *, dunning: bool = False) -> None:
        """The charge for the next period fails; the subscription is held, or past due first."""
        self.until(_unix_ms(of.now["next_billing_date"]))
        plan = self.plan_of[of.id]
        payment = self.pay(_total(plan), plan.currency, subscription=of, charge_type="renewal")
        grace_days = self.readings.grace_days
        if grace_days:
            self.change(of, status="past_due", past_due_ends_at=iso(self.now_ms + grace_days * DAY_MS))
        else:
            self.change(of, status="on_hold")
        self.settle(payment, "failed", error)
        state = "past_due" if grace_days else "on_hold"
        self.tell(f"subscription_{state}", of.id, self.fire(f"subscription.{state}", of))
        if dunning:
            self._start_dunning(of, state)
        self._updated(of)

    def _start_dunning(self, of: Tracked, state: str) -> None:
        attempt = Tracked(of.id + "/dunning")
        data: Data = {
            "brand_id": BRAND,
            "created_at": iso(self.now_ms),
            "customer_id": self.who.id,
            "payload_type": "DunningAttempt",
            "payment_id": None,
            "status": "recovering",
            "subscription_id": of.id,
            "trigger_state": state,
        }
        self.change(attempt, **data)
        self._dunning[of.id] = attempt
        self.tell("dunning_started", attempt.id, self.fire("dunning.started", attempt))

    def hold(self, of: Tracked) -> None:
        """The grace period ends."""
        if of.now["status"] == "past_due":
            self.until(_unix_ms(of.now["past_due_ends_at"]))
            self.change(of, status="on_hold", past_due_ends_at=None)
            self.tell("subscription_on_hold", of.id, self.fire("subscription.on_hold", of))

    def retry(self, of: Tracked, attempt: int, *, succeeds: bool) -> None:
        plan = self.plan_of[of.id]
        payment = self.pay(_total(plan), plan.currency, subscription=of, charge_type="renewal", retry=attempt)
        if not succeeds:
            self.settle(payment, "failed", "INSUFFICIENT_FUNDS")
            return
        begins = _unix_ms(of.now["next_billing_date"])
        self._next_period(of, begins)
        self.change(of, past_due_ends_at=None)
        paid = self.settle(payment, "succeeded")
        self.tell("payment_recovered", payment.id, paid, subscription_id=of.id)
        active = self.fire("subscription.active", of)
        if self.readings.recovery_is_renewed:
            self.fire("subscription.renewed", of, payment_id=payment.id)
        # It is the second period or a later one that was paid for; the mail about the recovery says as much.
        converts = len(self._paid(of)) == 1 and bool(of.now["trial_period_days"])
        mail = "trial_converted" if converts else "subscription_renewed"
        self.tell(mail, of.id, active, may=True, period_start=begins // 1000)
        if (attempt_of := self._dunning.pop(of.id, None)) is not None:
            self.change(attempt_of, status="recovered", payment_id=payment.id)
            self.tell("dunning_recovered", attempt_of.id, self.fire("dunning.recovered", attempt_of))
        self._updated(of)

    def _paid(self, of: Tracked) -> list[Tracked]:
        return [
            payment
            for payment in self.payments
            if payment.now["subscription_id"] == of.id
            and payment.now["status"] == "succeeded"
            and payment.now["total_amount"]
        ]

    def change_plan(self, of: Tracked, plan: Plan) -> None:
        """At once, with a charge."""
        payment = self.pay(_total(plan) // 2, plan.currency, subscription=of, charge_type="plan_change")
        self.plan_of[of.id] = plan
        self.change(of, **_of_plan(plan))
        self.settle(payment, "succeeded")
        self.tell("subscription_plan_changed", of.id, self.fire("subscription.plan_changed", of))
        self._updated(of)

    def schedule_plan(self, of: Tracked, plan: Plan) -> None:
        change_id = self._id("spc")
        scheduled: Json = {
            "id": change_id,
            "product_id": plan.product_id,
            "product_name": plan.name,
            "product_description": None,
            "quantity": 1,
            "addons": [],
            "created_at": iso(self.now_ms),
            "effective_at": of.now["next_billing_date"],
        }
        self.change(of, scheduled_change=scheduled)
        webhook = self.fire("subscription.updated", of)
        self.tell("subscription_plan_change_scheduled", of.id, webhook, change_id=change_id)

    def apply_plan(self, of: Tracked, plan: Plan) -> None:
        self.until(_unix_ms(of.now["next_billing_date"]))
        self.plan_of[of.id] = plan
        self.change(of, **_of_plan(plan), scheduled_change=None)
        self.tell("subscription_plan_changed", of.id, self.fire("subscription.plan_changed", of))
        self.renew(of)

    def announce(self, of: Tracked) -> None:
        """Cancellation at the end of the period."""
        actor: Json = {"actor_type": "customer", "email": self.email, "name": self.who.name}
        feedback = "too_expensive"
        self.change(of, cancel_at_next_billing_date=True, cancelled_by=actor, cancellation_feedback=feedback)
        first = self.fire("subscription.updated", of)
        if self.readings.announced_by != "updated":
            self.fire(f"subscription.{self.readings.announced_by}", of)
        # Announced again for the same day, it is the same end: a second email is not needed.
        end = of.now["next_billing_date"]
        again = any(truth.about == of.id and truth.data.get("end") == end for truth in self.truths)
        self.tell("subscription_cancel_scheduled", of.id, first, may=again, end=end)

    def undo(self, of: Tracked) -> None:
        self.change(of, cancel_at_next_billing_date=False, cancelled_by=None, cancellation_feedback=None)
        first = self.fire("subscription.updated", of)
        if self.readings.announced_by == "plan_changed":
            self.fire("subscription.plan_changed", of)
        self.tell("subscription_cancel_undone", of.id, first)

    def end(self, of: Tracked) -> None:
        """The announced end."""
        self.until(_unix_ms(of.now["next_billing_date"]))
        ends_as = self.readings.ends_as
        status = "expired" if ends_as == "expired" else "cancelled"
        self._end(of, status)
        if ends_as == "both":
            self.wait(hours=1)
            self.change(of, status="expired")
            self.fire("subscription.expired", of)

    def cancel(self, of: Tracked) -> None:
        """At once."""
        self._end(of, "cancelled")

    def _end(self, of: Tracked, status: str) -> None:
        cancelled_at = iso(self.now_ms) if status == "cancelled" else None
        mail = "trial_ended" if of.now["trial_period_days"] and not self._paid(of) else "subscription_ended"
        self.change(of, status=status, cancelled_at=cancelled_at, past_due_ends_at=None)
        self.tell(mail, of.id, self.fire(f"subscription.{status}", of))
        self._updated(of)

    def pause(self, of: Tracked) -> None:
        self.change(of, status="paused", paused_at=iso(self.now_ms))
        self.tell("subscription_paused", of.id, self.fire("subscription.paused", of))
        self._updated(of)

    def resume(self, of: Tracked) -> None:
        paused_ms = self.now_ms - _unix_ms(of.now["paused_at"])
        ends = iso(_unix_ms(of.now["next_billing_date"]) + paused_ms)
        self.change(of, status="active", paused_at=None, next_billing_date=ends)
        self.tell("subscription_resumed", of.id, self.fire("subscription.unpaused", of))
        self._updated(of)

    def new_card(self, of: Tracked) -> None:
        """A charge of 1 swaps the card: no purchase."""
        self.change(of, payment_method_id=self._id("pm"))
        webhook = self.fire("subscription.update_payment_method", of)
        self.tell("payment_method_updated", of.id, webhook)
        check = self.pay(
            100, str(of.now["currency"]), subscription=of, charge_type="on_demand", is_update_payment_method=True
        )
        self.settle(check, "succeeded")

    def fail_to_start(self, plan: Plan) -> None:
        """No mandate: the subscription never was."""
        self.now_ms += BETWEEN_MS
        of = Tracked(self._id("sub"))
        ends = iso(self.now_ms + plan.period_ms)
        data: Data = {
            **_SUBSCRIPTION,
            **_of_plan(plan),
            "subscription_id": of.id,
            "status": "failed",
            "customer": self.who.data,
            "created_at": iso(self.now_ms),
            "previous_billing_date": iso(self.now_ms),
            "next_billing_date": ends,
            "expires_at": iso(self.now_ms + 3_650 * DAY_MS),
        }
        self.change(of, **data)
        self.subscriptions.append(of)
        self.plan_of[of.id] = plan
        payment = self.pay(_total(plan), plan.currency, subscription=of, charge_type="new")
        self.settle(payment, "failed", "DO_NOT_HONOR")
        self.fire("subscription.failed", of)


def _total(plan: Plan) -> int:
    return plan.price + plan.price * plan.tax_percent // 100


def _of_plan(plan: Plan) -> Data:
    return {
        "product_id": plan.product_id,
        "recurring_pre_tax_amount": plan.price,
        "currency": plan.currency,
        "payment_frequency_count": plan.interval_count,
        "payment_frequency_interval": plan.interval,
    }


def _unix_ms(value: Json) -> int:
    return int(msgspec.convert(value, type=_MOMENT).timestamp() * 1000)


_MOMENT = type(utc_time(0))
_BILLING: Json = {"city": None, "country": "US", "state": None, "street": None, "zipcode": None}
_PAYMENT: Data = {
    "billing": _BILLING,
    "brand_id": BRAND,
    "business_id": BUSINESS,
    "card_last_four": "4242",
    "card_network": "visa",
    "card_type": "credit",
    "checkout_session_id": None,
    "custom_field_responses": None,
    "digital_products_delivered": False,
    "discount_id": None,
    "discounts": None,
    "disputes": [],
    "error_code": None,
    "error_message": None,
    "includes_usage": False,
    "invoice_id": None,
    "invoice_url": None,
    "is_multi_subscription": False,
    "is_update_payment_method": False,
    "metadata": {},
    "payload_type": "Payment",
    "payment_link": None,
    "payment_method": "card",
    "payment_method_type": "credit",
    "payment_provider": "dodo",
    "refund_status": None,
    "refunds": [],
    "service_periods": [],
    "settlement_tax": None,
}
_SUBSCRIPTION: Data = {
    "addons": [],
    "billing": _BILLING,
    "brand_id": BRAND,
    "cancel_at_next_billing_date": False,
    "cancellation_comment": None,
    "cancellation_feedback": None,
    "cancelled_at": None,
    "cancelled_by": None,
    "credit_entitlement_cart": [],
    "custom_field_responses": None,
    "customer_business_name": None,
    "discount_id": None,
    "discounts": None,
    "has_payment_method": True,
    "metadata": {},
    "meter_credit_entitlement_cart": [],
    "meters": [],
    "on_demand": False,
    "past_due_ends_at": None,
    "paused_at": None,
    "payload_type": "Subscription",
    "payment_id": None,
    "payment_method_id": None,
    "quantity": 1,
    "scheduled_change": None,
    "subscription_period_count": 10,
    "subscription_period_interval": "Year",
    "tax_id": None,
    "tax_inclusive": False,
    "trial_amount": None,
}
_REFUND: Data = {
    "brand_id": BRAND,
    "business_id": BUSINESS,
    "metadata": {},
    "network_reference": None,
    "network_reference_type": None,
    "network_reference_updated_at": None,
    "payload_type": "Refund",
    "reason": None,
}
_DISPUTE: Data = {
    "brand_id": BRAND,
    "business_id": BUSINESS,
    "dispute_stage": "dispute",
    "is_resolved_by_rdr": None,
    "payload_type": "Dispute",
    "payment_provider": "dodo",
    "reason": "fraudulent",
    "remarks": None,
}
