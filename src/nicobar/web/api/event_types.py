"""`/api/v1/event-type`: event types, built in and added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nicobar.errors import UserError
from nicobar.model import EVENT_TYPE_NAME, EventType
from nicobar.nesting import MAX_DEPTH_LEVELS, is_deeper
from nicobar.store import Snapshot
from nicobar.use_cases import event_types
from nicobar.use_cases.event_type_import import event_types_of
from nicobar.use_cases.event_types import is_built_in
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.deletion_preview import DELETED, DryRun, DryRunOut, done, would
from nicobar.web.api.errors import Invalid
from nicobar.web.api.lookups import MAX_KEY_CHARS
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, OrderByName, Ordering, page_of_all
from nicobar.web.api.shapes import Description, EventTypeName, Moment, Page, Shape, Unsupported, moment
from nicobar.web.asgi import decode_slashes
from nicobar.web.operations import Response, ResponseSpec, delete, get, patch, post, put
from nicobar.web.query_names import shortened

TAGS = ["Event Type"]
PATH = "/api/v1/event-type"
ONE = f"{PATH}/{{event_type_name}}"
MAX_IMPORTED = 1_000
# Built-in event types have no time of their own.
_BUILT_IN_MS = 1_767_225_600_000

NameKey = Annotated[str, Meta(description="The event type's name. Encode slashes as %2F.", max_length=MAX_KEY_CHARS)]
Flag = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9\-_.]+$", min_length=1, max_length=256)]
Flags = Annotated[list[Flag], Meta(max_length=50)]
GroupName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9\-_.]+$", min_length=1, max_length=256, examples=["payment"])]
Schemas = Annotated[
    dict[str, Any], Meta(description="JSON Schemas by version. The dashboard shows the first.", examples=[{"1": {}}])
]


class EventTypeIn(Shape):
    """The event type to create."""

    name: EventTypeName
    description: Description
    archived: bool = False
    deprecated: bool = False
    schemas: Schemas | None = None
    group_name: GroupName | None = None
    feature_flags: Flags | None = None
    feature_flag: Unsupported = None


class EventTypeUpsertIn(Shape):
    """The new values of the event type."""

    description: Description
    archived: bool = False
    deprecated: bool = False
    schemas: Schemas | None = None
    group_name: GroupName | None = None
    feature_flags: Flags | None = None
    feature_flag: Unsupported = None


class EventTypePatch(Shape):
    """The fields to change. Omitted fields keep their values."""

    description: Description | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    deprecated: bool | UnsetType = UNSET
    schemas: Schemas | UnsetType | None = UNSET
    group_name: GroupName | UnsetType | None = UNSET
    feature_flags: Flags | UnsetType | None = UNSET
    feature_flag: Unsupported = None


class EventTypeOut(Shape):
    """An event type. `example` is an example payload. `builtIn` is true for an unchanged event type of a source."""

    name: str
    description: str
    archived: bool
    deprecated: bool
    created_at: Moment
    updated_at: Moment
    built_in: bool
    schemas: dict[str, Any] | None = None
    group_name: str | None = None
    feature_flags: list[str] | None = None
    example: Any = None


class EventTypeImportOpenApiIn(Shape):
    """An OpenAPI document with `webhooks` or `x-webhooks`, as an object (`spec`) or as JSON text (`specRaw`)."""

    spec: dict[str, Any] | None = None
    spec_raw: Annotated[str, Meta(max_length=2_000_000)] | None = None
    dry_run: bool = False
    # As clients before 1.84 spell it.
    dry_run_older: bool = msgspec.field(name="dry_run", default=False)
    replace_all: bool = False


class EventTypeFromOpenApi(Shape):
    """An event type in the OpenAPI document."""

    name: str
    description: str
    deprecated: bool
    schemas: dict[str, Any] | None = None
    group_name: str | None = None
    feature_flags: list[str] | None = None


class EventTypeImportOpenApiOutData(Shape):
    """`modified`: names of the changed event types. `to_modify`: with `dryRun`, the event types to change."""

    modified: list[str]
    to_modify: list[EventTypeFromOpenApi] | None = msgspec.field(name="to_modify", default=None)


class EventTypeImportOpenApiOut(Shape):
    """The result of an import."""

    data: EventTypeImportOpenApiOutData


class ExportOut(Shape):
    """The event types as the `webhooks` of an OpenAPI 3.1 document."""

    openapi: str
    info: dict[str, str]
    webhooks: dict[str, Any]


_CREATED = ResponseSpec(EventTypeOut, description="Created.")


def shown(event_type: EventType, *, built_in: bool, with_content: bool = True) -> EventTypeOut:
    schemas = event_type.schemas if isinstance(event_type.schemas, dict) else None
    if schemas is None and isinstance(event_type.schema, dict):
        schemas = {"1": event_type.schema}
    return EventTypeOut(
        name=event_type.name,
        description=event_type.description,
        archived=event_type.archived,
        deprecated=event_type.deprecated,
        created_at=moment(event_type.created_at_ms or _BUILT_IN_MS),
        updated_at=moment(event_type.updated_at_ms or _BUILT_IN_MS),
        built_in=built_in,
        schemas=schemas if with_content else None,
        group_name=event_type.group_name,
        feature_flags=list(event_type.feature_flags) or None,
        example=event_type.example if with_content else None,
    )


@get(PATH, id="v1.event-type.list", tags=TAGS, summary="List event types", needs=Needs.ANY_READER)
async def list_event_types(
    *,
    snapshot: Snapshot,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    order: OrderByName = None,
    include_archived: Annotated[bool, Meta(description="Include archived event types. Defaults to false.")] = False,
    with_content: Annotated[bool, Meta(description="Include schemas and examples. Defaults to false.")] = False,
) -> Page[EventTypeOut]:
    """Lists event types by name."""
    return page_of_all(
        [
            event_type
            for event_type in event_types.all_event_types(snapshot).values()
            if include_archived or not event_type.archived
        ],
        iterator=iterator,
        limit=limit,
        order=order or Ordering.ASCENDING,
        key=lambda event_type: event_type.name,
        shape=lambda event_type: shown(
            event_type, built_in=is_built_in(snapshot, event_type.name), with_content=with_content
        ),
    )


@post(PATH, id="v1.event-type.create", tags=TAGS, summary="Create event type")
async def create_event_type(*, data: EventTypeIn, services: Services, caller: Caller) -> EventTypeOut:
    """Creates an event type. If an archived event type has this name, it is replaced and restored."""
    created = await event_types.create_event_type(services, caller, data.name, _spec(data))
    return shown(created, built_in=False)


@get(ONE, id="v1.event-type.get", tags=TAGS, summary="Get event type", needs=Needs.ANY_READER)
async def get_event_type(event_type_name: NameKey, snapshot: Snapshot) -> EventTypeOut:
    """Returns an event type with its schemas and its example."""
    found = event_types.find_event_type(snapshot, decode_slashes(event_type_name))
    return shown(found, built_in=is_built_in(snapshot, found.name))


@put(ONE, id="v1.event-type.upsert", tags=TAGS, summary="Create or replace event type", responses={201: _CREATED})
async def upsert_event_type(
    *, event_type_name: NameKey, data: EventTypeUpsertIn, services: Services, caller: Caller
) -> Response[EventTypeOut]:
    """Replaces an event type, or creates it."""
    name = decode_slashes(event_type_name)
    if not EVENT_TYPE_NAME.fullmatch(name):
        raise Invalid(
            "path.event_type_name",
            f'Invalid event type name "{shortened(name)}".',
            "Use letters, digits and . - _ /.",
        )
    put, is_new = await event_types.put_event_type(services, caller, name, _spec(data))
    return Response(shown(put, built_in=False), status=201 if is_new else 200)


@patch(ONE, id="v1.event-type.patch", tags=TAGS, summary="Update event type")
async def patch_event_type(
    *, event_type_name: NameKey, data: EventTypePatch, services: Services, caller: Caller
) -> EventTypeOut:
    """Changes the given fields. Omitted fields keep their values."""
    fields = {name: getattr(data, name) for name in event_types.EventTypePatch.__struct_fields__}
    if data.feature_flags is not UNSET:
        fields["feature_flags"] = tuple(data.feature_flags or ())
    patch = event_types.EventTypePatch(**fields)
    return shown(
        await event_types.update_event_type(services, caller, decode_slashes(event_type_name), patch), built_in=False
    )


@delete(
    ONE,
    id="v1.event-type.delete",
    tags=TAGS,
    summary="Delete event type",
    status=200,
    responses=DELETED,
)
async def delete_event_type(
    *,
    event_type_name: NameKey,
    services: Services,
    caller: Caller,
    expunge: Annotated[bool, Meta(description="Delete permanently instead of archiving. Defaults to false.")] = False,
    dry_run: DryRun = False,
) -> Response[DryRunOut | None]:
    """Archives an event type: it is no longer listed, and its messages are still accepted. With `expunge`, deletes it
    permanently; event types of a source can only be archived.
    """
    if dry_run:
        snapshot = await services.snapshot()
        event_types.find_event_type(snapshot, decode_slashes(event_type_name))
        if expunge:
            event_types.check_expungeable(snapshot, decode_slashes(event_type_name))
        return would()
    remove = event_types.expunge_event_type if expunge else event_types.archive_event_type
    await remove(services, caller, decode_slashes(event_type_name))
    return done()


@post(
    f"{PATH}/import/openapi",
    id="v1.event-type.import-openapi",
    tags=TAGS,
    summary="Import event types",
    status=200,
)
async def import_event_types(
    *, data: EventTypeImportOpenApiIn, services: Services, caller: Caller
) -> EventTypeImportOpenApiOut:
    """Creates event types from the webhooks in an OpenAPI document. With `replaceAll`, added event types that are not
    in the document are archived.
    """
    found = _read(data)
    if data.dry_run or data.dry_run_older:
        now_ms = services.clock.now_ms()
        wanted = event_types.imported(await services.snapshot(), found, now_ms, replace_all=data.replace_all)
        would = [_described(item) for item in wanted]
        return EventTypeImportOpenApiOut(data=EventTypeImportOpenApiOutData(modified=[], to_modify=would))
    changed = await event_types.import_event_types(services, caller, found, replace_all=data.replace_all)
    return EventTypeImportOpenApiOut(data=EventTypeImportOpenApiOutData(modified=[item.name for item in changed]))


@get(
    f"{PATH}/export/openapi",
    id="nicobar.event-type.export",
    tags=TAGS,
    summary="Export event types",
    needs=Needs.ANY_READER,
)
async def export_event_types(snapshot: Snapshot) -> ExportOut:
    """Exports all event types that are not archived as an OpenAPI document, the input of `import/openapi`."""
    current = [event_type for event_type in event_types.all_event_types(snapshot).values() if not event_type.archived]
    return ExportOut(
        openapi="3.1.0",
        info={"title": "Event types", "version": "1"},
        webhooks={item.name: _webhook(item) for item in sorted(current, key=lambda item: item.name)},
    )


def _webhook(event_type: EventType) -> Mapping[str, Any]:
    schema = (
        next(iter(event_type.schemas.values()), {})
        if isinstance(event_type.schemas, dict)
        else event_type.schema or {}
    )
    content: dict[str, Any] = {"schema": schema}
    if event_type.example is not None:
        content["example"] = event_type.example
    operation: dict[str, Any] = {
        "operationId": event_type.name,
        "description": event_type.description,
        "deprecated": event_type.deprecated,
        "requestBody": {"content": {"application/json": content}},
        "responses": {"2XX": {"description": "Accepted."}},
    }
    if event_type.group_name:
        operation["x-svix-group-name"] = event_type.group_name
    return {"post": operation}


def _read(data: EventTypeImportOpenApiIn) -> Sequence[EventType]:
    if (data.spec is None) is (data.spec_raw is None):
        raise Invalid("body.spec", "The body must have either spec or specRaw.", "Send one of them.")
    where = "body.spec" if data.spec is not None else "body.specRaw"
    if data.spec_raw is not None and is_deeper(data.spec_raw.encode("utf-8", "replace")):
        raise Invalid(
            where, f"The document is nested deeper than {MAX_DEPTH_LEVELS} levels.", "Send a flatter document."
        )
    try:
        document = data.spec if data.spec_raw is None else msgspec.json.decode(data.spec_raw, type=dict[str, Any])
        found = event_types_of(document or {})
    except msgspec.MsgspecError as error:
        raise Invalid(
            where, "The document is not a JSON object.", "Send OpenAPI as JSON. YAML is not supported."
        ) from error
    except UserError as error:
        raise Invalid(where, error.detail, error.fix, code=error.code) from error
    if len(found) > MAX_IMPORTED:
        raise Invalid(
            where, f"The document has {len(found)} webhooks. The maximum is {MAX_IMPORTED}.", "Import it in parts."
        )
    return found


def _described(event_type: EventType) -> EventTypeFromOpenApi:
    return EventTypeFromOpenApi(
        name=event_type.name,
        description=event_type.description,
        deprecated=event_type.deprecated,
        schemas=event_type.schemas if isinstance(event_type.schemas, dict) else None,
        group_name=event_type.group_name,
        feature_flags=list(event_type.feature_flags) or None,
    )


def _spec(data: EventTypeIn | EventTypeUpsertIn) -> event_types.EventTypeSpec:
    return event_types.EventTypeSpec(
        description=data.description,
        archived=data.archived,
        deprecated=data.deprecated,
        schemas=data.schemas,
        group_name=data.group_name,
        feature_flags=tuple(data.feature_flags or ()),
    )


OPERATIONS = (
    list_event_types,
    create_event_type,
    import_event_types,
    export_event_types,
    get_event_type,
    upsert_event_type,
    patch_event_type,
    delete_event_type,
)
