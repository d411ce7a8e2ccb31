"""Our recipes over every sample: right by the contract, the same keys every time, nothing private."""

from __future__ import annotations

import re
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
from nicobar.model import Customer, Level
from nicobar.sandbox import Broken, Calls, Canceled, Job, Untouched
from nicobar.sources.dodo import DodoPayments
from nicobar.sources.samples import fresh
from support.shared import SANDBOX

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
every_rule = pytest.mark.parametrize("rule", PERSON)
# Data that no journey needs and no email service should store.
PRIVATE = {
    "key", "street", "zipcode", "city", "phone_number", "card_last_four", "card_holder_name", "card_exp_year",
    "payment_method_id", "oauth_url", "tax_id", "remarks", "cancellation_comment",
}  # fmt: skip


def body(name: str, **changes: object) -> bytes:
    value = msgspec.json.decode(fresh(TYPES[name], NOW_MS, ADA))
    for field, new in changes.items():
        value["data"][field] = new
    return msgspec.json.encode(value)


async def run(item, bodies: list[tuple[str, bytes]]):
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
        )
        for name, content in bodies
    ]
    sandbox = await SANDBOX.get()
    return await sandbox.run(jobs)


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


def items(result: Calls) -> list[dict]:
    (call,) = result.calls
    return call.payload


@every_rule
@every_recipe
async def test_every_sample_satisfies_the_contract_and_reaches_the_person(tested, rule):
    bodies = [(name, body(name)) for name in TYPES]
    assert len(bodies) == 48
    # Completed from what is remembered of the customer.
    known = msgspec.structs.replace(ADA, metadata={"user": "u-1"}) if rule else None
    for (name, content), result in zip(bodies, await run(tested, bodies), strict=True):
        assert not isinstance(result, Broken), (name, result)
        if not isinstance(result, Calls):
            continue
        found = prepared(result, content, rule=rule, customer=known)
        bad = [verdict for verdict in found.verdicts if verdict.level in {Level.ERROR, Level.WARNING}]
        customer = DODO.read({}, content).customer
        if customer is None or not customer.email:
            # The event has no address; the profile has it from another event.
            bad = [verdict for verdict in bad if verdict.rule != "no_address"]
        assert not bad, (name, bad)
        sent = [msgspec.json.decode(call.body) for call in found.calls]
        assert sent
        assert all(item["identifiers"] == PERSON[rule] for item in sent), name


AMOUNTS = ("total_amount", "amount", "recurring_pre_tax_amount")


def _changed(name: str, change) -> bytes:
    value = msgspec.json.decode(fresh(TYPES[name], NOW_MS, ADA))
    change(value)
    return msgspec.json.encode(value)


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


# What senders do to optional fields.
MUTATIONS = {
    "currency in lower case": _set(currency="usd", settlement_currency="usd"),
    "unknown currency": _set(currency="XYZ"),
    "currency null": _set(currency=None),
    "currency a number": _set(currency=840),
    "fractions": _set(**dict.fromkeys(AMOUNTS, 49.9)),
    "amounts as text": _set(**dict.fromkeys(AMOUNTS, "4990")),
    "amounts with text": _set(**dict.fromkeys(AMOUNTS, "much")),
    "amounts as objects": _set(**{field: {"value": 1} for field in AMOUNTS}),
    "times as numbers": _every(lambda field, given: 1_789_373_529 if field.endswith(("_at", "_date")) else given),
    "times as nonsense": _every(lambda field, given: "soon" if field.endswith(("_at", "_date")) else given),
    "days that do not exist": _every(
        lambda field, given: "2024-02-30T00:00:00Z" if field.endswith(("_at", "_date")) else given
    ),
    "all null": _every(lambda _field, _given: None),
    "all objects": _every(lambda _field, _given: {"a": [1]}),
    "all lists": _every(lambda _field, _given: [None, {}]),
    "all numbers": _every(lambda _field, _given: 7.5),
    "all true": _every(lambda _field, _given: True),
    "envelope time null": lambda value: value.update(timestamp=None),
    "envelope time nonsense": lambda value: value.update(timestamp="soon"),
    "data null": lambda value: value.update(data=None),
    "data absent": lambda value: value.pop("data"),
    "data a list": lambda value: value.update(data=[]),
    "data text": lambda value: value.update(data="text"),
    "data empty": lambda value: value.update(data={}),
    "customer text": lambda value: value["data"].update(customer="cus_1"),
    "metadata text": lambda value: value["data"].update(metadata="x"),
}


# After these, every event that was sent is still sent.
KEPT = frozenset(
    name for name in MUTATIONS if name.split()[0] in {"currency", "unknown", "fractions", "times", "days"}
)


@pytest.mark.parametrize("mutation", MUTATIONS)
@every_recipe
async def test_no_optional_field_loses_an_event(tested, mutation):
    changed = [(name, _changed(name, MUTATIONS[mutation])) for name in TYPES]
    before = await run(tested, [(name, body(name)) for name in TYPES])
    for (name, content), was, result in zip(changed, before, await run(tested, changed), strict=True):
        assert not isinstance(result, Broken), (name, result)
        if isinstance(result, Calls):
            errors = [item for item in prepared(result, content).verdicts if item.level is Level.ERROR]
            assert not errors, (name, errors)
        if mutation in KEPT:
            assert names_in(result) == names_in(was), name


def names_in(result) -> set[str]:
    return {item["name"] for item in items(result) if "name" in item} if isinstance(result, Calls) else set()


@every_recipe
async def test_each_event_always_has_the_documented_keys(tested):
    bodies = [(name, body(name)) for name in TYPES]
    keys: dict[str, set[str]] = {}
    attributes: set[str] = set()
    for result in await run(tested, bodies):
        for item in items(result) if isinstance(result, Calls) else []:
            if item["action"] == "event":
                assert keys.setdefault(item["name"], set(item["attributes"])) == set(item["attributes"])
                assert re.fullmatch(r"[a-z]+(_[a-z]+)*", item["name"])
            else:
                attributes |= set(item["attributes"])
    page = (PAGES / f"{tested.name}.md").read_text("utf-8")
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
async def test_nothing_private_leaves(tested):
    bodies = [(name, body(name)) for name in TYPES]
    for (name, content), result in zip(bodies, await run(tested, bodies), strict=True):
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
        assert not [
            verdict for verdict in prepared(result, content).verdicts if verdict.level in {Level.ERROR, Level.WARNING}
        ]


@every_recipe
@pytest.mark.slow
async def test_events_keep_all_fields_with_one_missing_or_null(
    tested,
):
    complete = [(name, body(name)) for name in TYPES]
    keys: dict[str, set[str]] = {}
    for result in await run(tested, complete):
        keys |= {item["name"]: set(item["attributes"]) for item in events(result)}
    without = [(name, content) for name in TYPES for content in with_a_field_unknown(name)]
    assert len(without) > 1_000
    for (name, content), result in zip(without, await run(tested, without), strict=True):
        assert not isinstance(result, Broken), (name, result)
        if isinstance(result, Calls):
            assert not [verdict for verdict in prepared(result, content).verdicts if verdict.level is Level.ERROR], (
                content
            )
        for item in events(result):
            # The samples hold no announcement of this one and no trial.
            customer = keys.get(item["name"], keys.get("subscription_active"))
            assert set(item["attributes"]) == customer, (name, content)
        for item in identifies(result):
            cleared = {key for key, value in item["attributes"].items() if value is None}
            assert cleared <= {"subscription_past_due_until", "checkout_abandoned_at"}, (name, content)
            assert "" not in item["attributes"].values()
        if isinstance(result, Calls):
            assert "undefined" not in msgspec.json.encode(items(result)).decode()


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


def events(result) -> list[dict]:
    return [item for item in items(result) if item["action"] == "event"] if isinstance(result, Calls) else []


def identifies(result) -> list[dict]:
    return [item for item in items(result) if item["action"] == "identify"] if isinstance(result, Calls) else []


SOON, PAST = "2099-01-01T00:00:00.000000Z", "2020-01-01T00:00:00.000000Z"
ANNOUNCED = {"status": "active", "cancel_at_next_billing_date": True, "cancelled_at": None, "next_billing_date": SOON}


@pytest.mark.parametrize(
    ("event_type", "changes", "names"),
    [
        ("updated", ANNOUNCED, ["subscription_cancel_scheduled"]),
        ("updated", {**ANNOUNCED, "status": "on_hold"}, ["subscription_cancel_scheduled"]),
        ("updated", {**ANNOUNCED, "cancel_at_next_billing_date": False}, []),
        # It has ended, and the flag stays.
        ("updated", {**ANNOUNCED, "status": "cancelled", "cancelled_at": PAST}, []),
        ("updated", {**ANNOUNCED, "status": "expired", "next_billing_date": PAST}, []),
        ("cancelled", ANNOUNCED, ["subscription_cancel_scheduled"]),
        ("cancelled", {**ANNOUNCED, "status": "cancelled"}, ["subscription_cancel_scheduled"]),
        ("cancelled", {**ANNOUNCED, "status": "cancelled", "cancelled_at": PAST}, ["subscription_cancelled"]),
        ("cancelled", {**ANNOUNCED, "status": "cancelled", "next_billing_date": PAST}, ["subscription_cancelled"]),
        ("cancelled", {**ANNOUNCED, "status": "expired"}, ["subscription_cancelled"]),
        ("cancelled", {**ANNOUNCED, "cancel_at_next_billing_date": None}, ["subscription_cancel_scheduled"]),
        ("updated", {**ANNOUNCED, "cancel_at_next_billing_date": None}, []),
        ("cancelled", {"status": "cancelled", "cancel_at_next_billing_date": False}, ["subscription_cancelled"]),
        # It arrives late, and the announcement has been withdrawn since.
        ("cancelled", {**ANNOUNCED, "cancel_at_next_billing_date": False}, []),
    ],
)
async def test_a_cancellation_is_announced_or_has_happened(event_type, changes, names):
    name = f"subscription.{event_type}"
    for entry in ("journeys", "subscription_life_cycle", "payment_failure"):
        if (entry, event_type) == ("payment_failure", "updated"):
            continue
        (result,) = await run(recipe(entry), [(name, body(name, **changes))])
        assert [item["name"] for item in events(result)] == names, entry


async def test_every_event_under_two_webhook_ids_counts_once():
    for candidate in RECIPES:
        seen: dict[str, str] = {}
        bodies = [(name, body(name)) for name in TYPES]
        for (name, content), result in zip(bodies, await run(candidate, bodies), strict=True):
            first, again = (events_sent(result, content, message_id) for message_id in ("msg_1", "msg_2"))
            assert first == again, (candidate.name, name)
            for event_id, event in first.items():
                assert seen.setdefault(event_id, event) == event, (recipe.name, name, "another event has its id")


# Of each family, what its key needs: without it each webhook id counts, so that no event is lost.
KEYS = {
    "payment.failed": ["payment_id"],
    "refund.succeeded": ["refund_id"],
    "dispute.opened": ["dispute_id", "dispute_stage"],
    "subscription.renewed": ["subscription_id", "previous_billing_date"],
    "subscription.active": ["subscription_id"],
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
        ("subscription.renewed", {"previous_billing_date": "2026-08-14T08:12:09.402117Z"}),
        ("subscription.renewed", {"payment_id": "pay_other"}),
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
    assert not first.keys() & other.keys()


@pytest.mark.parametrize(
    "name", ["subscription.active", "subscription.on_hold", "dunning.recovered", "credit.balance_low"]
)
async def test_status_entered_again_is_another_event(name):
    later = msgspec.json.decode(body(name)) | {"timestamp": "2026-12-01T08:00:00.000000Z"}
    bodies = [(name, body(name)), (name, msgspec.json.encode(later))]
    first, other = (
        events_sent(result, content, "msg_1")
        for (_, content), result in zip(bodies, await run(RECIPES[0], bodies), strict=True)
    )
    assert first
    assert not first.keys() & other.keys()


def events_sent(result, content: bytes, message_id: str) -> dict[str, str]:
    """The names of the events that Customer.io would get, by their ids."""
    if not isinstance(result, Calls):
        return {}
    sent = [msgspec.json.decode(call.body) for call in prepared(result, content, message_id).calls]
    return {str(call["id"]): str(call["name"]) for call in sent if call["action"] == "event"}


LIFE = pytest.mark.parametrize("recipe_name", ["journeys", "subscription_life_cycle"])


async def sent_ids(value: str, bodies: list[tuple[str, bytes]], event: str) -> list[str]:
    """The ids under which Customer.io would get the events of this name, each body being a message of its own."""
    ids = []
    for number, result in enumerate(await run(recipe(value), bodies)):
        calls = [
            msgspec.json.decode(call.body) for call in prepared(result, bodies[number][1], f"msg_{number}").calls
        ]
        ids += [call["id"] for call in calls if call.get("name") == event]
    return ids


@LIFE
async def test_cancellation_is_announced_once_for_each_period(recipe_name):
    first = {**ANNOUNCED, "previous_billing_date": "2098-12-01T00:00:00Z"}
    moved = {**first, "next_billing_date": "2099-02-01T00:00:00Z"}
    undone = {**first, "cancel_at_next_billing_date": False}
    updates = [*({**first, "quantity": n} for n in (1, 2, 3)), moved, undone, first]
    announced = [("subscription.updated", body("subscription.updated", **changes)) for changes in updates]
    announced += [("subscription.cancelled", body("subscription.cancelled", **first))]
    same = await sent_ids(recipe_name, announced, "subscription_cancel_scheduled")
    assert (len(same), len(set(same))) == (6, 1)
    for other in ({"previous_billing_date": "2098-12-15T00:00:00Z"}, {"subscription_id": "sub_other"}):
        changed = [("subscription.updated", body("subscription.updated", **{**first, **other}))]
        (new,) = await sent_ids(recipe_name, changed, "subscription_cancel_scheduled")
        assert new not in same


@LIFE
async def test_trial_starts_once_despite_a_later_recovered_payment(recipe_name):
    start = body("subscription.active", trial_period_days=14)
    again = body("subscription.active", trial_period_days=14, quantity=2)
    ids = await sent_ids(
        recipe_name, [("subscription.active", start), ("subscription.active", again)], "trial_started"
    )
    assert (len(ids), len(set(ids))) == (2, 1)
    after = body("subscription.active", trial_period_days=14, created_at=PAST)
    assert await sent_ids(recipe_name, [("subscription.active", after)], "trial_started") == []
    assert await sent_ids(recipe_name, [("subscription.active", body("subscription.active"))], "trial_started") == []


@LIFE
async def test_event_without_a_time_counts_as_now(recipe_name):
    for days, count in ((14, 1), (1, 0)):
        began = "2026-09-08T00:00:00Z"  # two days before NOW_MS
        value = msgspec.json.decode(body("subscription.active", trial_period_days=days, created_at=began))
        del value["timestamp"]
        content = [("subscription.active", msgspec.json.encode(value))]
        assert len(await sent_ids(recipe_name, content, "trial_started")) == count


@LIFE
async def test_events_without_subscription_id_are_not_deduplicated(recipe_name):
    nameless = [("subscription.updated", body("subscription.updated", **ANNOUNCED, subscription_id=None))] * 2
    assert len(set(await sent_ids(recipe_name, nameless, "subscription_cancel_scheduled"))) == 2


ONE_TIME = {"subscription_id": None, "subscription_ids": [], "charge_type": None}


@pytest.mark.parametrize(
    ("changes", "welcomed"),
    [
        ({"charge_type": "new"}, True),
        (ONE_TIME, True),
        ({"total_amount": 0}, False),
        ({**ONE_TIME, "total_amount": 0}, False),
        ({"total_amount": None}, False),
        ({"charge_type": "renewal"}, False),
        ({"charge_type": "plan_change"}, False),
        ({"charge_type": "on_demand"}, False),
        ({"charge_type": "what_comes_later"}, False),
        ({"charge_type": None}, False),
        ({**ONE_TIME, "subscription_ids": ["sub_1", "sub_2"]}, False),
        ({"charge_type": "new", "retry_attempt": 1}, False),
        ({"is_update_payment_method": True}, False),
        ({**ONE_TIME, "is_update_payment_method": True}, False),
    ],
)
async def test_only_a_clear_first_payment_is_welcomed(changes, welcomed):
    (result,) = await run(recipe("welcome"), [("payment.succeeded", body("payment.succeeded", **changes))])
    if welcomed:
        assert [item["name"] for item in events(result)] == ["payment_succeeded"]
    else:
        assert isinstance(result, Canceled)
        assert result.console[0].startswith("skipped: ")


@pytest.mark.parametrize("unknown", [None, "", " ", "many", {}])
async def test_unknown_credits_are_null_in_events_and_absent_from_attributes(unknown):
    changed = [
        ("credit.added", body("credit.added", balance_after=unknown, amount=unknown)),
        ("credit.balance_low", body("credit.balance_low", available_balance=unknown, threshold_amount=unknown)),
    ]
    for result in await run(RECIPES[0], changed):
        (event,) = events(result)
        assert event["attributes"]["credits_left"] is None
        assert not [item for item in identifies(result) if "credits_left" in item["attributes"]]
    (customer,) = await run(RECIPES[0], [("credit.added", body("credit.added", balance_after="0", amount=2.5))])
    assert [item["attributes"] for item in identifies(customer)] == [{"credits_left": 0}]
    assert events(customer)[0]["attributes"]["credits"] == 2.5


async def test_attribute_that_no_longer_applies_is_removed():
    (result,) = await run(RECIPES[0], [("subscription.active", body("subscription.active", past_due_ends_at=None))])
    assert identifies(result)[0]["attributes"]["subscription_past_due_until"] is None


def test_what_recipes_share_is_the_same_in_each():
    functions: dict[str, set[str]] = {}
    for candidate in RECIPES:
        complete = r"^(?://[^\n]*\n)*function .*?(?:^}|[^\n]*}(?=\n\n|\n$))"
        for text in re.findall(complete, candidate.code, re.MULTILINE | re.DOTALL):
            functions.setdefault(re.search(r"function (\w+)", text)[1], set()).add(text)
    assert {name for name, texts in functions.items() if len(texts) > 1} <= {"handler", "subscription"}
    assert {"send", "profile", "amount", "time"} <= functions.keys()


@every_recipe
async def test_events_outside_a_recipe_stay_unchanged(tested):
    (result,) = await run(tested, [("payout.success", body("payout.success"))])
    assert isinstance(result, Untouched)


def test_unknown_recipe_error_lists_the_available_ones():
    with pytest.raises(UserError, match="journeys"):
        recipe("journey")
