"""What is never pretended: without a complete history no customer is new."""

from __future__ import annotations

import pytest

from nicobar.ledger import History, Limits, of_sources
from support.statements import (
    COMPLETE,
    DAY,
    OPENED,
    UNKNOWN,
    dispute,
    event_fact,
    ledger,
    payment,
    refund,
    snapshot,
    subscription,
)

LIFETIME = ("payments", "is_first_payment", "first_payment_at", "customer_since", "totals", "settled")


def lifetime(found):
    return [getattr(found, name) for name in LIFETIME]


def is_known(*told, history=COMPLETE, **others):
    found = snapshot(*told, history=history, **others)
    known = {value is not None for value in lifetime(found)[:-1]}
    assert len(known) == 1
    return known.pop()


FIRST = payment("pay_1", DAY, charge_type="new")


def test_with_a_complete_history_the_first_payment_is_known():
    found = snapshot(subscription("sub_1", 0), FIRST)
    assert lifetime(found)[:4] == [1, True, OPENED + DAY, OPENED]
    assert (found.history_complete, found.known_since) == (True, OPENED)
    again = snapshot(FIRST, payment("pay_2", 31 * DAY))
    assert (again.is_first_payment, again.payments, again.last_payment_at) == (False, 2, OPENED + 31 * DAY)
    assert lifetime(snapshot())[:4] == [0, False, None, None]


def test_without_a_complete_history_nobody_is_a_new_customer():
    found = snapshot(subscription("sub_1", 0), FIRST, history=UNKNOWN)
    assert lifetime(found) == [None] * len(LIFETIME)
    assert (found.history_complete, found.last_payment_at) == (False, OPENED + DAY)
    fact = event_fact(FIRST, history=UNKNOWN)
    assert (fact.payment_number, fact.is_first_payment) == (None, None)
    assert event_fact(subscription("sub_1", 0), history=UNKNOWN).is_first_subscription is None


@pytest.mark.parametrize(
    "older",
    [
        payment("pay_0", -1, "failed"),
        payment("pay_0", 5, created_at=OPENED - 1),
        subscription("sub_1", 5, started_at=OPENED - 1),
        refund("re_1", 5, "pay_9", 1, created_at=OPENED - 1),
        dispute("dp_1", 5, "pay_9", "opened", created_at=OPENED - 1),
    ],
)
def test_a_fact_that_is_older_than_the_history_makes_it_incomplete(older):
    assert is_known(FIRST)
    assert not is_known(FIRST, older)


@pytest.mark.parametrize("charge_type", ["renewal", "plan_change"])
def test_a_later_charge_without_the_first_makes_the_history_incomplete(charge_type):
    of = subscription("sub_1", 0)
    later = payment("pay_2", 31 * DAY, charge_type=charge_type)
    assert not is_known(of, later)
    assert event_fact(later, of).is_first_payment is None
    assert is_known(of, later, FIRST)
    assert event_fact(later, of, FIRST).payment_number == 2
    assert is_known(of, later, payment("pay_1", 0, amount=0, charge_type="new"))


@pytest.mark.parametrize("charge_type", ["renewal", "plan_change", "on_demand"])
def test_a_charge_of_an_unknown_subscription_proves_nothing(charge_type):
    charge = payment("pay_2", 31 * DAY, charge_type=charge_type)
    assert not is_known(charge)
    assert event_fact(charge).is_first_payment is None
    assert is_known(charge, payment("pay_1", 0, amount=0, charge_type="new"))
    assert is_known(charge, subscription("sub_1", 0, trial_ends_at=OPENED + 31 * DAY))


def test_the_first_charge_after_a_trial_is_not_a_later_one():
    of = subscription("sub_1", 0, trial_ends_at=OPENED + 14 * DAY)
    assert is_known(of, payment("pay_1", 14 * DAY))
    assert is_known(of, payment("pay_1", 20 * DAY)), "it was retried"
    assert not is_known(of, payment("pay_1", 44 * DAY))


def test_a_person_with_too_many_facts_has_no_totals():
    assert not is_known(FIRST, is_whole=False)
    assert snapshot(FIRST, is_whole=False).mrr is None


def test_sources_are_complete_together_since_the_latest():
    some = [History(complete_since_ms=5, known_since_ms=7), History(complete_since_ms=6, known_since_ms=6)]
    assert of_sources(some) == History(complete_since_ms=6, known_since_ms=6)
    assert of_sources([*some, History()]) == History(complete_since_ms=None, known_since_ms=6)
    assert of_sources([]) == History()


def test_facts_of_other_businesses_and_brands_do_not_count():
    mine, brand = {"business_id": "bus_1", "brand_id": "brnd_1"}, {"business_id": "bus_1", "brand_id": "brnd_2"}
    told = [
        payment("pay_1", 1, amount=1, **mine),
        payment("pay_2", 2, amount=10, **brand),
        payment("pay_3", 3, amount=100, business_id="bus_1"),
        payment("pay_4", 4, amount=1_000, business_id="bus_2", brand_id="brnd_1"),
        subscription("sub_1", 0, **mine),
        subscription("sub_2", 0, status="on_hold", **brand),
        dispute("dp_1", 5, "pay_1", "lost", amount=1),
        dispute("dp_2", 5, "pay_2", "lost", amount=10),
        dispute("dp_3", 5, "pay_9", "lost", amount=5),
    ]

    def sums(**limits):
        found = snapshot(*told, limits=Limits(**limits))
        return [(one.paid, one.disputed) for one in found.totals], [one.id for one in found.subscriptions]

    assert sums() == ([(1_111, 16)], ["sub_1", "sub_2"])
    assert sums(business_ids=("bus_1",)) == ([(111, 11)], ["sub_1", "sub_2"])
    assert sums(brand_ids=("brnd_1",)) == ([(1_001, 1)], ["sub_1"])
    assert sums(brand_ids=("brnd_1", "brnd_2"), business_ids=("bus_1",)) == ([(11, 11)], ["sub_1", "sub_2"])
    outside = ledger(*told, limits=Limits(brand_ids=("brnd_1",)))
    (fact,) = outside.event_facts(told[1].event, told[1].stated)
    assert fact.payment_number is None
