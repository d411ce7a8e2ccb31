"""`/ingest/api/v1/source`: where webhooks come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nicobar.crypto import new_url_token
from nicobar.errors import UserError
from nicobar.ids import is_id, made_at_ms
from nicobar.model import Source
from nicobar.pipeline.configuration import source_secrets
from nicobar.sources.registry import SOURCES
from nicobar.store import PutSource, RemoveSource, Snapshot
from nicobar.use_cases.catalogue import default_application, details, make_source
from nicobar.use_cases.services import Services, again_if_moved
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.deletion_preview import DELETED, DryRun, DryRunOut, done, would
from nicobar.web.api.errors import Invalid, conflict, not_found
from nicobar.web.api.lookups import MAX_KEY_CHARS, SourceKey, application_of, find
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, Order, Ordering, page_of_all
from nicobar.web.api.shapes import Metadata, Moment, Page, Shape, SourceId, moment, patched
from nicobar.web.operations import Response, ResponseSpec, delete, get, patch, post, put

TAGS = ["Ingest Source"]
PATH = "/ingest/api/v1/source"
ONE = f"{PATH}/{{source_id}}"
# The public Svix API's own word for senders that sign as Standard Webhooks says.
SVIX = "svix"
STANDARD = "standard-webhooks"

SourceName = Annotated[str, Meta(min_length=2, max_length=256, examples=["dodo-live"])]
SourceUid = Annotated[
    str, Meta(pattern=r"^(?!src_)[a-zA-Z0-9_\-]+$", min_length=1, max_length=60, description="Your own id for it.")
]
SourceType = Annotated[
    str,
    Meta(extra_json_schema={"enum": [SVIX, *(source.kind for source in SOURCES)]}, examples=["dodo-payments"]),
]
SigningSecret = Annotated[
    str,
    Meta(
        pattern=r"^(whsec_)?[a-zA-Z0-9+/=]{24,120}$",
        description="What the sender signs with: `whsec_` and base64.",
        examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"],
    ),
]


class SourceConfig(Shape):
    """How a sender signs. During a rotation `previousSecret` is taken too."""

    secret: SigningSecret
    previous_secret: SigningSecret | None = None


class IngestSourceIn(Shape):
    """What a source is made of. `type` is `dodo-payments`, or `svix` (the same as `standard-webhooks`) for any sender
    that signs as Standard Webhooks says. `appId` is the application that gets its messages; `default` without it.
    """

    name: SourceName
    type: SourceType
    config: SourceConfig
    uid: SourceUid | None = None
    metadata: Metadata | None = {}
    app_id: Annotated[str, Meta(min_length=1, max_length=MAX_KEY_CHARS)] | None = None


class IngestSourcePatch(Shape):
    """What changes of a source; what is left out stays."""

    name: SourceName | UnsetType = UNSET
    type: SourceType | UnsetType = UNSET
    config: SourceConfig | UnsetType = UNSET
    uid: SourceUid | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET


class IngestSourceOut(Shape):
    """A source. `type` is `svix` as clients know it, `kind` says which of ours it is. `ingestUrl` is what the sender
    posts to; its secrets are never shown.
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


class RotateTokenOut(Shape):
    """The new address."""

    ingest_url: str


_MADE = ResponseSpec(IngestSourceOut, description="It was made.")


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
    )


def source_of(snapshot: Snapshot, caller: Caller, key: str) -> Source:
    """Raises Refusal 404."""
    found = find(snapshot.sources, key)
    if found is None or not caller.sees(found.app_id):
        raise not_found("source")
    return found


@get(PATH, id="v1.ingest.source.list", tags=TAGS, summary="List Ingest Sources", needs=Needs.OWN)
async def list_sources(
    *,
    snapshot: Snapshot,
    services: Services,
    caller: Caller,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    order: Order = None,
) -> Page[IngestSourceOut]:
    """Sources, the newest first unless asked otherwise. A token of one application sees its own."""
    return page_of_all(
        [source for source in snapshot.sources if caller.sees(source.app_id)],
        iterator=iterator,
        limit=limit,
        order=order or Ordering.DESCENDING,
        key=lambda source: source.id,
        shape=lambda source: shown(services, source),
    )


@post(PATH, id="v1.ingest.source.create", tags=TAGS, summary="Create Ingest Source", needs=Needs.OWN)
@again_if_moved
async def create_source(*, data: IngestSourceIn, services: Services, caller: Caller) -> IngestSourceOut:
    """Makes a source; `ingestUrl` is the address for the sender."""
    async with services.changing:
        return await _put(services, caller, await services.snapshot(), data, None)


@get(ONE, id="v1.ingest.source.get", tags=TAGS, summary="Get Ingest Source", needs=Needs.OWN)
async def get_source(source_id: SourceKey, snapshot: Snapshot, services: Services, caller: Caller) -> IngestSourceOut:
    """One source."""
    return shown(services, source_of(snapshot, caller, source_id))


@put(
    ONE,
    id="v1.ingest.source.upsert",
    tags=TAGS,
    summary="Upsert Ingest Source",
    responses={201: _MADE},
    needs=Needs.OWN,
)
@again_if_moved
async def upsert_source(
    *, source_id: SourceKey, data: IngestSourceIn, services: Services, caller: Caller
) -> Response[IngestSourceOut]:
    """Replaces a source, or makes it. Its address stays, and a uid in the path where the body has none."""
    async with services.changing:
        snapshot = await services.snapshot()
        known = find(snapshot.sources, source_id)
        if known is not None and known.id != source_id and not caller.sees(known.app_id):
            raise conflict("Another source has this uid.", "Choose another one.")
        if known is not None or is_id(source_id, "src"):
            known = source_of(snapshot, caller, source_id)
        if known is None or known.id != source_id:
            data = msgspec.structs.replace(data, uid=data.uid or _new_uid(source_id))
        out = await _put(services, caller, snapshot, data, known)
    return Response(out, status=200 if known else 201)


@patch(ONE, id="v1.ingest.source.patch", tags=TAGS, summary="Patch Ingest Source", needs=Needs.OWN)
@again_if_moved
async def patch_source(
    *, source_id: SourceKey, data: IngestSourcePatch, services: Services, caller: Caller
) -> IngestSourceOut:
    """Changes what is given of a source."""
    async with services.changing:
        snapshot = await services.snapshot()
        known = source_of(snapshot, caller, source_id)
        secrets = source_secrets(services.vault, known)
        as_it_is = IngestSourceIn(
            name=known.name,
            type=known.kind,
            config=SourceConfig(
                secret=secrets[0] if secrets else "", previous_secret=secrets[1] if secrets[1:] else None
            ),
            uid=known.uid,
            metadata=known.details.metadata,
        )
        return await _put(services, caller, snapshot, patched(as_it_is, data), known)


@delete(
    ONE,
    id="v1.ingest.source.delete",
    tags=TAGS,
    summary="Delete Ingest Source",
    needs=Needs.OWN,
    status=200,
    responses=DELETED,
)
@again_if_moved
async def delete_source(
    *, source_id: SourceKey, services: Services, caller: Caller, dry_run: DryRun = False
) -> Response[DryRunOut | None]:
    """Takes out a source; its address answers 404 from now on. Its messages stay."""
    async with services.changing:
        known = source_of(await services.snapshot(), caller, source_id)
        if dry_run:
            return would()
        removal = RemoveSource(source_id=known.id)
        await services.change(caller, "source.delete", known.id, removal, app_id=known.app_id)
    return done()


@post(
    f"{ONE}/token/rotate",
    id="v1.ingest.source.rotate-token",
    tags=TAGS,
    summary="Rotate Ingest Token",
    status=200,
    needs=Needs.OWN,
)
@again_if_moved
async def rotate_token(*, source_id: SourceKey, services: Services, caller: Caller) -> RotateTokenOut:
    """Gives a source a new address. The one before it answers 404 at once."""
    async with services.changing:
        known = source_of(await services.snapshot(), caller, source_id)
        token = new_url_token()
        change = PutSource(source=msgspec.structs.replace(known, token=token))
        await services.change(caller, "source.rotate-token", known.id, change, app_id=known.app_id)
        return RotateTokenOut(ingest_url=_url(services, token))


def _url(services: Services, token: str) -> str:
    return f"{services.public_url}/in/{token}"


def _new_uid(key: str) -> str:
    try:
        return msgspec.convert(key, SourceUid)
    except msgspec.ValidationError as error:
        raise Invalid("path.source_id", "It cannot be a uid.", "Use letters, digits, '-' and '_'.") from error


async def _put(
    services: Services, caller: Caller, snapshot: Snapshot, wanted: IngestSourceIn, known: Source | None
) -> IngestSourceOut:
    app_id = known.app_id if known else _app_id(snapshot, caller, wanted)
    _check_free(snapshot.sources, wanted, app_id, known)
    try:
        made = make_source(
            vault=services.vault,
            ids=services.ids,
            app_id=app_id,
            name=wanted.name,
            kind=STANDARD if wanted.type == SVIX else wanted.type,
            secrets=[item for item in (wanted.config.secret, wanted.config.previous_secret) if item],
            uid=wanted.uid,
            details=details(
                now_ms=services.clock.now_ms(),
                metadata=wanted.metadata or {},
                known=known.details if known else None,
            ),
            known=known,
        )
    except UserError as error:
        where = "body.type" if error.code == "unknown_source_kind" else "body.config.secret"
        raise Invalid(where, error.detail, error.fix, code=error.code) from error
    action = "source.update" if known else "source.create"
    await services.change(caller, action, made.id, PutSource(source=made), app_id=app_id)
    return shown(services, made)


def _app_id(snapshot: Snapshot, caller: Caller, wanted: IngestSourceIn) -> str:
    if wanted.app_id is not None:
        return application_of(snapshot, caller, wanted.app_id).id
    return caller.app_id or default_application(snapshot).id


def _check_free(sources: Sequence[Source], wanted: IngestSourceIn, app_id: str, known: Source | None) -> None:
    others = [source for source in sources if source != known]
    if wanted.uid is not None and any(other.uid == wanted.uid for other in others):
        raise conflict("Another source has this uid.", "Choose another one.")
    if any((other.app_id, other.name) == (app_id, wanted.name) for other in others):
        raise conflict("Another source has this name.", "Choose another one.")


OPERATIONS = (
    list_sources,
    create_source,
    get_source,
    upsert_source,
    patch_source,
    delete_source,
    rotate_token,
)
