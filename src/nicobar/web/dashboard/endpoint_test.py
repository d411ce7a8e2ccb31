"""Dry runs and test events: a draft's (`/webhooks/drafts/{id}/test`) and an endpoint's (`/webhooks/{id}/testing`)."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from nicobar.connectors.registry import connector
from nicobar.errors import NicobarError, Refusal, UserError
from nicobar.model import Customer, Message, Record
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.customers import completed
from nicobar.pipeline.handler_runs import LedgerReader
from nicobar.pipeline.transform import Subject, masked
from nicobar.store.history import MessageFilter
from nicobar.use_cases.chosen_ledgers import LedgerChoice, chosen_ledger
from nicobar.use_cases.dry_run import DryRun, Findings, outcome, run_event
from nicobar.use_cases.ledger_states import USUAL_STATE, LedgerState
from nicobar.use_cases.sample_events import Variant, past, pasted, sample
from nicobar.use_cases.test_events import SentTestEvent, send_test_event, sent_test_event
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, not_found
from nicobar.web.dashboard.coverage import coverage_of, findings_of
from nicobar.web.dashboard.differences import compare
from nicobar.web.dashboard.endpoint_bench import Bench, bench_of_draft, bench_of_endpoint
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.shown_dry_run import ShownDryRun, curl, shown_dry_run, written
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

MAX_PAST = 25
MAX_TEST_ID_CHARS = 64
MAX_EMAIL_CHARS = 254


class Chosen(Record):
    """The event to run: a sample's type, a received message, or a body; or `every` sample. With `send`, the page asks
    whether to send it as a test event; `email` replaces a sample's customer by one with that address. `variant` is
    that of the sample. The handler reads the ledger of the `customer` with this id, else as if the event's customer
    were in this `state`, else the stored one.
    """

    sample_type: str = ""
    message_id: str = ""
    body: str = ""
    every: bool = False
    send: bool = False
    email: str = ""
    variant: Variant = Variant.USUAL
    state: LedgerState | None = None
    customer: str = ""

    @property
    def query(self) -> str:
        """The query of the page's URL that shows this event."""
        values = {
            "message": self.message_id,
            "sample_type": "" if self.message_id else self.sample_type,
            "variant": self.variant if self.variant is not Variant.USUAL else "",
            "ledger": self.state or "",
            "customer": self.customer,
        }
        return urlencode({name: value for name, value in values.items() if value})

    @property
    def ledger(self) -> LedgerChoice:
        return LedgerChoice(state=self.state, customer_key=self.customer)


@get("/webhooks/drafts/{draft_id}/test", needs=Needs.CHANGING)
async def dry_run_draft(
    *,
    draft_id: str,
    context: Context,
    visitor: Visitor,
    sample_type: str = "",
    message: str = "",
    every: bool = False,
    send: bool = False,
    email: str = "",
    variant: str = "",
    ledger: str = "",
    customer: str = "",
    changed: bool = False,
) -> Response[bytes]:
    """Runs the draft's code on a sample, a received message, or all samples. `changed` means that the draft was not
    created or published because another window had changed it.
    """
    bench = await bench_of_draft(context, draft_id)
    problem = None
    if changed:
        problem = Refusal(
            409,
            "draft_changed",
            "The draft has changed since you opened this page. Nothing was created or published.",
            "Review the current draft and try again.",
        )
    chosen = Chosen(
        sample_type=sample_type,
        message_id=message,
        every=every,
        send=send,
        email=_short(email),
        variant=_variant(variant),
        state=_state(ledger),
        customer=_short(customer),
    )
    return await _look(context, visitor, bench, chosen, problem)


@get("/webhooks/{endpoint_id}/testing", needs=Needs.RUNNING)
async def dry_run_endpoint(
    *,
    endpoint_id: str,
    context: Context,
    visitor: Visitor,
    sample_type: str = "",
    message: str = "",
    every: bool = False,
    send: bool = False,
    email: str = "",
    variant: str = "",
    ledger: str = "",
    customer: str = "",
) -> Response[bytes]:
    """The same for the published code."""
    bench = await bench_of_endpoint(context, endpoint_id)
    chosen = Chosen(
        sample_type=sample_type,
        message_id=message,
        every=every,
        send=send,
        email=_short(email),
        variant=_variant(variant),
        state=_state(ledger),
        customer=_short(customer),
    )
    return await _look(context, visitor, bench, chosen)


@post("/webhooks/drafts/{draft_id}/test", status=200)
async def run_pasted_on_draft(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Runs the draft's code on a pasted event."""
    return await _pasted(context, visitor, await bench_of_draft(context, draft_id))


@post("/webhooks/{endpoint_id}/testing", status=200)
async def run_pasted_on_endpoint(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The same for the published code."""
    return await _pasted(context, visitor, await bench_of_endpoint(context, endpoint_id))


@post("/webhooks/drafts/{draft_id}/test/send", status=303)
async def send_draft(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Runs the draft's code on an event and sends the result once."""
    return await _send(context, visitor, await bench_of_draft(context, draft_id))


@post("/webhooks/{endpoint_id}/testing/send", status=303)
async def send_endpoint(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The same for the published code."""
    return await _send(context, visitor, await bench_of_endpoint(context, endpoint_id))


@get("/webhooks/drafts/{draft_id}/test/sent/{test_id}", needs=Needs.CHANGING)
async def sent_draft(draft_id: str, test_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The result of a test event."""
    return await _sent(context, visitor, await bench_of_draft(context, draft_id), test_id)


@get("/webhooks/{endpoint_id}/testing/sent/{test_id}", needs=Needs.RUNNING)
async def sent_endpoint(endpoint_id: str, test_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The result of a test event."""
    return await _sent(context, visitor, await bench_of_endpoint(context, endpoint_id), test_id)


def _short(text: str) -> str:
    return text.strip()[:MAX_EMAIL_CHARS]


def _variant(name: str) -> Variant:
    return Variant(name) if name in set(Variant) else Variant.USUAL


def _state(name: str) -> LedgerState | None:
    return LedgerState(name) if name in set(LedgerState) else None


async def _look(
    context: Context, visitor: Visitor, bench: Bench, chosen: Chosen, problem: Refusal | None = None
) -> Response[bytes]:
    if chosen.every:
        findings = await findings_of(context, bench.at)
        return await _page(context, visitor, bench, findings=findings)
    if not chosen.message_id and not chosen.sample_type:
        chosen = msgspec.structs.replace(chosen, sample_type=(await context.samples()).usual)
    if chosen.sample_type and not chosen.message_id and chosen.state is None:
        # Nothing is stored of a sample's customer.
        chosen = msgspec.structs.replace(chosen, state=USUAL_STATE)
    try:
        shown, test_id = await _dry_run(context, bench, chosen)
    except UserError as error:
        if not chosen.customer:
            raise
        return await _page(context, visitor, bench, chosen=chosen, problem=error)
    return await _page(context, visitor, bench, chosen=chosen, shown=shown, test_id=test_id, problem=problem)


async def _pasted(context: Context, visitor: Visitor, bench: Bench) -> Response[bytes]:
    form = visitor.form
    chosen = Chosen(
        body=form.get("body", ""),
        send="send" in form,
        state=_state(form.get("ledger", "")),
        customer=_short(form.get("customer", "")),
    )
    try:
        shown, test_id = await _dry_run(context, bench, chosen)
    except UserError as problem:
        return await _page(context, visitor, bench, chosen=chosen, problem=problem)
    return await _page(context, visitor, bench, chosen=chosen, shown=shown, test_id=test_id)


async def _subject(context: Context, bench: Bench, chosen: Chosen) -> Subject:
    if chosen.message_id:
        found = await context.services.store.find_message(bench.app_id, chosen.message_id)
        if found is None:
            raise not_found("message")
        configuration = context.services.configuration
        subject = past(found, configuration.customer(found), configuration.customer_id_attribute(found))
        return msgspec.structs.replace(subject, app_uid=configuration.app_uid(bench.app_id))
    if chosen.sample_type:
        samples, customer = await context.samples(), _customer(chosen.email)
        return sample(samples, chosen.sample_type, context.now_ms(), customer, chosen.variant)
    return pasted((await context.samples()).kinds, chosen.body.encode("utf-8", "replace"), context.now_ms())


def _customer(email: str) -> Customer | None:
    """A test customer, unknown to the sender and always the same for an address."""
    if not email:
        return None
    digest = hashlib.sha256(email.encode("utf-8", "surrogatepass")).hexdigest()
    return Customer(key=f"nicobar_test_{digest[:8]}", email=email)


async def _dry_run(context: Context, bench: Bench, chosen: Chosen) -> tuple[ShownDryRun, str]:
    """The dry run, and an id for the test event if it can be sent."""
    subject = await _subject(context, bench, chosen)
    test_id = secrets.token_hex(8) if chosen.send else ""
    subject = msgspec.structs.replace(subject, test=test_id)
    ledger = chosen_ledger(context.services, bench.app_id, chosen.ledger)
    dry_run = _shown(context, chosen, await _run(context, bench, bench.at, subject, ledger))
    running = None
    if bench.running is not None:
        now = _shown(context, chosen, await _run(context, bench, bench.running, subject, ledger))
        running = await asyncio.to_thread(compare, written(now.result), written(dry_run.result))
    shown = await asyncio.to_thread(shown_dry_run, bench.at, dry_run, running)
    # The attributes of a chosen customer would be sent to the person of another event.
    return shown, test_id if shown.outcome == "sends" and not chosen.customer else ""


async def _run(context: Context, bench: Bench, at: OpenEndpoint, subject: Subject, ledger: LedgerReader) -> DryRun:
    services = context.services
    (subject,) = await completed(services.store, services.configuration, at, bench.app_id, [subject])
    return await run_event(services.sandbox, at, subject, context.now_ms(), ledger)


def _shown(context: Context, chosen: Chosen, dry_run: DryRun) -> DryRun:
    """The dry run of a received message is shown without personal data, like its attempts; that of another event
    without what is known from messages.
    """
    if not chosen.message_id and (chosen.customer or chosen.state is None):
        redactor = context.services.settings.redaction.of().redactor()
        return DryRun(subject=dry_run.subject, result=masked(dry_run.result, redactor))
    if not chosen.message_id:
        snapshot = context.services.settings.redaction.of().redactor().snapshot(dry_run.result.snapshot)
        return DryRun(subject=dry_run.subject, result=msgspec.structs.replace(dry_run.result, snapshot=snapshot))
    message = dry_run.subject.message
    redactor = context.services.configuration.redactor(message)
    subject = msgspec.structs.replace(
        dry_run.subject, message=msgspec.structs.replace(message, body=redactor.event(message.body))
    )
    return DryRun(subject=subject, result=masked(dry_run.result, redactor))


async def _send(context: Context, visitor: Visitor, bench: Bench) -> Response[bytes]:
    """Submitting the form twice sends the event once."""
    form = visitor.form
    test_id = form.get("test_id", "")
    if not (test_id.isalnum() and test_id.isascii() and len(test_id) <= MAX_TEST_ID_CHARS):
        raise UserError("test_unknown", "Invalid test ID.", "Go back and start the test again.")
    chosen = Chosen(
        sample_type=form.get("sample_type", ""),
        message_id=form.get("message", ""),
        body=form.get("body", ""),
        email=_short(form.get("email", "")),
        variant=_variant(form.get("variant", "")),
        state=_state(form.get("ledger", "")),
    )
    subject = await _subject(context, bench, chosen)
    await send_test_event(context.services, visitor, bench.test_target, subject, test_id, state=chosen.state)
    return redirect(f"{bench.here}/sent/{test_id}")


async def _sent(context: Context, visitor: Visitor, bench: Bench, test_id: str) -> Response[bytes]:
    test = await sent_test_event(context.services, bench.subject_id, test_id)
    return await _page(context, visitor, bench, test=test)


async def latest(context: Context, app_id: str, event_types: Sequence[str]) -> list[Message]:
    """The latest received messages."""
    found = await context.services.store.messages(
        app_id, MessageFilter(event_types=tuple(event_types)), limit=MAX_PAST
    )
    return [item for item in found.items if item.expunged_at_ms is None]


async def _page(
    context: Context,
    visitor: Visitor,
    bench: Bench,
    *,
    shown: ShownDryRun | None = None,
    findings: Findings | None = None,
    chosen: Chosen | None = None,
    test_id: str = "",
    test: SentTestEvent | None = None,
    problem: NicobarError | None = None,
) -> Response[bytes]:
    event_types = bench.endpoint.event_types if bench.endpoint else ()
    samples = await context.samples()
    return page(
        visitor,
        "endpoint_test.html",
        status=problem.status if isinstance(problem, Refusal) else 422 if problem else 200,
        bench=bench,
        connector=connector(bench.at.endpoint.connector),
        shown=shown,
        findings=findings,
        coverage=findings.coverage if findings else await coverage_of(context, bench.at),
        outcome=outcome,
        curl=curl,
        samples=list(samples.types),
        variants=list(Variant),
        states=list(LedgerState),
        past=await latest(context, bench.app_id, event_types),
        chosen=chosen or Chosen(sample_type=samples.usual, state=USUAL_STATE),
        test_id=test_id,
        test=test,
        problem=problem,
        now_ms=context.now_ms(),
    )


OPERATIONS = (
    dry_run_draft,
    dry_run_endpoint,
    run_pasted_on_draft,
    run_pasted_on_endpoint,
    send_draft,
    send_endpoint,
    sent_draft,
    sent_endpoint,
)
