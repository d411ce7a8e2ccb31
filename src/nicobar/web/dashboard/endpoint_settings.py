"""`/webhooks/…/settings`: what can be changed of an endpoint, and taking it out."""

from __future__ import annotations

from nicobar.connectors.registry import connector
from nicobar.errors import UserError
from nicobar.model import Endpoint, Record, Setting
from nicobar.pipeline.configuration import endpoint_credentials, endpoint_headers
from nicobar.store import RemoveEndpoint
from nicobar.use_cases.catalogue import details, make_endpoint
from nicobar.use_cases.destination_check import check_address, check_stored, moved
from nicobar.use_cases.endpoint_state import disable_endpoint
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, find_endpoint
from nicobar.web.dashboard.forms import (
    MAX_HEADERS,
    chosen_types,
    families,
    further_fields,
    kept_values,
    main_fields,
    read_fields,
    read_headers,
    read_variables,
    shown_headers,
    value_of,
    write_variables,
)
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

MAX_RATE = 65_535
EMPTY_ROWS = 2


class Form(Record):
    """What the form shows. A header's value is None where it is kept and not shown."""

    name: str
    settings: dict[str, Setting]
    chosen: tuple[str, ...]
    rate: str
    variables: str
    headers: dict[str, str | None]


@get("/webhooks/{endpoint_id}/settings")
async def settings(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The form of what can be changed."""
    known = find_endpoint(await context.snapshot(), endpoint_id)
    form = Form(
        name=known.name,
        settings=known.settings,
        chosen=known.event_types,
        rate="" if known.max_messages_per_s is None else str(known.max_messages_per_s),
        variables=write_variables(known.variables),
        headers=shown_headers(endpoint_headers(context.services.vault, known)),
    )
    return _settings_page(visitor, known, form)


@post("/webhooks/{endpoint_id}/settings", status=303)
async def change_settings(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Keeps what was changed; secrets that were left empty stay."""
    async with context.services.changing:
        snapshot = await context.snapshot()
        known = find_endpoint(snapshot, endpoint_id)
        given = read_fields(connector(known.connector), visitor.form)
        kept_headers = endpoint_headers(context.services.vault, known)
        form = Form(
            name=given.name,
            settings=given.settings,
            chosen=chosen_types(visitor.every) if visitor.form.get("types") == "some" else (),
            rate=visitor.form.get("rate", "").strip(),
            variables=visitor.form.get("variables", ""),
            headers=shown_headers(read_headers(visitor.every, {})),
        )
        rate = form.rate
        try:
            if len(form.headers) > MAX_HEADERS:
                raise UserError(  # noqa: TRY301 - the form says so
                    "headers_many", f"There are more than {MAX_HEADERS} headers.", "Leave some out."
                )
            if visitor.form.get("types") == "some" and not form.chosen:
                raise UserError(  # noqa: TRY301 - the form says so
                    "types_missing", "No event type is chosen.", "Choose some, or let all events go to it."
                )
            others = [
                endpoint
                for endpoint in snapshot.endpoints
                if endpoint.app_id == known.app_id and endpoint.id != known.id
            ]
            if any(other.name == given.name for other in others):
                raise UserError("name_taken", "Another endpoint has this name.", "Choose another one.")  # noqa: TRY301 - the form says so
            if rate and not (rate.isdecimal() and 0 < int(rate) <= MAX_RATE):
                raise UserError(  # noqa: TRY301 - the form says so
                    "rate_invalid", "The rate is not a whole number of messages a second.", f"1 to {MAX_RATE} fit."
                )
            stored = endpoint_credentials(context.services.vault, known)
            headers = read_headers(visitor.every, kept_headers)
            check_address(context.services.settings.allowed, known.connector, given.settings, known.settings)
            check_stored(
                known.connector,
                given.settings,
                known.settings,
                credentials=stored.keys() - given.credentials.keys(),
                headers=kept_values(visitor.every, kept_headers),
            )
            changed = make_endpoint(
                vault=context.services.vault,
                ids=context.services.ids,
                app_id=known.app_id,
                name=given.name,
                kind=known.connector,
                settings=given.settings,
                credentials=stored | given.credentials,
                references={} if given.credentials else known.credential_references,
                event_types=form.chosen,
                channels=known.channels,
                variables=read_variables(form.variables),
                headers=headers,
                disabled=known.disabled,
                max_messages_per_s=int(rate) if rate else None,
                uid=known.uid,
                details=details(
                    now_ms=context.now_ms(),
                    description=known.details.description,
                    metadata=known.details.metadata,
                    known=known.details,
                ),
                known=known,
            )
        except UserError as problem:
            return _settings_page(visitor, known, form, problem)
        detail = moved(known, changed)
        await context.services.change(
            visitor, "endpoint.update", known.id, changed, app_id=known.app_id, detail=detail
        )
    return redirect(f"/webhooks/{known.id}")


@post("/webhooks/{endpoint_id}/disable", status=303)
async def disable(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Makes no deliveries for it until it is enabled."""
    async with context.services.changing:
        known = find_endpoint(await context.snapshot(), endpoint_id)
        await disable_endpoint(context.services, visitor, known)
    return redirect(f"/webhooks/{known.id}")


@get("/webhooks/{endpoint_id}/delete", needs=Needs.CHANGING)
async def ask_delete(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Says what deleting means, and asks."""
    known = find_endpoint(await context.snapshot(), endpoint_id)
    backlog = {waiting.endpoint_seq: waiting.unfinished for waiting in await context.services.store.backlog()}
    return page(visitor, "delete.html", endpoint=known, unfinished=backlog.get(known.seq, 0))


@post("/webhooks/{endpoint_id}/delete", status=303)
async def delete(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Takes the endpoint out; its history stays."""
    known = find_endpoint(await context.snapshot(), endpoint_id)
    removal = RemoveEndpoint(endpoint_id=known.id)
    await context.services.change(visitor, "endpoint.delete", known.id, removal, app_id=known.app_id)
    return redirect("/webhooks")


def _settings_page(
    visitor: Visitor, known: Endpoint, form: Form, problem: UserError | None = None
) -> Response[bytes]:
    of_kind = connector(known.connector)
    return page(
        visitor,
        "settings.html",
        status=422 if problem else 200,
        endpoint=known,
        connector=of_kind,
        form=form,
        main=main_fields(of_kind),
        further=further_fields(of_kind),
        values={field.name: value_of(field, form.settings) for field in of_kind.fields},
        families=families(form.chosen),
        takes_headers=not of_kind.has_contract,
        empty_rows=EMPTY_ROWS,
        problem=problem,
    )


OPERATIONS = (settings, change_settings, disable, ask_delete, delete)
