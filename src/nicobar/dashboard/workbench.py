"""A draft's code: written, and checked against the samples as one types."""

from __future__ import annotations

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from nicobar.admin.trials import Findings, target, try_samples
from nicobar.connectors.kinds import connector
from nicobar.dashboard.desk import Desk, GivenDesk, draft, endpoint
from nicobar.dashboard.flow import credentials, keep
from nicobar.dashboard.forms import read_variables, write_variables
from nicobar.dashboard.pages import environment, page, redirect
from nicobar.dashboard.rights import CHANGING
from nicobar.dashboard.saying import say
from nicobar.dashboard.visitor import GivenVisitor, Visitor
from nicobar.errors import UserError
from nicobar.model import Level
from nicobar.pipeline.configuration import OpenEndpoint, endpoint_credentials
from nicobar.recipes import RECIPES, recipe
from nicobar.store import Draft

MAX_CODE_CHARS = 200_000


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
        {
            "line": note.line,
            "level": severity.get(note.level, "info"),
            "text": f"{say(visitor.language, note.text)} {say(visitor.language, note.fix)}".strip(),
        }
        for note in findings.notes
        if note.line is not None
    ]
    return Response(msgspec.json.encode({"html": html, "marks": marks}), media_type="application/json")


@post("/webhooks/{endpoint_id:str}/code", status_code=303)
async def begin_edit(endpoint_id: FromPath[str], desk: GivenDesk) -> Response[bytes]:
    """Begins to change the code of an endpoint, or goes on with it; what runs stays until the draft is published."""
    known = endpoint(await desk.snapshot(), endpoint_id)
    there = await desk.services.store.draft_of(known.app_id, known.id)
    if there is not None:
        return redirect(f"/webhooks/drafts/{there.id}/code")
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


HANDLERS = (edit, save, check, begin_edit)
