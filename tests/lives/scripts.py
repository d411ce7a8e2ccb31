"""What happens to customers. Each function is one life."""

from __future__ import annotations

from lives.shop import PLANS, Life

BASIC, PRO, QUARTERLY = PLANS["Basic"], PLANS["Pro"], PLANS["Quarterly"]
YEN, DINAR, BOOK = PLANS["Yen"], PLANS["Dinar"], PLANS["Book"]


def long_life(it: Life) -> None:
    """Trial, conversion, renewal, failure, retries, recovery, plan change, cancellation, and back."""
    first = it.subscribe(BASIC, trial_days=14)
    it.renew(first)
    it.renew(first)
    it.fail_to_renew(first, dunning=True)
    it.wait(hours=12)
    it.retry(first, 1, succeeds=False)
    it.wait(hours=24)
    it.retry(first, 2, succeeds=True)
    it.wait(days=3)
    it.change_plan(first, PRO)
    it.wait(days=2)
    it.announce(first)
    it.wait(days=1)
    it.undo(first)
    it.wait(days=3)
    it.announce(first)
    it.end(first)
    it.wait(days=9)
    it.subscribe(PRO)


def trial_that_ends(it: Life) -> None:
    trial = it.subscribe(BASIC, trial_days=7)
    it.wait(days=2)
    it.announce(trial)
    it.end(trial)


def trial_that_is_not_paid(it: Life) -> None:
    trial = it.subscribe(BASIC, trial_days=7)
    it.fail_to_renew(trial)
    it.hold(trial)
    it.wait(hours=12)
    it.retry(trial, 1, succeeds=True)
    it.renew(trial)


def plain(it: Life) -> None:
    """Quarterly, and refunded in part."""
    of = it.subscribe(QUARTERLY)
    payment = it.renew(of)
    it.wait(days=2)
    it.refund(payment, 1_000)
    it.wait(days=1)
    it.refund(payment, 500)
    it.wait(days=1)
    it.cancel(of)


def two_subscriptions(it: Life) -> None:
    """One fails and is recovered, the other is cancelled."""
    one = it.subscribe(BASIC)
    it.wait(days=5)
    other = it.subscribe(PRO)
    it.fail_to_renew(one)
    it.wait(hours=6)
    it.buy(BOOK)
    it.wait(hours=6)
    it.retry(one, 1, succeeds=True)
    it.wait(days=1)
    it.cancel(other)
    it.renew(one)


def dunning_that_fails(it: Life) -> None:
    """A purchase during dunning recovers nothing; the subscription ends."""
    of = it.subscribe(BASIC)
    it.fail_to_renew(of, "EXPIRED_CARD", dunning=True)
    it.hold(of)
    it.wait(days=1)
    it.buy(BOOK)
    it.wait(days=1)
    it.retry(of, 1, succeeds=False)
    it.wait(days=2)
    it.cancel(of)


def yen_and_dinar(it: Life) -> None:
    it.subscribe(YEN)
    it.wait(days=1)
    dinar = it.subscribe(DINAR)
    it.wait(days=2)
    it.new_card(dinar)
    it.renew(dinar)


def guest(it: Life) -> None:
    """Two checkouts as a guest, then a subscription: three customers of Dodo's, one person."""
    it.buy(BOOK)
    it.wait(days=3)
    it.as_guest()
    payment = it.buy(BOOK)
    it.wait(days=4)
    it.as_guest()
    it.subscribe(BASIC)
    it.wait(days=1)
    it.refund(payment)


def disputed(it: Life) -> None:
    book = it.buy(BOOK)
    it.wait(days=10)
    it.dispute(book, "opened", "challenged", "lost")
    other = it.buy(BOOK)
    it.wait(days=10)
    it.dispute(other, "opened", "challenged", "won")
    it.refund(other, status="failed")


def given_back_twice(it: Life) -> None:
    """Refunded, and the bank takes it once more."""
    book = it.buy(BOOK)
    it.buy(BOOK)
    it.wait(days=3)
    it.refund(book)
    it.wait(days=2)
    it.dispute(book, "opened", "accepted", "lost")


def another_card(it: Life) -> None:
    """A new card pays for what is on hold; that charge is no retry."""
    of = it.subscribe(BASIC)
    it.renew(of)
    it.fail_to_renew(of, "EXPIRED_CARD")
    it.hold(of)
    it.wait(days=2)
    it.new_card(of)
    it.retry(of, 0, succeeds=True)
    it.renew(of)


def bundle(it: Life) -> None:
    """Two subscriptions with one payment; each is renewed and ends on its own."""
    one, other = it.subscribe_to(BASIC, PRO)
    it.renew(one)
    it.renew(other)
    it.wait(days=3)
    it.announce(other)
    it.end(other)


def paused(it: Life) -> None:
    of = it.subscribe(BASIC)
    it.wait(days=4)
    it.pause(of)
    it.wait(days=10)
    it.resume(of)
    it.wait(days=1)
    it.schedule_plan(of, PRO)
    it.apply_plan(of, PRO)


def abandoned(it: Life) -> None:
    failed = it.fail_to_buy(BOOK)
    checkout = it.abandon(failed)
    it.wait(hours=3)
    it.come_back_to(checkout, BOOK)
    it.wait(days=1)
    it.fail_to_start(BASIC)
    it.wait(hours=1)
    again = it.pay(BOOK.price, BOOK.currency, product=BOOK)
    it.settle(again, "failed", "AUTHENTICATION_FAILURE")
    it.wait(hours=1)
    it.settle(again, "succeeded")


SCRIPTS = (
    long_life,
    trial_that_ends,
    trial_that_is_not_paid,
    plain,
    two_subscriptions,
    dunning_that_fails,
    yen_and_dinar,
    guest,
    disputed,
    given_back_twice,
    another_card,
    bundle,
    paused,
    abandoned,
)
