"""Recipes over every sample and what senders make of it: right by the contract, complete, nothing private."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest

import nicobar
from nicobar.connectors import Origin
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.customerio.recipes import RECIPES
from nicobar.connectors.registry import CONNECTORS, find_recipe
from nicobar.errors import UserError
from nicobar.model import Customer, Level, Verdict
from nicobar.pipeline.handler_runs import LedgerView
from nicobar.sandbox import Broken, Calls, Job, Result, Untouched
from nicobar.sources.dodo import DodoPayments
from nicobar.sources.samples import fresh
from support.shared import SANDBOX
from support.views import view_of

NOW_MS = 1_789_000_000_000
DODO = DodoPayments()
TYPES = {event_type.name: event_type for event_type in DODO.event_types()}
ADA = Customer(key="cus_ada", email="ada@northpine.example", name="Ada Lindqvist")
PAGES = Path(nicobar.__file__).parent / "connectors" / "customerio" / "recipes"
recipe = partial(find_recipe, connectors=CONNECTORS)
every_recipe = pytest.mark.parametrize("tested", RECIPES, ids=lambda item: item.name)
PERSON = {
    "": {"id": "cus_ada"},
    "customer_id": {"id": "cus_ada"},
    "email": {"email": "ada@northpine.example"},
    "metadata.user": {"id": "u-1"},
}
# Data that no journey needs and no email service should store.
PRIVATE = {
    "key", "street", "zipcode", "city", "phone_number", "card_last_four", "card_holder_name", "card_exp_year",
    "payment_method_id", "oauth_url", "tax_id", "remarks", "cancellation_comment",
}  # fmt: skip
# Attributes that null removes: they stop applying.
REMOVED = {
    "payment_failed_at",
    "subscription_cancel_at",
    "subscription_currency",
    "subscription_interval",
    "subscription_plan",
    "subscription_price",
    "subscription_renews_at",
    "subscription_trial_ends_at",
    "total_spent",
}
Bodies = Sequence[tuple[str, bytes]]


def changed_body(name: str, change) -> bytes:
    value = msgspec.json.decode(fresh(TYPES[name], NOW_MS, ADA))
    change(value)
    return msgspec.json.encode(value)


def body(name: str, **changes: object) -> bytes:
    return changed_body(name, lambda value: value["data"].update(changes))


def samples() -> Bodies:
    return [(name, body(name)) for name in TYPES]


async def run(
    item, bodies: Bodies, *, whole: bool = False, knows: bool = True, variables: dict[str, str] | None = None
) -> list[Result]:
    """`whole`: the history is complete. Without `knows`, there is no ledger."""
    jobs = [
        Job(
            code_id=item.name,
            code=item.code,
            body=content,
            event_type=name,
            url="https://track.customer.io/api/v2/entity",
            now_ms=NOW_MS,
            occurred_at_ms=NOW_MS,
            seed=name,
            customer_key=ADA.key,
            variables=variables or {},
            ledger=msgspec.json.encode(
                view_of(name, content, ADA, NOW_MS, is_history_complete=whole) if knows else LedgerView()
            ),
        )
        for name, content in bodies
    ]
    return await (await SANDBOX.get()).run(jobs)


def prepared(
    result: Calls, content: bytes, message_id: str = "msg_1", *, rule: str = "", customer: Customer | None = None
):
    origin = Origin(
        message_id=message_id,
        endpoint_id="ep_1",
        occurred_at_ms=NOW_MS,
        now_ms=NOW_MS,
        customer=customer or DODO.read({}, content).customer,
        customer_id_attribute=DODO.customer_id_attribute,
        body=content,
    )
    destination = CustomerIo().open({"identify_by": rule} if rule else {}, {"site_id": "a", "api_key": "b"})
    return destination.prepare(result.calls, origin)


def items(result: Result) -> list[dict]:
    if not isinstance(result, Calls):
        return []
    (call,) = result.calls
    return call.payload


def events(result: Result) -> list[dict]:
    return [item for item in items(result) if item["action"] == "event"]


def names(result: Result) -> list[str]:
    return [item["name"] for item in events(result)]


def identifies(result: Result) -> list[dict]:
    return [item for item in items(result) if item["action"] == "identify"]


# --- every sample ---


@every_recipe
async def test_every_sample_satisfies_the_contract_and_reaches_the_person(tested):
    bodies = samples()
    assert len(bodies) == 48
    results = await run(tested, bodies, whole=True)
    for (name, content), result in zip(bodies, results, strict=True):
        assert not isinstance(result, Broken), (name, result)
        for rule, person in PERSON.items() if isinstance(result, Calls) else ():
            # Completed from what is remembered of the customer.
            known = msgspec.structs.replace(ADA, metadata={"user": "u-1"}) if rule else None
            found = prepared(result, content, rule=rule, customer=known)
            assert not bad_verdicts(found, content), name
            sent = [msgspec.json.decode(call.body) for call in found.calls]
            assert sent
            assert all(item["identifiers"] == person for item in sent), name


def bad_verdicts(found, content: bytes) -> list[Verdict]:
    bad = [verdict for verdict in found.verdicts if verdict.level in {Level.ERROR, Level.WARNING}]
    customer = DODO.read({}, content).customer
    # Nothing here says that the totals are those of the ledger. An event without an address: the profile has it.
    fine = {"from_one_event"} if customer is not None and customer.email else {"from_one_event", "no_address"}
    return [verdict for verdict in bad if verdict.rule not in fine]


async def test_subscription_objects_reach_the_person_of_the_endpoint():
    bodies = [(name, content) for name, content in samples() if name.startswith(("subscription.", "payment."))]
    results = await run(RECIPES[0], bodies, variables={"SUBSCRIPTION_OBJECTS": "1"})
    related = []
    for (name, content), result in zip(bodies, results, strict=True):
        if isinstance(result, Calls):
            found = prepared(result, content, rule="email")
            assert not bad_verdicts(found, content), name
            sent = [msgspec.json.decode(call.body) for call in found.calls]
            related += [item["cio_relationships"] for item in sent if item["type"] == "object"]
    assert len(related) > 9
    assert all(people == [{"identifiers": PERSON["email"]}] for people in related)


# What each event type is to the journeys recipe, of a customer of whom only this is known.
JOURNEYS = {
    "payment.succeeded": ["payment_succeeded", "first_payment_succeeded"],
    "payment.failed": ["payment_failed"],
    "payment.processing": [],
    "payment.cancelled": [],
    "subscription.active": ["subscription_started"],
    "subscription.renewed": ["subscription_renewed"],
    "subscription.updated": ["subscription_cancel_scheduled"],
    "subscription.on_hold": ["subscription_on_hold"],
    "subscription.past_due": ["subscription_past_due"],
    "subscription.paused": ["subscription_paused"],
    "subscription.unpaused": ["subscription_resumed"],
    "subscription.plan_changed": ["subscription_plan_change_scheduled"],
    "subscription.update_payment_method": ["payment_method_updated"],
    "subscription.cancelled": ["subscription_ended"],
    "subscription.expired": ["subscription_ended"],
    "subscription.failed": [],
}


async def test_journeys_send_each_sample_as_the_catalog_says():
    bodies = samples()
    for (name, _), result in zip(bodies, await run(RECIPES[0], bodies, whole=True), strict=True):
        if name.startswith("payout."):
            assert isinstance(result, Untouched)
        else:
            assert names(result) == JOURNEYS.get(name, [name.replace(".", "_")]), name


@every_recipe
async def test_each_event_always_has_the_documented_keys(tested):
    keys: dict[str, set[str]] = {}
    attributes: set[str] = set()
    for whole in (True, False):
        for result in await run(tested, samples(), whole=whole):
            for item in events(result):
                unknown = {"payment_number", "is_first_payment", "is_first_subscription"}
                keys.setdefault(item["name"], set(item["attributes"]))
                assert keys[item["name"]] - unknown == set(item["attributes"]) - unknown, item["name"]
                assert re.fullmatch(r"[a-z]+(_[a-z]+)*", item["name"])
            for item in identifies(result):
                attributes |= set(item["attributes"])
    page = (PAGES / f"{tested.name}.md").read_text("utf-8")
    for name in [*keys, *set().union(*keys.values()), *attributes]:
        assert f"`{name}`" in page or name.startswith("total_spent_"), name
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
async def test_nothing_private_leaves(tested):
    bodies = samples()
    for (name, content), result in zip(bodies, await run(tested, bodies), strict=True):
        sent = {str(value) for _, value in leaves(items(result))}
        found = list(leaves(msgspec.json.decode(content)))
        private = {str(value) for key, value in found if key in PRIVATE and value is not None}
        codes = {str(value) for key, value in found if key == "error_code" and value and name[:8] == "payment."}
        assert not {text for text in (private | codes) & sent if len(text) > 3}, name


# --- what senders do to optional fields ---

AMOUNTS = ("total_amount", "amount", "recurring_pre_tax_amount")


def _every(change):
    """Changes each value of the data but ids, whose loss makes an event one without customer."""

    def walk(value: dict) -> None:
        data = value["data"]
        for field, given in list(data.items()):
            if field != "customer" and not field.endswith("_id"):
                data[field] = change(field, given)

    return walk


def _set(**fields: object):
    return lambda value: value["data"].update({name: new for name, new in fields.items() if name in value["data"]})


MUTATIONS = {
    "currency in lower case": _set(currency="usd", settlement_currency="usd"),
    "unknown currency": _set(currency="XYZ"),
    "currency null": _set(currency=None),
    "currency a number": _set(currency=840),
    "fractions": _set(**dict.fromkeys(AMOUNTS, 49.9)),
    "amounts with text": _set(**dict.fromkeys(AMOUNTS, "much")),
    "amounts as objects": _set(**{field: {"value": 1} for field in AMOUNTS}),
    "amounts of 0": _set(**dict.fromkeys(AMOUNTS, 0)),
    "amounts below 0": _set(**dict.fromkeys(AMOUNTS, -1)),
    "times as nonsense": _every(lambda field, given: "soon" if field.endswith(("_at", "_date")) else given),
    "unknown status": _set(status="new_one", dispute_status="new_one"),
    "all null": _every(lambda _field, _given: None),
    "all objects": _every(lambda _field, _given: {"a": [1]}),
    "all lists": _every(lambda _field, _given: [None, {}]),
    "all numbers": _every(lambda _field, _given: 7.5),
    "all true": _every(lambda _field, _given: True),
    "envelope time null": lambda value: value.update(timestamp=None),
    "envelope time nonsense": lambda value: value.update(timestamp="soon"),
    "envelope time in the future": lambda value: value.update(timestamp="2099-01-01T00:00:00Z"),
    "data null": lambda value: value.update(data=None),
    "data absent": lambda value: value.pop("data"),
    "data a list": lambda value: value.update(data=[]),
    "data text": lambda value: value.update(data="text"),
    "data empty": lambda value: value.update(data={}),
    "customer null": lambda value: value["data"].update(customer=None),
    "customer text": lambda value: value["data"].update(customer="cus_1"),
    "metadata text": lambda value: value["data"].update(metadata="x"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_no_value_breaks_a_recipe(mutation):
    # The other recipes are made of the same parts.
    bodies = [(name, changed_body(name, MUTATIONS[mutation])) for name in TYPES if not name.startswith("payout.")]
    for (name, content), result in zip(bodies, await run(RECIPES[0], bodies), strict=True):
        assert not isinstance(result, Broken), (name, result)
        if isinstance(result, Calls):
            errors = [item for item in prepared(result, content).verdicts if item.level is Level.ERROR]
            assert not errors, (name, errors)


async def test_recipe_without_a_ledger_sends_nothing_wrong():
    for tested in RECIPES:
        for (name, _), result in zip(samples(), await run(tested, samples(), knows=False), strict=True):
            assert not isinstance(result, Broken), (tested.name, name, result)
            assert not names(result) or not name.startswith(("payment.", "subscription.", "refund.", "dispute."))


OF_EACH_KIND = (
    "payment.failed", "subscription.updated", "refund.succeeded", "dispute.opened", "credit.added",
    "abandoned_checkout.detected",
)  # fmt: skip


async def test_events_keep_all_fields_with_one_missing_or_null():
    without = [(name, content) for name in OF_EACH_KIND for content in with_a_field_unknown(name)]
    assert len(without) > 200
    keys = {
        item["name"]: set(item["attributes"])
        for result in await run(RECIPES[0], samples())
        for item in events(result)
    }
    for (name, content), result in zip(without, await run(RECIPES[0], without), strict=True):
        assert not isinstance(result, Broken), (name, result)
        if isinstance(result, Calls):
            assert not [verdict for verdict in prepared(result, content).verdicts if verdict.level is Level.ERROR]
            assert "undefined" not in msgspec.json.encode(items(result)).decode()
        for item in events(result):
            assert set(item["attributes"]) == keys.get(item["name"], set(item["attributes"])), (name, content)
        for item in identifies(result):
            cleared = {key for key, value in item["attributes"].items() if value is None}
            assert cleared <= REMOVED, (name, content)
            assert "" not in item["attributes"].values()


def with_a_field_unknown(name: str):
    """The sample, again and again: each field of its data, and of its customer, once missing and once null."""
    value = msgspec.json.decode(body(name))
    for path in [(), ("customer",)]:
        inside = value["data"] if not path else value["data"].get(*path)
        for field in list(inside or {}):
            kept = inside.pop(field)
            yield msgspec.json.encode(value)
            inside[field] = None
            yield msgspec.json.encode(value)
            inside[field] = kept


# --- once ---


async def test_every_event_under_two_webhook_ids_counts_once():
    for candidate in RECIPES:
        seen: dict[str, str] = {}
        for (name, content), result in zip(samples(), await run(candidate, samples(), whole=True), strict=True):
            first, again = (events_sent(result, content, message_id) for message_id in ("msg_1", "msg_2"))
            assert first == again, (candidate.name, name)
            for event_id, event in first.items():
                is_end = event == "subscription_ended"  # which both cancelled and expired are
                assert is_end or event_id not in seen, (candidate.name, name, "another event has its id")
                seen[event_id] = event


# Of each family outside of the ledger, what its key needs: without it each webhook id counts, so that none is lost.
KEYS = {
    "dunning.started": ["subscription_id"],
    "license_key.created": ["id"],
    "entitlement_grant.delivered": ["id"],
    "credit.added": ["id"],
    "credit.balance_low": ["credit_entitlement_id"],
    "abandoned_checkout.detected": ["payment_id"],
}


@pytest.mark.parametrize("unknown", [None, "", {}, [], False], ids=repr)
async def test_event_without_its_key_counts_by_its_webhook_id(unknown):
    bodies = [(name, body(name, **{field: unknown})) for name, fields in KEYS.items() for field in fields]
    for (name, content), result in zip(bodies, await run(RECIPES[0], bodies), strict=True):
        first, again = (events_sent(result, content, message_id) for message_id in ("msg_1", "msg_2"))
        assert first, name
        assert not first.keys() & again.keys(), name


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("payment.succeeded", {"payment_id": "pay_other"}),
        ("refund.succeeded", {"refund_id": "ref_other"}),
        ("dispute.opened", {"dispute_stage": "pre_arbitration"}),
        ("dispute.opened", {"dispute_id": "dp_other"}),
        ("subscription.renewed", {"previous_billing_date": "2026-11-14T08:12:09.402117Z"}),
        ("subscription.active", {"subscription_id": "sub_other"}),
        ("credit.added", {"id": "cle_other"}),
    ],
    ids=str,
)
async def test_another_occurrence_is_another_event(name, changes):
    bodies = [(name, body(name)), (name, body(name, **changes))]
    first, other = (
        events_sent(result, content, "msg_1")
        for (_, content), result in zip(bodies, await run(RECIPES[0], bodies), strict=True)
    )
    assert first
    assert other
    assert not first.keys() & other.keys()


@pytest.mark.parametrize("name", ["subscription.on_hold", "dunning.recovered", "credit.balance_low"])
async def test_status_entered_again_is_another_event(name):
    later = changed_body(name, lambda value: value.update(timestamp="2026-12-01T08:00:00.000000Z"))
    bodies = [(name, body(name)), (name, later)]
    first, other = (
        events_sent(result, content, "msg_1")
        for (_, content), result in zip(bodies, await run(RECIPES[0], bodies), strict=True)
    )
    assert first
    assert not first.keys() & other.keys()


def events_sent(result: Result, content: bytes, message_id: str) -> dict[str, str]:
    """The names of the events that Customer.io would get, by their ids."""
    if not isinstance(result, Calls):
        return {}
    sent = [msgspec.json.decode(call.body) for call in prepared(result, content, message_id).calls]
    return {str(call["id"]): str(call["name"]) for call in sent if call["action"] == "event"}


# --- credits, and what is no recipe's ---


@pytest.mark.parametrize("unknown", [None, "", " ", "many", {}])
async def test_unknown_credits_are_null(unknown):
    bodies = [
        ("credit.added", body("credit.added", balance_after=unknown, amount=unknown)),
        ("credit.balance_low", body("credit.balance_low", available_balance=unknown, threshold_amount=unknown)),
    ]
    for result in await run(RECIPES[0], bodies):
        (event,) = events(result)
        assert event["attributes"]["credits_left"] is None
    (customer,) = await run(RECIPES[0], [("credit.added", body("credit.added", balance_after="0", amount=2.5))])
    assert events(customer)[0]["attributes"]["credits"] == 2.5


@every_recipe
async def test_events_outside_a_recipe_stay_unchanged(tested):
    (result,) = await run(tested, [("payout.success", body("payout.success"))])
    assert isinstance(result, Untouched)


def test_unknown_recipe_error_lists_the_available_ones():
    with pytest.raises(UserError, match="journeys"):
        recipe("journey")
