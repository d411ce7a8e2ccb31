"""The same facts give the same ledger, in whatever order and however often they arrive."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nicobar.facts import StatedFact, merged_fact
from nicobar.ledger import Whom
from nicobar.ledger.person import Ledger
from support.statements import COMPLETE, CUSTOMER, DAY, OPENED, dispute, payment, refund, subscription

SETS, ORDERS_OF_EACH = 100, 100

_ids = st.sampled_from(["1", "2"])
_times = st.sampled_from([0, 1, 2, 14 * DAY, 15 * DAY, 30 * DAY, 60 * DAY])
_unknown = st.just(...)
_moments = st.sampled_from([None, *(OPENED + number * DAY for number in (0, 14, 30, 60, 90))]) | _unknown
_payments = st.builds(
    lambda of, at, status, sub, fields: payment(f"pay_{of}", at, status, sub=sub, **fields),
    _ids,
    _times,
    st.sampled_from(["succeeded", "failed", "processing", "unknown"]),
    st.sampled_from([None, "sub_1", "sub_2"]),
    st.fixed_dictionaries(
        {},
        optional={
            "amount": st.sampled_from([0, 100, 2_900, None]) | _unknown,
            "currency": st.sampled_from(["USD", "JPY", None]),
            "charge_type": st.sampled_from(["new", "renewal", "plan_change"]),
            "retry_attempt": st.integers(0, 2),
            "created_at": _moments,
            "is_card_update": st.booleans(),
        },
    ),
)
_refunds = st.builds(
    lambda of, at, of_payment, amount, status: refund(f"re_{of}", at, f"pay_{of_payment}", amount, status),
    _ids,
    _times,
    _ids,
    st.sampled_from([50, 2_900, None]),
    st.sampled_from(["succeeded", "pending", "failed"]),
)
_disputes = st.builds(
    lambda at, status: dispute("dp_1", at, "pay_1", status), _times, st.sampled_from(["opened", "won", "lost"])
)
_subscriptions = st.builds(
    lambda of, at, status, fields: subscription(f"sub_{of}", at, status, **fields),
    _ids,
    _times,
    st.sampled_from(["active", "on_hold", "paused", "cancelled", "expired", "pending", "unknown"]),
    st.fixed_dictionaries(
        {},
        optional={
            "cancel_at": _moments,
            "trial_ends_at": _moments,
            "period_start": _moments,
            "started_at": _moments,
            "product_id": st.sampled_from(["pdt_basic", "pdt_pro"]) | _unknown,
            "scheduled_change": st.sampled_from([None, {"id": "chg_1"}, {"id": "chg_2"}]),
        },
    ),
)


def rows(facts: list[StatedFact]) -> dict[str, StatedFact]:
    """As the store has them, which merges each with what is there."""
    stored: dict[str, StatedFact] = {}
    for fact in facts:
        known = stored.get(fact.key)
        stored[fact.key] = fact if known is None else merged_fact(known, fact)
    return stored


def seen(facts, told):
    """All that a handler could see of these facts."""
    ledger = Ledger(facts, history=COMPLETE)
    found = [fact for one in told for fact in ledger.event_facts(one.event, one.stated)]
    return msgspec.json.encode([ledger.snapshot(Whom(ids=(CUSTOMER,))), found])


@pytest.mark.slow
@given(
    st.lists(_payments | _subscriptions | _refunds | _disputes, min_size=2, max_size=7),
    st.integers(0, 2**32),
)
@settings(max_examples=SETS, deadline=None)
def test_ten_thousand_orders_of_arrival_give_the_same_ledgers(told, seed):
    facts = [fact for one in told for fact in one.facts]
    expected = rows(facts)
    draw = random.Random(seed)
    for number in range(ORDERS_OF_EACH):
        order = facts + draw.sample(facts, draw.randint(0, 2))
        draw.shuffle(order)
        stored = rows(order)
        assert stored == expected
        if number == 0:
            assert seen(order, told) == seen(stored.values(), told) == seen(expected.values(), told)
