"""A draft's code: written, checked against the samples as one types, and tried on an event."""

from __future__ import annotations

import shlex

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from nicobar.admin.trials import (
    Findings,
    Note,
    Tried,
    notes,
    outcome,
    past,
    pasted,
    sample,
    sample_types,
    target,
    try_one,
    try_samples,
)
from nicobar.connectors import Request
from nicobar.connectors.kinds import connector
from nicobar.dashboard.desk import Desk, GivenDesk, draft, endpoint, not_found
from nicobar.dashboard.flow import credentials, keep
from nicobar.dashboard.forms import read_variables, write_variables
from nicobar.dashboard.pages import environment, page, redirect
from nicobar.dashboard.rights import CHANGING
from nicobar.dashboard.visitor import GivenVisitor, Visitor
from nicobar.errors import UserError
from nicobar.model import Level, Message, Record
from nicobar.pipeline.alerts import SOURCE_ID as OPERATIONAL
from nicobar.pipeline.configuration import OpenEndpoint, endpoint_credentials
from nicobar.pipeline.transform import Ready, Subject
from nicobar.recipes import RECIPES, recipe
from nicobar.store import Draft
from nicobar.store.history import MessageFilter

DEFAULT_SAMPLE = "payment.succeeded"
MAX_PAST = 25
MAX_CODE_CHARS = 200_000


class Shown(Record):
    """A trial as the page shows it."""

    event_type: str
    body: str
    outcome: str
    reason: str
    requests: tuple[Request, ...]
    added: tuple[bool, ...]
    console: tuple[str, ...]
    notes: tuple[Note, ...]
    duration_us: int


@get("/webhooks/drafts/{draft_id:str}/code", opt=CHANGING)
async def edit(
    draft_id: FromPath[str], desk: GivenDesk, visitor: GivenVisitor, name: FromQuery[str] = ""
) -> Response[bytes]:
    """The editor; with the `name` of a recipe, that one's code instead of the draft's."""
    one = await draft(desk, draft_id)
    code = recipe(name).code if name else one.code
    findings = await _findings(desk, one, code, one.variables)
    return _editor(visitor, one, code=code, variables=write_variables(one.variables), findings=findings, chosen=name)


@post("/webhooks/drafts/{draft_id:str}/code", status_code=303)
async def save(draft_id: FromPath[str], desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """Keeps the code and goes to where the button leads."""
    one = await draft(desk, draft_id)
    code = _code(visitor)
    text = visitor.form.get("variables", "")
    try:
        variables = read_variables(text)
    except UserError as problem:
        findings = await _findings(desk, one, code, one.variables)
        return _editor(visitor, one, code=code, variables=text, findings=findings, problem=problem)
    await keep(desk, msgspec.structs.replace(one, code=code, variables=variables))
    leads = {"connection": "", "check": "/code"}
    return redirect(f"/webhooks/drafts/{one.id}{leads.get(visitor.form.get('action', ''), '/test')}")


@post("/webhooks/drafts/{draft_id:str}/notes", status_code=200)
async def check(draft_id: FromPath[str], desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """What there is to say of code that is being written; nothing is kept. JSON: `html` is the list, `marks` are for
    the editor.
    """
    one = await draft(desk, draft_id)
    try:
        variables = read_variables(visitor.form.get("variables", ""))
    except UserError:
        variables = one.variables
    findings = await _findings(desk, one, _code(visitor), variables)
    severity = {Level.ERROR: "error", Level.WARNING: "warning"}
    html = environment(visitor.language).get_template("part_notes.html").render(findings=findings)
    marks = [
        {"line": note.line, "level": severity.get(note.level, "info"), "text": f"{note.text} {note.fix}".strip()}
        for note in findings.notes
        if note.line is not None
    ]
    return Response(msgspec.json.encode({"html": html, "marks": marks}), media_type="application/json")


@get("/webhooks/drafts/{draft_id:str}/test", opt=CHANGING)
async def try_event(
    *,
    draft_id: FromPath[str],
    desk: GivenDesk,
    visitor: GivenVisitor,
    sample_type: FromQuery[str] = "",
    message: FromQuery[str] = "",
    every: FromQuery[bool] = False,
) -> Response[bytes]:
    """Tries the draft's code on a sample, on a message of the past, or on all samples."""
    one = await draft(desk, draft_id)
    at = _target(desk, one, one.code, one.variables)
    services = desk.services
    if every:
        findings = await try_samples(services.sandbox, at, desk.now_ms(), services.clock.steady_ms)
        return await _bench(desk, visitor, one, findings=findings)
    chosen = sample_type or DEFAULT_SAMPLE
    subject = await _past(desk, one, message) if message else sample(chosen, desk.now_ms())
    tried = await try_one(services.sandbox, at, subject, desk.now_ms())
    return await _bench(
        desk, visitor, one, shown=_shown(at, tried), chosen="" if message else chosen, chosen_message=message
    )


@post("/webhooks/drafts/{draft_id:str}/test", status_code=200)
async def try_pasted(draft_id: FromPath[str], desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """Tries the draft's code on a body that was pasted."""
    one = await draft(desk, draft_id)
    body = visitor.form.get("body", "")
    at = _target(desk, one, one.code, one.variables)
    try:
        subject = pasted(body.encode("utf-8", "replace"), desk.now_ms())
    except UserError as problem:
        return await _bench(desk, visitor, one, body=body, problem=problem)
    tried = await try_one(desk.services.sandbox, at, subject, desk.now_ms())
    return await _bench(desk, visitor, one, shown=_shown(at, tried), body=body)


@post("/webhooks/{endpoint_id:str}/code", status_code=303)
async def begin_edit(endpoint_id: FromPath[str], desk: GivenDesk) -> Response[bytes]:
    """Begins to change the code of an endpoint; what runs stays until the draft is published."""
    known = endpoint(await desk.snapshot(), endpoint_id)
    draft_id = desk.services.ids.new("draft")
    secrets = endpoint_credentials(desk.services.vault, known)
    made = Draft(
        id=draft_id,
        app_id=known.app_id,
        connector=known.connector,
        name=known.name,
        updated_at_ms=desk.now_ms(),
        sealed_credentials=desk.services.vault.seal(msgspec.json.encode(secrets), draft_id),
        settings=known.settings,
        event_types=known.event_types,
        variables=known.variables,
        code=known.transformation.code if known.transformation else "",
        endpoint_id=known.id,
    )
    await keep(desk, made)
    return redirect(f"/webhooks/drafts/{draft_id}/code")


def _code(visitor: Visitor) -> str:
    """Forms send lines that end with CR and LF; the code has plain ones, so that its lines are counted right."""
    return visitor.form.get("code", "").replace("\r\n", "\n")[:MAX_CODE_CHARS]


def _target(desk: Desk, one: Draft, code: str, variables: dict[str, str]) -> OpenEndpoint:
    return target(
        kind=one.connector,
        code=code,
        settings=one.settings,
        credentials=credentials(desk, one),
        variables=variables,
        endpoint_id=one.endpoint_id or one.id,
    )


async def _findings(desk: Desk, one: Draft, code: str, variables: dict[str, str]) -> Findings:
    at = _target(desk, one, code, variables)
    services = desk.services
    return await try_samples(services.sandbox, at, desk.now_ms(), services.clock.steady_ms)


async def _past(desk: Desk, one: Draft, message_id: str) -> Subject:
    found = await desk.services.store.find_message(one.app_id, message_id)
    if found is None:
        raise not_found("message")
    return past(found, desk.services.configuration.customer(found))


async def _latest(desk: Desk, one: Draft) -> list[Message]:
    found = await desk.services.store.messages(one.app_id, MessageFilter(), limit=MAX_PAST)
    return [item for item in found.items if item.expunged_at_ms is None and item.source_id != OPERATIONAL]


def _shown(at: OpenEndpoint, tried: Tried) -> Shown:
    result = tried.result
    code = at.endpoint.transformation.code if at.endpoint.transformation else ""
    calls = result.calls if isinstance(result, Ready) else ()
    return Shown(
        event_type=tried.subject.message.event_type,
        body=tried.subject.message.body.decode("utf-8", "replace"),
        outcome=outcome(result),
        reason="" if isinstance(result, Ready) else result.reason,
        requests=tuple(at.destination.pack([call]) for call in calls),
        added=tuple(call.added for call in calls),
        console=result.console,
        notes=notes(code, [tried]),
        duration_us=result.duration_us,
    )


def curl(request: Request) -> str:
    """The request as a command line; what is secret is left for whoever runs it."""
    parts = ["curl", "-X", request.method, shlex.quote(request.url)]
    for name, value in request.shown_headers.items():
        parts += ["-H", shlex.quote(f"{name}: {value}")]
    if request.body:
        parts += ["--data-raw", shlex.quote(request.body.decode("utf-8", "replace"))]
    return " ".join(parts)


def _editor(
    visitor: Visitor,
    one: Draft,
    *,
    code: str,
    variables: str,
    findings: Findings,
    chosen: str = "",
    problem: UserError | None = None,
) -> Response[bytes]:
    return page(
        visitor,
        "code.html",
        status=422 if problem else 200,
        draft=one,
        connector=connector(one.connector),
        code=code,
        variables=variables,
        findings=findings,
        recipes=RECIPES,
        chosen=chosen,
        problem=problem,
    )


async def _bench(
    desk: Desk,
    visitor: Visitor,
    one: Draft,
    *,
    shown: Shown | None = None,
    findings: Findings | None = None,
    chosen: str = "",
    chosen_message: str = "",
    body: str = "",
    problem: UserError | None = None,
) -> Response[bytes]:
    return page(
        visitor,
        "test.html",
        status=422 if problem else 200,
        draft=one,
        connector=connector(one.connector),
        shown=shown,
        findings=findings,
        outcome=outcome,
        curl=curl,
        samples=list(sample_types()),
        past=await _latest(desk, one),
        chosen=chosen or DEFAULT_SAMPLE,
        chosen_message=chosen_message,
        body=body,
        problem=problem,
        now_ms=desk.now_ms(),
    )


HANDLERS = (edit, save, check, try_event, try_pasted, begin_edit)
