"""Whole lives of customers, in any order of their webhooks, against what a marketer expects."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from lives import attributes
from lives.oracle import Oracle
from lives.orders import Arrival, Order, arrivals
from lives.play import Figures, in_waves, shop_and_workspace
from lives.scripts import SCRIPTS
from lives.shop import DAY_MS, PLANS, Life, Readings
from nicobar.connectors.registry import CONNECTORS, find_recipe
from nicobar.model import Setting

pytestmark = pytest.mark.slow
START_MS = 1_788_000_000_000
ORDERS = 1_000
NAMES: Mapping[str, Setting] = {"product_names": {plan.product_id: plan.name for plan in PLANS.values()}}
HISTORY: Mapping[str, object] = {"history_complete_since_ms": START_MS - 30 * DAY_MS}


def lived(number: int) -> tuple[Life, Order]:
    """The life with this number: one of the scripts, one choice of readings, one kind of order."""
    script, order = SCRIPTS[number % len(SCRIPTS)], list(Order)[number // len(SCRIPTS) % len(Order)]
    life = Life(script.__name__, number, Readings.drawn(random.Random(number)), START_MS)
    script(life)
    return life, order


async def test_no_order_sends_a_wrong_email(tmp_path: Path) -> None:
    draw = random.Random(19)
    lives = [lived(number) for number in range(ORDERS)]
    requests: list[Arrival] = []
    oracles = {life.email: Oracle(life, history=True) for life, _ in lives}
    for life, order in lives:
        requests += arrivals(life, order, draw, duplicates=0.1)
    figures = Figures()
    code = find_recipe("journeys", CONNECTORS).code
    async with shop_and_workspace(tmp_path, code, START_MS - DAY_MS, source=HISTORY, endpoint=NAMES) as it:
        said = await it.play(in_waves(requests), oracles)
        for life, order in lives:
            figures.add(life, order.value, oracles[life.email].judge(said[life.email]))
            person = it.emulator.state.find("email", life.email)
            wanted = attributes.expected(life, it.clock.now_ms(), history=True)
            found = attributes.differences(wanted, {} if person is None else person.attributes)
            figures.attributes += [f"{life.seed} {order.value}: {text}" for text in found]
    assert not it.failures
    assert figures.faults == []


async def test_shop_with_customers_welcomes_none_of_them(tmp_path: Path) -> None:
    """Nicobar is installed where a thousand people already pay; each pays once more."""
    lives: list[Life] = []
    requests: list[Arrival] = []
    oracles: dict[str, Oracle] = {}
    draw = random.Random(4)
    for number in range(1_000):
        life = Life("existing", number, Readings.drawn(random.Random(number)), START_MS - 60 * DAY_MS)
        plan = life.subscribe(PLANS["Basic"], trial_days=14 if number % 4 == 0 else 0)
        life.renew(plan)
        if number % 3 == 0:
            life.fail_to_renew(plan)
        before = len(life.webhooks)
        if number % 3 == 0:
            life.wait(hours=12)
            life.retry(plan, 1, succeeds=True)
        else:
            life.renew(plan)
        # What came before, nobody told Nicobar.
        life.forget(before)
        lives.append(life)
        oracles[life.email] = Oracle(life, history=False)
        requests += arrivals(life, Order.IN_ORDER, draw, duplicates=0.1)
    figures = Figures()
    code = find_recipe("journeys", CONNECTORS).code
    async with shop_and_workspace(tmp_path, code, START_MS, endpoint=NAMES) as it:
        said = await it.play(in_waves(requests), oracles)
        for life in lives:
            figures.add(life, "existing", oracles[life.email].judge(said[life.email]))
            person = it.emulator.state.find("email", life.email)
            wanted = attributes.expected(life, it.clock.now_ms(), history=False)
            figures.attributes += attributes.differences(wanted, {} if person is None else person.attributes)
    names = {event.name for events in said.values() for event in events}
    assert not names & {"subscription_started", "trial_started", "trial_converted", "first_payment_succeeded"}
    assert figures.faults == []
    assert not it.failures
