"""What an event states, and what is true of it."""

from __future__ import annotations

import pytest

from nicobar.facts import Stated
from nicobar.ledger import Paid, Period
from nicobar.model import Event, Fact, FactKind
from support.statements import (
    DAY,
    HOUR,
    OPENED,
    dispute,
    event_fact,
    ledger,
    payment,
    refund,
    statement,
    subscription,
)


def test_fields_are_what_the_event_states():
    told = payment("pay_1", 5, "failed", failure_kind="soft", raw_status="failed")
    fact = event_fact(told)
    assert fact.fields == told.event.facts[0].fields
    assert (fact.kind, fact.id, fact.key, fact.occurred_at) == (
        "payment",
        "pay_1",
        "payment/pay_1/failed",
        OPENED + 5,
    )


def test_what_an_event_only_names_is_no_fact():
    named = Fact(kind=FactKind.PAYMENT, id="pay_1")
    told = refund("re_1", 1, "pay_1", 5)
    event = Event(event_type="refund.succeeded", occurred_at_ms=1, customer=None, facts=(named, *told.event.facts))
    assert [fact.id for fact in ledger(told).event_facts(event, told.stated)] == ["re_1"]
    assert ledger().event_facts(event, Stated(about=told.stated.about)) == ()


def test_keys_name_what_happened():
    keys = [
        event_fact(told).key
        for told in (
            refund("re_1", 1, "pay_1", 5),
            dispute("dp_1", 1, "pay_1", "lost", stage="pre_arbitration"),
            subscription("sub_1", 7, event="renewed"),
            statement(FactKind.CUSTOMER, "cus_1", 1, "payment.succeeded", {"email": "a@b.example"}),
        )
    ]
    assert keys == [
        "refund/re_1/succeeded",
        "dispute/dp_1/pre_arbitration/lost",
        f"subscription/sub_1/subscription.renewed/{OPENED + 7}",
        None,
    ]


HELD = subscription("sub_1", 10, "on_hold")


@pytest.mark.parametrize(
    ("others", "is_current"),
    [
        ([], True),
        ([subscription("sub_1", 11, "on_hold", "updated")], True),
        ([subscription("sub_1", 9)], True),
        ([subscription("sub_1", 11)], False),
        ([subscription("sub_1", 11), subscription("sub_1", 12, "on_hold")], False),
        ([subscription("sub_1", 11, status=...)], True),
        ([subscription("sub_2", 11)], True),
        ([subscription("sub_1", 11, "on_hold", price=3_900)], True),
    ],
)
def test_a_state_is_current_until_something_newer_says_otherwise(others, is_current):
    assert event_fact(HELD, *others).is_current is is_current


def test_outdated_are_the_fields_that_have_changed_since():
    announced = subscription("sub_1", 1, event="updated", cancel_at=OPENED + DAY)
    assert event_fact(announced).outdated == ()
    fact = event_fact(announced, subscription("sub_1", 2, cancel_at=None, price=3_900))
    assert (fact.outdated, fact.is_current) == (("cancel_at", "price"), True)


def test_previous_are_the_values_before_the_event_whatever_came_since():
    basic, pro, team = (
        subscription("sub_1", at, product_id=product, quantity=quantity)
        for at, product, quantity in ((1, "basic", 1), (2, "pro", 1), (3, "team", 5))
    )
    assert event_fact(basic, pro, team).previous == {}
    assert event_fact(pro, basic).previous == {"product_id": "basic"}
    assert event_fact(team, basic, pro).previous == {"product_id": "pro", "quantity": 1}
    same = subscription("sub_1", 4, product_id="team", quantity=5)
    assert event_fact(team, basic, pro, same).previous == {"product_id": "pro", "quantity": 1}
    assert event_fact(pro, team).previous == {}


def test_what_is_true_or_one_is_not_mixed_up():
    assert event_fact(subscription("sub_1", 2, quantity=1), subscription("sub_1", 1, quantity=True)).previous == {
        "quantity": True
    }


def test_payments_are_counted_in_the_order_in_which_they_were_made():
    told = [
        payment("pay_c", 3, sub=None),
        payment("pay_b", 1, "failed", sub=None),
        payment("pay_a", 2, sub=None),
        payment("pay_d", 9, sub=None, created_at=OPENED + 2),
    ]
    facts = [event_fact(one, *told) for one in told]
    assert [fact.payment_number for fact in facts] == [3, None, 1, 2]
    assert [fact.is_first_payment for fact in facts] == [False, None, True, False]


TRIAL = {"trial_ends_at": OPENED + 14 * DAY}


@pytest.mark.parametrize(
    ("of", "told", "period"),
    [
        ({}, {"at": 5, "charge_type": "new"}, Period.FIRST),
        ({}, {"at": 30 * DAY}, Period.LATER),
        ({}, {"at": 3 * DAY}, Period.FIRST),
        ({}, {"at": 3 * DAY, "charge_type": "on_demand"}, None),
        (TRIAL, {"at": 5, "charge_type": "new"}, Period.TRIAL),
        (TRIAL, {"at": 14 * DAY}, Period.FIRST),
        (TRIAL, {"at": 17 * DAY}, Period.FIRST),
        (TRIAL, {"at": 44 * DAY}, Period.LATER),
        (TRIAL, {"at": 50 * DAY, "start": 14 * DAY}, Period.FIRST),
        ({"interval": ...}, {"at": 5}, Period.FIRST),
        ({"interval": ...}, {"at": 30 * DAY}, None),
        ({"interval": "year"}, {"at": 360 * DAY}, Period.FIRST),
        ({"interval": "year"}, {"at": 365 * DAY}, Period.LATER),
        ({"interval": "day"}, {"at": DAY}, Period.LATER),
        ({"interval_count": 3}, {"at": 60 * DAY}, Period.FIRST),
        ({"started_at": ...}, {"at": 5}, None),
        ({"started_at": ...}, {"at": 5, "charge_type": "new"}, Period.FIRST),
        ({}, {"at": 5, "subscription_ids": ["sub_1", "sub_2"]}, None),
        ({}, {"at": 5, "sub": None}, None),
    ],
)
def test_a_charge_is_for_the_trial_the_first_period_or_a_later_one(of, told, period):
    fields = {name: value for name, value in told.items() if name not in {"at", "start"}}
    if "start" in told:
        fields["periods"] = [{"subscription_id": "sub_1", "start": OPENED + told["start"]}]
    charge = payment("pay_1", told["at"], **({"charge_type": "renewal"} | fields))
    assert event_fact(charge, subscription("sub_1", 0, **of)).period == period


@pytest.mark.parametrize(
    ("start", "period"),
    [(0, Period.FIRST), (HOUR, Period.FIRST), (28 * DAY, Period.LATER), (None, None), (..., None)],
)
def test_the_period_of_a_subscription_is_what_the_event_states(start, period):
    at = OPENED + start if isinstance(start, int) else start
    told = subscription("sub_1", 60 * DAY, event="renewed", period_start=at)
    assert event_fact(told, subscription("sub_1", 90 * DAY, period_start=OPENED + 60 * DAY)).period == period


def test_what_was_paid_for_the_period_of_an_event_is_known():
    start = OPENED + 30 * DAY
    renewed = subscription("sub_1", 30 * DAY, period_start=start)
    found = event_fact(renewed, payment("pay_1", 30 * DAY), payment("pay_0", 0)).paid
    assert found == Paid(payment_id="pay_1", amount=2_900, currency="USD")
    for other in (
        payment("pay_1", 30 * DAY, "failed"),
        payment("pay_1", 30 * DAY, charge_type="plan_change"),
        payment("pay_1", 30 * DAY, sub="sub_2"),
        payment("pay_1", 40 * DAY),
    ):
        assert event_fact(renewed, other).paid is None


def test_the_charge_after_a_trial_may_be_late():
    trial_ends = OPENED + 14 * DAY
    active = subscription("sub_1", 16 * DAY, trial_ends_at=trial_ends, period_start=trial_ends)
    late = payment("pay_1", 16 * DAY, charge_type="renewal", retry_attempt=1)
    found = event_fact(active, late, payment("pay_0", 0, amount=100, charge_type="new"))
    assert (found.period, found.paid) == (Period.FIRST, Paid(payment_id="pay_1", amount=2_900, currency="USD"))
    assert event_fact(active, payment("pay_0", 0, amount=100, charge_type="new")).paid is None


def test_a_longer_interval_makes_no_earlier_period_the_first():
    told = [payment(f"pay_{number}", number * 30 * DAY) for number in range(3)]
    yearly = subscription("sub_1", 60 * DAY, interval="year", period_start=OPENED + 60 * DAY)
    assert [event_fact(one, yearly, *told).period for one in told] == [Period.FIRST, Period.LATER, Period.LATER]
    assert event_fact(yearly, *told).period is Period.LATER


def test_the_first_subscription_is_the_one_that_began_first():
    one = subscription("sub_9", 5, started_at=OPENED)
    other = subscription("sub_1", 5, started_at=OPENED + 1)
    never = subscription("sub_0", 5, "failed")
    found = [event_fact(told, one, other, never).is_first_subscription for told in (one, other, never)]
    assert found == [True, False, None]


def test_what_an_event_says_of_its_customer_is_a_fact_too():
    said = {"email": "a@b.example"}
    told = statement(FactKind.CUSTOMER, "cus_1", 2, "payment.succeeded", said)
    older = statement(FactKind.CUSTOMER, "cus_1", 1, "payment.succeeded", {"email": "old@b.example"})
    fact = event_fact(told, older)
    assert (fact.previous, fact.is_current) == ({"email": "old@b.example"}, True)
    assert not event_fact(older, told).is_current
