"""Which emails must, may and must never go out, as a marketer sees it.

It knows what really happened, and what Nicobar was told when. It knows nothing of how Nicobar decides.

- An email is *wrong* if nothing of the kind happened, if it went out before, or if the customer's situation had
  changed and Nicobar had been told so.
- An email is *missing* if it happened, was still so when its webhook arrived, and all that had been told agreed.
- Between the two, both are right: it cannot be known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from lives.shop import HOUR_MS, Data, Life, Tracked, Truth, Webhook
from nicobar.clock import utc_time
from nicobar.model import Json

# Of a subscription that a customer has.
LIVE = {"active", "past_due"}
# Several webhooks tell of one thing within this.
_SAME_MOMENT_MS = 60_000
GONE = {"cancelled", "expired"}
# A goodbye is one email, whichever of these it is.
GOODBYES = {"subscription_ended", "trial_ended"}
GREETINGS = {"subscription_started", "trial_started", "trial_converted", "first_payment_succeeded"}


@dataclass(frozen=True)
class Said:
    """An event that arrived in Customer.io while the life's webhooks from `first` to `last` were processed."""

    name: str
    at_s: int
    data: Mapping[str, Json]
    first: int
    last: int


@dataclass(frozen=True)
class Delivered:
    """A webhook as it arrived: `version_ms` is since when the object was as the body says."""

    webhook: Webhook
    version_ms: int
    data: Data
    clock_ms: int


@dataclass
class View:
    """What was told of each object, by one order: the newest content, or what the newest webhook said."""

    told: dict[str, tuple[int, Data]] = field(default_factory=dict)
    webhooks: set[Webhook] = field(default_factory=set)
    history: dict[str, list[tuple[int, Data]]] = field(default_factory=dict)

    def tell(self, of: Tracked, place: int, data: Data) -> None:
        self.history.setdefault(of.id, []).append((place, data))
        if of.id not in self.told or self.told[of.id][0] <= place:
            self.told[of.id] = (place, data)

    def status(self, of: str) -> Json:
        return self.told[of][1].get("status") if of in self.told else None

    def paid_since(self, subscription: Json, at_ms: int) -> bool:
        """Whether a payment of the subscription that was made later is known to have succeeded."""
        return any(
            data["subscription_id"] == subscription and unix_ms(data["created_at"]) > at_ms for data in self.counted()
        )

    @property
    def knows_people(self) -> bool:
        """Whether an event has said who the customer is: one about a cart has the sender's id alone."""
        return any("customer" in data for _, data in self.told.values())

    def counted(self) -> list[Data]:
        return [data for _, data in self.told.values() if data.get("payload_type") == "Payment" and is_counted(data)]

    def may_be_first(self, payment: Data) -> bool:
        """False for a renewal if nothing else is known of its subscription, which may be years old."""
        is_new = payment["charge_type"] in {None, "new"}
        return is_new or all(str(of) in self.told for of in payment["subscription_ids"])

    def bought_since(self, at_ms: int) -> bool:
        return any(unix_ms(data["created_at"]) > at_ms for data in self.counted())

    def failures_of(self, subscription: Json, before_ms: int) -> list[Data]:
        """Failed payments of the subscription since the last that succeeded before."""
        own = [
            data
            for _, data in self.told.values()
            if data.get("payload_type") == "Payment" and data.get("subscription_id") == subscription
        ]
        paid = [unix_ms(data["created_at"]) for data in own if is_counted(data)]
        since = max((at for at in paid if at < before_ms), default=0)
        return [
            data for data in own if data["status"] == "failed" and since < unix_ms(data["created_at"]) < before_ms
        ]


def is_counted(payment: Data) -> bool:
    return bool(
        payment["status"] == "succeeded" and payment["total_amount"] and not payment["is_update_payment_method"]
    )


def unix_ms(value: Json) -> int:
    return int(msgspec.convert(value, type=type(utc_time(0))).timestamp() * 1000)


@dataclass(frozen=True)
class Verdict:
    """`right` emails, and in words what is wrong and what is missing."""

    right: int
    wrong: tuple[str, ...]
    missing: tuple[str, ...]


class Oracle:
    """Judges the emails of one life. `history` says whether all of the customer's past was told."""

    def __init__(
        self,
        life: Life,
        *,
        history: bool,
        names: Mapping[str, str] | None = None,
        emails: Collection[str] | None = None,
    ) -> None:
        """`names` says what a recipe calls an email that the catalog calls otherwise; `emails` which of the catalog
        it sends, by default all.
        """
        self._emails = emails
        self._names = names or {}
        self._life = life
        self._history = history
        self._at_s = {webhook.at_ms // 1000: webhook for webhook in life.webhooks}
        self._views = (View(), View())
        # After each delivery: what is out of date whatever one believes.
        self._stale: list[set[Truth]] = []
        self._due: set[Truth] = set()
        self._seen: set[Webhook] = set()
        self._candidates: list[Truth] = []
        # Another payment that arrives before it is known not to be the first, or may be.
        self._first = min(
            (payment for payment in life.payments if is_counted(payment.now)),
            key=lambda payment: str(payment.now["created_at"]),
            default=None,
        )
        self._first_is_due = self._is_first_known = False

    @property
    def told(self) -> int:
        return len(self._stale)

    def tell(self, it: Delivered) -> None:
        newest, placed = self._views
        newest.tell(it.webhook.of, it.version_ms, it.data)
        placed.tell(it.webhook.of, it.webhook.at_ms, it.data)
        for view in self._views:
            view.webhooks.add(it.webhook)
        stale: set[Truth] = set()
        for truth in self._life.truths:
            verdicts = [is_current(truth, view, it.clock_ms, self._life) for view in self._views]
            if all(verdict is False for verdict in verdicts):
                stale.add(truth)
            first = truth.webhook is it.webhook and it.webhook not in self._seen
            if first and not truth.may and all(verdict is True for verdict in verdicts):
                self._candidates.append(truth)
        is_alone = all(view.counted() == [it.data] and view.may_be_first(it.data) for view in self._views)
        if it.webhook.of is self._first and is_alone:
            self._first_is_due |= it.webhook.type == "payment.succeeded"
        self._stale.append(stale)
        self._seen.add(it.webhook)

    def processed(self, clock_ms: int) -> None:
        """All that was told is processed. Of several at once, what is still so must have been said."""
        for truth in self._candidates:
            if all(is_current(truth, view, clock_ms, self._life) for view in self._views):
                self._due.add(truth)
        self._candidates.clear()
        self._first_is_due &= self._is_first_known or all(len(view.counted()) == 1 for view in self._views)
        self._is_first_known = self._first_is_due

    def judge(self, said: Sequence[Said]) -> Verdict:
        wrong: list[str] = []
        sent: Counter[Truth] = Counter()
        goodbyes: Counter[str] = Counter()
        for event in said:
            it = replace(event, name=self._names.get(event.name, event.name))
            if not it.name:
                continue
            truth, why = self._matched(it, sent)
            if truth is None:
                wrong.append(f"{it.name}: {why}")
                continue
            if it.name == "subscription_ended" and it.data.get("is_trial") is True:
                # The event says that trial_ended is the email; a campaign of ends is not for it.
                if truth.mail != "trial_ended":
                    wrong.append(f"{it.name}: is_trial, of a subscription that was paid")
                continue
            sent[truth] += 1
            wrong += self._wrong(it, truth, sent[truth])
            if truth.mail in GOODBYES:
                goodbyes[truth.about] += 1
                if goodbyes[truth.about] > 1 and sent[truth] == 1:
                    wrong.append(f"{it.name}: a second goodbye")
        firsts = [it for it in said if it.name == "first_payment_succeeded"]
        if len(firsts) > 1 or (firsts and not self._history):
            wrong.append(f"first_payment_succeeded: {len(firsts)} times, history known: {self._history}")
        missing = [
            f"{truth.mail} of {truth.about}"
            for truth in self._due
            if not sent[truth]
            and not (truth.mail in GOODBYES and goodbyes[truth.about])
            and (self._emails is None or truth.mail in self._emails)
        ]
        is_sent = self._emails is None or "first_payment_succeeded" in self._emails
        if self._history and is_sent and not firsts and self._first_is_due:
            missing.append("first_payment_succeeded")
        return Verdict(right=len(said) - len(wrong), wrong=tuple(wrong), missing=tuple(missing))

    def _matched(self, it: Said, sent: Counter[Truth]) -> tuple[Truth | None, str]:
        """What happened that the event is about: by the webhook whose time it has."""
        webhook = self._at_s.get(it.at_s)
        if webhook is None:
            return None, f"nothing happened at {it.at_s}"
        period = it.data.get("period_start")
        own = [
            truth
            for truth in self._life.truths
            if _is_of(it.name, truth) and _concerns(truth, webhook) and _is_for(truth, webhook, period)
        ]
        if not own:
            return None, f"nothing of the kind happened ({webhook.type} of {webhook.of.id})"
        # Of a state that is entered several times: the one that this webhook is about, else the latest before.
        before = [truth for truth in own if truth.webhook.at_ms <= webhook.at_ms + _SAME_MOMENT_MS]
        found = next((truth for truth in before if truth.webhook is webhook), (before or own[:1])[-1])
        if sent[found] and found.mail == "subscription_cancel_scheduled":
            # Announced twice for one day: which of the two an event is about cannot be known in every order.
            end = found.data["end"]
            found = next((truth for truth in own if truth.data["end"] == end and not sent[truth]), found)
        return found, ""

    def _wrong(self, it: Said, truth: Truth, count: int) -> Iterable[str]:
        if count > 1:
            yield f"{it.name} of {truth.about}: sent {count} times"
        # Several deliveries at once are one moment: wrong only if it was out of date after the first of them.
        elif all(truth in stale for stale in self._stale[it.first : it.last + 1]):
            yield f"{it.name} of {truth.about}: no longer so, and that was known"
        for name, value in it.data.items():
            if isinstance(value, str) and name.endswith("_name") and value.startswith("pdt_"):
                yield f"{it.name}: {name} is an id"
        yield from _wrong_money(it, truth)


def _wrong_money(it: Said, truth: Truth) -> Iterable[str]:
    amount = truth.data.get("amount_minor")
    stated = it.data.get("amount_minor")
    if amount is not None and stated is not None and stated != amount:
        yield f"{it.name}: amount_minor {stated} instead of {amount}"
    currency = it.data.get("currency")
    value = it.data.get("amount")
    decimals = {"JPY": 0, "KWD": 3}.get(str(currency), 2)
    if isinstance(amount, int) and value is not None and float(str(value)) != amount / 10**decimals:
        yield f"{it.name}: amount {value} of {amount} {currency}"


def _is_of(name: str, truth: Truth) -> bool:
    """The end of a trial is an end, too."""
    return truth.mail == name or (name == "subscription_ended" and truth.mail in GOODBYES)


def _concerns(truth: Truth, webhook: Webhook) -> bool:
    """Whether an event of this webhook can be about it: the same object, or the payment of the subscription."""
    if truth.webhook is webhook:
        return True
    if truth.about == webhook.of.id:
        return True
    return truth.about == webhook.of.now.get("subscription_id") and webhook.of.id.startswith("pay_")


def _is_for(truth: Truth, webhook: Webhook, period_start: Json) -> bool:
    """Whether a renewal is that of the period: the event's own, or the one in which its webhook was sent."""
    wanted = truth.data.get("period_start")
    if wanted is None or not truth.about.startswith("sub_") or "previous_billing_date" not in webhook.of.now:
        return True
    own = unix_ms(webhook.of.at(webhook.at_ms)[1]["previous_billing_date"]) // 1000
    return wanted == (own if period_start is None else period_start)


Judge = Callable[[Truth, View, int, Life], bool | None]


def is_current(truth: Truth, view: View, clock_ms: int, life: Life) -> bool | None:
    """Whether the email is right by a view; None if the view does not say."""
    judge = _JUDGES.get(truth.mail)
    if judge is not None:
        return judge(truth, view, clock_ms, life)
    return True  # what is done is done: a payment, a refund, a new card


def _after(truth: Truth, view: View) -> tuple[int, Data] | None:
    """What was told of the subscription, if it was."""
    return view.told.get(truth.about)


def _failed(truth: Truth, view: View, _clock_ms: int, life: Life) -> bool | None:
    payment = next(item for item in life.payments if item.id == truth.about)
    if view.status(truth.about) == "succeeded":
        return False  # the customer tried again
    subscription = payment.now["subscription_id"]
    if subscription is None:
        # Bought since, it may be what could not be paid for then.
        return None if view.bought_since(unix_ms(payment.now["created_at"])) else True
    if view.paid_since(subscription, unix_ms(payment.now["created_at"])):
        return False
    told = view.told.get(str(subscription))
    if told is not None and told[0] > truth.webhook.at_ms + _SAME_MOMENT_MS and told[1]["status"] == "active":
        return False
    if told is not None and told[0] > truth.webhook.at_ms and told[1]["status"] in GONE:
        return False
    # An attempt that failed later has an email of its own.
    later = view.failures_of(subscription, unix_ms(payment.now["created_at"]) + 10**12)
    return None if any(unix_ms(data["created_at"]) > unix_ms(payment.now["created_at"]) for data in later) else True


def _recovered(truth: Truth, view: View, _clock_ms: int, life: Life) -> bool | None:
    payment = next(item for item in life.payments if item.id == truth.about)
    subscription = payment.now["subscription_id"]
    told = view.told.get(str(subscription))
    if told is not None and told[0] > truth.webhook.at_ms and told[1]["status"] != "active":
        return None
    if view.paid_since(subscription, unix_ms(payment.now["created_at"])):
        return None  # it is long over
    return True if view.failures_of(subscription, unix_ms(payment.now["created_at"])) else None


def _trial_started(truth: Truth, view: View, clock_ms: int, _life: Life) -> bool | None:
    told = _after(truth, view)
    if told is None:
        return None
    is_over = clock_ms >= unix_ms(told[1]["created_at"]) + int(str(told[1]["trial_period_days"])) * 86_400_000
    if told[1]["status"] != "active" or is_over or view.paid_since(truth.about, 0):
        return False
    return None if told[1]["cancel_at_next_billing_date"] else True


def _trial_converted(truth: Truth, view: View, _clock_ms: int, _life: Life) -> bool | None:
    told = _after(truth, view)
    if told is None:
        return None
    # A hold that came before the payment is over by it.
    is_over = told[0] > truth.webhook.at_ms and told[1]["status"] not in LIVE
    return not is_over and view.paid_since(truth.about, 0)


def _started(truth: Truth, view: View, _clock_ms: int, _life: Life) -> bool | None:
    told = _after(truth, view)
    if told is None:
        return None
    if told[1]["status"] not in LIVE:
        return False
    is_first = told[1]["created_at"] == told[1]["previous_billing_date"]
    return True if is_first and told[1]["status"] == "active" else None


def _renewed(truth: Truth, view: View, _clock_ms: int, _life: Life) -> bool | None:
    told = _after(truth, view)
    if told is None:
        return None
    if told[1]["status"] in {"on_hold", "paused", *GONE}:
        return False
    is_this = unix_ms(told[1]["previous_billing_date"]) // 1000 == truth.data["period_start"]
    return True if is_this and told[1]["status"] == "active" else None


def _in_state(status: str) -> Judge:
    def judge(truth: Truth, view: View, _clock_ms: int, _life: Life) -> bool | None:
        told = _after(truth, view)
        if told is None:
            return None
        if told[1]["status"] != status:
            return False
        return True if told[0] <= truth.webhook.at_ms + _SAME_MOMENT_MS else None

    return judge


def _cancel_scheduled(truth: Truth, view: View, _clock_ms: int, _life: Life) -> bool | None:
    told = _after(truth, view)
    if told is None:
        return None
    if not told[1]["cancel_at_next_billing_date"] or told[1]["status"] in GONE:
        return False
    return True if told[0] <= truth.webhook.at_ms + _SAME_MOMENT_MS else None


def _cancel_undone(truth: Truth, view: View, _clock_ms: int, _life: Life) -> bool | None:
    told = _after(truth, view)
    if told is None:
        return None
    if told[1]["cancel_at_next_billing_date"] or told[1]["status"] in GONE:
        return False
    was_told = any(data["cancel_at_next_billing_date"] for place, data in view.history[truth.about])
    return True if was_told else None


def _plan_scheduled(truth: Truth, view: View, _clock_ms: int, _life: Life) -> bool | None:
    told = _after(truth, view)
    if told is None:
        return None
    scheduled = told[1]["scheduled_change"]
    return isinstance(scheduled, dict) and scheduled["id"] == truth.data["change_id"]


def _plan_changed(truth: Truth, view: View, _clock_ms: int, _life: Life) -> bool | None:
    told = _after(truth, view)
    if told is None:
        return None
    if told[1]["status"] in GONE:
        return False
    at_ms = truth.webhook.at_ms
    if told[0] < at_ms and told[1]["product_id"] != truth.webhook.of.at(at_ms)[1]["product_id"]:
        return False
    others = [data for place, data in view.history[truth.about] if place < at_ms]
    was_told = any(data["product_id"] != told[1]["product_id"] for data in others)
    return True if was_told and told[1]["product_id"] == truth.webhook.of.at(at_ms)[1]["product_id"] else None


def _ended(truth: Truth, view: View, _clock_ms: int, _life: Life) -> bool | None:
    told = _after(truth, view)
    return None if told is None else told[1]["status"] in GONE


def _new_card(truth: Truth, view: View, _clock_ms: int, _life: Life) -> bool | None:
    told = _after(truth, view)
    return None if told is None or told[1]["status"] in GONE else True


def _disputed(truth: Truth, view: View, _clock_ms: int, _life: Life) -> bool | None:
    told = _after(truth, view)
    return None if told is None else told[1]["dispute_status"] == truth.mail


def _abandoned(truth: Truth, view: View, _clock_ms: int, _life: Life) -> bool | None:
    """Carts are no facts: that a customer came back is known by the payment."""
    told = _after(truth, view)
    if told is None:
        return None
    if view.bought_since(truth.webhook.at_ms - HOUR_MS):
        return False
    return True if told[1]["status"] == "abandoned" and view.knows_people else None


def _dunning(truth: Truth, view: View, _clock_ms: int, _life: Life) -> bool | None:
    """Neither are reminders: that one is needless is known by the subscription and its payments."""
    told = _after(truth, view)
    if told is None:
        return None
    of = view.told.get(str(told[1]["subscription_id"]))
    is_active = of is not None and of[0] > truth.webhook.at_ms and of[1]["status"] == "active"
    if is_active and view.paid_since(told[1]["subscription_id"], truth.webhook.at_ms):
        return False
    if is_active or view.bought_since(truth.webhook.at_ms):
        return None
    is_gone = of is not None and of[1]["status"] in GONE
    return None if is_gone or told[1]["status"] != "recovering" else True


_JUDGES: dict[str, Judge] = {
    "payment_failed": _failed,
    "payment_recovered": _recovered,
    "trial_started": _trial_started,
    "trial_converted": _trial_converted,
    "subscription_started": _started,
    "subscription_renewed": _renewed,
    "subscription_past_due": _in_state("past_due"),
    "subscription_on_hold": _in_state("on_hold"),
    "subscription_paused": _in_state("paused"),
    "subscription_resumed": _in_state("active"),
    "subscription_cancel_scheduled": _cancel_scheduled,
    "subscription_cancel_undone": _cancel_undone,
    "subscription_plan_change_scheduled": _plan_scheduled,
    "subscription_plan_changed": _plan_changed,
    "subscription_ended": _ended,
    "trial_ended": _ended,
    "payment_method_updated": _new_card,
    "abandoned_checkout_detected": _abandoned,
    "dunning_started": _dunning,
    **{
        f"dispute_{status}": _disputed
        for status in ("opened", "challenged", "accepted", "cancelled", "expired", "won", "lost")
    },
}
