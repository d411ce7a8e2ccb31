"""A dry run of a handler on the samples: its findings, each once, with their lines."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.connectors.customerio.recipes import RECIPES
from nicobar.errors import UserError
from nicobar.model import Level
from nicobar.reasons import reason
from nicobar.sources.dodo import DodoPayments
from nicobar.use_cases import dry_run, sample_events
from nicobar.use_cases.ledger_states import LedgerState, StateLedger, kind_of_sample

NOW_MS = 1_789_000_000_000
DODO = sample_events.samples_of(DodoPayments())
CREDENTIALS = {"site_id": "s", "api_key": "k"}


def at(code: str):
    return dry_run.target(kind="customerio", code=code, settings={}, credentials=CREDENTIALS)


async def test_the_default_recipe_is_right_for_every_sample(sandbox):
    findings = await dry_run.run_samples(sandbox, at(RECIPES[0].code), DODO, NOW_MS, lambda: 0)
    assert (len(findings.dry_runs), findings.stopped) == (48, False)
    assert not [note for note in findings.notes if note.level is Level.ERROR]
    assert {dry_run.outcome(dry.result) for dry in findings.dry_runs} == {"sends", "not_handled"}


async def test_variants_find_what_usual_samples_hide(sandbox):
    code = (
        "function handler(webhook) {\n"
        "  const it = webhook.payload.data; if (!webhook.eventType.startsWith('payment')) return webhook;\n"
        "  if (webhook.eventType === 'payment.succeeded') it.payment_method.length;\n"
        "  if (webhook.eventType === 'payment.failed' && !it.customer.metadata?.crm_id) throw new Error('no id');\n"
        "  webhook.payload = nicobar.event('paid', {});\n"
        "  return webhook;\n"
        "}"
    )
    findings = await dry_run.run_samples(sandbox, at(code), DODO, NOW_MS, lambda: 0, variants=sample_events.VARIED)
    assert (findings.coverage.failed, len(findings.dry_runs)) == (0, 48)
    found = {(note.line, note.event_types): note.variants for note in findings.notes if note.code == "threw"}
    assert found == {(3, ("payment.succeeded",)): ("nulls",), (4, ("payment.failed",)): ("nulls", "guest")}
    failing = {(dry.subject.message.event_type, dry.variant) for dry in findings.failing}
    assert failing == {("payment.succeeded", "nulls"), ("payment.failed", "nulls"), ("payment.failed", "guest")}


async def test_states_of_the_ledger_find_what_the_usual_one_hides(sandbox):
    code = (
        "function handler(w) {\n"
        "  if (w.eventType !== 'payment.succeeded') return w;\n"
        "  w.payload = nicobar.identify({payments: w.customer.payments.toString()});\n"
        "  return w;\n"
        "}"
    )
    states = tuple(LedgerState)
    findings = await dry_run.run_samples(sandbox, at(code), DODO, NOW_MS, lambda: 0, states=states)
    (note,) = [note for note in findings.notes if note.code == "threw"]
    assert (note.line, note.variants, note.states) == (3, (), ("history_unknown",))
    assert [dry.state for dry in findings.varied] == [
        "trial",
        "second_failure",
        "two_subscriptions",
        "history_unknown",
    ]
    assert [dry.state for dry in findings.failing] == ["history_unknown"]


async def test_a_handler_without_the_ledger_runs_in_one_state(sandbox):
    code = "function handler(w) { w.payload = nicobar.event('a', {}); return w; }"
    findings = await dry_run.run_samples(sandbox, at(code), DODO, NOW_MS, lambda: 0, states=tuple(LedgerState))
    assert findings.varied == ()


@pytest.mark.parametrize(
    ("state", "event_type", "sent"),
    [
        ("first_purchase", "payment.succeeded", {"payment_succeeded", "first_payment_succeeded"}),
        ("first_purchase", "subscription.active", {"subscription_started"}),
        ("trial", "payment.succeeded", {"payment_succeeded", "first_payment_succeeded", "trial_converted"}),
        ("second_failure", "payment.succeeded", {"payment_succeeded", "payment_recovered"}),
        ("two_subscriptions", "payment.succeeded", {"payment_succeeded"}),
        ("history_unknown", "payment.succeeded", {"payment_succeeded"}),
    ],
)
async def test_the_recipe_sends_what_fits_the_state(sandbox, state, event_type, sent):
    subject = sample_events.sample(DODO, event_type, NOW_MS)
    ledger = StateLedger(LedgerState(state), kind_of_sample)
    found = await dry_run.run_event(sandbox, at(RECIPES[0].code), subject, NOW_MS, ledger)
    bodies = [msgspec.json.decode(call.body) for call in found.result.calls]
    assert {body["name"] for body in bodies if body["action"] == "event"} == sent


async def test_the_second_failure_is_the_second_attempt(sandbox):
    code = "function handler(w) { w.payload = nicobar.event('a', {n: w.facts.map((f) => f.attempt)}); return w; }"
    subject = sample_events.sample(DODO, "payment.failed", NOW_MS)
    ledger = StateLedger(LedgerState.SECOND_FAILURE, kind_of_sample)
    found = await dry_run.run_event(sandbox, at(code), subject, NOW_MS, ledger)
    assert msgspec.json.decode(found.result.calls[-1].body)["attributes"]["n"] == [None, 2]


async def test_a_guest_is_not_completed_from_other_samples(sandbox):
    code = "function handler(w) { w.payload = nicobar.identify({a: 1}); return w; }"
    rules = {"identify_by": "metadata.crm_id", "identify_fallback": "reject"}
    target = dry_run.target(kind="customerio", code=code, settings=rules, credentials=CREDENTIALS)
    findings = await dry_run.run_samples(sandbox, target, DODO, NOW_MS, lambda: 0, variants=sample_events.VARIED)
    guests = [dry for dry in findings.varied if dry.variant is sample_events.Variant.GUEST]
    outcomes = {dry_run.outcome(dry.result) for dry in guests if dry.result.code != "no_customer"}
    assert (len(guests), outcomes) == (43, {"left_out"})


@pytest.mark.parametrize("recipe", [recipe.name for recipe in RECIPES])
async def test_recipes_are_right_for_every_variant_and_state(sandbox, recipe):
    (code,) = (one.code for one in RECIPES if one.name == recipe)
    every = {"variants": sample_events.VARIED, "states": tuple(LedgerState)}
    findings = await dry_run.run_samples(sandbox, at(code), DODO, NOW_MS, lambda: 0, **every)
    assert not findings.failing
    new = [note for note in findings.notes if (note.variants or note.states) and note.level is not Level.CORRECTION]
    assert not new


async def test_one_mistake_on_many_events_is_one_note(sandbox):
    code = (
        "function handler(webhook) {\n"
        "  webhook.payload = nicobar.event('paid', {});\n"
        "  webhook.payload.timestamp = 'yesterday';\n"
        "  return [webhook, webhook];\n"
        "}"
    )
    findings = await dry_run.run_samples(sandbox, at(code), DODO, NOW_MS, lambda: 0)
    found = [note for note in findings.notes if note.path == "payload.timestamp"]
    assert [item.line for item in found] == [3] * len(found)
    assert found
    assert len(found[0].event_types) > 20


async def test_customers_of_many_samples_are_one_note(sandbox):
    rules = {"identify_by": "email"}
    target = dry_run.target(kind="customerio", code=RECIPES[0].code, settings=rules, credentials=CREDENTIALS)
    findings = await dry_run.run_samples(sandbox, target, DODO, NOW_MS, lambda: 0, variants=sample_events.VARIED)
    (note,) = findings.notes
    assert (note.code, len(note.event_types), note.variants) == ("identifier_replaced", 43, ())


async def test_code_that_fails_says_the_line(sandbox):
    for code, failure, line in (
        ("function handler(webhook) {\n  throw new Error('no');\n}", "threw", 2),
        ("function handler(webhook) {\n  return ]\n}", "syntax_error", 2),
    ):
        findings = await dry_run.run_samples(sandbox, at(code), DODO, NOW_MS, lambda: 0)
        (note,) = findings.notes
        assert (note.level, note.code, note.line) == (Level.ERROR, failure, line)
        assert not str(note.reason).startswith("line")
        assert len(note.event_types) == 48


async def test_a_slow_handler_is_stopped_and_that_is_said(sandbox):
    passed = iter(range(0, 100 * dry_run.MAX_RUN_MS, dry_run.MAX_RUN_MS // 2))
    findings = await dry_run.run_samples(sandbox, at(RECIPES[0].code), DODO, NOW_MS, lambda: next(passed))
    assert (len(findings.dry_runs), findings.stopped) == (1, True), (
        "a turn is short until the handler is known to be fast"
    )


@pytest.mark.parametrize(
    ("code", "event_types", "summary", "warning"),
    [
        (
            "function handler(w) { return w; }",
            (),
            "Sends for 0 of 48 event types.",
            "This handler sends nothing. Events will be canceled as not handled.",
        ),
        (
            "function handler(w) { w.cancel = true; return w; }",
            ("payment.failed", "payment.succeeded"),
            "Sends for 0 of 2 event types.",
            "This handler sends nothing. Events will be canceled.",
        ),
        (
            "function handler(w) { throw 1; }",
            (),
            "Sends for 0 of 48 event types.",
            "This handler sends nothing. Fix its errors first.",
        ),
        (
            "function handler(w) { if (/failed/.test(w.eventType)) w.payload = nicobar.event('a', {}); return w; }",
            ("payment.failed", "payment.succeeded"),
            "Sends for 1 of 2 event types: payment.failed.",
            "",
        ),
        (
            "function handler(w) { w.payload = nicobar.event('a', {}); return w; }",
            ("order.placed",),
            "There are no samples of the event types that this endpoint subscribes to.",
            "",
        ),
    ],
)
async def test_a_handler_that_sends_nothing_gets_a_warning(sandbox, code, event_types, summary, warning):
    where = dry_run.dry_target("customerio", code, event_types=event_types)
    found = (await dry_run.run_samples(sandbox, where, DODO, NOW_MS, lambda: 0)).coverage
    assert (found.summary, found.warning) == (summary, warning)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("a = {\n timestamp: 1,\n};", 2),
        ("a.timestamp = 1;", 1),
        ("a = {'timestamp': 1};\n// timestamp: 2", 1),
        ("a.timestamp = 1;\nb.timestamp = 2;", None),
        ("if (a.timestamp === 1) b();", None),
        ("my_timestamp: 1", None),
    ],
)
def test_a_line_is_named_only_if_unambiguous(code, line):
    verdict = dry_run.Verdict(
        level=Level.ERROR, reason=reason("timestamp", "", location="[0].payload[1].timestamp"), source=""
    )
    assert dry_run.line_of(code, verdict) == line


def test_invalid_or_unknown_samples_cannot_be_dry_run():
    with pytest.raises(UserError):
        sample_events.pasted(DODO.kinds, b"no json", NOW_MS)
    with pytest.raises(UserError, match="No sample"):
        sample_events.sample(DODO, "nothing", NOW_MS)
