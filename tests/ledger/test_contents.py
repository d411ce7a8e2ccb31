"""What is looked up or decoded once gives the same as the plain way."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from nicobar.facts import ANNOUNCED, StatedFact, merged_fact, merged_facts
from nicobar.ledger.charges import SLACK_MS, Charges, period_start
from nicobar.ledger.contents import Contents, values
from nicobar.ledger.failures import is_bought_since, is_paid_since, purchases, streak_before
from nicobar.ledger.objects import Charged, Payment, PaymentFields, Product, in_time

EXAMPLES = 100

_names = st.sampled_from(["status", "cancel_at", "customer_id", "metadata.a", "metadata.b", f"{ANNOUNCED}7"])
_fields = st.dictionaries(_names, st.sampled_from([None, 1, "one", "two"]), min_size=1, max_size=4)
_places = st.integers(1, 6).map(lambda at: f"{at:012x}{at:012x}0301 evt_{at} 00000000")


@st.composite
def _facts(draw: st.DrawFn) -> list[StatedFact]:
    """A place is of one event, so it says one thing of an object; the same event may come again."""
    said: dict[tuple[str, str], dict[str, object]] = {}
    facts = []
    for _ in range(draw(st.integers(2, 8))):
        key, place = draw(st.sampled_from(["a", "b"])), draw(_places)
        fields = said.setdefault((key, place), draw(_fields))
        customer = fields.get("customer_id")
        facts.append(
            StatedFact(
                key=key,
                occurred_at_ms=int(place[:12], 16),
                content=msgspec.json.encode({place: fields}).decode(),
                customer_key=customer if isinstance(customer, str) else None,
                parent_key=draw(st.sampled_from([None, "p", "q"])),
            )
        )
    return facts


def known(facts):
    return {
        key: (values(fact.content), fact.occurred_at_ms, fact.customer_key, fact.parent_key, fact.email)
        for key, fact in facts.items()
    }


@given(_facts())
@settings(max_examples=EXAMPLES, deadline=None)
def test_facts_that_add_nothing_are_not_merged(facts):
    plain = {fact.key: fact for fact in merged_facts(facts)}
    contents = Contents()
    assert known(contents.merged_facts(facts)) == known(plain)
    again = contents.merged_facts([*plain.values(), *facts])
    assert {key: fact.content for key, fact in again.items()} == {key: fact.content for key, fact in plain.items()}
    assert all(again[fact.key] == merged_fact(plain[fact.key], fact) for fact in facts)


_moments = st.integers(0, 6).map(lambda number: number * SLACK_MS // 2)
_charged = st.builds(
    Charged, subscription_id=st.sampled_from(["sub_1", "sub_2"]), start=st.none() | _moments, end=st.none()
)
_payments = st.lists(
    st.builds(
        lambda of, at, fields: Payment(id=f"pay_{of}", at=at, fields=fields),
        st.integers(0, 99),
        _moments,
        st.builds(
            PaymentFields,
            status=st.sampled_from(["succeeded", "failed", "processing"]),
            amount=st.sampled_from([None, 0, 5]),
            currency=st.just("USD"),
            subscription_ids=st.sampled_from([None, (), ("sub_1",), ("sub_1", "sub_2")]),
            charge_type=st.sampled_from(["renewal", "plan_change"]),
            products=st.none()
            | st.lists(st.builds(Product, id=st.sampled_from(["", "x", "y"])), max_size=2).map(tuple),
            periods=st.none() | st.lists(_charged, max_size=1).map(tuple),
        ),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda payment: payment.id,
).map(lambda payments: sorted(payments, key=in_time))


@given(_payments, _moments, _moments)
@settings(max_examples=EXAMPLES, deadline=None)
def test_periods_are_found_as_by_looking_at_all_payments(payments, since, before):
    charges = Charges("sub_1", payments)
    counted = [(period_start(one, "sub_1", one.at), one) for one in payments if one.counts]
    assert charges.starts == sorted(start for start, _ in counted)
    assert charges.has_start(since, before) is any(since <= start < before for start, _ in counted)
    assert charges.paid(since) == next(
        (
            one
            for start, one in counted
            if abs(start - since) <= SLACK_MS
            and one.fields.charge_type != "plan_change"
            and len(one.subscription_ids) == 1
        ),
        None,
    )


@given(_payments, st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_failures_are_found_as_by_looking_at_all_payments(payments, data):
    of = data.draw(st.sampled_from(payments))
    streak: list[Payment] = []
    for one in payments[: payments.index(of)]:
        streak = [] if one.succeeded else [*streak, one] if one.failed else streak
    assert streak_before(payments, of) == streak
    later = [one for one in payments if one.succeeded and in_time(one) > in_time(of)]
    assert is_paid_since(payments, of) is bool(later)
    wanted = {product.id for product in of.fields.products or ()}
    bought = [{product.id for product in one.fields.products or ()} for one in later if not one.subscription_ids]
    assert is_bought_since(of, purchases(payments)) is any(
        not wanted or not products or bool(wanted & products) for products in bought
    )
