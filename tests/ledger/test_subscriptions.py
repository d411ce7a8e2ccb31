"""What a person is subscribed to."""

from __future__ import annotations

import random

import msgspec
import pytest

from nicobar.ledger import MAX_SUBSCRIPTIONS, Whom
from nicobar.ledger.person import Ledger, first_name
from support.statements import COMPLETE, DAY, HOUR, OPENED, payment, snapshot, subscription

STATUSES = ["active", "trialing", "past_due", "on_hold", "paused", "cancelled", "expired"]


def of_status(status, number, **others):
    told = {"status": "active", "trial_ends_at": OPENED + 90 * DAY} if status == "trialing" else {"status": status}
    return subscription(f"sub_{number}", DAY, started_at=OPENED + number, **told, **others)


@pytest.mark.parametrize("best", range(len(STATUSES)))
def test_the_best_status_of_several_wins(best):
    told = [of_status(status, number) for number, status in enumerate(STATUSES[best:])]
    random.Random(best).shuffle(told)
    found = snapshot(*told)
    assert found.status == STATUSES[best]
    assert [one.status for one in found.subscriptions] == STATUSES[best:]
    assert found.subscriptions_active == max(0, 2 - best)


def test_without_a_subscription_that_began_the_status_is_none():
    assert snapshot().status == "none"
    never = [subscription("sub_1", 0, "pending"), subscription("sub_2", 0, "failed")]
    assert (snapshot(*never).status, snapshot(*never).subscriptions, snapshot(*never).customer_since) == (
        "none",
        (),
        None,
    )
    unknown = snapshot(subscription("sub_1", 0, "unknown"))
    assert (unknown.status, [one.status for one in unknown.subscriptions]) == ("none", ["unknown"])
    assert snapshot(subscription("sub_1", 0, status=...)).subscriptions == ()


def test_of_equal_statuses_the_newest_is_first():
    told = [subscription(f"sub_{number}", 9 * DAY - number, started_at=OPENED + number * DAY) for number in (1, 3, 2)]
    assert [one.id for one in snapshot(*told).subscriptions] == ["sub_3", "sub_2", "sub_1"]


def test_of_ten_thousand_subscriptions_the_live_ones_are_shown():
    (one,) = subscription("sub_0", DAY, "cancelled", started_at=OPENED).facts
    many = [
        msgspec.structs.replace(
            one,
            key=one.key.replace("sub_0", f"sub_{number}"),
            content=one.content.replace(f'"started_at":{OPENED}', f'"started_at":{OPENED + number}'),
        )
        for number in range(10_000)
    ]
    others = [*subscription("sub_live", 0).facts, *subscription("sub_held", 0, "on_hold").facts]
    found = Ledger([*many, *others], history=COMPLETE).snapshot(Whom(ids=("cus_1",)))
    assert [one.id for one in found.subscriptions[:3]] == ["sub_live", "sub_held", "sub_9999"]
    assert (len(found.subscriptions), found.subscriptions_active) == (MAX_SUBSCRIPTIONS, 1)


TRIAL = {"trial_ends_at": OPENED + 14 * DAY, "period_start": OPENED, "period_end": OPENED + 14 * DAY}
CONVERTED = TRIAL | {"period_start": OPENED + 14 * DAY, "period_end": OPENED + 44 * DAY}


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ([subscription("sub_1", 0, **TRIAL)], "trialing"),
        ([subscription("sub_1", 0, **TRIAL), payment("pay_1", 1, amount=0)], "trialing"),
        ([subscription("sub_1", 0, **TRIAL), payment("pay_1", 1, amount=100, charge_type="new")], "trialing"),
        ([subscription("sub_1", 0, **TRIAL), payment("pay_1", 14 * DAY - HOUR)], "active"),
        ([subscription("sub_1", 0, **TRIAL), payment("pay_1", 15 * DAY, "failed")], "active"),
        ([subscription("sub_1", 0, **TRIAL), payment("pay_1", 13 * DAY, sub=None)], "trialing"),
        ([subscription("sub_1", 0, **TRIAL), payment("pay_1", 14 * DAY, sub="sub_2")], "active"),
        ([subscription("sub_1", 13 * DAY, **CONVERTED)], "active"),
        ([subscription("sub_1", 1, "on_hold", **TRIAL)], "on_hold"),
        ([subscription("sub_1", 1, "cancelled", **TRIAL)], "cancelled"),
        ([subscription("sub_1", 1, cancel_at=OPENED + 14 * DAY, **TRIAL)], "trialing"),
        ([subscription("sub_1", 1)], "active"),
    ],
)
def test_a_trial_lasts_until_its_end_or_its_first_charge(told, status):
    (found,) = snapshot(*told).subscriptions
    assert found.status == status


def test_a_thinner_event_blanks_nothing_and_null_does():
    full = subscription("sub_1", 1, cancel_at=OPENED + 30 * DAY, feedback="too_expensive", product_name="Basic")
    thin = subscription("sub_1", 2, cancel_at=..., product_name=...)
    undone = subscription("sub_1", 3, cancel_at=None, feedback=None, product_name=...)
    (found,) = snapshot(full, thin).subscriptions
    assert (found.cancel_at, found.feedback, found.product_name) == (OPENED + 30 * DAY, "too_expensive", "Basic")
    (found,) = snapshot(full, thin, undone).subscriptions
    assert (found.cancel_at, found.feedback, found.product_name) == (None, None, "Basic")


def test_what_has_ended_has_no_scheduled_cancellation():
    (found,) = snapshot(subscription("sub_1", 1, "expired", cancel_at=OPENED + DAY)).subscriptions
    assert found.cancel_at is None


def test_a_scheduled_change_is_as_the_sender_states_it():
    change = {"id": "chg_1", "product_id": "pdt_pro", "effective_at": OPENED + 30 * DAY}
    (found,) = snapshot(subscription("sub_1", 1, scheduled_change=change)).subscriptions
    assert found.scheduled_change == change
    (found,) = snapshot(
        subscription("sub_1", 1, scheduled_change=change), subscription("sub_1", 2, scheduled_change=None)
    ).subscriptions
    assert found.scheduled_change is None


def test_a_value_of_another_type_is_not_known():
    (found,) = snapshot(subscription("sub_1", 1, price="29.00", quantity=True, product_name="Basic")).subscriptions
    assert (found.price, found.quantity, found.product_name) == (None, None, "Basic")


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("Ada Lindqvist", "Ada"),
        ("Ada", "Ada"),
        ("Dr. Ada Lindqvist", "Ada"),
        ("Åsa Lindqvist", "Åsa"),
        ("Lindqvist, Ada", None),
        ("김 민수", None),
        ("민수", "민수"),
        ("ada@north.example", None),
        ("  ", None),
        (None, None),
    ],
)
def test_the_first_name_is_what_a_full_name_begins_with(name, first):
    assert first_name(name) == first
