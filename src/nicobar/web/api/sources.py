"""`/ingest/api/v1/source`: sources of webhooks."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nicobar.clock import unix_ms
from nicobar.errors import Conflict, UserError
from nicobar.ids import is_id, made_at_ms
from nicobar.model import Mode, Source
from nicobar.sources.registry import SOURCES
from nicobar.store import Snapshot
from nicobar.use_cases import sources
from nicobar.use_cases.applications import default_application
from nicobar.use_cases.bounds import SourceName, SourceUid
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.services import Services
from nicobar.use_cases.sources import SourcePatch, SourceSpec
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.deletion_preview import DELETED, DryRun, DryRunOut, done, would
from nicobar.web.api.errors import Invalid, conflict, not_found
from nicobar.web.api.lookups import MAX_KEY_CHARS, SourceKey, application_of, find
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, Order, Ordering, page_of_all
from nicobar.web.api.shapes import Metadata, Moment, Page, Shape, SourceId, moment
from nicobar.web.operations import Response, ResponseSpec, delete, get, patch, post, put
from nicobar.web.query_names import shortened

TAGS = ["Ingest Source"]
PATH = "/ingest/api/v1/source"
ONE = f"{PATH}/{{source_id}}"
# The public Svix API's type for senders that sign according to Standard Webhooks.
SVIX = "svix"
STANDARD = "standard-webhooks"

SourceType = Annotated[
    str,
    Meta(extra_json_schema={"enum": [SVIX, *(source.kind for source in SOURCES)]}, examples=[SOURCES[0].kind]),
]
SigningSecret = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        description="The sender's signing secret, in the format of the source's kind.",
        examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"],
    ),
]


SourceMode = Annotated[
    Mode, Meta(description="Whether its events are about real money. Facts of both modes are kept apart.")
]
HistoryCompleteSince = Annotated[
    Moment,
    Meta(
        description="When the shop opened, if this source has received all of its events since. Required for first "
        "payments, payment numbers and lifetime totals."
    ),
]


class SourceConfig(Shape):
    """The sender's signing secrets. During a rotation, signatures with `previousSecret` are accepted as well."""

    secret: SigningSecret
    previous_secret: SigningSecret | None = None


class IngestSourceIn(Shape):
    """The source to create or replace. `type` is a kind of source, or `svix` (the same as `standard-webhooks`) for
    any sender that signs according to Standard Webhooks. `appId` is the application that receives its messages.
    Defaults to `default`. `mode` and `historyCompleteSince` of a source that is replaced are kept if omitted.
    """

    name: SourceName
    type: SourceType
    config: SourceConfig
    uid: SourceUid | None = None
    metadata: Metadata | None = {}
    app_id: Annotated[str, Meta(min_length=1, max_length=MAX_KEY_CHARS)] | None = None
    mode: SourceMode | UnsetType | None = UNSET
    history_complete_since: HistoryCompleteSince | UnsetType | None = UNSET


class IngestSourcePatch(Shape):
    """The fields to change. Omitted fields keep their values."""

    name: SourceName | UnsetType = UNSET
    type: SourceType | UnsetType = UNSET
    config: SourceConfig | UnsetType = UNSET
    uid: SourceUid | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET
    mode: SourceMode | UnsetType | None = UNSET
    history_complete_since: HistoryCompleteSince | UnsetType | None = UNSET


class IngestSourceOut(Shape):
    """A source. `type` is always `svix`, which Svix clients support; `kind` is the kind of source. The sender posts
    to `ingestUrl`. Signing secrets are never returned. `mode` is null if it is not stated,
    `historyCompleteSince` if the shop had customers before.
    """

    id: SourceId
    name: str
    type: str
    kind: str
    config: dict[str, str]
    ingest_url: str
    created_at: Moment
    updated_at: Moment
    metadata: dict[str, str]
    app_id: str
    uid: str | None = None
    mode: Mode | None = None
    history_complete_since: Moment | None = None


class RotateTokenOut(Shape):
    """The new URL of the source."""

    ingest_url: str


# Where the value of an error is.
_PLACES = {"unknown_source_kind": "body.type", "history_in_future": "body.historyCompleteSince"}
_CREATED = ResponseSpec(IngestSourceOut, description="Created.")


def shown(services: Services, source: Source) -> IngestSourceOut:
    return IngestSourceOut(
        id=source.id,
        name=source.name,
        type=SVIX,
        kind=source.kind,
        config={},
        ingest_url=_url(services, source.token),
        created_at=moment(source.details.created_at_ms or made_at_ms(source.id)),
        updated_at=moment(source.details.updated_at_ms or made_at_ms(source.id)),
        metadata=source.details.metadata,
        app_id=source.app_id,
        uid=source.uid,
        mode=source.mode,
        history_complete_since=None
        if source.history_complete_since_ms is None
        else moment(source.history_complete_since_ms),
    )


def source_of(snapshot: Snapshot, caller: Caller, key: str) -> Source:
    """Raises Refusal 404."""
    found = find(snapshot.sources, key)
    if found is None or not caller.sees(found.app_id):
        raise not_found("source", key)
    return found


@get(PATH, id="v1.ingest.source.list", tags=TAGS, summary="List sources", needs=Needs.OWN)
async def list_sources(
    *,
    snapshot: Snapshot,
    services: Services,
    caller: Caller,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    order: Order = None,
) -> Page[IngestSourceOut]:
    """Lists sources, newest first by default. A token limited to one application gets only its sources."""
    return page_of_all(
        [source for source in snapshot.sources if caller.sees(source.app_id)],
        iterator=iterator,
        limit=limit,
        order=order or Ordering.DESCENDING,
        key=lambda source: source.id,
        shape=lambda source: shown(services, source),
    )


@post(PATH, id="v1.ingest.source.create", tags=TAGS, summary="Create source", needs=Needs.OWN)
async def create_source(*, data: IngestSourceIn, services: Services, caller: Caller) -> IngestSourceOut:
    """Creates a source. Configure `ingestUrl` at the sender."""

    async def change(edit: Edit) -> Source:
        with _located():
            return await sources.create(edit, _app_id(edit.snapshot, caller, data), _spec(data))

    return shown(services, await edited(services, caller, change))


@get(ONE, id="v1.ingest.source.get", tags=TAGS, summary="Get source", needs=Needs.OWN)
async def get_source(source_id: SourceKey, snapshot: Snapshot, services: Services, caller: Caller) -> IngestSourceOut:
    """Returns a source."""
    return shown(services, source_of(snapshot, caller, source_id))


@put(
    ONE,
    id="v1.ingest.source.upsert",
    tags=TAGS,
    summary="Create or replace source",
    responses={201: _CREATED},
    needs=Needs.OWN,
)
async def upsert_source(
    *, source_id: SourceKey, data: IngestSourceIn, services: Services, caller: Caller
) -> Response[IngestSourceOut]:
    """Replaces a source and keeps its URL, or creates it. If the body has no uid, the uid in the path is used."""

    async def change(edit: Edit) -> tuple[Source, int]:
        source = find(edit.snapshot.sources, source_id)
        if source is not None and source.id != source_id and not caller.sees(source.app_id):
            raise conflict(f'The uid "{shortened(source_id)}" is in use by another source.', "Use a different uid.")
        if source is not None or is_id(source_id, "src"):
            source = source_of(edit.snapshot, caller, source_id)
        wanted = data
        if source is None or source.id != source_id:
            wanted = msgspec.structs.replace(data, uid=data.uid or _new_uid(source_id))
        with _located():
            if source is None:
                return await sources.create(edit, _app_id(edit.snapshot, caller, data), _spec(wanted)), 201
            patch = SourcePatch(
                kind=_kind(wanted.type),
                name=wanted.name,
                uid=wanted.uid,
                metadata=wanted.metadata or {},
                secrets=_secrets(wanted.config),
                mode=wanted.mode,
                history_complete_since_ms=_since(wanted.history_complete_since),
            )
            return await sources.update(edit, source, patch), 200

    source, status = await edited(services, caller, change)
    return Response(shown(services, source), status=status)


@patch(ONE, id="v1.ingest.source.patch", tags=TAGS, summary="Update source", needs=Needs.OWN)
async def patch_source(
    *, source_id: SourceKey, data: IngestSourcePatch, services: Services, caller: Caller
) -> IngestSourceOut:
    """Changes the given fields. Omitted fields keep their values."""
    wanted = SourcePatch(
        kind=data.type if isinstance(data.type, UnsetType) else _kind(data.type),
        name=data.name,
        uid=data.uid,
        metadata=data.metadata,
        secrets=data.config if isinstance(data.config, UnsetType) else _secrets(data.config),
        mode=data.mode,
        history_complete_since_ms=_since(data.history_complete_since),
    )

    async def change(edit: Edit) -> Source:
        with _located():
            return await sources.update(edit, source_of(edit.snapshot, caller, source_id), wanted)

    return shown(services, await edited(services, caller, change))


@delete(
    ONE,
    id="v1.ingest.source.delete",
    tags=TAGS,
    summary="Delete source",
    needs=Needs.OWN,
    status=200,
    responses=DELETED,
)
async def delete_source(
    *, source_id: SourceKey, services: Services, caller: Caller, dry_run: DryRun = False
) -> Response[DryRunOut | None]:
    """Deletes a source. Its URL returns 404 from now on. Its messages are kept."""

    async def change(edit: Edit) -> Response[DryRunOut | None]:
        source = source_of(edit.snapshot, caller, source_id)
        if dry_run:
            return would()
        await sources.delete(edit, source)
        return done()

    return await edited(services, caller, change)


@post(
    f"{ONE}/token/rotate",
    id="v1.ingest.source.rotate-token",
    tags=TAGS,
    summary="Rotate source URL",
    status=200,
    needs=Needs.OWN,
)
async def rotate_token(*, source_id: SourceKey, services: Services, caller: Caller) -> RotateTokenOut:
    """Replaces the URL of a source. The previous URL returns 404 immediately."""

    async def change(edit: Edit) -> Source:
        return await sources.rotate_url(edit, source_of(edit.snapshot, caller, source_id))

    source = await edited(services, caller, change)
    return RotateTokenOut(ingest_url=_url(services, source.token))


def _url(services: Services, token: str) -> str:
    return f"{services.public_url}/in/{token}"


def _new_uid(key: str) -> str:
    try:
        return msgspec.convert(key, SourceUid)
    except msgspec.ValidationError as error:
        raise Invalid(
            "path.source_id", f'Invalid uid "{shortened(key)}".', "Use letters, digits, '-' and '_'."
        ) from error


def _spec(wanted: IngestSourceIn) -> SourceSpec:
    return SourceSpec(
        kind=_kind(wanted.type),
        name=wanted.name,
        uid=wanted.uid,
        metadata=wanted.metadata or {},
        secrets=_secrets(wanted.config),
        mode=wanted.mode or None,
        history_complete_since_ms=_since(wanted.history_complete_since) or None,
    )


def _since(at: datetime | UnsetType | None) -> int | UnsetType | None:
    return unix_ms(at) if isinstance(at, datetime) else at


def _kind(name: str) -> str:
    return STANDARD if name == SVIX else name


def _secrets(config: SourceConfig) -> tuple[str, ...]:
    return tuple(secret for secret in (config.secret, config.previous_secret) if secret)


@contextmanager
def _located() -> Generator[None]:
    """Adds the field of the body to errors about its value."""
    try:
        yield
    except Conflict:
        raise
    except UserError as error:
        where = _PLACES.get(error.code, "body.config.secret")
        raise Invalid(where, error.detail, error.fix, code=error.code) from error


def _app_id(snapshot: Snapshot, caller: Caller, wanted: IngestSourceIn) -> str:
    if wanted.app_id is not None:
        return application_of(snapshot, caller, wanted.app_id).id
    return caller.app_id or default_application(snapshot).id


OPERATIONS = (
    list_sources,
    create_source,
    get_source,
    upsert_source,
    patch_source,
    delete_source,
    rotate_token,
)
