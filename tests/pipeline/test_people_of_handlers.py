"""Whom handlers reach under each rule of an endpoint, with the real sandbox."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.customerio.recipes import RECIPES
from nicobar.model import Customer, DeliveryState, Level, Message
from nicobar.pipeline.transform import Ready, Stopped, Subject, transform
from nicobar.sources.dodo import DodoPayments
from nicobar.use_cases.dry_run import dry_target, run_samples
from nicobar.use_cases.sample_events import samples_of
from support.handlers import EARLIER_RECIPE, ORDER_PAID, PERSON_STATE, PLAN_LIFE
from support.worker import world

ADA = Customer(key="cus_1", email="Ada@northpine.example", name="Ada", metadata={"user": "u-1"})
PERSON = {
    "": {"id": "cus_1"},
    "customer_id": {"id": "cus_1"},
    "email": {"email": "ada@northpine.example"},
    "metadata.user": {"id": "u-1"},
}
every_rule = pytest.mark.parametrize("rule", PERSON)
PAYMENT = {"total_amount": 3154, "customer": {"customer_id": "cus_1", "email": ADA.email, "name": "Ada"}}
PLAN = {"product_id": "p", "customer": PAYMENT["customer"]}


def subject(event_type: str, data: object, customer: Customer | None = ADA) -> Subject:
    message = Message(
        seq=1,
        id="msg_1",
        app_id="app_1",
        source_id="src_1",
        event_id="evt_1",
        event_type=event_type,
        customer_key=customer.key if customer else None,
        occurred_at_ms=1,
        accepted_at_ms=1,
        body=msgspec.json.encode({"type": event_type, "data": data}),
    )
    return Subject(message=message, customer=customer, customer_id_attribute="dodo_customer_id")


async def run(sandbox, rule: str, code: str, of: Subject, **settings: object) -> Ready | Stopped:
    given = {**({"identify_by": rule} if rule else {}), **settings}
    (result,) = await transform(sandbox, dry_target("customerio", code, settings=given), [of], 2)
    return result


def items(result: Ready | Stopped) -> list[dict[str, object]]:
    assert isinstance(result, Ready), result
    return [msgspec.json.decode(call.body) for call in result.calls]


@every_rule
@pytest.mark.parametrize(
    ("code", "event_type", "data"),
    [
        (ORDER_PAID, "payment.succeeded", PAYMENT),
        (PLAN_LIFE, "subscription.active", PLAN),
        (PLAN_LIFE, "subscription.cancelled", PLAN),
        (PERSON_STATE, "payment.succeeded", PAYMENT),
    ],
)
async def test_published_handlers_reach_the_person_unmodified(sandbox, rule, code, event_type, data):
    sent = items(await run(sandbox, rule, code, subject(event_type, data)))
    assert all(item["identifiers"] == PERSON[rule] for item in sent)
    people = [item["attributes"] for item in sent if item["action"] == "identify"]
    assert len(people) == 1
    assert "id" not in people[0]
    if rule == "metadata.user":
        assert not {"email", "name"} & people[0].keys()
    assert ("dodo_customer_id" in people[0]) is bool(rule)


EVENT = "const handler = (w) => ({...w, payload: nicobar.event('seen', {a: 1})});"


@every_rule
async def test_helpers_without_a_customer_wait_for_one_under_a_rule(sandbox, rule):
    for code in (EVENT, EVENT.replace("event('seen', ", "identify(")):
        result = await run(sandbox, rule, code, subject("dispute.opened", {}, None))
        assert isinstance(result, Stopped)
        if rule:
            assert (result.state, result.code) == (DeliveryState.CANCELED, "no_identity")
        else:
            assert result.state is DeliveryState.FAILED
            assert "this event has no customer" in str(result.reason)
        assert [item["identifiers"] for item in items(await run(sandbox, rule, code, subject("dispute.opened", {})))][
            -1
        ] == PERSON[rule]


async def test_unidentified_customer_cancels_the_delivery_with_its_verdicts(sandbox):
    result = await run(sandbox, "email", EVENT, subject("dunning.started", {}, Customer(key="cus_1")))
    assert isinstance(result, Stopped)
    assert (result.state, result.code) == (DeliveryState.CANCELED, "no_identity")
    assert "cus_1" in str(result.reason)
    assert len(result.requested) == 1


@pytest.mark.parametrize("value", ["email", "customer_id", "metadata.user"])
async def test_published_copy_of_an_earlier_recipe_reaches_the_same_person(sandbox, value):
    own = {"customer": {**PAYMENT["customer"], "email": "ada@northpine.example"}, "metadata": {"user": "u-1"}}
    of = subject("payment.succeeded", own)
    variables = {"IDENTIFIER": value, "PLAN": "pro"}
    before = items(await _run_with(sandbox, of, variables, {}))
    found = CustomerIo().carried_settings({}, variables, EARLIER_RECIPE)
    assert found is not None
    settings, rest = found
    assert rest == {"PLAN": "pro"}
    after = items(await _run_with(sandbox, of, rest, settings))
    assert [item["identifiers"] for item in after] == [item["identifiers"] for item in before]
    assert [item.get("id") for item in after] == [item.get("id") for item in before], "sent once, not once more"
    other = {**settings, "identify_by": "email", "trust_metadata": False}
    by_email = items(await _run_with(sandbox, of, rest, other))
    assert by_email[-1]["id"] == before[-1]["id"], "whatever identifies people later"
    assert [item["attributes"].get("email") for item in after] == [item["attributes"].get("email") for item in before]
    assert {name for name, value in settings.items() if value is True} == (
        {"trust_metadata"} if value.startswith("metadata") else set()
    )
    # It now reaches the person of an event without a customer object, too.
    bare = items(await _run_with(sandbox, subject("dunning.started", {"customer_id": "cus_1"}), rest, settings))
    assert {str(item["identifiers"]) for item in bare} == {str(after[0]["identifiers"])}


async def _run_with(sandbox, of: Subject, variables: dict[str, str], settings: dict[str, object]) -> Ready | Stopped:
    target = dry_target("customerio", EARLIER_RECIPE, variables, settings=settings)
    (result,) = await transform(sandbox, target, [of], 2)
    return result


@pytest.mark.parametrize(("email", "count"), [("ada@northpine.example", b" 1.0"), ("", b"")])
async def test_use_of_the_fallback_is_counted_once_it_is_delivered(tmp_path, email, count):
    async with world(tmp_path) as it:
        await it.change_endpoint(settings={"keep_profile": False, "identify_by": "metadata.user"})
        await it.accept("paid", email=email)
        ended = (await it.next_recorded()).attempt
        assert ended.state is (DeliveryState.SUCCESS if email else DeliveryState.CANCELED)
        counter = b'nicobar_identity_fallbacks_total{endpoint="customerio"}'
        assert (counter + count in it.worker._metrics.render()) is bool(email)


@every_rule
async def test_samples_show_what_is_sent_under_each_rule(sandbox, rule):
    settings = {"identify_by": rule, "identify_fallback": "reject"} if rule else {}
    target = dry_target("customerio", RECIPES[0].code, settings=settings)
    found = await run_samples(sandbox, target, samples_of(DodoPayments()), 1_789_000_000_000, lambda: 0)
    assert len(found.coverage.sends) == 43
    assert not [note for note in found.notes if note.level is Level.ERROR]
