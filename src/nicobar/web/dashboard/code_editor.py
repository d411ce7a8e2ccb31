"""The code of a draft: editing, saving, and checking it against the samples while the user types."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from nicobar.connectors.registry import connector, find_recipe, recipes
from nicobar.errors import Refusal, UserError
from nicobar.model import Endpoint, Level, Record
from nicobar.pipeline.configuration import OpenEndpoint, endpoint_credentials, endpoint_variables, open_endpoint
from nicobar.store import Draft
from nicobar.use_cases.dry_run import Findings, target
from nicobar.use_cases.edit import retried
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, find_draft, find_endpoint
from nicobar.web.dashboard.coverage import findings_of
from nicobar.web.dashboard.differences import Difference, compare
from nicobar.web.dashboard.endpoint_bench import with_draft
from nicobar.web.dashboard.endpoint_new import add_draft, credentials, keep
from nicobar.web.dashboard.forms import read_variables, write_variables
from nicobar.web.dashboard.language import catalogue
from nicobar.web.dashboard.pages import environment, page, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

MAX_CODE_CHARS = 200_000


class Conflict(Record):
    """The code saved by another window, and how it differs from the code in this form."""

    text_id: str
    difference: Difference


class Typed(Record):
    """The content of the form: the code, the variables as text, and the id of the text that the page loaded, None if
    the form does not contain it.
    """

    code: str
    variables: str
    seen: str | None


@get("/webhooks/drafts/{draft_id}/code", needs=Needs.CHANGING)
async def edit(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The editor."""
    return await _editor(context, visitor, await find_draft(context, draft_id))


@post("/webhooks/drafts/{draft_id}/code", status=303)
async def save(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Saves the code and redirects to the button's target. A recipe replaces the code, and the replaced code is
    stored. If two windows have different code, the user chooses one and the other is stored.
    """
    return await retried(lambda: _save(draft_id, context, visitor))


async def _save(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    draft = await find_draft(context, draft_id)
    # A button of another page sends an action alone.
    typed = _typed(visitor) if "code" in visitor.form else _shown(draft)
    action, _, of = visitor.form.get("action", "").partition(":")
    if action == "theirs":
        await keep(context, _replaced(draft, by=draft.code, aside=typed.code))
        return redirect(f"/webhooks/drafts/{draft.id}/code")
    if action == "mine" and of == draft.text_id:
        typed = msgspec.structs.replace(typed, seen=of)
        draft = msgspec.structs.replace(draft, replaced_code=draft.code)
    try:
        kept, problem = await _keep(context, draft, typed)
    except Refusal:
        return await _editor(context, visitor, draft, typed=typed, conflict=await _conflict(draft, typed))
    if problem is not None:
        return await _editor(context, visitor, kept, typed=typed, problem=problem)
    if action == "recipe":
        recipe = find_recipe(of or visitor.form.get("recipe", ""), [connector(kept.connector)])
        await keep(context, _replaced(kept, by=recipe.code, aside=kept.code))
    if action == "restore":
        await keep(context, _replaced(kept, by=kept.replaced_code, aside=kept.code))
    leads = {"connection": "", "check": "/code", "recipe": "/code", "restore": "/code", "mine": "/code"}
    return redirect(f"/webhooks/drafts/{draft.id}{leads.get(action, '/test')}")


@post("/webhooks/drafts/{draft_id}/text", status=200)
async def keep_text(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Saves code while the user types. JSON: `seen` is the id of the stored text, `problem` is what could not be
    stored. 409 if another window has saved another text since: `html` shows both and lets the user choose.
    """
    return await retried(lambda: _keep_text(draft_id, context, visitor))


async def _keep_text(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    draft = await find_draft(context, draft_id)
    typed = _typed(visitor)
    try:
        kept, problem = await _keep(context, draft, typed)
    except Refusal as moved:
        conflict = await _conflict(draft, typed)
        template = environment(visitor.language).get_template("part_conflict.html")
        return _json({"html": template.render(conflict=conflict)}, moved.status)
    text = "" if problem is None else problem.reason.text(catalogue(visitor.language).gettext)
    return _json({"seen": kept.text_id, "problem": text})


@post("/webhooks/drafts/{draft_id}/notes", status=200)
async def check(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Checks code while the user types, without saving it. JSON: `html` is the list of verdicts, `marks` are for the
    editor.
    """
    draft = await find_draft(context, draft_id)
    try:
        variables = read_variables(visitor.form.get("variables", ""))
    except UserError:
        variables = draft.variables
    findings = await _findings(context, draft, _typed(visitor).code, variables)
    severity = {Level.ERROR: "error", Level.WARNING: "warning"}
    template = environment(visitor.language).get_template("part_notes.html")
    html = template.render(findings=findings, connector=connector(draft.connector))
    marks = [
        {
            "line": note.line,
            "level": severity.get(note.level, "info"),
            "text": note.reason.text(catalogue(visitor.language).gettext),
        }
        for note in findings.notes
        if note.line is not None
    ]
    return _json({"html": html, "marks": marks})


@post("/webhooks/{endpoint_id}/code", status=303)
async def begin_edit(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Starts or continues a draft for an endpoint. The published code stays active until the draft is published. An
    unchanged draft is replaced by the published code. A recipe replaces the draft's code, which is stored.
    """
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    action, _, name = visitor.form.get("action", "").partition(":")
    recipe = find_recipe(name, [connector(endpoint.connector)]) if action == "recipe" else None
    draft_id = await _begin(context, endpoint)
    if recipe is not None:

        async def replace() -> None:
            draft = await find_draft(context, draft_id)
            await keep(context, _replaced(draft, by=recipe.code, aside=draft.code))

        await retried(replace)
    return redirect(f"/webhooks/drafts/{draft_id}/code")


async def _begin(context: Context, endpoint: Endpoint) -> str:
    there = await context.services.store.draft_of(endpoint.app_id, endpoint.id)
    if there is not None:
        if there.revision:
            return there.id
        await context.services.store.remove_draft(there.id)
    draft_id = there.id if there else context.services.ids.new("draft")
    secrets = endpoint_credentials(context.services.vault, endpoint)
    made = Draft(
        id=draft_id,
        app_id=endpoint.app_id,
        connector=endpoint.connector,
        name=endpoint.name,
        updated_at_ms=context.now_ms(),
        sealed_credentials=context.services.vault.seal(msgspec.json.encode(secrets), draft_id),
        settings=endpoint.settings,
        event_types=endpoint.event_types,
        variables=endpoint.variables,
        code=endpoint.transformation.code if endpoint.transformation else "",
        endpoint_id=endpoint.id,
    )
    await add_draft(context, made)
    return draft_id


async def _keep(context: Context, draft: Draft, typed: Typed) -> tuple[Draft, UserError | None]:
    """Saves the text and returns the updated draft. Invalid variables are not saved but reported. Raises Refusal 409
    if another window changed the draft.
    """
    problem = None
    try:
        variables = read_variables(typed.variables)
    except UserError as error:
        variables, problem = draft.variables, error
    changed = msgspec.structs.replace(draft, code=typed.code, variables=variables)
    if changed.text_id == draft.text_id:
        return draft, problem
    if typed.seen not in {None, draft.text_id}:
        raise Refusal(409, "draft_changed", "This draft was changed in another window.", "Choose which text to keep.")
    return await keep(context, changed), problem


def _replaced(draft: Draft, *, by: str, aside: str) -> Draft:
    """The draft with new code; the previous code, if any, is stored."""
    aside = aside if aside.strip() and aside != by else draft.replaced_code
    return msgspec.structs.replace(draft, code=by, replaced_code="" if aside == by else aside)


async def _conflict(draft: Draft, typed: Typed) -> Conflict:
    theirs, mine = (
        f"{code}\n\n{text}".rstrip()
        for code, text in ((draft.code, write_variables(draft.variables)), (typed.code, typed.variables))
    )
    return Conflict(text_id=draft.text_id, difference=await asyncio.to_thread(compare, theirs, mine))


def _typed(visitor: Visitor) -> Typed:
    """Forms send CR LF line ends. The code has LF only, so that line numbers are correct."""
    code, variables = (visitor.form.get(name, "").replace("\r\n", "\n") for name in ("code", "variables"))
    return Typed(code=code[:MAX_CODE_CHARS], variables=variables, seen=visitor.form.get("seen"))


def _shown(draft: Draft) -> Typed:
    """The content of the form as the page loads it."""
    return Typed(code=draft.code, variables=write_variables(draft.variables), seen=draft.text_id)


def _json(values: Mapping[str, object], status: int = 200) -> Response[bytes]:
    return Response(msgspec.json.encode(values), status=status, media_type="application/json")


async def _target(context: Context, draft: Draft, code: str, variables: dict[str, str]) -> OpenEndpoint:
    if draft.endpoint_id is not None:
        endpoint = find_endpoint(await context.snapshot(), draft.endpoint_id)
        typed = msgspec.structs.replace(draft, code=code, variables=variables)
        return open_endpoint(context.services.vault, with_draft(endpoint, typed))
    return target(
        kind=draft.connector,
        code=code,
        settings=draft.settings,
        credentials=credentials(context, draft),
        variables=variables,
        event_types=draft.event_types,
        endpoint_id=draft.id,
    )


async def _secret_names(context: Context, draft: Draft) -> list[str]:
    """The secret variables of a draft's endpoint."""
    if draft.endpoint_id is None:
        return []
    endpoint = find_endpoint(await context.snapshot(), draft.endpoint_id)
    return sorted(endpoint_variables(context.services.vault, endpoint))


async def _findings(context: Context, draft: Draft, code: str, variables: dict[str, str]) -> Findings:
    return await findings_of(context, await _target(context, draft, code, variables))


async def _editor(
    context: Context,
    visitor: Visitor,
    draft: Draft,
    *,
    typed: Typed | None = None,
    conflict: Conflict | None = None,
    problem: UserError | None = None,
) -> Response[bytes]:
    """The page. `typed` is the text that was not saved, or only in part."""
    shown = typed or _shown(draft)
    return page(
        visitor,
        "code_editor.html",
        status=409 if conflict else 422 if problem else 200,
        draft=draft,
        endpoint=None if draft.endpoint_id is None else find_endpoint(await context.snapshot(), draft.endpoint_id),
        connector=connector(draft.connector),
        typed=shown,
        is_kept=typed is None,
        secret_names=await _secret_names(context, draft),
        findings=await _findings(context, draft, shown.code, draft.variables),
        recipes=recipes([connector(draft.connector)], [kind.kind for kind in (await context.samples()).kinds]),
        conflict=conflict,
        problem=problem,
    )


OPERATIONS = (edit, save, keep_text, check, begin_edit)
