"""Makes sources and endpoints: what `apply`, `demo` and the API change the catalogue by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from nicobar.connectors.registry import connector
from nicobar.crypto import Vault, new_url_token
from nicobar.errors import StoreUnusable, UserError
from nicobar.ids import IdFactory
from nicobar.model import Application, Details, Endpoint, Setting, Source
from nicobar.pipeline.configuration import (
    endpoint_credentials,
    endpoint_headers,
    seal_credentials,
    seal_headers,
    seal_source_secrets,
    source_secrets,
)
from nicobar.sources.registry import source_kind
from nicobar.store import PutEndpoint, Snapshot

DEFAULT_UID = "default"


def default_application(snapshot: Snapshot) -> Application:
    """The one that is meant where none is named: `default`, or the oldest where nobody has that uid any more."""
    named = (application for application in snapshot.applications if application.uid == DEFAULT_UID)
    return next(named, snapshot.applications[0])


def named_endpoint(endpoints: Sequence[Endpoint], name: str) -> Endpoint:
    """The endpoint of that id, uid or name. Raises UserError where none, or more than one, has it."""
    named = [endpoint for endpoint in endpoints if name in {endpoint.id, endpoint.uid, endpoint.name}]
    found = next((item for item in named if item.id == name), named[0] if named else None)
    if found is not None and found.id != name and named[1:]:
        ids = ", ".join(item.id for item in named)
        raise UserError(
            "endpoint_ambiguous",
            "Several endpoints match %(name)s.",
            "Name one by its id: %(ids)s.",
            name=repr(name),
            ids=ids,
        )
    if found is None:
        names = ", ".join(endpoint.name for endpoint in endpoints) or "none"
        raise UserError(
            "endpoint_unknown",
            "There is no endpoint %(name)s.",
            "There are: %(names)s.",
            name=repr(name),
            names=names,
        )
    return found


def make_application(
    *,
    ids: IdFactory,
    now_ms: int,
    name: str,
    uid: str | None = None,
    metadata: Mapping[str, str] | None = None,
    known: Application | None = None,
) -> Application:
    """An application, with the id of the `known` one it replaces."""
    app_id = known.id if known else ids.new("app")
    return Application(
        id=app_id,
        uid=uid or app_id,
        name=name,
        details=details(now_ms=now_ms, metadata=metadata, known=known.details if known else None),
    )


def details(
    *, now_ms: int, description: str = "", metadata: Mapping[str, str] | None = None, known: Details | None = None
) -> Details:
    """What is kept beside a thing that is made or changed now."""
    return Details(
        description=description,
        metadata=dict(metadata or {}),
        created_at_ms=known.created_at_ms if known else now_ms,
        updated_at_ms=now_ms,
    )


def make_source(
    *,
    vault: Vault,
    ids: IdFactory,
    app_id: str,
    name: str,
    kind: str,
    secrets: Sequence[str],
    references: Sequence[str] = (),
    uid: str | None = None,
    details: Details | None = None,
    known: Source | None = None,
    older_until_ms: int | None = None,
) -> Source:
    """A source, with the id, the address and, where none are given, the uid and the details of the `known` one it
    replaces. Of two secrets the second is taken until `older_until_ms`, without it for good; where the secrets
    stay, so does that. Raises UserError for a secret that cannot be one.
    """
    of_kind = source_kind(kind)
    for secret in secrets:
        of_kind.check_secret(secret)
    if known is not None and older_until_ms is None and _has_secrets(vault, known, secrets):
        older_until_ms = known.older_until_ms
    source_id = known.id if known else ids.new("src")
    return Source(
        id=source_id,
        app_id=app_id,
        name=name,
        kind=kind,
        token=known.token if known else new_url_token(),
        sealed_secrets=seal_source_secrets(vault, source_id, secrets),
        secret_references=tuple(references),
        uid=uid if details or not known else known.uid,
        details=details or (known.details if known else Details()),
        older_until_ms=older_until_ms if secrets[1:] else None,
    )


def _has_secrets(vault: Vault, source: Source, secrets: Sequence[str]) -> bool:
    try:
        return source_secrets(vault, source) == tuple(secrets)
    except StoreUnusable:  # sealed with a lost key: setting the secrets again is the cure
        return False


def rotated(vault: Vault, source: Source, secret: str, *, until_ms: int, now_ms: int) -> Source:
    """The source with a new secret; the one that was the newest is taken until then. Raises UserError for a secret
    that cannot be one.
    """
    source_kind(source.kind).check_secret(secret)
    older: list[str] = []
    with suppress(StoreUnusable):  # sealed with a lost key: setting the secret again is the cure
        older = [
            source_secret
            for source_secret in source_secrets(vault, source)[:1]
            if source_secret != secret and until_ms > now_ms
        ]
    return msgspec.structs.replace(
        source,
        sealed_secrets=seal_source_secrets(vault, source.id, [secret, *older]),
        # The environment has it no longer: `apply` sets what its file says.
        secret_references=(),
        older_until_ms=until_ms if older else None,
        details=details(now_ms=now_ms, metadata=source.details.metadata, known=source.details),
    )


def without_older(vault: Vault, source: Source, *, now_ms: int) -> Source:
    """The source with its newest secret alone. Raises StoreUnusable."""
    return msgspec.structs.replace(
        source,
        sealed_secrets=seal_source_secrets(vault, source.id, source_secrets(vault, source)[:1]),
        secret_references=source.secret_references[:1],
        older_until_ms=None,
        details=details(now_ms=now_ms, metadata=source.details.metadata, known=source.details),
    )


def make_endpoint(
    *,
    vault: Vault,
    ids: IdFactory,
    app_id: str,
    name: str,
    kind: str,
    settings: Mapping[str, Setting],
    credentials: Mapping[str, str],
    references: Mapping[str, str] | None = None,
    event_types: Sequence[str] = (),
    channels: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    disabled: bool = False,
    max_messages_per_s: int | None = None,
    uid: str | None = None,
    details: Details | None = None,
    known: Endpoint | None = None,
) -> PutEndpoint:
    """An endpoint, with the id of the `known` one it replaces; one without a name is called by its id. Raises
    UserError for settings that do not fit.
    """
    connector(kind).open(settings, credentials, headers)
    endpoint_id = known.id if known else ids.new("ep")
    sealed_credentials, sealed_headers = _sealed(vault, endpoint_id, dict(credentials), dict(headers or {}), known)
    return PutEndpoint(
        id=endpoint_id,
        app_id=app_id,
        name=name or endpoint_id,
        connector=kind,
        settings=dict(settings),
        sealed_credentials=sealed_credentials,
        credential_references=dict(references or {}),
        event_types=tuple(event_types),
        channels=tuple(channels),
        variables=dict(variables or {}),
        sealed_headers=sealed_headers,
        disabled=disabled,
        max_messages_per_s=max_messages_per_s,
        uid=uid,
        details=details or (known.details if known else Details()),
    )


def _sealed(
    vault: Vault, endpoint_id: str, credentials: dict[str, str], headers: dict[str, str], known: Endpoint | None
) -> tuple[bytes, bytes]:
    """Both as they are kept. What is the same as before stays as it was sealed: the worker tells by that whether the
    endpoint has become another one, and begins anew with its breaker and what its destination asked for.
    """
    if known is not None:
        try:
            if (endpoint_credentials(vault, known), endpoint_headers(vault, known)) == (credentials, headers):
                return known.sealed_credentials, known.sealed_headers
        except StoreUnusable:  # sealed with a lost key: setting them again is the cure
            pass
    return seal_credentials(vault, endpoint_id, credentials), seal_headers(vault, endpoint_id, headers)


def same_endpoint(known: Endpoint, **changes: Any) -> PutEndpoint:
    """A change of an endpoint that leaves everything else, secrets too, as it is."""
    fields = {name: getattr(known, name) for name in PutEndpoint.__struct_fields__}
    return PutEndpoint(**(fields | changes))
