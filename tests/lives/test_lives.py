"""Whole lives of customers, in any order of their webhooks, against what a marketer expects.

`LIVES_ORDERS=1000` plays as many orders, `LIVES_DATABASE=postgres` plays them from PostgreSQL; the defaults are what
each run can afford.
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lives import attributes
from lives.oracle import Oracle
from lives.orders import Arrival, Order, arrivals
from lives.play import Figures, in_waves, shop_and_workspace
from lives.scripts import SCRIPTS
from lives.shop import DAY_MS, PLANS, Life, Readings
from nicobar.connectors.registry import CONNECTORS, find_recipe
from nicobar.emulator.campaign import Outcome, Silence
from nicobar.emulator.recipe_campaigns import read_campaigns
from nicobar.emulator.workspace import Disorder, Workspace
from nicobar.model import Setting

pytestmark = pytest.mark.slow
START_MS = 1_788_000_000_000
ORDERS = int(os.environ.get("LIVES_ORDERS", "140"))
DATABASE = os.environ.get("LIVES_DATABASE", "sqlite")
CUSTOMERS = 1_000
DUPLICATES = 0.1
# In which a person's newest values are sent once more.
SETTLED_MS = 10 * 60_000
NAMES: Mapping[str, Setting] = {"product_names": {plan.product_id: plan.name for plan in PLANS.values()}}
HISTORY: Mapping[str, object] = {"history_complete_since_ms": START_MS - 30 * DAY_MS}
# Why the emulator sends no email that the marketer wanted.
FAULTS = {Silence.MISSING_FIELD, Silence.NAME_DIFFERS, Silence.NO_ADDRESS, Silence.DUPLICATE}
# Campaigns with one email for each time that something happened.
ONE_FOR_EACH = {
    "subscription_started": "Onboarding",
    "trial_started": "Trial",
    "trial_ended": "Trial ended",
    "payment_recovered": "Paid after all",
    "subscription_past_due": "Past due",
    "subscription_on_hold": "On hold",
    "subscription_plan_change_scheduled": "New plan soon",
    "subscription_plan_changed": "New plan",
    "subscription_ended": "Goodbye",
    "abandoned_checkout_detected": "Checkout",
}
# What a recipe sends of the catalog; all of it for the first.
SUBSCRIPTIONS = {
    "trial_started",
    "trial_converted",
    "trial_ended",
    "subscription_started",
    "subscription_renewed",
    "subscription_past_due",
    "subscription_on_hold",
    "subscription_paused",
    "subscription_resumed",
    "subscription_cancel_scheduled",
    "subscription_cancel_undone",
    "subscription_plan_change_scheduled",
    "subscription_plan_changed",
    "subscription_ended",
    "payment_method_updated",
}
FAILURES = {
    "payment_succeeded",
    "payment_failed",
    "payment_recovered",
    "subscription_past_due",
    "subscription_on_hold",
    "dunning_started",
    "dunning_recovered",
    "subscription_ended",
    "trial_ended",
    "payment_method_updated",
}
EMAILS: Mapping[str, set[str] | None] = {
    "journeys": None,
    "subscription_life_cycle": SUBSCRIPTIONS,
    "payment_failure": FAILURES,
    "welcome": {"first_payment_succeeded"},
    "customer_attributes": set(),
}


def lived(number: int) -> tuple[Life, Order]:
    """The life with this number: one of the scripts, one choice of readings, one kind of order."""
    script, order = SCRIPTS[number % len(SCRIPTS)], list(Order)[number // len(SCRIPTS) % len(Order)]
    life = Life(script.__name__, number, Readings.drawn(random.Random(number)), START_MS)
    script(life)
    return life, order


async def played(
    directory: Path,
    lives: Sequence[tuple[Life, Order]],
    recipe: str = "journeys",
    *,
    at_once: int = 1,
    out_of_order: Disorder = Disorder.NONE,
) -> Figures:
    draw = random.Random(19)
    requests: list[Arrival] = []
    oracles = {life.email: Oracle(life, history=True, emails=EMAILS[recipe]) for life, _ in lives}
    for life, order in lives:
        requests += arrivals(life, order, draw, duplicates=DUPLICATES)
    figures = Figures()
    code = find_recipe(recipe, CONNECTORS).code
    start_ms = START_MS - DAY_MS
    async with shop_and_workspace(directory, code, start_ms, source=HISTORY, endpoint=NAMES, database=DATABASE) as it:
        it.emulator.state.put_workspace(Workspace(out_of_order=out_of_order))
        it.emulator.put_campaigns(read_campaigns(recipe))
        said = await it.play(in_waves(requests, of_each=at_once), oracles)
        await it.pass_time(SETTLED_MS)
        for life, order in lives:
            label = f"{life.seed} {order.value}"
            figures.add(label, oracles[life.email].judge(said[life.email]))
            wanted = attributes.expected(life, history=True)
            figures.compare(label, wanted, it.attributes_of(life.email))
        figures.unsent = [
            f"{one.campaign}: {one.why}" for one in it.emulator.campaigns.unsent if one.reason in FAULTS
        ]
        figures.emails = [email for email in it.emulator.campaigns.emails if email.outcome is Outcome.SENT]
    assert not it.failures
    return figures


async def test_no_order_sends_a_wrong_email(tmp_path: Path) -> None:
    lives = [lived(number) for number in range(ORDERS)]
    figures = await played(tmp_path, lives)
    assert figures.faults == []
    # In order, the campaigns of the recipe's page send as many emails as a customer expects.
    sent = Counter((email.to, email.campaign) for email in figures.emails)
    for life in [life for life, order in lives if order is Order.IN_ORDER]:
        wanted = Counter(truth.mail for truth in life.truths if not truth.may)
        campaigns = {name: sent[life.email, campaign] for name, campaign in ONE_FOR_EACH.items()}
        assert (life.seed, campaigns) == (life.seed, {name: wanted[name] for name in ONE_FOR_EACH})
    texts = [f"{email.subject} {email.body}" for email in figures.emails]
    assert not [text for text in texts if re.search("pdt_|null|undefined", text)]


@pytest.mark.parametrize("recipe", ["subscription_life_cycle", "payment_failure", "welcome", "customer_attributes"])
async def test_other_recipes_send_no_wrong_email_either(tmp_path: Path, recipe: str) -> None:
    figures = await played(tmp_path, [lived(number) for number in range(14, 42)], recipe)
    assert figures.wrong == figures.missing == []
    if recipe != "welcome":
        assert figures.attributes == []


async def test_attributes_are_right_though_calls_take_effect_in_any_order(tmp_path: Path) -> None:
    """Customer.io promises no order, and several events of a person arrive at once."""
    lives = [lived(number) for number in range(14, 42)]
    figures = await played(tmp_path, lives, at_once=3, out_of_order=Disorder.IDENTIFIES)
    assert figures.attributes == []


async def test_shop_with_customers_welcomes_none_of_them(tmp_path: Path) -> None:
    """Nicobar is installed where a thousand people already pay; each pays once more. It is not stated that the
    history is complete.
    """
    lives = [existing(number) for number in range(CUSTOMERS)]
    oracles = {life.email: Oracle(life, history=False) for life in lives}
    requests = [it for life in lives for it in arrivals(life, Order.IN_ORDER, random.Random(4), duplicates=0)]
    figures = Figures()
    code = find_recipe("journeys", CONNECTORS).code
    async with shop_and_workspace(tmp_path, code, START_MS, endpoint=NAMES) as it:
        said = await it.play(in_waves(requests), oracles)
        for life in lives:
            figures.add(life.seed, oracles[life.email].judge(said[life.email]))
            figures.compare(life.seed, attributes.expected(life, history=False), it.attributes_of(life.email))
    names = {event.name for events in said.values() for event in events}
    assert names == {"payment_succeeded", "subscription_renewed", "payment_recovered"}
    assert figures.faults == []
    assert not it.failures


def existing(number: int) -> Life:
    """Nicobar was not told what came before its last payment: a trial, payments, a failure."""
    life = Life("existing", number, READINGS[number % len(READINGS)], START_MS - 60 * DAY_MS)
    plan = life.subscribe(PLANS["Basic"], trial_days=14 if number % 4 == 0 else 0)
    life.renew(plan)
    if number % 3 == 0:
        life.fail_to_renew(plan)
    life.forget()
    if number % 3 == 0:
        life.wait(hours=12)
        life.retry(plan, 1, succeeds=True)
    else:
        life.renew(plan)
    return life


READINGS = [replace(Readings.drawn(random.Random(number)), is_updated_sent=False) for number in range(10)]
