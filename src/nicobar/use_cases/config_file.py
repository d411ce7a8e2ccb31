"""The configuration as one TOML file with handlers beside it: `nicobar apply` and `nicobar export`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import tomli_w
from msgspec import Meta

from nicobar.addresses import PUBLIC_ONLY, AllowedAddresses
from nicobar.connectors import FieldKind
from nicobar.connectors.registry import connector
from nicobar.crypto import Vault
from nicobar.errors import ConfigurationError, StoreUnusable, UserError
from nicobar.ids import IdFactory
from nicobar.model import Details, Endpoint, EventType, Json, Setting, Source
from nicobar.pipeline.configuration import endpoint_credentials, endpoint_headers, source_secrets
from nicobar.sandbox import Sandbox
from nicobar.store import (
    AddTransformation,
    Audited,
    Change,
    PutEndpoint,
    PutEventType,
    PutSource,
    RemoveEndpoint,
    RemoveSource,
    Snapshot,
    ends_pause,
)
from nicobar.use_cases.catalogue import default_application, details, make_endpoint, make_source
from nicobar.use_cases.destination_check import check_address, check_stored, moved
from nicobar.use_cases.handler_check import why_it_cannot_run

# As the audit log shows who changed something by a file.
ACTOR = "apply"


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret, by the environment variable that holds it."""

    env: str


class SourceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    kind: str
    secrets: tuple[Reference, ...]


class EndpointEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`handler` is a path relative to the file."""

    name: str
    connector: str
    handler: str | None = None
    event_types: tuple[str, ...] = ()
    disabled: bool = False
    max_messages_per_s: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    settings: dict[str, Setting] = {}
    credentials: dict[str, Reference] = {}
    variables: dict[str, str] = {}


class EventTypeEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    description: str = ""


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sources: tuple[SourceEntry, ...] = ()
    endpoints: tuple[EndpointEntry, ...] = ()
    event_types: tuple[EventTypeEntry, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """What `apply` will do: the changes, a sentence for each, and what is there but not in the file."""

    changes: tuple[Change, ...]
    sentences: tuple[str, ...]
    unlisted: tuple[str, ...]


def read_document(path: Path) -> Document:
    """Raises ConfigurationError, naming the line or the field."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(
            "file_unreadable", f"{path} cannot be read: {error.strerror}.", "Check the path."
        ) from error
    except RecursionError as error:
        raise ConfigurationError(
            "file_invalid", f"{path} is nested too deeply to be read.", "Remove the nested lists or tables."
        ) from error
    except ValueError as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise ConfigurationError("file_invalid", f"{path} is not TOML: {error}.", "Fix that line.") from error
    try:
        document = msgspec.convert(values, Document)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            "file_invalid",
            f"{path} does not fit: {error}.",
            'Secrets are named, not written: { env = "NAME" }. The reference lists all fields.',
        ) from error
    for entries in (document.sources, document.endpoints, document.event_types):
        names = [entry.name for entry in entries]
        for name in names:
            if not name or names.count(name) > 1:
                raise ConfigurationError(
                    "file_invalid", f"{path} has the name {name!r} twice or empty.", "Give each a name of its own."
                )
    return document


class Planner:
    """Compares a document with what is there. `environment` holds the secrets that the document names."""

    def __init__(
        self,
        *,
        snapshot: Snapshot,
        vault: Vault,
        ids: IdFactory,
        sandbox: Sandbox,
        folder: Path,
        environment: Mapping[str, str],
        now_ms: int,
        allowed: AllowedAddresses = PUBLIC_ONLY,
    ) -> None:
        self._allowed = allowed
        self._snapshot = snapshot
        self._app_id = default_application(snapshot).id
        self._vault = vault
        self._ids = ids
        self._sandbox = sandbox
        self._folder = folder
        self._environment = environment
        self._now_ms = now_ms
        self._changes: list[Change] = []
        self._sentences: list[str] = []

    async def plan(self, document: Document, *, prune: bool) -> Plan:
        """Raises ConfigurationError or UserError; nothing is changed here."""
        # A file is about one application; what belongs to others is not in its way.
        sources = {source.name: source for source in self._snapshot.sources if source.app_id == self._app_id}
        endpoints = {
            endpoint.name: endpoint for endpoint in self._snapshot.endpoints if endpoint.app_id == self._app_id
        }
        known_types = {event_type.name: event_type for event_type in self._snapshot.event_types}
        for event_type in document.event_types:
            self._event_type(event_type, known_types.get(event_type.name))
        for source in document.sources:
            self._source(source, sources.pop(source.name, None))
        for endpoint in document.endpoints:
            await self._endpoint(endpoint, endpoints.pop(endpoint.name, None))
        if prune:
            for old_source in sources.values():
                removal = RemoveSource(source_id=old_source.id)
                self._add(f"source {old_source.name}: removed", "source.delete", old_source.id, removal)
            for old_endpoint in endpoints.values():
                gone = RemoveEndpoint(endpoint_id=old_endpoint.id)
                self._add(f"endpoint {old_endpoint.name}: removed", "endpoint.delete", old_endpoint.id, gone)
        unlisted = [f"source {name}" for name in sources] + [f"endpoint {name}" for name in endpoints]
        return Plan(
            changes=tuple(self._changes),
            sentences=tuple(self._sentences),
            unlisted=() if prune else tuple(unlisted),
        )

    def _add(self, sentence: str, action: str, subject: str, *changes: Change) -> None:
        """A change, its sentence, and its line in the audit log."""
        self._sentences.append(sentence)
        said = Audited(
            at_ms=self._now_ms, actor=ACTOR, action=action, app_id=self._app_id, subject=subject, detail=sentence
        )
        self._changes += (*changes, said)

    def _event_type(self, entry: EventTypeEntry, known: EventType | None) -> None:
        if known is not None and (known.description, known.archived) == (entry.description, False):
            return
        base = known or EventType(name=entry.name, created_at_ms=self._now_ms)
        wanted = msgspec.structs.replace(
            base, description=entry.description, archived=False, updated_at_ms=self._now_ms
        )
        change = PutEventType(event_type=wanted)
        self._add(f"event type {entry.name}: set", "event-type.update", entry.name, change)

    def _source(self, entry: SourceEntry, known: Source | None) -> None:
        if not entry.secrets:
            raise ConfigurationError(
                "secret_missing", f"The source {entry.name} has no secret.", 'Add secrets = [{ env = "NAME" }].'
            )
        secrets = tuple(self._secret(secret, f"source {entry.name}") for secret in entry.secrets)
        references = tuple(secret.env for secret in entry.secrets)
        if known and (known.kind, known.secret_references) == (entry.kind, references):
            try:
                if source_secrets(self._vault, known) == secrets:
                    return
            except StoreUnusable:  # sealed with a lost key: setting the secrets again is the cure
                pass
        source = make_source(
            vault=self._vault,
            ids=self._ids,
            app_id=self._app_id,
            name=entry.name,
            kind=entry.kind,
            secrets=secrets,
            references=references,
            uid=known.uid if known else None,
            details=self._details(known),
            known=known,
        )
        done, action = ("changed", "source.update") if known else ("added", "source.create")
        self._add(f"source {entry.name}: {done}", action, source.id, PutSource(source=source))

    async def _endpoint(self, entry: EndpointEntry, known: Endpoint | None) -> None:
        credentials = {
            name: self._secret(one, f"endpoint {entry.name}, {name}") for name, one in entry.credentials.items()
        }
        headers = self._headers(known)
        self._check_destination(entry, known, headers)
        put = make_endpoint(
            vault=self._vault,
            ids=self._ids,
            app_id=self._app_id,
            name=entry.name,
            kind=entry.connector,
            settings=entry.settings,
            credentials=credentials,
            references={name: one.env for name, one in entry.credentials.items()},
            event_types=entry.event_types,
            variables=entry.variables,
            disabled=entry.disabled,
            max_messages_per_s=entry.max_messages_per_s,
            # What a file has no words for stays as it is.
            channels=known.channels if known else (),
            headers=headers,
            uid=known.uid if known else None,
            details=self._details(known),
            known=known,
        )
        code = self._handler(entry)
        if known is None or not self._same(known, put, credentials):
            done, action = ("changed", "endpoint.update") if known else ("added", "endpoint.create")
            resumed = ", resumed" if known and ends_pause(known, put) else ""
            url = moved(known, put) if known else ""
            self._add(f"endpoint {entry.name}: {done}{resumed}{url and f', {url}'}", action, put.id, put)
        if code is not None and (known is None or known.transformation is None or known.transformation.code != code):
            await self._check_handler(entry, code)
            version = AddTransformation(endpoint_id=put.id, code=code, created_at_ms=self._now_ms)
            sentence = f"endpoint {entry.name}: new version of the handler"
            self._add(sentence, "transformation.update", put.id, version)

    def _check_destination(self, entry: EndpointEntry, known: Endpoint | None, headers: Mapping[str, str]) -> None:
        """The credentials are read from the environment each time, for the host that the file names. Headers are not
        in the file: those set elsewhere stay at the host that they were set for.
        """
        before = known.settings if known and known.connector == entry.connector else None
        try:
            check_address(self._allowed, entry.connector, entry.settings, before)
            if before is not None:
                check_stored(entry.connector, entry.settings, before, headers=headers)
        except UserError as error:
            raise ConfigurationError(
                error.code, f"The endpoint {entry.name} was not changed. {error.detail}", error.fix
            ) from error

    def _same(self, known: Endpoint, put: PutEndpoint, credentials: dict[str, str]) -> bool:
        fields = ("connector", "settings", "credential_references", "event_types", "variables", "disabled")
        try:
            return all(getattr(known, name) == getattr(put, name) for name in (*fields, "max_messages_per_s")) and (
                endpoint_credentials(self._vault, known) == credentials
            )
        except StoreUnusable:
            return False

    def _details(self, known: Source | Endpoint | None) -> Details:
        before = known.details if known else Details()
        return details(
            now_ms=self._now_ms,
            description=before.description,
            metadata=before.metadata,
            known=known.details if known else None,
        )

    def _headers(self, known: Endpoint | None) -> dict[str, str]:
        try:
            return endpoint_headers(self._vault, known) if known else {}
        except StoreUnusable:
            return {}

    def _secret(self, reference: Reference, of: str) -> str:
        value = self._environment.get(reference.env, "")
        if not value:
            raise ConfigurationError(
                "secret_missing",
                f"The environment variable {reference.env}, which holds a secret of {of}, is not set.",
                f"Set it and run this again: {reference.env}=… nicobar apply …",
            )
        return value

    def _handler(self, entry: EndpointEntry) -> str | None:
        if entry.handler is None:
            return None
        path = self._folder / entry.handler
        try:
            return path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                "handler_unreadable",
                f"The handler {path} of endpoint {entry.name} cannot be read.",
                "Check its path.",
            ) from error

    async def _check_handler(self, entry: EndpointEntry, code: str) -> None:
        """Refuses what could never run; what it does with an event is for `nicobar transform` to show."""
        broken = await why_it_cannot_run(self._sandbox, code, self._now_ms)
        if broken is not None:
            line = f", line {broken.line}" if broken.line else ""
            raise ConfigurationError(
                "handler_invalid",
                f"{entry.handler}{line}: {broken.reason.detail()}",
                f"Try it: nicobar transform {entry.handler}",
            )


def write_document(snapshot: Snapshot, path: Path, *, force: bool) -> list[Path]:
    """Writes the file of the default application and its handlers; returns their paths. Secrets are named, never
    written; one that was not read from an environment variable gets a variable's name.

    Raises UserError where a file is there already, unless `force`.
    """
    handlers: dict[Path, str] = {}
    endpoints: list[dict[str, Json]] = []
    app_id = default_application(snapshot).id
    for endpoint in (endpoint for endpoint in snapshot.endpoints if endpoint.app_id == app_id):
        entry: dict[str, Json] = {"name": endpoint.name, "connector": endpoint.connector}
        if endpoint.transformation:
            relative = Path("handlers") / f"{_file_name(endpoint.name)}.js"
            handlers[path.parent / relative] = endpoint.transformation.code
            entry["handler"] = str(relative)
        entry |= {
            "event_types": list(endpoint.event_types),
            "disabled": endpoint.disabled,
            "max_messages_per_s": endpoint.max_messages_per_s,
            "settings": dict(endpoint.settings),
            "credentials": {name: {"env": env} for name, env in _credentials(endpoint).items()},
            "variables": dict(endpoint.variables),
        }
        endpoints.append({name: value for name, value in entry.items() if value not in ([], {}, False, None)})
    document: dict[str, Json] = {
        "event_types": [
            {"name": event_type.name, "description": event_type.description} for event_type in snapshot.event_types
        ],
        "sources": [
            {
                "name": source.name,
                "kind": source.kind,
                "secrets": [{"env": env} for env in source.secret_references or (_variable(source.name, "secret"),)],
            }
            for source in snapshot.sources
            if source.app_id == app_id
        ],
        "endpoints": list(endpoints),
    }
    written = {path: tomli_w.dumps({name: value for name, value in document.items() if value}), **handlers}
    for file in written:
        if file.exists() and not force:
            raise UserError("file_exists", f"{file} is there already.", "Name another file, or add --force.")
    try:
        for file, text in written.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
    except OSError as error:
        raise UserError(
            "file_unwritable", f"{path} cannot be written: {error.strerror}.", "Name another file."
        ) from error
    return list(written)


def _credentials(endpoint: Endpoint) -> dict[str, str]:
    """The variables of an endpoint's credentials."""
    secrets = [
        field for field in connector(endpoint.connector).fields if field.kind is FieldKind.SECRET and field.required
    ]
    named = {secret.name: _variable(endpoint.name, secret.name) for secret in secrets}
    return named | endpoint.credential_references


def _variable(*parts: str) -> str:
    return "_".join(re.sub(r"[^A-Z0-9]+", "_", part.upper()) for part in parts)


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name) or "handler"
