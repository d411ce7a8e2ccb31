"""A ledger that is kept is the one that would be computed."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nicobar.facts import merged_facts
from nicobar.ledger import Limits, Whom
from nicobar.ledger.person import Ledger
from nicobar.pipeline import kept_ledgers
from nicobar.pipeline.kept_ledgers import KeptLedgers, Terms
from nicobar.store.facts import FactsOfPerson
from support.statements import COMPLETE, CUSTOMER, DAY, UNKNOWN, payment, refund, subscription

TERMS = Terms(history=COMPLETE, limits=Limits(), product_names={})
TOLD = [
    *(payment(f"pay_{number}", number * DAY, "failed" if number % 3 else "succeeded") for number in range(6)),
    payment("pay_1", 9 * DAY),
    subscription("sub_1", 1, trial_ends_at=None),
    subscription("sub_1", 4 * DAY, "on_hold"),
    refund("re_1", 5 * DAY, "pay_3", 50),
]


@pytest.fixture(autouse=True)
def _few_facts(monkeypatch):
    monkeypatch.setattr(kept_ledgers, "MIN_KEPT_FACTS", 1)


def stored(told):
    return FactsOfPerson(
        customer_keys=(CUSTOMER,),
        facts=tuple(
            merged_facts(msgspec.convert(msgspec.to_builtins(fact), type(fact)) for one in told for fact in one.facts)
        ),
        is_whole=True,
    )


def seen(ledger, page):
    facts = [ledger.event_facts(one.event, one.stated) for one in page]
    return msgspec.json.encode([ledger.snapshot(Whom(ids=(CUSTOMER,), name="Ada Lind")), facts])


@given(st.lists(st.tuples(st.integers(0, 2**16), st.booleans(), st.sampled_from([COMPLETE, UNKNOWN])), max_size=6))
@settings(max_examples=60, deadline=None)
def test_pages_see_what_they_would_without_kept_ledgers(pages):
    kept = KeptLedgers()
    told = TOLD[:4]
    for seed, grows, history in pages:
        draw = random.Random(seed)
        told = [*told, draw.choice(TOLD)] if grows else told
        # What is not stored: of a message of which no facts are kept.
        page = draw.sample(told if draw.random() < 0.5 else TOLD, 3)
        found, own = stored(told), [fact for one in page for fact in one.facts]
        terms = msgspec.structs.replace(TERMS, history=history)
        plain = Ledger((*found.facts, *own), history=history)
        assert seen(kept.ledger("ada", found, own, terms), page) == seen(plain, page)


def test_ledger_is_kept_until_a_fact_or_term_changes():
    kept, own = KeptLedgers(), TOLD[0].facts
    first = kept.ledger("ada", stored(TOLD), own, TERMS)
    assert kept.ledger("ada", stored(TOLD), own, TERMS) is first
    assert kept.ledger("bob", stored(TOLD), own, TERMS) is not first
    assert kept.ledger("ada", stored(TOLD), payment("pay_9", 1).facts, TERMS) is not first
    assert kept.ledger("ada", stored(TOLD), own, TERMS) is first
    changed = msgspec.structs.replace(TERMS, product_names={"pdt_basic": "Basic"})
    for found, terms in ((stored(TOLD), changed), (stored(TOLD[1:]), TERMS)):
        assert kept.ledger("ada", found, own, terms) is not first


def test_kept_ledgers_have_few_facts_together(monkeypatch):
    facts = len(stored(TOLD).facts)
    monkeypatch.setattr(kept_ledgers, "MAX_KEPT_FACTS", 2 * facts + 1)
    kept = KeptLedgers()
    first, second, third = (kept.ledger(name, stored(TOLD), (), TERMS) for name in "abc")
    assert kept.ledger("b", stored(TOLD), (), TERMS) is second
    assert kept.ledger("a", stored(TOLD), (), TERMS) is not first
    assert kept.ledger("b", stored(TOLD), (), TERMS) is second
    assert kept.ledger("c", stored(TOLD), (), TERMS) is not third
