"""`/api/v1/app/{app_id}/endpoint`: where messages go."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Annotated, TypeVar

import msgspec
from litestar import Response, delete, get, patch, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType

from nicobar.connectors import FieldKind
from nicobar.connectors.registry import CONNECTORS, connector
from nicobar.crypto import Vault
from nicobar.errors import Conflict, UserError
from nicobar.ids import is_id, made_at_ms
from nicobar.model import Endpoint, Record, Setting
from nicobar.pipeline.configuration import endpoint_headers
from nicobar.use_cases import endpoint_records as records
from nicobar.use_cases import endpoints
from nicobar.use_cases.bounds import (
    MAX_CHANNELS,
    MAX_EVENT_TYPES,
    MAX_HEADERS,
    EndpointName,
    HeaderName,
    HeaderValue,
    MessagesPerS,
)
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.endpoint_records import EndpointSpec
from nicobar.use_cases.services import Services
from nicobar.web.api.deletion_preview import DELETED, DryRunOut, GivenDryRun, done, unfinished, would
from nicobar.web.api.errors import Invalid
from nicobar.web.api.lookups import (
    AppKey,
    EndpointKey,
    GivenApplication,
    GivenCaller,
    GivenEndpoint,
    GivenServices,
    GivenSnapshot,
    application_of,
    check_new_uid,
    endpoint_of,
    find,
)
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, Order, Ordering, page_of_all
from nicobar.web.api.shapes import (
    Channel,
    Description,
    EndpointId,
    EventTypeName,
    Metadata,
    Moment,
    Page,
    Shape,
    Uid,
    Unsupported,
    given_names,
    moment,
)

TAGS = ["Endpoint"]
PATH = "/api/v1/app/{app_id:str}/endpoint"
ONE = "/api/v1/app/{app_id:str}/endpoint/{endpoint_id:str}"
HTTP = "http"
MASKED = "***"

Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4_096,
        pattern=r"^https?://[^\s#@]+$",
        description="Where messages are posted, signed by Standard Webhooks.",
        examples=["https://example.com/webhook/"],
    ),
]
Secret = Annotated[
    str,
    Meta(
        pattern=r"^(whsec_)?[a-zA-Z0-9+/=]{32,100}$",
        description="What requests are signed with: `whsec_` and base64.",
        examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"],
    ),
]
EventTypes = Annotated[
    list[EventTypeName], Meta(max_length=MAX_EVENT_TYPES, description="Event types to deliver; all if omitted.")
]
Channels = Annotated[list[Channel], Meta(max_length=MAX_CHANNELS, description="Channels to deliver; all if omitted.")]
Headers = Annotated[dict[HeaderName, HeaderValue], Meta(max_length=MAX_HEADERS)]
ConfigValue = Annotated[str, Meta(max_length=65_536)] | bool
Kind = Annotated[
    str, Meta(extra_json_schema={"enum": [connector.kind for connector in CONNECTORS]}, examples=[CONNECTORS[0].kind])
]


class EndpointConnector(Shape):
    """The connector of an endpoint and its configuration: the fields that `GET /api/v1/connector` names. Secrets are
    shown as `***`, and stay as they are where that is sent back; fields that are left out stay too.
    """

    kind: Kind
    config: Annotated[dict[str, ConfigValue], Meta(examples=[{"site_id": "…", "api_key": "…", "region": "us"}])] = {}


class OlderNames(Shape):
    """What clients before 2.0 call `eventTypes` and `throttleRate`, and the `version` that they send."""

    filter_types: EventTypes | UnsetType | None = UNSET
    rate_limit: MessagesPerS | UnsetType | None = UNSET
    version: Annotated[int, Meta(ge=0)] | None = None


N = TypeVar("N", bound=OlderNames)


def with_newer_names(given: N) -> N:
    """The same with the values of the older names under the newer ones. Raises Invalid where both differ."""
    for older, newer, name, newer_name in (
        ("filter_types", "event_types", "filterTypes", "eventTypes"),
        ("rate_limit", "throttle_rate", "rateLimit", "throttleRate"),
    ):
        value, other = getattr(given, older), getattr(given, newer)
        if value is UNSET:
            continue
        if other is not None and other is not UNSET and other != value:
            raise Invalid(f"body.{name}", f"{name} and {newer_name} differ.", f"Send {newer_name} only.")
        given = msgspec.structs.replace(given, **{newer: value, older: UNSET})
    return given


class EndpointIn(OlderNames):
    """What an endpoint is made of. With a `url` alone it is of the connector `http`; `connector` names another one.
    One of a connector that has ready-made code begins with it.
    """

    url: Url | None = None
    description: Description = ""
    throttle_rate: MessagesPerS | None = None
    uid: Uid | None = None
    disabled: bool = False
    event_types: EventTypes | None = None
    channels: Channels | None = None
    secret: Secret | None = None
    metadata: Metadata | None = {}
    headers: Headers | None = None
    name: EndpointName | None = None
    connector: EndpointConnector | None = None


class EndpointUpsertIn(OlderNames):
    """What an endpoint is replaced by. Its secret and its transformation stay, and so do its headers unless others
    are given. A URL of another host needs credentials and headers with it; `{}` removes the headers.
    """

    url: Url | None = None
    description: Description = ""
    throttle_rate: MessagesPerS | None = None
    uid: Uid | None = None
    disabled: bool = False
    event_types: EventTypes | None = None
    channels: Channels | None = None
    metadata: Metadata | None = {}
    headers: Headers | None = None
    name: EndpointName | None = None
    connector: EndpointConnector | None = None


class EndpointPatch(OlderNames):
    """What changes of an endpoint; what is left out stays. A URL of another host needs credentials and headers with
    it; `{}` removes the headers.
    """

    url: Url | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    throttle_rate: MessagesPerS | UnsetType | None = UNSET
    uid: Uid | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET
    event_types: EventTypes | UnsetType | None = UNSET
    channels: Channels | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET
    headers: Headers | UnsetType = UNSET
    name: EndpointName | UnsetType = UNSET
    connector: EndpointConnector | UnsetType = UNSET
    secret: Unsupported = None


class EndpointOut(Shape):
    """An endpoint. `pausedReason` is set while nothing is sent to it, `disabledReason` where it was disabled because
    nothing reached it any more or its URL answered 410.
    """

    id: EndpointId
    url: str
    description: str
    disabled: bool
    created_at: Moment
    updated_at: Moment
    metadata: dict[str, str]
    name: str
    connector: EndpointConnector
    uid: Uid | None = None
    throttle_rate: int | None = None
    event_types: list[str] | None = None
    channels: list[str] | None = None
    paused_reason: str | None = None
    disabled_reason: str | None = None
    # Clients before 2.0 require `version`, and read the two older names.
    version: int = 1
    filter_types: list[str] | None = None
    rate_limit: int | None = None


_MADE = ResponseSpec(EndpointOut, description="Created.", generate_examples=False)


def shown(services: Services, endpoint: Endpoint) -> EndpointOut:
    opened = services.configuration.endpoints.get(endpoint.seq)
    return EndpointOut(
        id=endpoint.id,
        url=opened.destination.url if opened else str(endpoint.settings.get("url", "")),
        description=endpoint.details.description,
        disabled=endpoint.disabled,
        created_at=moment(endpoint.details.created_at_ms or made_at_ms(endpoint.id)),
        updated_at=moment(endpoint.details.updated_at_ms or made_at_ms(endpoint.id)),
        metadata=endpoint.details.metadata,
        name=endpoint.name,
        connector=EndpointConnector(kind=endpoint.connector, config=_shown_config(endpoint)),
        uid=endpoint.uid,
        throttle_rate=endpoint.max_messages_per_s,
        event_types=list(endpoint.event_types) or None,
        channels=list(endpoint.channels) or None,
        paused_reason=endpoint.paused_reason,
        disabled_reason=endpoint.disabled_reason,
        filter_types=list(endpoint.event_types) or None,
        rate_limit=endpoint.max_messages_per_s,
    )


def _shown_config(endpoint: Endpoint) -> dict[str, str | bool]:
    fields = connector(endpoint.connector).fields
    secrets = {field.name: MASKED for field in fields if field.kind is FieldKind.SECRET}
    settings = {name: value if isinstance(value, bool) else str(value) for name, value in endpoint.settings.items()}
    return secrets | settings


@get(PATH, operation_id="v1.endpoint.list", tags=TAGS, summary="List Endpoints")
async def list_endpoints(
    *,
    application: GivenApplication,
    snapshot: GivenSnapshot,
    services: GivenServices,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    order: Order = None,
) -> Page[EndpointOut]:
    """The endpoints of an application, the newest first unless asked otherwise."""
    return page_of_all(
        [endpoint for endpoint in snapshot.endpoints if endpoint.app_id == application.id],
        iterator=iterator,
        limit=limit,
        order=order or Ordering.DESCENDING,
        key=lambda endpoint: endpoint.id,
        shape=lambda endpoint: shown(services, endpoint),
    )


@post(PATH, operation_id="v1.endpoint.create", tags=TAGS, summary="Create Endpoint")
async def create_endpoint(
    *, app_id: AppKey, data: JSONBody[EndpointIn], services: GivenServices, caller: GivenCaller
) -> EndpointOut:
    """Creates an endpoint. Messages that are accepted from now on go to it."""
    wanted = with_newer_names(data)

    async def change(edit: Edit) -> Endpoint:
        application = application_of(edit.snapshot, caller, app_id)
        with located(_where(wanted)):
            return await endpoints.create(edit, application.id, spec_of(wanted))

    return shown(services, await edited(services, caller, change))


@get(ONE, operation_id="v1.endpoint.get", tags=TAGS, summary="Get Endpoint")
async def get_endpoint(endpoint: GivenEndpoint, services: GivenServices) -> EndpointOut:
    """One endpoint."""
    return shown(services, endpoint)


@put(ONE, operation_id="v1.endpoint.upsert", tags=TAGS, summary="Upsert Endpoint", responses={201: _MADE})
async def upsert_endpoint(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: JSONBody[EndpointUpsertIn],
    services: GivenServices,
    caller: GivenCaller,
) -> Response[EndpointOut]:
    """Replaces an endpoint, or creates it. A uid in the path stays where the body has none."""
    wanted = with_newer_names(data)

    async def change(edit: Edit) -> tuple[Endpoint, int]:
        application = application_of(edit.snapshot, caller, app_id)
        known = find(
            (endpoint for endpoint in edit.snapshot.endpoints if endpoint.app_id == application.id), endpoint_id
        )
        if known is None and is_id(endpoint_id, "ep"):
            known = endpoint_of(edit.snapshot, application, endpoint_id)  # says that there is none
        body = wanted
        if known is None or known.id != endpoint_id:
            body = msgspec.structs.replace(wanted, uid=wanted.uid or endpoint_id)
        with located(_where(wanted)):
            if known is not None:
                return await endpoints.update(edit, known, patch_of(services.vault, known, body)), 200
            check_new_uid(endpoint_id, "path.endpoint_id")
            spec = spec_of(EndpointIn(**msgspec.structs.asdict(body)))
            return await endpoints.create(edit, application.id, spec), 201

    endpoint, status = await edited(services, caller, change)
    return Response(shown(services, endpoint), status_code=status)


@patch(ONE, operation_id="v1.endpoint.patch", tags=TAGS, summary="Patch Endpoint")
async def patch_endpoint(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: JSONBody[EndpointPatch],
    services: GivenServices,
    caller: GivenCaller,
) -> EndpointOut:
    """Changes the given fields of an endpoint."""
    wanted = with_newer_names(data)

    async def change(edit: Edit) -> Endpoint:
        known = endpoint_of(edit.snapshot, application_of(edit.snapshot, caller, app_id), endpoint_id)
        with located(_where(wanted)):
            return await endpoints.update(edit, known, patch_of(services.vault, known, wanted))

    return shown(services, await edited(services, caller, change))


@delete(
    ONE,
    operation_id="v1.endpoint.delete",
    tags=TAGS,
    summary="Delete Endpoint",
    status_code=200,
    responses=DELETED,
)
async def delete_endpoint(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    services: GivenServices,
    caller: GivenCaller,
    dry_run: GivenDryRun,
) -> Response[DryRunOut | None]:
    """Deletes an endpoint. Unfinished deliveries are canceled; its history stays."""

    async def change(edit: Edit) -> Response[DryRunOut | None]:
        known = endpoint_of(edit.snapshot, application_of(edit.snapshot, caller, app_id), endpoint_id)
        if dry_run:
            return would(deliveries=await unfinished(services.store, known))
        await endpoints.delete(edit, known)
        return done()

    return await edited(services, caller, change)


def spec_of(wanted: EndpointIn) -> EndpointSpec:
    """A new endpoint as a body describes it. Raises Invalid."""
    connection = connection_of(wanted.connector.kind if wanted.connector else HTTP, wanted)
    if connection.kind == HTTP and "url" not in connection.settings:
        raise Invalid("body.url", "url is missing.", "Give where to post, or another connector.")
    return EndpointSpec(
        connector=connection.kind,
        name=wanted.name,
        uid=wanted.uid,
        description=wanted.description,
        metadata=wanted.metadata or {},
        settings=connection.settings,
        credentials=connection.credentials,
        event_types=given_names(wanted.event_types),
        channels=given_names(wanted.channels),
        headers=wanted.headers or {},
        disabled=wanted.disabled,
        max_messages_per_s=wanted.throttle_rate,
    )


def patch_of(vault: Vault, known: Endpoint, wanted: EndpointUpsertIn | EndpointPatch) -> records.EndpointPatch:
    """What a body changes of an endpoint; a null removes a value. Raises Invalid."""
    patch = records.EndpointPatch(
        name=wanted.name if wanted.name is not None else UNSET,
        uid=wanted.uid,
        description=wanted.description,
        metadata={} if wanted.metadata is None else wanted.metadata,
        event_types=_names(wanted.event_types),
        channels=_names(wanted.channels),
        disabled=wanted.disabled,
        max_messages_per_s=wanted.throttle_rate,
    )
    if wanted.headers is not UNSET and wanted.headers is not None:
        headers = replacing(endpoint_headers(vault, known), wanted.headers)
        patch = msgspec.structs.replace(patch, headers=headers)
    has_url = wanted.url is not UNSET and wanted.url is not None
    body = wanted.connector if isinstance(wanted.connector, EndpointConnector) else None
    if not has_url and body is None:
        return patch
    connection = connection_of(
        body.kind if body else known.connector, EndpointIn(url=wanted.url or None, connector=body)
    )
    kept = known.settings if known.connector == connection.kind else {}
    return msgspec.structs.replace(
        patch,
        connector=connection.kind,
        settings=kept | connection.settings,
        credentials=dict(connection.credentials),
    )


def _names(names: list[str] | UnsetType | None) -> tuple[str, ...] | UnsetType:
    return UNSET if isinstance(names, UnsetType) else given_names(names)


class Connection(Record):
    """How a body says to reach a destination: the values that it gives, over what is stored."""

    kind: str
    settings: dict[str, Setting]
    credentials: dict[str, str]


def connection_of(kind: str, wanted: EndpointIn) -> Connection:
    """Raises Invalid; UserError for an unknown connector."""
    settings: dict[str, Setting] = {}
    credentials: dict[str, str] = {}
    for name, value in (wanted.connector.config if wanted.connector else {}).items():
        if not _is_secret(kind, name):
            settings[name] = value
        elif value != MASKED:
            credentials[name] = str(value)
    _read_svix_fields(kind, wanted, settings, credentials)
    return Connection(kind=kind, settings=settings, credentials=credentials)


def _read_svix_fields(
    kind: str, wanted: EndpointIn, settings: dict[str, Setting], credentials: dict[str, str]
) -> None:
    """Puts `url` and `secret` of the body, which the public API has beside a connector's fields, among those."""
    if kind != HTTP:
        for field in ("url", "secret"):
            if getattr(wanted, field) is not None:
                raise Invalid(f"body.{field}", f"The connector {kind} has no {field} field.", "Leave it out.")
        return
    if wanted.url is not None:
        settings["url"] = wanted.url
    if wanted.secret is not None:
        credentials["secret"] = wanted.secret


def _is_secret(kind: str, name: str) -> bool:
    return any(field.name == name and field.kind is FieldKind.SECRET for field in connector(kind).fields)


def replacing(stored: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str | None]:
    """The headers as changes that replace all stored ones."""
    return dict.fromkeys(stored) | dict(headers)


@contextmanager
def located(where: str) -> Generator[None]:
    """Says in which field of the body a value is that was rejected."""
    try:
        yield
    except Conflict:
        raise
    except UserError as error:
        raise Invalid(where, error.detail, error.fix, code=error.code) from error


def _where(wanted: EndpointIn | EndpointUpsertIn | EndpointPatch) -> str:
    return "body.connector" if isinstance(wanted.connector, EndpointConnector) else "body"


HANDLERS = (
    list_endpoints,
    create_endpoint,
    get_endpoint,
    upsert_endpoint,
    patch_endpoint,
    delete_endpoint,
)
