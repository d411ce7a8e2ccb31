"""What a person has paid, and what was given back."""

from __future__ import annotations

import pytest

from nicobar.ledger import Settled, Total
from support.statements import DAY, OPENED, UNKNOWN, dispute, payment, refund, snapshot, subscription

PAID = payment("pay_1", 1, amount=5_000)


def total(of, currency="USD"):
    (found,) = [one for one in of.totals if one.currency == currency]
    return found.paid, found.refunded, found.disputed, found.net, found.payments


@pytest.mark.parametrize(
    "told",
    [
        {"status": "failed"},
        {"status": "processing"},
        {"status": "cancelled"},
        {"status": "unknown"},
        {"amount": 0},
        {"amount": -100},
        {"is_card_update": True},
    ],
    ids=str,
)
def test_only_money_that_was_taken_for_something_counts(told):
    found = snapshot(PAID, payment("pay_2", 2, **told))
    assert (found.payments, total(found)) == (1, (5_000, 0, 0, 5_000, 1))
    assert found.last_payment_at == OPENED + 1


@pytest.mark.parametrize("told", [{"amount": ...}, {"amount": None}, {"currency": ...}, {"status": ...}], ids=str)
def test_a_payment_that_may_count_leaves_no_totals(told):
    found = snapshot(PAID, payment("pay_2", 2, **told))
    assert (found.payments, found.is_first_payment, found.totals, found.settled) == (None, None, None, None)
    assert (found.customer_since, found.first_payment_at) == (None, None)


def test_currencies_are_never_added():
    found = snapshot(
        PAID,
        payment("pay_2", 2, amount=4_980, currency="JPY"),
        payment("pay_3", 3, amount=12_345, currency="KWD"),
        payment("pay_4", 4, amount=1_000, currency="JPY"),
    )
    assert [(one.currency, one.net, one.payments) for one in found.totals] == [
        ("JPY", 5_980, 2),
        ("KWD", 12_345, 1),
        ("USD", 5_000, 1),
    ]


@pytest.mark.parametrize(
    ("given_back", "expected"),
    [
        ([refund("re_1", 2, "pay_1", 1_200)], (5_000, 1_200, 0, 3_800, 1)),
        ([refund("re_1", 2, "pay_1", 1_200), refund("re_2", 3, "pay_1", 800)], (5_000, 2_000, 0, 3_000, 1)),
        ([refund("re_1", 2, "pay_1", 4_000), refund("re_2", 3, "pay_1", 4_000)], (5_000, 8_000, 0, 0, 1)),
        ([refund("re_1", 2, "pay_1", 5_000, "failed")], (5_000, 0, 0, 5_000, 1)),
        ([refund("re_1", 2, "pay_1", 5_000, "pending")], (5_000, 0, 0, 5_000, 1)),
        ([refund("re_1", 2, "pay_1", None, is_partial=False)], (5_000, 5_000, 0, 0, 1)),
        ([refund("re_1", 2, "pay_1", None, is_partial=True)], (5_000, None, 0, None, 1)),
        ([refund("re_1", 2, "pay_1", None)], (5_000, None, 0, None, 1)),
        ([refund("re_1", 2, "pay_1", 4_500, currency="EUR", is_partial=False)], (5_000, 5_000, 0, 0, 1)),
        ([refund("re_1", 2, "pay_1", 4_500, currency="EUR", is_partial=True)], (5_000, None, 0, None, 1)),
        ([refund("re_1", 2, "pay_1", -1)], (5_000, None, 0, None, 1)),
        ([dispute("dp_1", 2, "pay_1", "opened", amount=5_000)], (5_000, 0, 0, 5_000, 1)),
        ([dispute("dp_1", 2, "pay_1", "won", amount=5_000)], (5_000, 0, 0, 5_000, 1)),
        ([dispute("dp_1", 2, "pay_1", "lost", amount=5_000)], (5_000, 0, 5_000, 0, 1)),
        (
            [dispute("dp_1", 2, "pay_1", "lost", amount=5_000), refund("re_1", 3, "pay_1", 5_000)],
            (5_000, 5_000, 5_000, 0, 1),
        ),
        (
            [dispute("dp_1", 2, "pay_1", "opened", amount=5_000), dispute("dp_1", 3, "pay_1", "lost", amount=5_000)],
            (5_000, 0, 5_000, 0, 1),
        ),
    ],
)
def test_net_is_what_is_left_of_each_payment(given_back, expected):
    assert total(snapshot(PAID, *given_back)) == expected


def test_what_was_given_back_of_one_payment_is_not_taken_from_another():
    found = snapshot(PAID, payment("pay_2", 2, amount=100), refund("re_1", 3, "pay_2", 900))
    assert total(found) == (5_100, 900, 0, 5_000, 2)


def test_a_refund_without_its_payment_takes_nothing():
    assert total(snapshot(PAID, refund("re_1", 2, "pay_9", 900))) == (5_000, 900, 0, 5_000, 1)
    assert snapshot(refund("re_1", 2, "pay_9", 900)).totals == (
        Total(currency="USD", paid=0, refunded=900, disputed=0, net=0, payments=0),
    )
    assert snapshot(refund("re_1", 2, "pay_9", 900, currency=...)).totals == ()


def test_a_refund_of_a_card_update_does_not_count():
    card = payment("pay_2", 2, amount=100, is_card_update=True)
    assert total(snapshot(PAID, card, refund("re_1", 3, "pay_2", 100))) == (5_000, 0, 0, 5_000, 1)


def test_what_was_settled_is_known_only_if_all_payments_say_it():
    said = {"settled_amount": 4_600, "settled_currency": "EUR"}
    assert snapshot(payment("pay_1", 1, **said), payment("pay_2", 2, **said)).settled == (
        Settled(currency="EUR", amount=9_200, payments=2),
    )
    assert snapshot(payment("pay_2", 1, **said), PAID).settled is None
    assert snapshot(payment("pay_1", 1, **said | {"settled_currency": None})).settled is None
    assert snapshot(payment("pay_1", 1, **said), payment("pay_2", 2, "failed")).settled is not None


MONTH = {"periods": [{"subscription_id": "sub_1", "start": OPENED, "end": OPENED + 30 * DAY}], "charge_type": "new"}


def period(days, **others):
    return {"periods": [{"subscription_id": "sub_1", "start": OPENED, "end": OPENED + days * DAY, **others}]}


@pytest.mark.parametrize(
    ("of_payment", "of_subscription", "expected"),
    [
        ({}, {}, {"USD": 2_900}),
        ({"tax": 400}, {}, {"USD": 2_500}),
        (period(91), {"interval_count": 3}, {"USD": 967}),
        (period(365), {"interval": "year"}, {"USD": 242}),
        (period(7), {"interval": "week"}, {"USD": 12_610}),
        ({"tax": None}, {}, None),
        ({"tax": ...}, {}, None),
        ({"includes_usage": True}, {}, None),
        ({"includes_usage": ...}, {}, None),
        ({"subscription_ids": ["sub_1", "sub_2"]}, {}, None),
        (period(30, proration=0.5), {}, None),
        (period(30, proration=1), {}, {"USD": 2_900}),
        (period(15), {}, None),
        (period(30), {"interval": "year"}, None),
        (period(30), {"interval": "week"}, None),
        (period(1), {"interval": "week"}, None),
        ({"periods": ...}, {}, None),
        ({"charge_type": "plan_change"}, {}, None),
        ({"status": "failed"}, {}, None),
        ({"amount": 0}, {}, {"USD": 0}),
        ({}, {"status": "past_due"}, {"USD": 2_900}),
        ({}, {"status": "on_hold"}, {"USD": 0}),
        ({}, {"status": "paused"}, {"USD": 0}),
        ({}, {"status": "cancelled"}, {"USD": 0}),
        ({}, {"status": "expired"}, {"USD": 0}),
        ({}, {"trial_ends_at": OPENED + 30 * DAY}, {"USD": 0}),
        ({}, {"status": "unknown"}, None),
        ({}, {"status": "pending"}, {}),
    ],
)
def test_mrr_is_of_a_whole_period_or_not_known(of_payment, of_subscription, expected):
    found = snapshot(subscription("sub_1", 0, **of_subscription), payment("pay_1", 1, **MONTH | of_payment))
    assert found.mrr == expected


def test_mrr_is_that_of_the_latest_charge_and_needs_no_history():
    change = payment("pay_2", 2 * DAY, amount=50, charge_type="plan_change")
    renewal = payment("pay_3", 30 * DAY, amount=3_900, **period(30))
    told = [subscription("sub_1", 0), payment("pay_1", 1, **MONTH), change]
    assert snapshot(*told, history=UNKNOWN).mrr == {"USD": 2_900}
    assert snapshot(*told, renewal, history=UNKNOWN).mrr == {"USD": 3_900}
    other = subscription("sub_2", 3, currency="EUR", status="paused")
    assert snapshot(*told, other).mrr == {"EUR": 0, "USD": 2_900}
    assert snapshot(*told, subscription("sub_2", 3)).mrr is None
