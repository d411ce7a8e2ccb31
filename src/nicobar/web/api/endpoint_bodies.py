"""The request bodies for endpoints, and their conversion to specs and patches."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nicobar.connectors import FieldKind
from nicobar.connectors.registry import CONNECTORS, connector
from nicobar.connectors.signing_secrets import SignatureScheme, signing_field
from nicobar.crypto import Vault
from nicobar.errors import Conflict, UserError
from nicobar.model import Endpoint, Mode, Record, Setting
from nicobar.pipeline.configuration import endpoint_headers
from nicobar.use_cases import endpoint_records as records
from nicobar.use_cases.bounds import (
    MAX_CHANNELS,
    MAX_EVENT_TYPES,
    MAX_HEADERS,
    MAX_SENDER_IDS,
    MAX_SETTING_CHARS,
    EndpointName,
    HeaderName,
    HeaderValue,
    MessagesPerS,
    SenderId,
    SettingNames,
)
from nicobar.use_cases.endpoint_records import EndpointSpec
from nicobar.web.api.durations import RetrySchedule, changed_delays, delays_of
from nicobar.web.api.errors import Invalid
from nicobar.web.api.shapes import Channel, Description, EventTypeName, Metadata, Shape, Uid, Unsupported, given_names

# The public Svix API's endpoints: a URL, and a secret that signs the requests.
DEFAULT_KIND = next(item.kind for item in CONNECTORS if signing_field(item.fields) is not None)
MASKED = "***"

Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4_096,
        pattern=r"^https?://[^\s#@]+$",
        description="URL for signed POST requests (Standard Webhooks).",
        examples=["https://example.com/webhook/"],
    ),
]
Secret = Annotated[
    str,
    Meta(
        pattern=r"^(whsec_|whsk_|whsk1_|whpk_|whpk1_)?[a-zA-Z0-9+/=]{32,100}$",
        description="Signing secret: `whsec_` and base64 for HMAC, or a private key `whsk_` and base64 for ed25519. "
        "Generated if omitted.",
        examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"],
    ),
]
Signature = Annotated[
    SignatureScheme,
    Meta(description="Signature scheme of a generated secret: `hmac` (`v1`) or `ed25519` (`v1a`)."),
]
EventTypes = Annotated[
    list[EventTypeName],
    Meta(max_length=MAX_EVENT_TYPES, description="Event types to deliver. Defaults to all. Maximum 500."),
]
Channels = Annotated[
    list[Channel], Meta(max_length=MAX_CHANNELS, description="Channels to deliver. Defaults to all. Maximum 10.")
]
TakenMode = Annotated[Mode, Meta(description="Deliver messages of sources with this mode only. Defaults to all.")]
BusinessIds = Annotated[
    list[SenderId],
    Meta(max_length=MAX_SENDER_IDS, description="Businesses to deliver, by the sender's IDs. Defaults to all."),
]
BrandIds = Annotated[
    list[SenderId],
    Meta(
        max_length=MAX_SENDER_IDS,
        description="Brands to deliver, by the sender's IDs. Defaults to all. An event that does not state its brand "
        "is not delivered.",
    ),
]
Headers = Annotated[dict[HeaderName, HeaderValue], Meta(max_length=MAX_HEADERS)]
ConfigValue = Annotated[str, Meta(max_length=MAX_SETTING_CHARS)] | bool | SettingNames
Kind = Annotated[
    str, Meta(extra_json_schema={"enum": [connector.kind for connector in CONNECTORS]}, examples=[CONNECTORS[0].kind])
]


class EndpointConnector(Shape):
    """The connector of an endpoint and its configuration. `GET /api/v1/connector` lists the fields. Secrets are
    returned as `***`; sending `***` keeps the stored secret. Omitted fields keep their values.
    """

    kind: Kind
    config: Annotated[dict[str, ConfigValue], Meta(examples=[{"site_id": "…", "api_key": "…", "region": "us"}])] = {}


class OlderNames(Shape):
    """The names that clients before 2.0 use for `eventTypes` and `throttleRate`, and the `version` that they send."""

    filter_types: EventTypes | UnsetType | None = UNSET
    rate_limit: MessagesPerS | UnsetType | None = UNSET
    version: Annotated[int, Meta(ge=0)] | None = None


N = TypeVar("N", bound=OlderNames)


def with_newer_names(given: N) -> N:
    """The body with the values of older names under the newer ones. Raises Invalid if both are given and differ."""
    for older, newer, name, newer_name in (
        ("filter_types", "event_types", "filterTypes", "eventTypes"),
        ("rate_limit", "throttle_rate", "rateLimit", "throttleRate"),
    ):
        value, other = getattr(given, older), getattr(given, newer)
        if value is UNSET:
            continue
        if other is not None and other is not UNSET and other != value:
            raise Invalid(
                f"body.{name}", f"{name} and {newer_name} have different values.", f"Send only {newer_name}."
            )
        given = msgspec.structs.replace(given, **{newer: value, older: UNSET})
    return given


class EndpointIn(OlderNames):
    """The endpoint to create. `connector` defaults to `http`, which requires `url`. If the connector has default
    code, the endpoint's transformation starts with it. `signature` applies if `secret` is omitted, and defaults to
    `hmac`.
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
    retry_schedule: RetrySchedule | None = None
    signature: Signature | None = None
    mode: TakenMode | UnsetType | None = UNSET
    business_ids: BusinessIds | UnsetType | None = UNSET
    brand_ids: BrandIds | UnsetType | None = UNSET


class EndpointUpsertIn(OlderNames):
    """The new values of the endpoint. The signing secret and the transformation are kept, and so are the headers, the
    retry schedule, the mode, the businesses and the brands if omitted. A URL with a different host requires `headers`
    and credentials in the same request; `{}` removes the headers.
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
    retry_schedule: RetrySchedule | UnsetType | None = UNSET
    mode: TakenMode | UnsetType | None = UNSET
    business_ids: BusinessIds | UnsetType | None = UNSET
    brand_ids: BrandIds | UnsetType | None = UNSET


class EndpointPatch(OlderNames):
    """The fields to change. Omitted fields keep their values. A URL with a different host requires `headers` and
    credentials in the same request; `{}` removes the headers.
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
    retry_schedule: RetrySchedule | UnsetType | None = UNSET
    mode: TakenMode | UnsetType | None = UNSET
    business_ids: BusinessIds | UnsetType | None = UNSET
    brand_ids: BrandIds | UnsetType | None = UNSET
    secret: Unsupported = None


def spec_of(wanted: EndpointIn) -> EndpointSpec:
    """The spec of a new endpoint. Raises Invalid."""
    connection = connection_of(wanted.connector.kind if wanted.connector else DEFAULT_KIND, wanted)
    url = _field_of(connection.kind, "url")
    if url is not None and url not in connection.settings:
        raise Invalid(
            "body.url",
            'Missing field "url".',
            f"The connector {connection.kind} requires a URL. Add url or change the connector.",
        )
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
        retry_after_ms=delays_of(wanted.retry_schedule),
        mode=wanted.mode or None,
        business_ids=given_names(wanted.business_ids or None),
        brand_ids=given_names(wanted.brand_ids or None),
        signature=wanted.signature or SignatureScheme.HMAC,
    )


def patch_of(vault: Vault, endpoint: Endpoint, wanted: EndpointUpsertIn | EndpointPatch) -> records.EndpointPatch:
    """The changes to an endpoint; null removes a value. Raises Invalid."""
    patch = records.EndpointPatch(
        name=wanted.name if wanted.name is not None else UNSET,
        uid=wanted.uid,
        description=wanted.description,
        metadata={} if wanted.metadata is None else wanted.metadata,
        event_types=_names(wanted.event_types),
        channels=_names(wanted.channels),
        disabled=wanted.disabled,
        max_messages_per_s=wanted.throttle_rate,
        retry_after_ms=changed_delays(wanted.retry_schedule),
        mode=wanted.mode,
        business_ids=_names(wanted.business_ids),
        brand_ids=_names(wanted.brand_ids),
    )
    if wanted.headers is not UNSET and wanted.headers is not None:
        headers = replacing(endpoint_headers(vault, endpoint), wanted.headers)
        patch = msgspec.structs.replace(patch, headers=headers)
    has_url = wanted.url is not UNSET and wanted.url is not None
    body = wanted.connector if isinstance(wanted.connector, EndpointConnector) else None
    if not has_url and body is None:
        return patch
    connection = connection_of(
        body.kind if body else endpoint.connector, EndpointIn(url=wanted.url or None, connector=body)
    )
    kept = endpoint.settings if endpoint.connector == connection.kind else {}
    return msgspec.structs.replace(
        patch,
        connector=connection.kind,
        settings=kept | connection.settings,
        credentials=dict(connection.credentials),
    )


def _names(names: list[str] | UnsetType | None) -> tuple[str, ...] | UnsetType:
    return UNSET if isinstance(names, UnsetType) else given_names(names)


class Connection(Record):
    """The connector, settings and credentials in a body."""

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
    """Adds `url` and `secret`, which the public API has outside of a connector's fields, under the connector's names.
    Raises Invalid for a connector that does not sign its requests.
    """
    for name, value, values in (("url", wanted.url, settings), ("secret", wanted.secret, credentials)):
        field = _field_of(kind, name)
        if value is None:
            continue
        if field is None:
            raise Invalid(f"body.{name}", f"The connector {kind} has no {name} field.", "Omit the field.")
        values[field] = value


def _field_of(kind: str, name: str) -> str | None:
    """The connector's field for `url` or `secret` of the public API. Only connectors that sign have these."""
    of_kind = connector(kind)
    secret = signing_field(of_kind.fields)
    if secret is None or name == "secret":
        return secret
    urls = (field.name for field in of_kind.fields if field.kind is FieldKind.URL and field.required)
    return next(urls, None)


def _is_secret(kind: str, name: str) -> bool:
    return any(field.name == name and field.kind is FieldKind.SECRET for field in connector(kind).fields)


def replacing(stored: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str | None]:
    """The headers as changes that replace all stored ones."""
    return dict.fromkeys(stored) | dict(headers)


@contextmanager
def located(where: str) -> Generator[None]:
    """Adds the field of the body to errors about its value."""
    try:
        yield
    except Conflict:
        raise
    except UserError as error:
        raise Invalid(where, error.detail, error.fix, code=error.code) from error


def where(wanted: EndpointIn | EndpointUpsertIn | EndpointPatch) -> str:
    return "body.connector" if isinstance(wanted.connector, EndpointConnector) else "body"
