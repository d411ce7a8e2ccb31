"""`/api/v1/app/{app_id}/endpoint`: where messages go."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nicobar.connectors import FieldKind
from nicobar.connectors.registry import CONNECTORS, connector
from nicobar.crypto import new_webhook_secret
from nicobar.errors import UserError
from nicobar.ids import is_id, made_at_ms
from nicobar.model import Application, Details, Endpoint, Setting
from nicobar.pipeline.configuration import endpoint_credentials, endpoint_headers
from nicobar.recipes import RECIPES
from nicobar.store import AddTransformation, Change, PutEndpoint, RemoveEndpoint, Snapshot
from nicobar.use_cases.catalogue import details, make_endpoint, same_endpoint
from nicobar.use_cases.destination_check import check_address, check_stored, moved
from nicobar.use_cases.endpoint_state import switch_action
from nicobar.use_cases.services import Services, again_if_moved
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import DELETED, DryRun, DryRunOut, done, unfinished, would
from nicobar.web.api.errors import Invalid, conflict
from nicobar.web.api.lookups import AppKey, EndpointKey, application_of, check_new_uid, endpoint_of, find
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
    patched,
)
from nicobar.web.operations import Response, ResponseSpec, delete, get, patch, post, put

TAGS = ["Endpoint"]
PATH = "/api/v1/app/{app_id}/endpoint"
ONE = "/api/v1/app/{app_id}/endpoint/{endpoint_id}"
HTTP = "http"
MASKED = "***"
MAX_EVENT_TYPES = 500

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
Name = Annotated[str, Meta(min_length=1, max_length=256, description="What people call it; its id without one.")]
ThrottleRate = Annotated[int, Meta(ge=1, le=65_535, description="Messages a second at the most.")]
EventTypes = Annotated[
    list[EventTypeName], Meta(max_length=MAX_EVENT_TYPES, description="Which messages it gets; all without it.")
]
Channels = Annotated[list[Channel], Meta(max_length=10, description="Of which channels; all without it.")]
HeaderName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9!#$%&'*+\-.^_`|~]+$", max_length=256)]
HeaderValue = Annotated[str, Meta(pattern=r"^[ -~]*$", max_length=4_096)]
Headers = Annotated[dict[HeaderName, HeaderValue], Meta(max_length=50)]
ConfigValue = Annotated[str, Meta(max_length=65_536)] | bool
Kind = Annotated[
    str, Meta(extra_json_schema={"enum": [connector.kind for connector in CONNECTORS]}, examples=["customerio"])
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
    rate_limit: ThrottleRate | UnsetType | None = UNSET
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
    throttle_rate: ThrottleRate | None = None
    uid: Uid | None = None
    disabled: bool = False
    event_types: EventTypes | None = None
    channels: Channels | None = None
    secret: Secret | None = None
    metadata: Metadata | None = {}
    headers: Headers | None = None
    name: Name | None = None
    connector: EndpointConnector | None = None


class EndpointUpsertIn(OlderNames):
    """What an endpoint is replaced by. Its secret and its transformation stay, and so do its headers unless others
    are given. A URL of another host needs credentials and headers with it; `{}` removes the headers.
    """

    url: Url | None = None
    description: Description = ""
    throttle_rate: ThrottleRate | None = None
    uid: Uid | None = None
    disabled: bool = False
    event_types: EventTypes | None = None
    channels: Channels | None = None
    metadata: Metadata | None = {}
    headers: Headers | None = None
    name: Name | None = None
    connector: EndpointConnector | None = None


class EndpointPatch(OlderNames):
    """What changes of an endpoint; what is left out stays. A URL of another host needs credentials and headers with
    it; `{}` removes the headers.
    """

    url: Url | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    throttle_rate: ThrottleRate | UnsetType | None = UNSET
    uid: Uid | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET
    event_types: EventTypes | UnsetType | None = UNSET
    channels: Channels | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET
    headers: Headers | UnsetType = UNSET
    name: Name | UnsetType = UNSET
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


_MADE = ResponseSpec(EndpointOut, description="It was made.")


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


@get(PATH, id="v1.endpoint.list", tags=TAGS, summary="List Endpoints")
async def list_endpoints(
    *,
    application: Application,
    snapshot: Snapshot,
    services: Services,
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


@post(PATH, id="v1.endpoint.create", tags=TAGS, summary="Create Endpoint")
@again_if_moved
async def create_endpoint(*, app_id: AppKey, data: EndpointIn, services: Services, caller: Caller) -> EndpointOut:
    """Makes an endpoint. Messages that are accepted from now on go to it."""
    async with services.changing:
        snapshot = await services.snapshot()
        application = application_of(snapshot, caller, app_id)
        return await _put(services, caller, snapshot, application, with_newer_names(data), None)


@get(ONE, id="v1.endpoint.get", tags=TAGS, summary="Get Endpoint")
async def get_endpoint(endpoint: Endpoint, services: Services) -> EndpointOut:
    """One endpoint."""
    return shown(services, endpoint)


@put(ONE, id="v1.endpoint.upsert", tags=TAGS, summary="Upsert Endpoint", responses={201: _MADE})
@again_if_moved
async def upsert_endpoint(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: EndpointUpsertIn,
    services: Services,
    caller: Caller,
) -> Response[EndpointOut]:
    """Replaces an endpoint, or makes it. A uid in the path stays where the body has none."""
    wanted = EndpointIn(**msgspec.structs.asdict(with_newer_names(data)))
    async with services.changing:
        snapshot = await services.snapshot()
        application = application_of(snapshot, caller, app_id)
        known = find((endpoint for endpoint in snapshot.endpoints if endpoint.app_id == application.id), endpoint_id)
        if known is None and is_id(endpoint_id, "ep"):
            known = endpoint_of(snapshot, application, endpoint_id)  # says that there is none
        if known is None:
            check_new_uid(endpoint_id, "path.endpoint_id")
        if known is None or known.id != endpoint_id:
            wanted = msgspec.structs.replace(wanted, uid=wanted.uid or endpoint_id)
        out = await _put(services, caller, snapshot, application, wanted, known)
    return Response(out, status=200 if known else 201)


@patch(ONE, id="v1.endpoint.patch", tags=TAGS, summary="Patch Endpoint")
@again_if_moved
async def patch_endpoint(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: EndpointPatch,
    services: Services,
    caller: Caller,
) -> EndpointOut:
    """Changes what is given of an endpoint."""
    async with services.changing:
        snapshot = await services.snapshot()
        application = application_of(snapshot, caller, app_id)
        known = endpoint_of(snapshot, application, endpoint_id)
        as_it_is = EndpointIn(
            description=known.details.description,
            throttle_rate=known.max_messages_per_s,
            uid=known.uid,
            disabled=known.disabled,
            event_types=list(known.event_types),
            channels=list(known.channels),
            metadata=known.details.metadata,
            name=known.name,
        )
        return await _put(services, caller, snapshot, application, patched(as_it_is, with_newer_names(data)), known)


@delete(
    ONE,
    id="v1.endpoint.delete",
    tags=TAGS,
    summary="Delete Endpoint",
    status=200,
    responses=DELETED,
)
@again_if_moved
async def delete_endpoint(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    services: Services,
    caller: Caller,
    dry_run: DryRun = False,
) -> Response[DryRunOut | None]:
    """Takes out an endpoint; what is not delivered is canceled, its history stays."""
    async with services.changing:
        snapshot = await services.snapshot()
        application = application_of(snapshot, caller, app_id)
        known = endpoint_of(snapshot, application, endpoint_id)
        if dry_run:
            return would(deliveries=await unfinished(services.store, known))
        removal = RemoveEndpoint(endpoint_id=known.id)
        await services.change(caller, "endpoint.delete", known.id, removal, app_id=application.id)
    return done()


async def _put(  # noqa: PLR0917 - what is there, what is wanted, and who wants it
    services: Services,
    caller: Caller,
    snapshot: Snapshot,
    application: Application,
    wanted: EndpointIn,
    known: Endpoint | None,
) -> EndpointOut:
    _check_free(snapshot, application, wanted, known)
    about = details(
        now_ms=services.clock.now_ms(),
        description=wanted.description,
        metadata=wanted.metadata or {},
        known=known.details if known else None,
    )
    changes: list[Change]
    if known is not None and wanted.url is None and wanted.connector is None and wanted.headers is None:
        put_one = same_endpoint(
            known,
            name=wanted.name or known.name,
            uid=wanted.uid,
            disabled=wanted.disabled,
            event_types=given_names(wanted.event_types),
            channels=given_names(wanted.channels),
            max_messages_per_s=wanted.throttle_rate,
            details=about,
        )
        changes = [put_one]
    else:
        put_one = _made(services, application, wanted, known, about=about)
        changes = [put_one]
        code = default_code(put_one.connector)
        if known is None and code is not None:
            now_ms = services.clock.now_ms()
            changes.append(AddTransformation(endpoint_id=put_one.id, code=code, created_at_ms=now_ms))
    action = "endpoint.update" if known else "endpoint.create"
    detail = moved(known, put_one) if known else ""
    if (switch := switch_action(known, disabled=put_one.disabled)) is not None:
        changes.append(services.said(caller, switch, put_one.id, app_id=application.id))
    after = await services.change(caller, action, put_one.id, *changes, app_id=application.id, detail=detail)
    return shown(services, endpoint_of(after, application, put_one.id))


def _check_free(snapshot: Snapshot, application: Application, wanted: EndpointIn, known: Endpoint | None) -> None:
    others = [endpoint for endpoint in snapshot.endpoints if endpoint.app_id == application.id and endpoint != known]
    if wanted.uid is not None and find(others, wanted.uid) is not None:
        raise conflict("Another endpoint has this uid.", "Choose another one.")
    if wanted.name is not None and any(other.name == wanted.name for other in others):
        raise conflict("Another endpoint has this name.", "Choose another one.")


def default_code(kind: str) -> str | None:
    """The code that a new endpoint of this connector begins with; None: messages go as they came."""
    return RECIPES[0].code if connector(kind).has_contract else None


def _made(
    services: Services,
    application: Application,
    wanted: EndpointIn,
    known: Endpoint | None,
    *,
    about: Details,
) -> PutEndpoint:
    kind = wanted.connector.kind if wanted.connector else (known.connector if known else HTTP)
    kept = known if known is not None and known.connector == kind else None
    stored = endpoint_headers(services.vault, known) if known else {}
    try:
        settings, credentials = configured(services, kind, wanted, kept)
        if kept is not None and wanted.headers is None:
            check_stored(kind, settings, kept.settings, headers=stored)
        return make_endpoint(
            vault=services.vault,
            ids=services.ids,
            app_id=application.id,
            name=wanted.name or (known.name if known else "") or wanted.uid or "",
            kind=kind,
            settings=settings,
            credentials=credentials,
            references=kept.credential_references if kept else {},
            event_types=given_names(wanted.event_types),
            channels=given_names(wanted.channels),
            variables=known.variables if known else {},
            headers=stored if wanted.headers is None else wanted.headers,
            disabled=wanted.disabled,
            max_messages_per_s=wanted.throttle_rate,
            uid=wanted.uid,
            details=about,
            known=known,
        )
    except UserError as error:
        where = "body.connector" if wanted.connector else "body"
        raise Invalid(where, error.detail, error.fix, code=error.code) from error


def configured(
    services: Services, kind: str, wanted: EndpointIn, kept: Endpoint | None
) -> tuple[dict[str, Setting], dict[str, str]]:
    """The settings and the credentials: what was kept, and over it what is wanted. Raises UserError for an address
    that is not allowed, and for kept credentials that would go to another host.
    """
    settings: dict[str, Setting] = dict(kept.settings) if kept else {}
    stored = endpoint_credentials(services.vault, kept) if kept else {}
    credentials: dict[str, str] = {}
    for name, value in (wanted.connector.config if wanted.connector else {}).items():
        if not _is_secret(kind, name):
            settings[name] = value
        elif value != MASKED:
            credentials[name] = str(value)
    _read_svix_fields(kind, wanted, settings, credentials)
    check_address(services.settings.allowed, kind, settings, kept.settings if kept else None)
    if kept is not None:
        check_stored(kind, settings, kept.settings, credentials=stored.keys() - credentials.keys())
    credentials = {**stored, **credentials}
    if kind == HTTP and "secret" not in credentials:
        credentials["secret"] = new_webhook_secret()
    return settings, credentials


def _read_svix_fields(
    kind: str, wanted: EndpointIn, settings: dict[str, Setting], credentials: dict[str, str]
) -> None:
    """Puts `url` and `secret` of the body, which the public API has beside a connector's fields, among those."""
    if kind != HTTP:
        for field in ("url", "secret"):
            if getattr(wanted, field) is not None:
                raise Invalid(f"body.{field}", f"The connector {kind} has no {field} of yours.", "Leave it out.")
        return
    if wanted.url is not None:
        settings["url"] = wanted.url
    if "url" not in settings:
        raise Invalid("body.url", "url is missing.", "Give where to post, or another connector.")
    if wanted.secret is not None:
        credentials["secret"] = wanted.secret


def _is_secret(kind: str, name: str) -> bool:
    return any(field.name == name and field.kind is FieldKind.SECRET for field in connector(kind).fields)


OPERATIONS = (
    list_endpoints,
    create_endpoint,
    get_endpoint,
    upsert_endpoint,
    patch_endpoint,
    delete_endpoint,
)
