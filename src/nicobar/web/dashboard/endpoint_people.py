"""What identifies people at an endpoint's destination: a step of the wizard (`/webhooks/drafts/{id}/people`), and the
change of the answer (`/webhooks/{id}/people`). Both show the latest customers as they would resolve.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nicobar.connectors.registry import connector
from nicobar.errors import NicobarError, UserError
from nicobar.model import Endpoint
from nicobar.people import METADATA_PREFIX, Fallback, IdentifyBy, IdentityRule, read_rule, rule_of, with_rule
from nicobar.sources.registry import application_kind
from nicobar.store import Draft
from nicobar.use_cases.edit import Edit, edited, retried
from nicobar.use_cases.identity import RESENT_SPAN_MS, IdentityChange, examine, identify, rule_for
from nicobar.use_cases.identity_preview import latest_customers, preview
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, find_draft, find_endpoint, not_found
from nicobar.web.dashboard.endpoint_inspection import can_be_asked, draft_can_be_asked
from nicobar.web.dashboard.endpoint_new import keep
from nicobar.web.dashboard.filters import address
from nicobar.web.dashboard.pages import iso, page, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

ANSWER_MISSING = UserError(
    "answer_missing",
    "No answer selected.",
    "Select how your app identifies people. If you do not know, select email.",
)
KEY_MISSING = UserError(
    "metadata_key_missing",
    "The name of the user ID in the metadata is missing.",
    "Enter the name that your checkout uses, such as user_id.",
)


@get("/webhooks/drafts/{draft_id}/people", needs=Needs.CHANGING)
async def ask(
    *,
    draft_id: str,
    context: Context,
    visitor: Visitor,
    identify: str = "",
    key: str = "",
    missing: bool = False,
) -> Response[bytes]:
    """The question, and a preview of the answer. `missing` explains why the endpoint was not created."""
    draft = await find_draft(context, draft_id)
    if draft.endpoint_id is not None:
        return redirect(f"/webhooks/{draft.endpoint_id}/people")
    form = {"identify": identify, "key": key} if identify else answer_of(rule_of(draft.settings))
    return await _step(context, visitor, draft, form, ANSWER_MISSING if missing and not form["identify"] else None)


@post("/webhooks/drafts/{draft_id}/people", status=303)
async def answered(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Saves the answer and continues."""
    return await retried(lambda: _answer(draft_id, context, visitor))


async def _answer(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    draft = await find_draft(context, draft_id)
    try:
        rule = read_answer(visitor.form, rule_of(draft.settings))
    except UserError as problem:
        return await _step(context, visitor, draft, visitor.form, problem)
    await keep(context, msgspec.structs.replace(draft, settings=with_rule(draft.settings, rule)))
    return redirect(f"/webhooks/drafts/{draft.id}/code")


async def _step(
    context: Context, visitor: Visitor, draft: Draft, form: Mapping[str, str], problem: NicobarError | None
) -> Response[bytes]:
    of_kind = connector(draft.connector)
    if of_kind.identity_question is None:
        raise not_found("page")
    snapshot = await context.snapshot()
    store, settings = context.services.store, context.services.settings
    known = await latest_customers(store, snapshot, draft.app_id, settings.redaction)
    return page(
        visitor,
        "draft_people.html",
        status=422 if problem else 200,
        draft=draft,
        connector=of_kind,
        question=of_kind.identity_question,
        sender=application_kind(snapshot.sources, draft.app_id).name,
        form=_shown(form),
        change=IdentityChange(before=None, after=_rule(form), preview=preview(known, None, _rule(form)), waiting=0),
        is_new=True,
        can_ask=await draft_can_be_asked(context, draft.id),
        problem=problem,
    )


@get("/webhooks/{endpoint_id}/people")
async def show(
    *,
    endpoint_id: str,
    context: Context,
    visitor: Visitor,
    identify: str = "",
    key: str = "",
    changed: str = "",
) -> Response[bytes]:
    """The question with the current answer, and a preview of another one. `changed`, the time of a change, says what
    to do after it.
    """
    endpoint = await _asked(context, endpoint_id)
    form = {"identify": identify, "key": key} if identify else answer_of(rule_of(endpoint.settings))
    return await _change_page(context, visitor, endpoint, form, template="endpoint_people.html", changed=changed)


@get("/webhooks/{endpoint_id}/people/change", needs=Needs.CHANGING)
async def confirm(
    endpoint_id: str, context: Context, visitor: Visitor, identify: str = "", key: str = ""
) -> Response[bytes]:
    """Old and new identifiers, what stays behind, and the confirmation."""
    endpoint = await _asked(context, endpoint_id)
    form = {"identify": identify, "key": key}
    try:
        read_answer(form, rule_of(endpoint.settings))
    except UserError as problem:
        return await _change_page(context, visitor, endpoint, form, template="endpoint_people.html", problem=problem)
    return await _change_page(context, visitor, endpoint, form, template="endpoint_people_confirm.html")


@post("/webhooks/{endpoint_id}/people", status=303)
async def change(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Changes what identifies people."""
    await _asked(context, endpoint_id)

    async def answer(edit: Edit) -> None:
        endpoint = context.endpoint(edit, endpoint_id)
        await identify(edit, endpoint, read_answer(visitor.form, rule_of(endpoint.settings)))

    changed_at_ms = context.now_ms()
    try:
        await edited(context.services, visitor, answer)
    except UserError as problem:
        endpoint = await _asked(context, endpoint_id)
        return await _change_page(
            context, visitor, endpoint, visitor.form, template="endpoint_people.html", problem=problem
        )
    return redirect(address(f"/webhooks/{endpoint_id}/people", changed=iso(changed_at_ms)))


async def _asked(context: Context, endpoint_id: str) -> Endpoint:
    """Raises Refusal 404, also for an endpoint that does not identify people."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    if connector(endpoint.connector).identity_question is None:
        raise not_found("page")
    return endpoint


async def _change_page(
    context: Context,
    visitor: Visitor,
    endpoint: Endpoint,
    form: Mapping[str, str],
    *,
    template: str,
    problem: NicobarError | None = None,
    changed: str = "",
) -> Response[bytes]:
    snapshot = await context.snapshot()
    of_kind = connector(endpoint.connector)
    since = iso(context.now_ms() - RESENT_SPAN_MS)
    replays = f"/webhooks/{endpoint.id}/replays/count"
    return page(
        visitor,
        template,
        status=422 if problem else 200,
        endpoint=endpoint,
        connector=of_kind,
        question=of_kind.identity_question,
        sender=application_kind(snapshot.sources, endpoint.app_id).name,
        form=_shown(form),
        change=await examine(context.services, snapshot, endpoint, _rule(form, rule_of(endpoint.settings))),
        is_new=False,
        can_ask=can_be_asked(context, endpoint),
        changed=changed,
        # Later events are about the right person already, and would count twice.
        resend_link=address(replays, kind="bulk", status="success", since=since, until=changed, new_ids="1"),
        back=address(f"/webhooks/{endpoint.id}/people", **_shown(form)),
        problem=problem,
    )


def read_answer(form: Mapping[str, str], before: IdentityRule | None = None) -> IdentityRule:
    """The rule of a form. The form does not ask what a missing id in the metadata means: email by default. Raises
    UserError.
    """
    answer, key = form.get("identify", ""), form.get("key", "").strip().removeprefix(METADATA_PREFIX)
    if answer == IdentifyBy.METADATA and not key:
        raise KEY_MISSING
    if answer == IdentifyBy.METADATA:
        keeps = before is not None and before.by is IdentifyBy.METADATA
        return rule_for(METADATA_PREFIX + key, before.fallback if before and keeps else Fallback.EMAIL)
    rule = read_rule(answer)
    if rule is None or rule.key:
        raise ANSWER_MISSING
    return rule


def answer_of(rule: IdentityRule | None) -> dict[str, str]:
    """The form of a rule."""
    return {"identify": "", "key": ""} if rule is None else {"identify": rule.by.value, "key": rule.key}


def _rule(form: Mapping[str, str], before: IdentityRule | None = None) -> IdentityRule | None:
    try:
        return read_answer(form, before)
    except UserError:
        return None


def _shown(form: Mapping[str, str]) -> dict[str, str]:
    return {name: form.get(name, "") for name in ("identify", "key")}


OPERATIONS = (ask, answered, show, confirm, change)
