"""The specification of a new endpoint, the patch of an existing one, and the stored endpoint that results."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nicobar.connectors import FieldKind
from nicobar.connectors.registry import connector
from nicobar.connectors.signing_secrets import SignatureScheme, new_secret
from nicobar.crypto import Vault
from nicobar.errors import StoreUnusable
from nicobar.model import Details, Endpoint, Mode, Record
from nicobar.pipeline.configuration import seal_credentials, seal_headers, seal_variables, secrets_of
from nicobar.store import PutEndpoint
from nicobar.use_cases.bounds import (
    MAX_CHANNELS,
    MAX_EVENT_TYPES,
    MAX_HEADERS,
    MAX_SENDER_IDS,
    Channel,
    Description,
    EndpointName,
    EventTypeName,
    HeaderName,
    HeaderValue,
    MessagesPerS,
    Metadata,
    SecretVariables,
    SecretVariableValue,
    SenderId,
    Settings,
    Uid,
    VariableName,
    Variables,
    out_of_bounds,
)
from nicobar.use_cases.destination_check import check_stored
from nicobar.use_cases.endpoint_secrets import check_variables, checked_public, kept_variables, with_variables

EventTypes = Annotated[tuple[EventTypeName, ...], Meta(max_length=MAX_EVENT_TYPES)]
Channels = Annotated[tuple[Channel, ...], Meta(max_length=MAX_CHANNELS)]
SenderIds = Annotated[tuple[SenderId, ...], Meta(max_length=MAX_SENDER_IDS)]
Headers = Annotated[dict[HeaderName, HeaderValue], Meta(max_length=MAX_HEADERS)]


class EndpointSpec(Record):
    """The specification of a new endpoint. `name` defaults to the uid or the id. `references` names the
    environment variables that credentials came from, `variable_references` those of secret variables. `code` is the
    transformation's; None for none, and by default the connector's default code. A required secret that only signs is
    generated where none is given, for `signature`.
    """

    connector: str
    name: EndpointName | None = None
    uid: Uid | None = None
    description: Description = ""
    metadata: Metadata = {}
    settings: Settings = {}
    credentials: dict[str, str] = {}
    references: dict[str, str] = {}
    event_types: EventTypes = ()
    channels: Channels = ()
    variables: Variables = {}
    secret_variables: SecretVariables = {}
    variable_references: dict[str, str] = {}
    headers: Headers = {}
    public_headers: tuple[str, ...] = ()
    disabled: bool = False
    max_messages_per_s: MessagesPerS | None = None
    retry_after_ms: tuple[int, ...] | None = None
    mode: Mode | None = None
    business_ids: SenderIds = ()
    brand_ids: SenderIds = ()
    code: str | UnsetType | None = UNSET
    signature: SignatureScheme = SignatureScheme.HMAC


class EndpointPatch(Record):
    """Changes of an endpoint; unset fields stay. `settings`, `variables` and `public_headers` replace all.
    `credentials`, `headers` and `secret_variables` that are not named stay, and None removes one. Another connector
    removes all settings and credentials.
    """

    connector: str | UnsetType = UNSET
    name: EndpointName | UnsetType = UNSET
    uid: Uid | UnsetType | None = UNSET
    description: Description | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    settings: Settings | UnsetType = UNSET
    credentials: dict[str, str | None] | UnsetType = UNSET
    references: dict[str, str] | UnsetType = UNSET
    event_types: EventTypes | UnsetType = UNSET
    channels: Channels | UnsetType = UNSET
    variables: Variables | UnsetType = UNSET
    secret_variables: dict[VariableName, SecretVariableValue | None] | UnsetType = UNSET
    variable_references: dict[str, str] | UnsetType = UNSET
    headers: dict[HeaderName, HeaderValue | None] | UnsetType = UNSET
    public_headers: tuple[str, ...] | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    max_messages_per_s: MessagesPerS | UnsetType | None = UNSET
    retry_after_ms: tuple[int, ...] | UnsetType | None = UNSET
    mode: Mode | UnsetType | None = UNSET
    business_ids: SenderIds | UnsetType = UNSET
    brand_ids: SenderIds | UnsetType = UNSET

    @property
    def connects(self) -> bool:
        """Whether it changes how the destination is reached, or what is known of its secrets."""
        changes = (self.connector, self.settings, self.credentials, self.headers, self.public_headers)
        return any(value is not UNSET for value in changes)

    @property
    def changes_variables(self) -> bool:
        changes = (self.variables, self.secret_variables, self.variable_references)
        return any(value is not UNSET for value in changes)


def unchanged(endpoint: Endpoint) -> PutEndpoint:
    """The endpoint as a change that changes nothing."""
    return PutEndpoint(**{name: getattr(endpoint, name) for name in PutEndpoint.__struct_fields__})


def created(spec: EndpointSpec, *, vault: Vault, endpoint_id: str, app_id: str, now_ms: int) -> PutEndpoint:
    """The endpoint of a spec. Raises UserError for settings or credentials that its connector rejects."""
    credentials = _with_signing_secrets(spec.connector, spec.credentials, spec.signature)
    connector(spec.connector).open(spec.settings, credentials, spec.headers)
    check_variables(spec.variables, spec.secret_variables)
    return PutEndpoint(
        id=endpoint_id,
        app_id=app_id,
        name=spec.name or spec.uid or endpoint_id,
        connector=spec.connector,
        settings=dict(spec.settings),
        sealed_credentials=seal_credentials(vault, endpoint_id, credentials),
        credential_references=dict(spec.references),
        event_types=_distinct(spec.event_types),
        channels=_distinct(spec.channels),
        variables=dict(spec.variables),
        sealed_variables=seal_variables(vault, endpoint_id, dict(spec.secret_variables)),
        variable_references=dict(spec.variable_references),
        sealed_headers=seal_headers(vault, endpoint_id, dict(spec.headers)),
        public_headers=checked_public(spec.public_headers, spec.headers),
        disabled=spec.disabled,
        max_messages_per_s=spec.max_messages_per_s,
        retry_after_ms=spec.retry_after_ms,
        mode=spec.mode,
        business_ids=_distinct(spec.business_ids),
        brand_ids=_distinct(spec.brand_ids),
        uid=spec.uid,
        details=Details(
            description=spec.description,
            metadata=dict(spec.metadata),
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
        ),
    )


def changed(endpoint: Endpoint, patch: EndpointPatch, *, vault: Vault, now_ms: int) -> PutEndpoint:
    """The endpoint after a patch, itself where nothing changes. Raises UserError for settings or credentials that
    its connector rejects, and for stored ones that would go to another host.
    """
    fields = {
        name: value
        for name in (
            "name",
            "uid",
            "event_types",
            "channels",
            "disabled",
            "max_messages_per_s",
            "retry_after_ms",
            "mode",
            "business_ids",
            "brand_ids",
        )
        if (value := getattr(patch, name)) is not UNSET
    }
    for name in ("event_types", "channels", "business_ids", "brand_ids"):
        if name in fields:
            fields[name] = _distinct(fields[name])
    about = {name: value for name in ("description", "metadata") if (value := getattr(patch, name)) is not UNSET}
    before = unchanged(endpoint)
    after = msgspec.structs.replace(before, **fields, details=msgspec.structs.replace(before.details, **about))
    if patch.connects:
        after = _connected(endpoint, after, patch, vault)
    if patch.changes_variables:
        after = with_variables(
            after,
            vault,
            variables=patch.variables,
            secret=patch.secret_variables,
            references=patch.variable_references,
        )
    if after == before:
        return before
    return msgspec.structs.replace(after, details=msgspec.structs.replace(after.details, updated_at_ms=now_ms))


def _connected(endpoint: Endpoint, after: PutEndpoint, patch: EndpointPatch, vault: Vault) -> PutEndpoint:
    kind = endpoint.connector if patch.connector is UNSET else patch.connector
    stays = kind == endpoint.connector
    kept_settings = endpoint.settings if stays else {}
    settings = kept_settings if patch.settings is UNSET else patch.settings
    given = {} if patch.credentials is UNSET else patch.credentials
    given_headers = {} if patch.headers is UNSET else patch.headers
    stored, stored_headers = _stored(vault, endpoint, may_be_lost=patch.credentials is not UNSET)
    kept = {name: value for name, value in stored.items() if name not in given} if stays else {}
    named = {name.lower() for name in given_headers}
    kept_headers = {name: value for name, value in stored_headers.items() if name.lower() not in named}
    check_stored(
        kind,
        settings,
        endpoint.settings,
        credentials=kept,
        headers=kept_headers if stays else (),
        variables=kept_variables(after, vault, patch.secret_variables),
        kind_before=endpoint.connector,
    )
    credentials = _with_signing_secrets(kind, kept | _present(given))
    headers = kept_headers | _present(given_headers)
    if given_headers and len(headers) > MAX_HEADERS:
        raise out_of_bounds("headers")
    if _in_lower_case(headers) == _in_lower_case(stored_headers):  # names of headers have no case
        headers = stored_headers
    connector(kind).open(settings, credentials, headers)
    sealed = (endpoint.sealed_credentials, endpoint.sealed_headers)
    # Unchanged secrets keep their sealed bytes: the worker compares them to detect a new destination, and then
    # resets the breaker and the rate.
    if (credentials, headers) != (stored, stored_headers):
        sealed = (
            seal_credentials(vault, endpoint.id, credentials),
            seal_headers(vault, endpoint.id, headers),
        )
    public = endpoint.public_headers if patch.public_headers is UNSET else patch.public_headers
    revealed = set(public) - set(endpoint.public_headers)
    references = _references(endpoint, patch, given) if stays or patch.references is not UNSET else {}
    return msgspec.structs.replace(
        after,
        connector=kind,
        settings=dict(settings),
        sealed_credentials=sealed[0],
        sealed_headers=sealed[1],
        public_headers=checked_public(public, headers, kept=revealed & _in_lower_case(kept_headers).keys()),
        credential_references=references,
    )


def _references(endpoint: Endpoint, patch: EndpointPatch, given: Collection[str]) -> dict[str, str]:
    """The environment variables of credentials; a credential that was entered directly has none."""
    if patch.references is not UNSET:
        return dict(patch.references)
    return {name: env for name, env in endpoint.credential_references.items() if name not in given}


def _stored(vault: Vault, endpoint: Endpoint, *, may_be_lost: bool) -> tuple[dict[str, str], dict[str, str]]:
    """The stored credentials and headers. Sealed with a lost key they are none if new credentials are given, which is
    the cure; else raises StoreUnusable.
    """
    try:
        return secrets_of(vault, endpoint)
    except StoreUnusable:
        if not may_be_lost:
            raise
        return {}, {}


def _with_signing_secrets(
    kind: str, credentials: Mapping[str, str], scheme: SignatureScheme = SignatureScheme.HMAC
) -> dict[str, str]:
    """The credentials, with a new secret in place of a required one that only signs."""
    missing = [
        field.name
        for field in connector(kind).fields
        if field.kind is FieldKind.SECRET and field.signs and field.required and field.name not in credentials
    ]
    return {**credentials, **{name: new_secret(scheme) for name in missing}}


def _present(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _in_lower_case(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _distinct(names: Collection[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
