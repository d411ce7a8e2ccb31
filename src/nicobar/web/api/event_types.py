"""`/api/v1/event-type`: kinds of events, those of the sources and those that were added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nicobar.errors import UserError
from nicobar.model import EVENT_TYPE_NAME, EventType
from nicobar.nesting import MAX_DEPTH_LEVELS, is_deeper
from nicobar.pipeline.retry import RETRY_AFTER_MS
from nicobar.store import Snapshot
from nicobar.use_cases import event_types
from nicobar.use_cases.event_type_import import event_types_of
from nicobar.use_cases.event_types import is_built_in
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.deletion_preview import DELETED, DryRun, DryRunOut, done, would
from nicobar.web.api.errors import Invalid
from nicobar.web.api.lookups import MAX_KEY_CHARS
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, Order, Ordering, page_of_all
from nicobar.web.api.shapes import Description, EventTypeName, Moment, Page, Shape, Unsupported, moment
from nicobar.web.asgi import decode_slashes
from nicobar.web.operations import Response, ResponseSpec, delete, get, patch, post, put

TAGS = ["Event Type"]
PATH = "/api/v1/event-type"
ONE = f"{PATH}/{{event_type_name}}"
MAX_IMPORTED = 1_000
# When the kinds of the sources were written down; they have no time of their own.
_BUILT_IN_MS = 1_767_225_600_000

NameKey = Annotated[str, Meta(description="The event type's name; a slash in it as %2F.", max_length=MAX_KEY_CHARS)]
Flag = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9\-_.]+$", min_length=1, max_length=256)]
Flags = Annotated[list[Flag], Meta(max_length=50)]
GroupName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9\-_.]+$", min_length=1, max_length=256, examples=["payment"])]
Schemas = Annotated[
    dict[str, Any], Meta(description="JSON schemas by version, the first of which is shown.", examples=[{"1": {}}])
]


class EventTypeIn(Shape):
    """What an event type is made of."""

    name: EventTypeName
    description: Description
    archived: bool = False
    deprecated: bool = False
    schemas: Schemas | None = None
    group_name: GroupName | None = None
    feature_flags: Flags | None = None
    feature_flag: Unsupported = None


class EventTypeUpsertIn(Shape):
    """What an event type is replaced by."""

    description: Description
    archived: bool = False
    deprecated: bool = False
    schemas: Schemas | None = None
    group_name: GroupName | None = None
    feature_flags: Flags | None = None
    feature_flag: Unsupported = None


class WaitOut(Shape):
    """How long."""

    secs: int
    nanos: int


class RetryScheduleOut(Shape):
    """How long after each failed try the next one comes."""

    retry_schedule: list[WaitOut]


class EventTypePatch(Shape):
    """What changes of an event type; what is left out stays."""

    description: Description | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    deprecated: bool | UnsetType = UNSET
    schemas: Schemas | UnsetType | None = UNSET
    group_name: GroupName | UnsetType | None = UNSET
    feature_flags: Flags | UnsetType | None = UNSET
    feature_flag: Unsupported = None


class EventTypeOut(Shape):
    """An event type. `example` is a body; `builtIn` says that it comes with a source and was not changed."""

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
    """An OpenAPI document with `webhooks` (or `x-webhooks`), read (`spec`) or as JSON text (`specRaw`)."""

    spec: dict[str, Any] | None = None
    spec_raw: Annotated[str, Meta(max_length=2_000_000)] | None = None
    dry_run: bool = False
    # As clients before 1.84 spell it.
    dry_run_older: bool = msgspec.field(name="dry_run", default=False)
    replace_all: bool = False


class EventTypeFromOpenApi(Shape):
    """An event type as the document describes it."""

    name: str
    description: str
    deprecated: bool
    schemas: dict[str, Any] | None = None
    group_name: str | None = None
    feature_flags: list[str] | None = None


class EventTypeImportOpenApiOutData(Shape):
    """The names of what was changed; in a dry run what would be, in full."""

    modified: list[str]
    to_modify: list[EventTypeFromOpenApi] | None = msgspec.field(name="to_modify", default=None)


class EventTypeImportOpenApiOut(Shape):
    """What an import did."""

    data: EventTypeImportOpenApiOutData


class ExportOut(Shape):
    """The event types as the `webhooks` of an OpenAPI 3.1 document."""

    openapi: str
    info: dict[str, str]
    webhooks: dict[str, Any]


_MADE = ResponseSpec(EventTypeOut, description="It was made.")


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


@get(PATH, id="v1.event-type.list", tags=TAGS, summary="List Event Types", needs=Needs.ANY_READER)
async def list_event_types(
    *,
    snapshot: Snapshot,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    order: Order = None,
    include_archived: Annotated[bool, Meta(description="Archived ones too.")] = False,
    with_content: Annotated[bool, Meta(description="With schemas and examples.")] = False,
) -> Page[EventTypeOut]:
    """Event types by name."""
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


@post(PATH, id="v1.event-type.create", tags=TAGS, summary="Create Event Type")
async def create_event_type(*, data: EventTypeIn, services: Services, caller: Caller) -> EventTypeOut:
    """Makes an event type. One of an archived event type's name brings it back."""
    made = await event_types.create_event_type(services, caller, data.name, _spec(data))
    return shown(made, built_in=False)


@get(ONE, id="v1.event-type.get", tags=TAGS, summary="Get Event Type", needs=Needs.ANY_READER)
async def get_event_type(event_type_name: NameKey, snapshot: Snapshot) -> EventTypeOut:
    """One event type, with its schemas and its example."""
    found = event_types.find_event_type(snapshot, decode_slashes(event_type_name))
    return shown(found, built_in=is_built_in(snapshot, found.name))


@get(
    f"{ONE}/retry-schedule",
    id="v1.event-type.get-retry-schedule",
    tags=TAGS,
    summary="Get Retry Schedule",
    needs=Needs.ANY_READER,
)
async def get_retry_schedule(event_type_name: NameKey, snapshot: Snapshot) -> RetryScheduleOut:
    """How long after each failed try the next one comes; the same for all event types."""
    event_types.find_event_type(snapshot, decode_slashes(event_type_name))
    return RetryScheduleOut(retry_schedule=[WaitOut(secs=wait_ms // 1000, nanos=0) for wait_ms in RETRY_AFTER_MS])


@put(ONE, id="v1.event-type.upsert", tags=TAGS, summary="Upsert Event Type", responses={201: _MADE})
async def upsert_event_type(
    *, event_type_name: NameKey, data: EventTypeUpsertIn, services: Services, caller: Caller
) -> Response[EventTypeOut]:
    """Replaces an event type, or makes it."""
    name = decode_slashes(event_type_name)
    if not EVENT_TYPE_NAME.fullmatch(name):
        raise Invalid("path.event_type_name", "Invalid event type name.", "Use letters, digits and . - _ /.")
    put, is_new = await event_types.put_event_type(services, caller, name, _spec(data))
    return Response(shown(put, built_in=False), status=201 if is_new else 200)


@patch(ONE, id="v1.event-type.patch", tags=TAGS, summary="Patch Event Type")
async def patch_event_type(
    *, event_type_name: NameKey, data: EventTypePatch, services: Services, caller: Caller
) -> EventTypeOut:
    """Changes what is given of an event type."""
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
    summary="Delete Event Type",
    status=200,
    responses=DELETED,
)
async def delete_event_type(
    *,
    event_type_name: NameKey,
    services: Services,
    caller: Caller,
    expunge: Annotated[bool, Meta(description="Delete it permanently instead of archiving it.")] = False,
    dry_run: DryRun = False,
) -> Response[DryRunOut | None]:
    """Archives an event type: it is not offered any more; messages of it are taken as before."""
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
    summary="Import Event Types",
    status=200,
)
async def import_event_types(
    *, data: EventTypeImportOpenApiIn, services: Services, caller: Caller
) -> EventTypeImportOpenApiOut:
    """Makes event types of the webhooks in an OpenAPI document. With `replaceAll` those that were added and are not
    in it are archived.
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
    summary="Export Event Types",
    needs=Needs.ANY_READER,
)
async def export_event_types(snapshot: Snapshot) -> ExportOut:
    """All event types that are not archived as an OpenAPI document, which `import/openapi` takes."""
    offered = [event_type for event_type in event_types.all_event_types(snapshot).values() if not event_type.archived]
    return ExportOut(
        openapi="3.1.0",
        info={"title": "Event types", "version": "1"},
        webhooks={item.name: _webhook(item) for item in sorted(offered, key=lambda item: item.name)},
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
        "responses": {"2XX": {"description": "Taken."}},
    }
    if event_type.group_name:
        operation["x-svix-group-name"] = event_type.group_name
    return {"post": operation}


def _read(data: EventTypeImportOpenApiIn) -> Sequence[EventType]:
    if (data.spec is None) is (data.spec_raw is None):
        raise Invalid("body.spec", "Give either spec or specRaw.", "One of them.")
    where = "body.spec" if data.spec is not None else "body.specRaw"
    if data.spec_raw is not None and is_deeper(data.spec_raw.encode("utf-8", "replace")):
        raise Invalid(where, f"It is nested deeper than {MAX_DEPTH_LEVELS} levels.", "Give a flatter document.")
    try:
        document = data.spec if data.spec_raw is None else msgspec.json.decode(data.spec_raw, type=dict[str, Any])
        found = event_types_of(document or {})
    except msgspec.MsgspecError as error:
        raise Invalid(where, "It is not a JSON object.", "Give OpenAPI as JSON; YAML is not read.") from error
    except UserError as error:
        raise Invalid(where, error.detail, error.fix, code=error.code) from error
    if len(found) > MAX_IMPORTED:
        raise Invalid(where, f"It has more than {MAX_IMPORTED} webhooks.", "Import it in parts.")
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
    get_retry_schedule,
    upsert_event_type,
    patch_event_type,
    delete_event_type,
)
