"""Charges that failed, and whether they were made good."""

from __future__ import annotations

import pytest

from support.statements import DAY, HOUR, OPENED, event_fact, payment, snapshot, subscription

ACTIVE = subscription("sub_1", 0)
FAILED = payment("pay_1", 30 * DAY, "failed")
HELD = subscription("sub_1", 30 * DAY + 1_000, "on_hold")
RETRIED = payment("pay_2", 31 * DAY, "failed", retry_attempt=1)
PAID = payment("pay_3", 32 * DAY, retry_attempt=2)
RECOVERED = subscription("sub_1", 32 * DAY + 1_000)
NEXT_PERIOD = payment(
    "pay_4",
    60 * DAY,
    periods=[
        {"subscription_id": "sub_1", "start": OPENED + 60 * DAY, "end": OPENED + 90 * DAY, "proration": None},
    ],
)


def opened(*told):
    return [(one.subscription_id, one.since - OPENED, one.attempts) for one in snapshot(*told).open_failures]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([FAILED], [("sub_1", 30 * DAY, 1)]),
        ([FAILED, HELD, RETRIED], [("sub_1", 30 * DAY, 2)]),
        ([RETRIED], [("sub_1", 31 * DAY, 2)]),
        ([FAILED, RETRIED, PAID], []),
        ([PAID, payment("pay_4", 60 * DAY, "failed")], [("sub_1", 60 * DAY, 1)]),
        ([ACTIVE, FAILED, HELD, RECOVERED], []),
        ([ACTIVE, HELD, RETRIED, RECOVERED], []),
        ([ACTIVE, HELD, RECOVERED, payment("pay_4", 60 * DAY, "failed", retry_attempt=1)], [("sub_1", 60 * DAY, 2)]),
        ([ACTIVE, HELD, RECOVERED, payment("pay_4", 60 * DAY, "failed")], [("sub_1", 60 * DAY, 1)]),
        (
            [HELD, RECOVERED, payment("pay_4", 60 * DAY, "failed"), subscription("sub_1", 60 * DAY + 500)],
            [("sub_1", 60 * DAY, 1)],
        ),
        ([FAILED, subscription("sub_1", 40 * DAY, "cancelled")], []),
        ([FAILED, subscription("sub_1", 30 * DAY, "failed")], []),
        ([FAILED, payment("pay_4", 31 * DAY, sub=None)], [("sub_1", 30 * DAY, 1)]),
        ([FAILED, payment("pay_4", 31 * DAY, is_card_update=True)], [("sub_1", 30 * DAY, 1)]),
        ([FAILED, payment("pay_4", 31 * DAY, amount=0)], []),
        ([payment("pay_1", 1, "failed", is_card_update=True)], []),
        ([payment("pay_1", 1, "failed", sub=None)], []),
        (
            [payment("pay_4", 31 * DAY, "failed", sub="sub_2"), FAILED],
            [("sub_1", 30 * DAY, 1), ("sub_2", 31 * DAY, 1)],
        ),
    ],
)
def test_a_failure_is_open_until_its_subscription_is_paid_or_ends(told, expected):
    assert opened(*told) == expected


@pytest.mark.parametrize(
    ("others", "is_current"),
    [
        ([], True),
        ([ACTIVE, HELD], True),
        ([subscription("sub_1", 30 * DAY + 500)], True),
        ([PAID], False),
        ([RECOVERED], False),
        ([subscription("sub_1", 40 * DAY, "cancelled")], False),
        ([subscription("sub_1", 29 * DAY, "cancelled")], True),
        ([payment("pay_0", 29 * DAY)], True),
        ([RETRIED], True),
        ([payment("pay_4", 31 * DAY, sub="sub_2")], True),
        ([payment("pay_4", 31 * DAY, sub=None)], True),
        ([payment("pay_1", 30 * DAY + 1)], False),
        ([payment("pay_1", 30 * DAY - 1)], False),
        ([payment("pay_1", 30 * DAY + 1, "processing")], False),
        # A late payload of an earlier event that shows the next period.
        ([subscription("sub_1", 30 * DAY + 500, period_start=OPENED + 60 * DAY)], False),
    ],
)
def test_a_failure_is_current_until_it_is_made_good(others, is_current):
    assert event_fact(FAILED, *others).is_current is is_current


def test_a_failed_purchase_is_not_current_once_it_may_have_been_made():
    def current(bought, *, products=({"id": "pdt_1"},)):
        failed = payment("pay_1", 1, "failed", sub=None, products=list(products) or ...)
        return event_fact(failed, bought).is_current

    def buys(at, product):
        return payment("pay_2", at, sub=None, products=[{"id": product, "quantity": 1}])

    assert current(buys(0, "pdt_1"))
    assert current(buys(2, "pdt_2"))
    assert not current(buys(2, "pdt_1"))
    assert not current(buys(2, "pdt_2"), products=())
    assert not current(payment("pay_2", 2, sub=None))
    assert current(payment("pay_2", 2, sub="sub_1"))


def test_attempts_count_the_failures_in_a_row():
    told = [FAILED, RETRIED, PAID, payment("pay_4", 60 * DAY, "failed")]
    assert [event_fact(one, *told).attempt for one in told] == [1, 2, None, 1]
    assert [event_fact(one, *told).recovered_after for one in told] == [None, None, 2, None]


@pytest.mark.parametrize(
    ("paid", "others", "recovered_after"),
    [
        (PAID, [FAILED, RETRIED], 2),
        (PAID, [], 2),
        (payment("pay_3", 32 * DAY), [], 0),
        (payment("pay_3", 32 * DAY), [FAILED], 1),
        (payment("pay_3", 32 * DAY), [payment("pay_3", 31 * DAY, "failed")], 1),
        (payment("pay_3", 32 * DAY), [FAILED, payment("pay_2", 31 * DAY)], 0),
        (payment("pay_3", 32 * DAY, sub=None), [FAILED], None),
        (payment("pay_3", 32 * DAY, sub="sub_2"), [FAILED], 0),
        (payment("pay_3", 32 * DAY, amount=0), [FAILED], None),
        (payment("pay_3", 32 * DAY, is_card_update=True), [FAILED], None),
        (payment("pay_3", 32 * DAY, subscription_ids=["sub_2", "sub_1"]), [FAILED], 1),
        # Others have ended the failure: one for a later period, one that is not known, one that came later.
        (PAID, [FAILED, payment("pay_4", 60 * DAY)], 0),
        (payment("pay_3", 60 * DAY), [FAILED, RECOVERED], 0),
        (NEXT_PERIOD, [FAILED, subscription("sub_1", 70 * DAY)], 0),
        (NEXT_PERIOD, [FAILED], 0),
        (NEXT_PERIOD, [FAILED, HELD], 1),
        # The charge for another plan.
        (payment("pay_3", 32 * DAY, charge_type="plan_change"), [FAILED], 0),
        (
            payment("pay_3", 32 * DAY, charge_type="plan_change"),
            [payment("pay_1", 30 * DAY, "failed", charge_type="plan_change")],
            1,
        ),
    ],
)
def test_a_charge_recovers_after_the_failures_before_it(paid, others, recovered_after):
    assert event_fact(paid, *others).recovered_after == recovered_after


def test_a_charge_for_several_recovers_the_one_that_failed():
    paid = payment("pay_3", 32 * DAY, subscription_ids=["sub_2", "sub_1"])
    renewed = subscription("sub_2", 31 * DAY, started_at=OPENED + DAY)
    assert event_fact(paid, FAILED, subscription("sub_1", 30 * DAY, "on_hold"), renewed).recovered_after == 1
    assert event_fact(paid, renewed).recovered_after == 0


def test_a_failure_that_arrives_late_counts_for_its_own_time():
    late = payment("pay_0", 1 * HOUR, "failed")
    assert event_fact(PAID, payment("pay_2", 5 * DAY), late).recovered_after == 2
    assert not event_fact(late, payment("pay_2", 5 * DAY)).is_current
