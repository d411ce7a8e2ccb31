"""The wizard that creates an endpoint: `/webhooks/new`, then `/webhooks/drafts/{id}/…`. The input is saved as a
draft, so that every step has a URL. Secrets are not shown again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

import msgspec

from nicobar.connectors import Checkup, Connector, FieldKind, Finding
from nicobar.connectors.registry import CONNECTORS, connector, default_code
from nicobar.crypto import new_webhook_secret
from nicobar.errors import NicobarError
from nicobar.model import Setting
from nicobar.sources.registry import SOURCES, first_source
from nicobar.store import Draft, RemoveDraft
from nicobar.use_cases import endpoints, sources
from nicobar.use_cases.bounds import check_bounds
from nicobar.use_cases.destination_check import check_address, check_stored
from nicobar.use_cases.dry_run import why_unusable
from nicobar.use_cases.edit import retried
from nicobar.use_cases.endpoint_records import EndpointPatch, EndpointSpec
from nicobar.use_cases.handler_check import why_it_cannot_run
from nicobar.use_cases.identity import unanswered
from nicobar.use_cases.sources import SourceSpec
from nicobar.use_cases.transformations import publish
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, current_application, find_draft, not_found
from nicobar.web.dashboard.forms import (
    Given,
    free_name,
    further_fields,
    main_fields,
    read_fields,
    value_of,
    with_label,
)
from nicobar.web.dashboard.pages import page, redirect, translate
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

# The button that continues although the check has found something.
ANYWAY = "anyway"
_WRONG = frozenset({Finding.WRONG_CREDENTIALS, Finding.WRONG_REGION, Finding.REFUSED_ADDRESS})
KEEP_DRAFTS_MS = 30 * 24 * 3_600_000


@get("/webhooks/new", needs=Needs.CHANGING)
async def choose(visitor: Visitor, q: str = "") -> Response[bytes]:
    """The connectors, filtered by a search."""
    wanted = q.strip().casefold()
    found = [connector for connector in CONNECTORS if wanted in _searched(visitor, connector)]
    return page(visitor, "endpoint_choose.html", connectors=found, q=q)


def _searched(visitor: Visitor, connector: Connector) -> str:
    return f"{connector.name} {connector.summary} {translate(visitor, connector.summary)}".casefold()


@get("/webhooks/new/{kind}", needs=Needs.CHANGING)
async def begin(kind: str, visitor: Visitor) -> Response[bytes]:
    """The settings form of a connector."""
    of_kind = _connector(kind)
    secret = new_webhook_secret() if any(field.signs for field in of_kind.fields) else ""
    return _form(visitor, of_kind, name=of_kind.name, secret=secret)


@post("/webhooks/new/{kind}", status=303)
async def begun(kind: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Saves the input and continues."""
    of_kind = _connector(kind)
    given = read_fields(of_kind, visitor.form)
    problem = why_unusable(kind, given.settings, given.credentials) or _why_unfit(context, kind, given)
    if problem is not None:
        return _form(visitor, of_kind, name=given.name, settings=given.settings, problem=problem)
    made = Draft(
        id=context.services.ids.new("draft"),
        app_id=current_application(await context.snapshot()).id,
        connector=kind,
        name=given.name,
        updated_at_ms=context.now_ms(),
        sealed_credentials=b"",
        code=default_code(of_kind, [kind.kind for kind in (await context.samples()).kinds]),
    )
    return await _kept(context, visitor, made, given, keep_by=add_draft)


@get("/webhooks/drafts/{draft_id}", needs=Needs.CHANGING)
async def connection(
    *,
    draft_id: str,
    context: Context,
    visitor: Visitor,
    check: bool = False,
) -> Response[bytes]:
    """The settings form of a draft. With `check`, the credentials are verified at the destination."""
    draft = await find_draft(context, draft_id)
    if draft.endpoint_id is not None:
        return redirect(f"/webhooks/drafts/{draft.id}/code")
    of_kind = connector(draft.connector)
    checkup = await _checked(context, visitor, draft) if check else None
    return _form(visitor, of_kind, name=draft.name, settings=draft.settings, kept=draft, checkup=checkup)


async def _checked(context: Context, visitor: Visitor, draft: Draft) -> Checkup:
    """What the destination says of a draft's credentials."""
    of_kind = connector(draft.connector)
    destination = of_kind.open(draft.settings, credentials(context, draft))
    host = of_kind.credentials_host(draft.settings)
    await endpoints.note_check(context.services, visitor, draft.id, draft.app_id, host)
    return await destination.check_credentials(context.services.transport)


@post("/webhooks/drafts/{draft_id}", status=303)
async def connected(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Saves the changes and continues."""
    return await retried(lambda: _connect(draft_id, context, visitor))


async def _connect(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    draft = await find_draft(context, draft_id)
    of_kind = connector(draft.connector)
    given = read_fields(of_kind, visitor.form, draft.settings)
    stored = credentials(context, draft)
    kept = stored | given.credentials
    problem = why_unusable(draft.connector, given.settings, kept) or _why_unfit(
        context, draft.connector, given, before=draft.settings, kept=stored.keys() - given.credentials.keys()
    )
    if problem is not None:
        return _form(visitor, of_kind, name=given.name, settings=given.settings, kept=draft, problem=problem)
    return await _kept(context, visitor, draft, Given(name=given.name, settings=given.settings, credentials=kept))


@post("/webhooks/drafts/{draft_id}/create", status=303)
async def create(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Creates the endpoint, and a source if there is none; or publishes the code of an existing endpoint. Submitting
    the form twice creates one endpoint.
    """
    return await retried(lambda: _finish(draft_id, context, visitor))


async def _finish(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    if draft_id in context.created:
        return redirect(f"/webhooks/{context.created[draft_id]}")
    draft = await find_draft(context, draft_id)
    if visitor.form.get("seen", draft.text_id) != draft.text_id:
        return redirect(f"/webhooks/drafts/{draft.id}/test?changed=1")
    if draft.endpoint_id is None and unanswered(draft) is not None:
        return redirect(f"/webhooks/drafts/{draft.id}/people?missing=1")
    if (
        draft.code.strip()
        and await why_it_cannot_run(context.services.sandbox, draft.code, context.now_ms()) is not None
    ):
        return redirect(f"/webhooks/drafts/{draft.id}/code")  # the page shows what is wrong
    if draft.endpoint_id:
        await publish(context.services, visitor, draft.endpoint_id, draft.code, draft.variables)
        endpoint_id = draft.endpoint_id
        await context.services.store.remove_draft(draft.id)
    else:
        endpoint_id = await _create(context, visitor, draft)
    context.keep_created(draft.id, endpoint_id)
    return redirect(f"/webhooks/{endpoint_id}")


@post("/webhooks/drafts/{draft_id}/discard", status=303)
async def discard(draft_id: str, context: Context) -> Response[bytes]:
    """Deletes a draft."""
    draft = await find_draft(context, draft_id)
    await context.services.store.remove_draft(draft.id)
    return redirect(f"/webhooks/{draft.endpoint_id}" if draft.endpoint_id else "/webhooks")


def _why_unfit(
    context: Context,
    kind: str,
    given: Given,
    *,
    before: Mapping[str, Setting] | None = None,
    kept: Collection[str] = (),
) -> NicobarError | None:
    """The reason why the endpoint cannot have this name, these settings, or the credentials that are `kept`."""
    try:
        check_bounds(EndpointPatch(name=given.name))
        check_address(context.services.settings.allowed, kind, given.settings)
        if before is not None:
            check_stored(kind, given.settings, before, credentials=kept)
    except NicobarError as error:
        return error
    return None


def credentials(context: Context, draft: Draft) -> dict[str, str]:
    """A draft's secrets. Raises StoreUnusable if they were sealed with another key."""
    return msgspec.json.decode(context.services.vault.unseal(draft.sealed_credentials, draft.id), type=dict[str, str])


async def add_draft(context: Context, draft: Draft) -> None:
    """Saves a new draft."""
    now_ms = context.now_ms()
    kept = msgspec.structs.replace(draft, updated_at_ms=now_ms)
    await context.services.store.put_draft(kept, forget_before_ms=now_ms - KEEP_DRAFTS_MS)


async def keep(context: Context, draft: Draft) -> Draft:
    """Saves the changes of a draft. Raises StoreMoved if it was changed elsewhere in the meantime."""
    kept = msgspec.structs.replace(draft, revision=draft.revision + 1)
    await add_draft(context, kept)
    return kept


def _connector(kind: str) -> Connector:
    if all(connector.kind != kind for connector in CONNECTORS):
        raise not_found("connector")
    return connector(kind)


async def _kept(
    context: Context,
    visitor: Visitor,
    draft: Draft,
    given: Given,
    keep_by: Callable[[Context, Draft], Awaitable[object]] = keep,
) -> Response[bytes]:
    sealed = context.services.vault.seal(msgspec.json.encode(given.credentials), draft.id)
    kept = msgspec.structs.replace(draft, name=given.name, settings=given.settings, sealed_credentials=sealed)
    await keep_by(context, kept)
    action = visitor.form.get("action")
    if action == "check":
        return redirect(f"/webhooks/drafts/{draft.id}?check=1#verdict")
    of_kind = connector(draft.connector)
    if of_kind.has_contract and action != ANYWAY:
        checkup = await _checked(context, visitor, kept)
        # Without an answer, a set-up can go on: the destination may be reached later.
        if checkup.finding in _WRONG:
            return _form(
                visitor, of_kind, name=kept.name, settings=kept.settings, kept=kept, checkup=checkup, held=True
            )
    asks = of_kind.identity_question is not None
    return redirect(f"/webhooks/drafts/{draft.id}/{'people' if asks else 'code'}")


def _form(
    visitor: Visitor,
    of_kind: Connector,
    *,
    name: str,
    settings: dict[str, Setting] | None = None,
    secret: str = "",
    kept: Draft | None = None,
    problem: NicobarError | None = None,
    checkup: Checkup | None = None,
    held: bool = False,
) -> Response[bytes]:
    """`held`: the wizard does not continue automatically, for what the check has found."""
    values = settings or {}
    return page(
        visitor,
        "endpoint_connection.html",
        status=422 if problem or held else 200,
        connector=of_kind,
        held=held,
        anyway=ANYWAY,
        name=name,
        main=main_fields(of_kind),
        further=further_fields(of_kind),
        values={field.name: value_of(field, values) for field in of_kind.fields},
        secret=secret,
        is_open=any(
            values.get(field.name) for field in further_fields(of_kind) if field.kind is not FieldKind.SWITCH
        ),
        kept=kept,
        problem=problem and with_label(problem, of_kind, partial(translate, visitor)),
        checkup=checkup,
        action=f"/webhooks/drafts/{kept.id}" if kept else f"/webhooks/new/{of_kind.kind}",
    )


async def _create(context: Context, visitor: Visitor, draft: Draft) -> str:
    """Creates the endpoint, and a source if there is none. The source rejects requests until it has a secret."""
    services = context.services
    spec = EndpointSpec(
        connector=draft.connector,
        name=draft.name,
        settings=draft.settings,
        credentials=credentials(context, draft),
        event_types=draft.event_types,
        variables=draft.variables,
        code=draft.code,
    )
    remove = RemoveDraft(draft_id=draft.id, revision=draft.revision)

    async with services.edit(visitor) as edit:
        taken = [other.name for other in edit.snapshot.endpoints if other.app_id == draft.app_id]
        named = msgspec.structs.replace(spec, name=free_name(draft.name, taken))
        first = []
        if first_source(edit.snapshot.sources, draft.app_id) is None:
            names = [other.name for other in edit.snapshot.sources if other.app_id == draft.app_id]
            kind = SOURCES[0].kind
            wanted = SourceSpec(kind=kind, name=free_name(kind.partition("-")[0], names))
            first.append(sources.creation(services, edit.snapshot, draft.app_id, wanted)[1])
        return (await endpoints.create(edit, draft.app_id, named, remove, also=first)).id


OPERATIONS = (choose, begin, begun, connection, connected, create, discard)
