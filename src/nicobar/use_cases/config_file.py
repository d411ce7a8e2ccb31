"""The configuration as one TOML file with handlers beside it, as `nicobar apply` reads it."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec
from msgspec import UNSET, UnsetType

from nicobar.audit import AuditAction
from nicobar.clock import unix_ms
from nicobar.connectors.registry import connector
from nicobar.errors import ConfigurationError, StoreUnusable, UserError
from nicobar.model import Endpoint, EventType, Mode, Record, Setting, Source
from nicobar.pipeline.configuration import endpoint_credentials, endpoint_variables
from nicobar.retry_schedule import read_delays
from nicobar.sandbox import Sandbox
from nicobar.store import AddTransformation, PutEventType, Snapshot, ends_pause
from nicobar.suggestions import suggestion
from nicobar.use_cases import endpoints, sources
from nicobar.use_cases.alert_targets import deletion
from nicobar.use_cases.applications import default_application
from nicobar.use_cases.bounds import MessagesPerS
from nicobar.use_cases.config_file_targets import AlertTargetEntry, Reference, plan_target
from nicobar.use_cases.destination_check import redirected
from nicobar.use_cases.edit import Act, OperationServices
from nicobar.use_cases.endpoint_records import EndpointPatch, EndpointSpec, SenderIds
from nicobar.use_cases.event_types import find_built_in, schedule_detail
from nicobar.use_cases.handler_check import why_it_cannot_run
from nicobar.use_cases.sources import SourcePatch, SourceSpec
from nicobar.value_errors import place, requirement, unknown_field

# The actor in the audit log of changes by a file.
ACTOR = "apply"


class SourceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`mode` and `history_complete_since` that are not in the file stay."""

    name: str
    kind: str
    secrets: tuple[Reference, ...]
    mode: Mode | UnsetType = UNSET
    history_complete_since: datetime | UnsetType = UNSET


class EndpointEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`handler` is a path relative to the file. A variable that comes from the environment is secret."""

    name: str
    connector: str
    handler: str | None = None
    event_types: tuple[str, ...] = ()
    disabled: bool = False
    max_messages_per_s: MessagesPerS | None = None
    retry_schedule: tuple[str, ...] | None = None
    mode: Mode | None = None
    business_ids: SenderIds = ()
    brand_ids: SenderIds = ()
    settings: dict[str, Setting] = {}
    credentials: dict[str, Reference] = {}
    variables: dict[str, str | Reference] = {}


class EventTypeEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    description: str = ""
    retry_schedule: tuple[str, ...] | None = None


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sources: tuple[SourceEntry, ...] = ()
    endpoints: tuple[EndpointEntry, ...] = ()
    event_types: tuple[EventTypeEntry, ...] = ()
    alert_targets: tuple[AlertTargetEntry, ...] = ()


# The fields of the file and of its entries, by place.
_FIELDS = {
    "": Document.__struct_fields__,
    "sources": SourceEntry.__struct_fields__,
    "endpoints": EndpointEntry.__struct_fields__,
    "event_types": EventTypeEntry.__struct_fields__,
    "alert_targets": AlertTargetEntry.__struct_fields__,
}


class Plan(Record):
    """What `apply` will do: the acts, a sentence for each, what to change in the file, and the names that are not in
    it.
    """

    acts: tuple[Act, ...]
    sentences: tuple[str, ...]
    notes: tuple[str, ...]
    unlisted: tuple[str, ...]


def read_document(path: Path) -> Document:
    """Raises ConfigurationError, naming the line or the field."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(
            "file_unreadable", f"Cannot read {path}: {error.strerror}.", "Check the path."
        ) from error
    except RecursionError as error:
        raise ConfigurationError(
            "file_invalid", f"{path} is nested too deeply.", "Remove nested lists and tables."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError("file_invalid", f"{path} is not UTF-8 text.", "Save it as UTF-8.") from error
    except ValueError as error:  # not TOML, or a number with thousands of digits
        raise ConfigurationError(
            "file_invalid", f"Invalid TOML in {path}: {error}.", "Fix the syntax error."
        ) from error
    try:
        document = msgspec.convert(values, Document)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            "file_invalid",
            f"{path} is invalid: {place(error) or 'the file'} {requirement(error)}.",
            _fix(error),
        ) from error
    for entries in (document.sources, document.endpoints, document.event_types, document.alert_targets):
        names = [entry.name for entry in entries]
        for name in names:
            if not name:
                raise ConfigurationError("file_invalid", f"Empty name in {path}.", "Give each entry a name.")
            if names.count(name) > 1:
                raise ConfigurationError(
                    "file_invalid", f"Duplicate name {name!r} in {path}.", "Give each entry a unique name."
                )
    return document


def _fix(error: msgspec.ValidationError) -> str:
    path = place(error)
    if "secret" in path or "credentials" in path:
        return 'Write secrets as { env = "NAME" }.'
    fields = _FIELDS.get(path.partition("[")[0], ())
    return suggestion(unknown_field(error) or "", fields, "The reference lists all fields.")


class Planner:
    """Compares a document with a snapshot. `environment` holds the secrets that the document names."""

    def __init__(
        self,
        services: OperationServices,
        snapshot: Snapshot,
        *,
        sandbox: Sandbox,
        folder: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._services = services
        self._snapshot = snapshot
        self._app_id = default_application(snapshot).id
        self._sandbox = sandbox
        self._folder = folder
        self._environment = environment
        self._now_ms = services.clock.now_ms()
        self._acts: list[Act] = []
        self._sentences: list[str] = []
        self._notes: list[str] = []

    async def plan(self, document: Document, *, prune: bool) -> Plan:
        """Raises ConfigurationError or UserError; nothing is changed here."""
        # A file describes the default application; other applications may use the same names.
        known_sources = {source.name: source for source in self._snapshot.sources if source.app_id == self._app_id}
        known_endpoints = {
            endpoint.name: endpoint for endpoint in self._snapshot.endpoints if endpoint.app_id == self._app_id
        }
        known_types = {event_type.name: event_type for event_type in self._snapshot.event_types}
        for event_type in document.event_types:
            with _about(f"event type {event_type.name}"):
                self._event_type(event_type, known_types.get(event_type.name))
        for source in document.sources:
            with _about(f"source {source.name}"):
                self._source(source, known_sources.pop(source.name, None))
        for endpoint in document.endpoints:
            with _about(f"endpoint {endpoint.name}"):
                await self._endpoint(endpoint, known_endpoints.pop(endpoint.name, None))
        self._alert_targets(document.alert_targets, prune=prune)
        if prune:
            for old_source in known_sources.values():
                self._add(f"source {old_source.name}: deleted", sources.deletion(old_source))
            for old_endpoint in known_endpoints.values():
                self._add(f"endpoint {old_endpoint.name}: deleted", endpoints.deletion(old_endpoint))
        unlisted = [f"source {name}" for name in known_sources] + [f"endpoint {name}" for name in known_endpoints]
        return Plan(
            acts=tuple(self._acts),
            sentences=tuple(self._sentences),
            notes=tuple(self._notes),
            unlisted=() if prune else tuple(unlisted),
        )

    def _add(self, sentence: str, *acts: Act) -> None:
        self._sentences.append(sentence)
        self._acts += acts

    def _event_type(self, entry: EventTypeEntry, stored: EventType | None) -> None:
        base = stored or find_built_in(entry.name) or EventType(name=entry.name)
        wanted = msgspec.structs.replace(
            base,
            description=entry.description or ("" if stored else base.description),
            archived=False,
            retry_after_ms=_delays(entry.retry_schedule),
            created_at_ms=base.created_at_ms or self._now_ms,
            updated_at_ms=base.updated_at_ms,
        )
        if wanted == stored:
            return
        act = Act(
            action=AuditAction.EVENT_TYPE_UPDATE if stored else AuditAction.EVENT_TYPE_CREATE,
            subject=entry.name,
            changes=(PutEventType(event_type=msgspec.structs.replace(wanted, updated_at_ms=self._now_ms)),),
            app_id=None,
            detail=schedule_detail(wanted.retry_after_ms) if wanted.retry_after_ms != base.retry_after_ms else "",
        )
        self._add(f"event type {entry.name}: {'changed' if stored else 'added'}", act)

    def _source(self, entry: SourceEntry, stored: Source | None) -> None:
        if not entry.secrets:
            raise ConfigurationError(
                "secret_missing", f"Source {entry.name} has no secret.", 'Add secrets = [{ env = "NAME" }].'
            )
        secrets = tuple(self._secret(secret, f"source {entry.name}") for secret in entry.secrets)
        references = tuple(secret.env for secret in entry.secrets)
        if stored is None:
            spec = SourceSpec(
                kind=entry.kind,
                name=entry.name,
                secrets=secrets,
                references=references,
                mode=entry.mode or None,
                history_complete_since_ms=_since(entry) or None,
            )
            _, act = sources.creation(self._services, self._snapshot, self._app_id, spec)
            self._add(f"source {entry.name}: added", act)
            return
        patch = SourcePatch(
            kind=entry.kind,
            secrets=secrets,
            references=references,
            mode=entry.mode,
            history_complete_since_ms=_since(entry),
        )
        _, acts = sources.update_acts(self._services, self._snapshot, stored, patch)
        if acts:
            self._add(f"source {entry.name}: changed", *acts)

    def _alert_targets(self, entries: Sequence[AlertTargetEntry], *, prune: bool) -> None:
        """A file without any leaves those of the dashboard, also with `prune`."""
        for entry in entries:
            about = f"alert target {entry.name}"
            with _about(about):
                read = partial(self._secret, of=about)
                sentence, acts = plan_target(self._services, self._snapshot, entry, read)
            if acts:
                self._add(sentence, *acts)
        listed = {entry.name for entry in entries}
        for target in self._snapshot.alert_targets:
            if listed and prune and target.name not in listed:
                self._add(f"alert target {target.name}: deleted", deletion(target))

    async def _endpoint(self, entry: EndpointEntry, stored: Endpoint | None) -> None:
        credentials = {
            name: self._secret(reference, f"endpoint {entry.name}, {name}")
            for name, reference in entry.credentials.items()
        }
        variables = {
            name: self._secret(value, f"endpoint {entry.name}, variable {name}")
            for name, value in entry.variables.items()
            if isinstance(value, Reference)
        }
        code = self._handler(entry)
        running = stored.transformation.code if stored and stored.transformation else None
        if code is not None and code != running:
            await self._check_handler(entry, code)
        self._note_carried(entry, code if code is not None else running)
        if stored is None:
            spec = _spec(entry, credentials, variables, code)
            _, act = endpoints.creation(self._services, self._snapshot, self._app_id, spec)
            self._add(f"endpoint {entry.name}: added", act)
            return
        patch = _patch(entry, credentials, variables, self._stored(stored), self._stored_variables(stored))
        put, acts = endpoints.update_acts(self._services, self._snapshot, stored, patch)
        if acts:
            resumed = ", resumed" if ends_pause(stored, put) else ""
            change = redirected(stored, put)
            self._add(f"endpoint {entry.name}: changed{resumed}{change and f', {change}'}", *acts)
        if code is not None and code != running:
            version = AddTransformation(endpoint_id=stored.id, code=code, created_at_ms=self._now_ms)
            act = Act(
                action=AuditAction.TRANSFORMATION_UPDATE,
                subject=stored.id,
                changes=(version,),
                app_id=self._app_id,
            )
            self._add(f"endpoint {entry.name}: new version of the handler", act)

    def _note_carried(self, entry: EndpointEntry, code: str | None) -> None:
        """Notes variables that are settings now."""
        given = _plain_variables(entry)
        found = connector(entry.connector).carried_settings(entry.settings, given, code)
        if found is None:
            return
        settings, variables = found
        names = ", ".join(name for name in given if name not in variables)
        added = ", ".join(
            f"{name} = {msgspec.json.encode(value).decode()}"
            for name, value in settings.items()
            if name not in entry.settings
        )
        to_settings = f" Add {added} to its settings." if added else ""
        self._notes.append(
            f"endpoint {entry.name}: the variable {names} is a setting now, and was applied as one."
            f"{to_settings} Remove {names} from its variables."
        )

    def _stored(self, endpoint: Endpoint) -> set[str]:
        """The names of the stored credentials. None if they are sealed with a lost key: setting them is the cure."""
        try:
            return set(endpoint_credentials(self._services.vault, endpoint))
        except StoreUnusable:
            return set()

    def _stored_variables(self, endpoint: Endpoint) -> set[str]:
        """The names of the stored secret variables, as `_stored`."""
        try:
            return set(endpoint_variables(self._services.vault, endpoint))
        except StoreUnusable:
            return set()

    def _secret(self, reference: Reference, of: str) -> str:
        value = self._environment.get(reference.env, "")
        if not value:
            raise ConfigurationError(
                "secret_missing",
                f"The environment variable {reference.env}, a secret of {of}, is not set.",
                f"Set it and apply again: {reference.env}=… nicobar apply …",
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
                f"Cannot read the handler {path} of endpoint {entry.name}.",
                "Check the path.",
            ) from error

    async def _check_handler(self, entry: EndpointEntry, code: str) -> None:
        """Rejects code that can never run. `nicobar transform` shows what it does with events."""
        broken = await why_it_cannot_run(self._sandbox, code, self._now_ms)
        if broken is not None:
            line = f", line {broken.line}" if broken.line else ""
            raise ConfigurationError(
                "handler_invalid",
                f"{entry.handler}{line}: {broken.reason.detail()}",
                f"Test it with: nicobar transform {entry.handler}",
            )


def _spec(
    entry: EndpointEntry, credentials: Mapping[str, str], variables: Mapping[str, str], code: str | None
) -> EndpointSpec:
    return EndpointSpec(
        connector=entry.connector,
        name=entry.name,
        settings=entry.settings,
        credentials=dict(credentials),
        references={name: reference.env for name, reference in entry.credentials.items()},
        event_types=entry.event_types,
        variables=_plain_variables(entry),
        secret_variables=dict(variables),
        variable_references=_variable_references(entry),
        disabled=entry.disabled,
        max_messages_per_s=entry.max_messages_per_s,
        retry_after_ms=_delays(entry.retry_schedule),
        mode=entry.mode,
        business_ids=entry.business_ids,
        brand_ids=entry.brand_ids,
        code=UNSET if code is None else code,
    )


def _plain_variables(entry: EndpointEntry) -> dict[str, str]:
    return {name: value for name, value in entry.variables.items() if isinstance(value, str)}


def _variable_references(entry: EndpointEntry) -> dict[str, str]:
    return {name: value.env for name, value in entry.variables.items() if isinstance(value, Reference)}


def _patch(
    entry: EndpointEntry,
    credentials: Mapping[str, str],
    variables: Mapping[str, str],
    stored: Collection[str],
    stored_variables: Collection[str],
) -> EndpointPatch:
    """What the file has no words for, and a generated signing secret, stays."""
    signing = {field.name for field in connector(entry.connector).fields if field.signs}
    removed = dict.fromkeys(name for name in stored if name not in credentials and name not in signing)
    return EndpointPatch(
        connector=entry.connector,
        settings=entry.settings,
        credentials={**removed, **credentials},
        references={name: reference.env for name, reference in entry.credentials.items()},
        event_types=entry.event_types,
        variables=_plain_variables(entry),
        secret_variables=dict.fromkeys(name for name in stored_variables if name not in variables) | dict(variables),
        variable_references=_variable_references(entry),
        disabled=entry.disabled,
        max_messages_per_s=entry.max_messages_per_s,
        retry_after_ms=_delays(entry.retry_schedule),
        mode=entry.mode,
        business_ids=entry.business_ids,
        brand_ids=entry.brand_ids,
    )


def _since(entry: SourceEntry) -> int | UnsetType:
    since = entry.history_complete_since
    return UNSET if isinstance(since, UnsetType) else unix_ms(since)


def _delays(texts: Sequence[str] | None) -> tuple[int, ...] | None:
    """A retry schedule; None for the default. Raises UserError."""
    return None if texts is None else read_delays(texts)


@contextmanager
def _about(thing: str) -> Generator[None]:
    """Names the rejected entry of the file."""
    try:
        yield
    except ConfigurationError:
        raise
    except UserError as error:
        raise ConfigurationError(error.code, f"The {thing} was not changed. {error.detail}", error.fix) from error
