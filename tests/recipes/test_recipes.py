"""Our recipes over every sample: right by the contract, the same keys every time, nothing private."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

import nicobar
from nicobar.connectors import Origin
from nicobar.connectors.customerio import CustomerIo
from nicobar.errors import UserError
from nicobar.model import Customer, Level
from nicobar.recipes import RECIPES, recipe
from nicobar.sandbox import Broken, Calls, Canceled, Job, Untouched
from nicobar.sandbox.pool import SandboxPool
from nicobar.sources.dodo import DodoPayments
from nicobar.sources.samples import fresh

NOW_MS = 1_789_000_000_000
DODO = DodoPayments()
TYPES = {one.name: one for one in DODO.event_types()}
ADA = Customer(key="cus_ada", email="ada@northpine.example", name="Ada Lindqvist")
PAGES = Path(nicobar.__file__).parent / "recipes"
every_recipe = pytest.mark.parametrize("one", RECIPES, ids=lambda one: one.name)
every_identifier = pytest.mark.parametrize("identifier", ["", "customer_id", "email", "metadata.user"])
# What no journey needs and no mail service should hold.
PRIVATE = {
    "key", "street", "zipcode", "city", "phone_number", "card_last_four", "card_holder_name", "card_exp_year",
    "payment_method_id", "oauth_url", "tax_id", "remarks", "cancellation_comment",
}  # fmt: skip


def body(name: str, **changes: object) -> bytes:
    value = msgspec.json.decode(fresh(TYPES[name], NOW_MS, ADA))
    for field, new in changes.items():
        value["data"][field] = new
    return msgspec.json.encode(value)


async def run(one, bodies: list[tuple[str, bytes]], identifier: str = ""):
    jobs = [
        Job(
            code_id=one.name,
            code=one.code,
            body=content,
            event_type=name,
            url="https://track.customer.io/api/v2/entity",
            now_ms=NOW_MS,
            occurred_at_ms=NOW_MS,
            seed=name,
            customer_key=ADA.key,
            variables={"IDENTIFIER": identifier} if identifier else {},
        )
        for name, content in bodies
    ]
    async with SandboxPool(children=1) as pool:
        return await pool.run(jobs)


def prepared(result: Calls, content: bytes):
    origin = Origin(
        message_id="msg_1",
        endpoint_id="ep_1",
        occurred_at_ms=NOW_MS,
        now_ms=NOW_MS,
        customer=DODO.read(content).customer,
        payload=msgspec.json.decode(content),
    )
    return CustomerIo().open({}, {"site_id": "a", "api_key": "b"}).prepare(result.calls, origin)


def items(result: Calls) -> list[dict]:
    (call,) = result.calls
    return call.payload


@every_identifier
@every_recipe
async def test_every_sample_is_right_by_the_contract(one, identifier):
    bodies = [(name, body(name)) for name in TYPES]
    assert len(bodies) == 48
    for (name, content), result in zip(bodies, await run(one, bodies, identifier), strict=True):
        assert not isinstance(result, Broken), (name, result)
        if not isinstance(result, Calls):
            continue
        verdicts = prepared(result, content).verdicts
        bad = [verdict for verdict in verdicts if verdict.level in {Level.ERROR, Level.WARNING}]
        known = DODO.read(content).customer
        if known is None or not known.email:
            # The event tells nobody's address; the person has it from another one.
            bad = [verdict for verdict in bad if verdict.rule != "no_address"]
        assert not bad, (name, bad)


@every_recipe
async def test_each_event_has_the_same_keys_every_time_and_all_stand_in_its_page(one):
    bodies = [(name, body(name)) for name in TYPES]
    keys: dict[str, set[str]] = {}
    attributes: set[str] = set()
    for result in await run(one, bodies):
        for item in items(result) if isinstance(result, Calls) else []:
            if item["action"] == "event":
                assert keys.setdefault(item["name"], set(item["attributes"])) == set(item["attributes"])
                assert re.fullmatch(r"[a-z]+(_[a-z]+)*", item["name"])
            else:
                attributes |= set(item["attributes"])
    page = (PAGES / f"{one.name}.md").read_text("utf-8")
    for name in [*keys, *set().union(*keys.values()), *attributes]:
        assert f"`{name}`" in page, name
    for word in ("Trigger", "Exit", "{{"):
        assert word in page


def leaves(value: object, name: str = ""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, name)
    else:
        yield name, value


@every_recipe
async def test_nothing_private_leaves(one):
    bodies = [(name, body(name)) for name in TYPES]
    for (name, content), result in zip(bodies, await run(one, bodies), strict=True):
        if not isinstance(result, Calls):
            continue
        sent = {str(value) for _, value in leaves(items(result))}
        private = {
            str(value) for key, value in leaves(msgspec.json.decode(content)) if key in PRIVATE and value is not None
        }
        assert not {text for text in private & sent if len(text) > 3}, name


async def test_journeys_cover_every_event_about_a_customer():
    bodies = [(name, body(name)) for name in TYPES]
    silent = []
    for (name, _), result in zip(bodies, await run(RECIPES[0], bodies), strict=True):
        if not isinstance(result, Calls) or not any(item["action"] == "event" for item in items(result)):
            silent.append(name)
    assert [name for name in silent if not name.startswith("payout.")] in (["subscription.updated"], [])
    assert sum(name.startswith("payout.") for name in silent) == 5


@pytest.mark.parametrize(
    ("currency", "minor", "major"), [("JPY", 4_980, 4_980), ("KWD", 12_345, 12.345), ("USD", 5, 0.05)]
)
async def test_money_has_the_decimals_of_its_currency(currency, minor, major):
    changed = [
        ("payment.succeeded", body("payment.succeeded", total_amount=minor, currency=currency)),
        ("subscription.active", body("subscription.active", recurring_pre_tax_amount=minor, currency=currency)),
        ("dispute.opened", body("dispute.opened", amount=str(minor), currency=currency)),
        ("refund.succeeded", body("refund.succeeded", amount=minor, currency=currency)),
    ]
    for (name, content), result in zip(changed, await run(RECIPES[0], changed), strict=True):
        event = items(result)[-1]["attributes"]
        assert event.get("amount", event.get("price")) == major, name
        assert not [one for one in prepared(result, content).verdicts if one.level in {Level.ERROR, Level.WARNING}]


async def test_a_cancellation_that_is_scheduled_and_a_trial_are_events_of_their_own():
    changed = [
        ("subscription.updated", body("subscription.updated", cancel_at_next_billing_date=True)),
        ("subscription.updated", body("subscription.updated", cancel_at_next_billing_date=False)),
        ("subscription.active", body("subscription.active", trial_period_days=14)),
    ]
    names = [[item.get("name") for item in items(result)] for result in await run(RECIPES[0], changed)]
    assert names == [
        [None, "subscription_cancel_scheduled"],
        [None],
        [None, "subscription_active", "trial_started"],
    ]


async def test_people_are_named_as_the_variable_says():
    content = body("payment.succeeded", metadata={"user": 42})
    for identifier, expected in (
        ("", {"id": ADA.key}),
        ("customer_id", {"id": ADA.key}),
        ("email", {"email": ADA.email}),
        ("metadata.user", {"id": "42"}),
    ):
        (result,) = await run(RECIPES[0], [("payment.succeeded", content)], identifier)
        assert all(item["identifiers"] == expected for item in items(result))


async def test_an_event_that_names_nobody_is_left_out_and_says_so():
    for name, identifier in (("dunning.started", "email"), ("payment.succeeded", "metadata.nothing")):
        (result,) = await run(RECIPES[0], [(name, body(name))], identifier)
        assert isinstance(result, Canceled)
        assert identifier in result.console[0]


@every_recipe
async def test_what_a_recipe_is_not_about_is_left_untouched(one):
    (result,) = await run(one, [("payout.success", body("payout.success"))])
    assert isinstance(result, Untouched)


def test_a_recipe_that_does_not_exist_names_those_that_do():
    with pytest.raises(UserError, match="journeys"):
        recipe("journey")
