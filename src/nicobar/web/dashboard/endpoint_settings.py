"""`/webhooks/…/settings`: change or delete an endpoint, and rotate its signing secret."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from msgspec import UNSET

from nicobar.connectors.registry import connector
from nicobar.connectors.signing_secrets import SignatureScheme, signing_field
from nicobar.errors import StoreUnusable, UserError
from nicobar.masking import MASK
from nicobar.model import Endpoint, Mode, Record, Setting
from nicobar.people import rule_of
from nicobar.pipeline.configuration import endpoint_headers, endpoint_variables
from nicobar.pipeline.retry import RETRY_AFTER_MS
from nicobar.retry_schedule import schedule_text
from nicobar.use_cases import endpoints
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.endpoint_records import EndpointPatch
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, find_endpoint
from nicobar.web.dashboard.forms import (
    chosen_types,
    families,
    further_fields,
    kept_values,
    main_fields,
    masked_variables,
    read_fields,
    read_headers,
    read_ids,
    read_mode,
    read_public,
    read_rate,
    read_retries,
    read_secret_variables,
    read_variables,
    shown_headers,
    value_of,
    with_label,
    write_variables,
)
from nicobar.web.dashboard.pages import page, redirect, translate
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

EMPTY_ROWS = 2


class Form(Record):
    """The content of the form. The value of a secret header is None, that of a secret variable a mask."""

    name: str
    settings: dict[str, Setting]
    chosen: tuple[str, ...]
    rate: str
    retries: str
    mode: str
    business_ids: str
    brand_ids: str
    variables: str
    secret_variables: str
    headers: dict[str, str | None]


class Signing(Record):
    """How requests are signed. The public key is empty for HMAC, whose secret is not shown again."""

    scheme: SignatureScheme
    public_key: str


@get("/webhooks/{endpoint_id}/settings")
async def settings(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The settings form."""
    return await _stored_page(endpoint_id, context, visitor)


async def _stored_page(
    endpoint_id: str, context: Context, visitor: Visitor, *, problem: UserError | None = None, made: str = ""
) -> Response[bytes]:
    """The form with the stored settings."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    form = Form(
        name=endpoint.name,
        settings=endpoint.settings,
        chosen=endpoint.event_types,
        rate=_rate(endpoint),
        retries=_retries(endpoint),
        mode=endpoint.mode or "",
        business_ids=", ".join(endpoint.business_ids),
        brand_ids=", ".join(endpoint.brand_ids),
        variables=write_variables(endpoint.variables),
        secret_variables=masked_variables(endpoint_variables(context.services.vault, endpoint)),
        headers=shown_headers(endpoint_headers(context.services.vault, endpoint), endpoint.public_headers),
    )
    return await _settings_page(context, visitor, endpoint, form, problem=problem, made=made)


@post("/webhooks/{endpoint_id}/settings", status=303)
async def change_settings(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Saves the changes; secrets that are left empty stay unchanged."""

    async def change(edit: Edit) -> None:
        endpoint = context.endpoint(edit, endpoint_id)
        await endpoints.update(edit, endpoint, _patch(context, endpoint, visitor, (await context.samples()).types))

    try:
        await edited(context.services, visitor, change)
    except UserError as problem:
        endpoint = find_endpoint(await context.snapshot(), endpoint_id)
        form = _form(endpoint, visitor, (await context.samples()).types)
        has_secrets = _has_typed_secrets(endpoint, visitor)
        return await _settings_page(context, visitor, endpoint, form, problem=problem, forgets=has_secrets)
    return redirect(f"/webhooks/{endpoint_id}")


def _form(endpoint: Endpoint, visitor: Visitor, known_types: Collection[str]) -> Form:
    given = read_fields(connector(endpoint.connector), visitor.form, endpoint.settings)
    return Form(
        name=given.name,
        settings=given.settings,
        chosen=chosen_types(known_types, visitor.every) if visitor.form.get("types") == "some" else (),
        rate=visitor.form.get("rate", "").strip(),
        retries=visitor.form.get("retries", "").strip(),
        mode=visitor.form.get("mode", ""),
        business_ids=visitor.form.get("business_ids", ""),
        brand_ids=visitor.form.get("brand_ids", ""),
        variables=visitor.form.get("variables", ""),
        secret_variables=masked_variables(_names(visitor.form.get("secret_variables", ""))),
        headers=shown_headers(read_headers(visitor.every, {}), read_public(visitor.every)),
    )


def _has_typed_secrets(endpoint: Endpoint, visitor: Visitor) -> bool:
    """Whether the form has new secrets. They are not shown again, so the next form would keep the stored ones."""
    rows = zip(visitor.every.get("header_value", ()), visitor.every.get("header_access", ()), strict=False)
    variables = (line.partition("=")[2].strip() for line in visitor.form.get("secret_variables", "").splitlines())
    return (
        any(read_fields(connector(endpoint.connector), visitor.form).credentials.values())
        or any(value.strip() and access != "public" for value, access in rows)
        or any(value not in {"", MASK} for value in variables)
    )


def _patch(context: Context, endpoint: Endpoint, visitor: Visitor, known_types: Collection[str]) -> EndpointPatch:
    """Raises UserError for invalid input."""
    form = _form(endpoint, visitor, known_types)
    if visitor.form.get("types") == "some" and not form.chosen:
        raise UserError("types_missing", "No event types selected.", "Select at least one, or deliver all events.")
    stored = {name.lower(): value for name, value in endpoint_headers(context.services.vault, endpoint).items()}
    public = endpoint.public_headers
    kept = kept_values(visitor.every, stored, public)
    given = read_headers(visitor.every, stored, public)
    headers = {name: value for name, value in given.items() if name not in kept}
    secret = endpoint_variables(context.services.vault, endpoint)
    typed = visitor.form.get("secret_variables")
    removed = dict.fromkeys(name for name in stored if name not in kept)
    return EndpointPatch(
        name=UNSET if form.name == endpoint.name else form.name,
        settings=form.settings,
        credentials=dict(read_fields(connector(endpoint.connector), visitor.form).credentials),
        event_types=UNSET if form.chosen == endpoint.event_types else form.chosen,
        variables=read_variables(form.variables),
        secret_variables=UNSET if typed is None else read_secret_variables(typed, secret),
        headers=removed | headers,
        public_headers=read_public(visitor.every),
        max_messages_per_s=UNSET if form.rate == _rate(endpoint) else read_rate(form.rate),
        retry_after_ms=read_retries(form.retries),
        mode=read_mode(form.mode),
        business_ids=read_ids(form.business_ids),
        brand_ids=read_ids(form.brand_ids),
    )


def _names(variables: str) -> list[str]:
    """The names in lines of the form NAME=value, valid or not."""
    return [name for line in variables.splitlines() if (name := line.partition("=")[0].strip())]


def _retries(endpoint: Endpoint) -> str:
    return "" if endpoint.retry_after_ms is None else schedule_text(endpoint.retry_after_ms)


def _rate(endpoint: Endpoint) -> str:
    return "" if endpoint.max_messages_per_s is None else str(endpoint.max_messages_per_s)


@post("/webhooks/{endpoint_id}/rotate-secret", status=201)
async def rotate_secret(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Gives the endpoint a new signing secret and shows what the receiver needs, a generated secret only once."""
    given = visitor.form.get("secret", "").strip() or None
    wanted = visitor.form.get("signature", "")
    scheme = SignatureScheme(wanted) if wanted in set(SignatureScheme) and given is None else None

    async def change(edit: Edit) -> str:
        return await endpoints.rotate_secret(edit, context.endpoint(edit, endpoint_id), given, scheme=scheme)

    try:
        made = await edited(context.services, visitor, change)
    except UserError as problem:
        return await _stored_page(endpoint_id, context, visitor, problem=problem)
    return await _stored_page(endpoint_id, context, visitor, made=made)


@post("/webhooks/{endpoint_id}/disable", status=303)
async def disable(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Stops creating deliveries until the endpoint is enabled."""

    async def change(edit: Edit) -> None:
        await endpoints.disable(edit, context.endpoint(edit, endpoint_id))

    await edited(context.services, visitor, change)
    return redirect(f"/webhooks/{endpoint_id}")


@get("/webhooks/{endpoint_id}/delete", needs=Needs.CHANGING)
async def ask_delete(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Explains the deletion and asks for confirmation."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    unfinished = sum(waiting.unfinished for waiting in await context.services.store.backlog(endpoint.seq))
    return page(visitor, "endpoint_delete.html", endpoint=endpoint, unfinished=unfinished)


@post("/webhooks/{endpoint_id}/delete", status=303)
async def delete(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Deletes the endpoint; its history is kept."""

    async def change(edit: Edit) -> None:
        await endpoints.delete(edit, context.endpoint(edit, endpoint_id))

    await edited(context.services, visitor, change)
    return redirect("/webhooks")


async def _settings_page(
    context: Context,
    visitor: Visitor,
    endpoint: Endpoint,
    form: Form,
    *,
    problem: UserError | None = None,
    forgets: bool = False,
    made: str = "",
) -> Response[bytes]:
    of_kind = connector(endpoint.connector)
    known_types = (await context.samples()).types
    settings = context.services.settings
    default_retries = RETRY_AFTER_MS if settings.retry_after_ms is None else settings.retry_after_ms
    return page(
        visitor,
        "endpoint_settings.html",
        status=422 if problem else 201 if made else 200,
        endpoint=endpoint,
        connector=of_kind,
        form=form,
        main=main_fields(of_kind),
        further=further_fields(of_kind),
        values={field.name: value_of(field, form.settings) for field in of_kind.fields},
        families=families(known_types, form.chosen),
        takes_headers=not of_kind.has_contract,
        empty_rows=EMPTY_ROWS,
        rule=rule_of(endpoint.settings),
        default_retries=schedule_text(default_retries),
        modes=[mode.value for mode in Mode],
        signing=_signing(context, endpoint),
        made=made,
        forgets=forgets,
        idle=endpoints.idle_mode(await context.snapshot(), endpoint),
        problem=problem and with_label(problem, of_kind, partial(translate, visitor)),
    )


def _signing(context: Context, endpoint: Endpoint) -> Signing | None:
    """How requests are signed; None if they are not, or if the stored secrets cannot be read."""
    if signing_field(connector(endpoint.connector).fields) is None:
        return None
    try:
        scheme = endpoints.signature_scheme(context.services, endpoint)
        key = endpoints.verification_key(context.services, endpoint)
    except StoreUnusable:
        return None
    return Signing(scheme=scheme, public_key=key if scheme is SignatureScheme.ED25519 else "")


OPERATIONS = (settings, change_settings, rotate_secret, disable, ask_delete, delete)
