"""What is remembered of events, whatever order they come in."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from nicobar import facts
from nicobar.facts import About, Completed, about, complete, known_fact, merged_facts, needs_facts
from nicobar.model import Customer
from support.stated import ACCEPTED_MS, SOURCE, body_of, rule, stated_message

ADA = {"customer_id": "cus_1", "email": "a@b.example"}
CUSTOMER, PAYMENT = "dodo-payments//customer/cus_1", "dodo-payments//payment/pay_1"

_scalars = st.sampled_from(["u_1", "u_2", 1, 1.0, True, 12345678901234567890123])
_metadata = st.dictionaries(st.sampled_from(["user_id", "plan", "ref"]), _scalars, max_size=3)
_people = st.fixed_dictionaries(
    {"customer_id": st.just("cus_1")},
    optional={
        "email": st.sampled_from(["a@b.example", "c@d.example"]),
        "name": st.just("Ada"),
        "metadata": _metadata,
    },
)
_bodies = st.builds(
    lambda at_ms, person, said, status, more: body_of(
        "payment.succeeded", at_ms, customer=person, payment_id="pay_1", metadata=said, status=status, **more
    ),
    st.integers(0, 3),
    _people,
    _metadata,
    st.sampled_from(["processing", "succeeded", "failed"]),
    st.fixed_dictionaries(
        {},
        optional={
            "tax": st.sampled_from([None, 0, 254]),
            "product_cart": st.sampled_from([None, [], [{"product_id": "pdt_1", "quantity": 2}]]),
        },
    ),
)


def known(*messages):
    return {fact.key: known_fact(fact) for fact in merged_facts(fact for new in messages for fact in new.facts)}


@given(st.lists(_bodies, min_size=2, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_any_order_of_arrival_gives_the_same_facts(bodies, order):
    messages = [stated_message(f'evt"{number % 3}', body) for number, body in enumerate(bodies)]
    shuffled = [*messages, *messages[:2]]
    order.shuffle(shuffled)
    assert known(*shuffled) == known(*messages)


def test_a_body_that_says_less_blanks_nothing():
    full = body_of("payment.succeeded", 1, customer={"customer_id": "cus_1", "email": "a@b.example", "name": "Ada"})
    thin = body_of("credit.added", 2, customer_id="cus_1")
    empty = body_of("payment.succeeded", 3, customer={"customer_id": "cus_1", "email": None, "name": ""})
    values = known(*(stated_message(f"evt_{n}", body) for n, body in enumerate((full, thin, empty))))[CUSTOMER].values
    assert values == {"email": ["a@b.example"], "name": ["Ada"]}


def test_of_each_field_the_newest_value_and_the_one_before_are_known():
    bodies = [
        body_of("payment.succeeded", at_ms, customer={"customer_id": "cus_1", "email": email}, metadata={"n": at_ms})
        for at_ms, email in enumerate(("a@b.example", "c@d.example", "a@b.example", "e@f.example"))
    ]
    values = known(*(stated_message(f"evt_{n}", body) for n, body in enumerate(bodies)))[CUSTOMER].values
    assert values == {"email": ["e@f.example", "a@b.example"], "metadata.n": [3, 2]}


def test_the_newest_metadata_is_kept_within_a_bound():
    bodies = [
        body_of("payment.succeeded", at_ms, customer_id="cus_1", metadata={f"order_{at_ms}": "x", "user_id": "u"})
        for at_ms in range(facts.MAX_METADATA_KEYS + 5)
    ]
    values = known(*(stated_message(f"evt_{n}", body) for n, body in enumerate(bodies)))[CUSTOMER].values
    assert len(values) == facts.MAX_METADATA_KEYS
    assert values["metadata.user_id"] == ["u"]


def test_beyond_the_bound_any_order_gives_the_same_metadata(monkeypatch):
    monkeypatch.setattr(facts, "MAX_METADATA_KEYS", 2)
    told = [("a", 1, "x"), ("b", 2, "x"), ("c", 2, "x"), ("a", 3, "y"), ("b", 4, "y"), ("c", 2, "y")]
    bodies = [body_of("payment.succeeded", at, customer_id="cus_1", metadata={key: value}) for key, at, value in told]
    messages = [stated_message(f"evt_{number}", body) for number, body in enumerate(bodies)]
    contents = {
        merged_facts([fact for new in order for fact in new.facts])[0].content
        for order in itertools.permutations(messages)
    }
    assert len(contents) == 1


def test_what_databases_cannot_store_or_is_too_long_is_not_remembered():
    long = "x" * (facts.MAX_TEXT_CHARS + 1)
    said = {"a": "nul\0", "b\0": "x", "c": long, long: "x", "d": ["x"], "e": {"x": 1}, "f": None, "g": "kept"}
    body = body_of("payment.succeeded", 1, customer={"customer_id": "cus_1", "email": "\0@b.example"}, metadata=said)
    assert known(stated_message("evt", body))[CUSTOMER].values == {"metadata.g": ["kept"]}


def test_a_fact_from_the_future_counts_as_of_its_acceptance():
    person = {"customer_id": "cus_1"}
    ahead = ACCEPTED_MS + facts.MAX_AHEAD_MS + 1
    future = body_of("payment.succeeded", ahead, customer=person | {"email": "future@b.example"})
    later = body_of("payment.succeeded", ACCEPTED_MS + 1, customer=person | {"email": "later@b.example"})
    both = (stated_message("evt_1", future), stated_message("evt_2", later))
    assert known(*both)[CUSTOMER].values["email"] == ["later@b.example", "future@b.example"]
    event = SOURCE.read({}, future)
    assert facts.state(SOURCE.kind, event, event_id="e", body=future, accepted_at_ms=ACCEPTED_MS).is_ahead


def test_a_fact_of_a_clock_that_is_ahead_is_no_newer_than_its_acceptance():
    """So that deleting all payloads up to a time deletes it too."""
    new = stated_message("evt", body_of("payment.succeeded", ACCEPTED_MS + 1, customer=ADA))
    assert [fact.occurred_at_ms for fact in new.facts] == [ACCEPTED_MS]


def test_an_event_is_completed_by_its_payment_and_then_its_customer():
    payment = body_of(
        "payment.succeeded",
        1,
        payment_id="pay_1",
        customer={"customer_id": "cus_1", "email": "a@b.example", "metadata": {"user_id": "old", "plan": "basic"}},
    )
    newer = body_of("credit.added", 2, customer_id="cus_1", metadata={"user_id": "new"})
    dispute = body_of("dispute.opened", 3, dispute_id="dp_1", payment_id="pay_1", metadata={"ref": 7})
    stored = known(stated_message("evt_1", payment), stated_message("evt_2", newer), stated_message("evt_3", dispute))
    found = complete(about(SOURCE.kind, SOURCE.read({}, dispute)), stored)
    assert found == Completed(
        customer=Customer(key="cus_1", email="a@b.example", metadata={"user_id": "new", "plan": "basic", "ref": 7}),
        remembered_email=True,
        other_metadata={"user_id": "old"},
    )


def test_the_metadata_of_a_subscription_wins_over_what_is_remembered():
    subscription = body_of(
        "subscription.active", 1, subscription_id="sub_1", customer_id="cus_1", metadata={"u": "a"}
    )
    other = body_of("subscription.active", 2, subscription_id="sub_2", customer_id="cus_1", metadata={"u": "b"})
    stored = known(stated_message("evt_1", subscription), stated_message("evt_2", other))
    dunning = SOURCE.read({}, body_of("dunning.started", 3, subscription_id="sub_1", customer_id="cus_1"))
    found = complete(about(SOURCE.kind, dunning), stored)
    assert found.customer == Customer(key="cus_1", metadata={"u": "a"})
    assert found.other_metadata == {"u": "b"}


def test_another_customers_payment_says_nothing_about_this_one():
    payment = body_of("payment.succeeded", 1, payment_id="pay_1", customer_id="cus_2", metadata={"user_id": "theirs"})
    of = SOURCE.read({}, body_of("license_key.created", 2, payment_id="pay_1", customer_id="cus_1"))
    found = complete(about(SOURCE.kind, of), known(stated_message("evt_1", payment)))
    assert found.customer == Customer(key="cus_1")


def test_only_what_the_rule_cannot_do_without_is_looked_up():
    ada = Customer(key="cus_1", email="a@b.example", metadata={"user_id": 42})
    assert not needs_facts(None, None)
    assert not any(needs_facts(rule(by), ada) for by in ("email", "customer_id", "metadata.user_id"))
    assert needs_facts(rule("metadata.other"), ada)  # the fallback is for those of whom no event says the id
    assert needs_facts(rule("email"), Customer(key="cus_1"))
    assert needs_facts(rule("customer_id"), None)


def test_each_of_dodos_types_with_a_customer_names_what_identifies_them():
    unknown = set()
    for event_type in SOURCE.event_types():
        event = SOURCE.read_body(event_type.name, msgspec.json.encode(event_type.example))
        of = about(SOURCE.kind, event)
        if not of.wanted:
            unknown.add(event_type.name.partition(".")[0])
    assert unknown == {"payout"}
    assert About(source_kind="x", customer=None).wanted == ()
