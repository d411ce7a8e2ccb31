"""The configuration as the running parts use it: opened, and at most one second old."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from nicobar import facts
from nicobar.clock import Clock
from nicobar.connectors import Connector, Destination
from nicobar.connectors.registry import connector
from nicobar.crypto import Vault, sealed_prefix
from nicobar.errors import NicobarError, StoreError, StoreUnusable
from nicobar.facts import About
from nicobar.logs import log
from nicobar.masking import MASK, NO_SECRETS, Secrets
from nicobar.model import Customer, Endpoint, Event, Message, Source
from nicobar.people import IdentityRule
from nicobar.pipeline.carried_settings import read_snapshot
from nicobar.pipeline.subscriptions import SenderAccount, Subscriptions, account_of, is_limited, takes
from nicobar.pipeline.unreadable import reread
from nicobar.raw_payloads import raw_payload
from nicobar.reasons import Reason
from nicobar.redaction import Redaction, Redactor
from nicobar.sources import SourceKind
from nicobar.sources.registry import SOURCES, application_kind, source_kind
from nicobar.store import Catalogue, NewMessage, PutEndpoint, Snapshot, is_made_alike

POLL_MS = 1_000
# An unknown token, or a source's first secret, may have been created a moment ago. The store is read again at most
# this often; requests in between wait.
UNKNOWN_TOKEN_POLL_MS = 100
T = TypeVar("T")
# The source id of messages posted to the API.
API_SOURCE_ID = "api"


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source with its kind and its secrets, newest first."""

    source: Source
    kind: SourceKind
    secrets: tuple[str, ...]

    def live_secrets(self, now_ms: int) -> tuple[str, ...]:
        """The secrets that a sender may sign with now."""
        until_ms = self.source.older_until_ms
        return self.secrets[:1] if until_ms is not None and until_ms <= now_ms else self.secrets


@dataclass(frozen=True, slots=True)
class Unusable:
    """A source or endpoint in the catalogue that cannot be opened, and why."""

    name: str
    id: str
    error: NicobarError


@dataclass(frozen=True, slots=True)
class OpenEndpoint:
    """An endpoint with its connector and its opened destination. `secret_variables` are for the handler only.
    `hidden` are their values, which nothing shows; `confidential` are credentials and headers too, which a response
    may repeat. `secret_headers` are names in lower case, `credential_names` those of the credentials that are set.
    """

    endpoint: Endpoint
    connector: Connector
    destination: Destination
    secret_variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret_headers: frozenset[str] = frozenset()
    credential_names: frozenset[str] = frozenset()
    hidden: Secrets = NO_SECRETS
    confidential: Secrets = NO_SECRETS

    def shown_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers of a request as people may see them. Those that look like credentials are masked elsewhere."""
        return {
            name: MASK if name.lower() in self.secret_headers else self.hidden.masked(value)
            for name, value in headers.items()
        }


def mode_text(source: Source) -> str:
    """The mode as facts have it; empty if not stated."""
    return source.mode.value if source.mode else ""


def seal_source_secrets(vault: Vault, source_id: str, secrets: Sequence[str]) -> bytes:
    return vault.seal(msgspec.json.encode(list(secrets)), source_id)


def source_secrets(vault: Vault, source: Source) -> tuple[str, ...]:
    """Raises StoreUnusable if they were sealed with another key or are malformed."""
    return _opened(vault, source.sealed_secrets, source.id, tuple[str, ...])


def seal_credentials(vault: Vault, endpoint_id: str, credentials: dict[str, str]) -> bytes:
    return vault.seal(msgspec.json.encode(credentials), endpoint_id)


def endpoint_credentials(vault: Vault, endpoint: Endpoint | PutEndpoint) -> dict[str, str]:
    """Raises StoreUnusable if they were sealed with another key or are malformed."""
    return _opened(vault, endpoint.sealed_credentials, endpoint.id, dict[str, str])


def seal_headers(vault: Vault, endpoint_id: str, headers: dict[str, str]) -> bytes:
    return vault.seal(msgspec.json.encode(headers), f"{endpoint_id}/headers") if headers else b""


def endpoint_headers(vault: Vault, endpoint: Endpoint) -> dict[str, str]:
    """Raises StoreUnusable if they were sealed with another key or are malformed."""
    if not endpoint.sealed_headers:
        return {}
    return _opened(vault, endpoint.sealed_headers, f"{endpoint.id}/headers", dict[str, str])


def seal_variables(vault: Vault, endpoint_id: str, variables: dict[str, str]) -> bytes:
    return vault.seal(msgspec.json.encode(variables), f"{endpoint_id}/variables") if variables else b""


def endpoint_variables(vault: Vault, endpoint: Endpoint | PutEndpoint) -> dict[str, str]:
    """The secret variables. Raises StoreUnusable if they were sealed with another key or are malformed."""
    if not endpoint.sealed_variables:
        return {}
    return _opened(vault, endpoint.sealed_variables, f"{endpoint.id}/variables", dict[str, str])


def secrets_of(vault: Vault, endpoint: Endpoint) -> tuple[dict[str, str], dict[str, str]]:
    """Credentials and headers. Raises StoreUnusable if they were sealed with another key or are malformed."""
    return endpoint_credentials(vault, endpoint), endpoint_headers(vault, endpoint)


def follow_key(vault: Vault, snapshot: Snapshot) -> None:
    """Changes of this configuration are sealed with its key."""
    if snapshot.key is not None:
        vault.seal_with(snapshot.key.key_id, names_keys=bool(snapshot.key.replaced_key_ids))


def _opened(vault: Vault, sealed: bytes, purpose: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(vault.unseal(sealed, purpose), type=kind)
    except msgspec.DecodeError:
        # The error's text may contain a part of the secret.
        raise StoreUnusable(
            "secret_unreadable",
            f"The stored secrets of {purpose} are malformed.",
            "Set these secrets again, or restore a backup of the database.",
        ) from None


def open_endpoint(vault: Vault, endpoint: Endpoint) -> OpenEndpoint:
    """Raises NicobarError if the connector, its settings or its credentials cannot be used."""
    kind = connector(endpoint.connector)
    credentials, headers = secrets_of(vault, endpoint)
    return _opened_endpoint(vault, endpoint, kind.open(endpoint.settings, credentials, headers))


def _opened_endpoint(vault: Vault, endpoint: Endpoint, destination: Destination) -> OpenEndpoint:
    credentials, headers = secrets_of(vault, endpoint)
    variables = endpoint_variables(vault, endpoint)
    secret = {name.lower(): value for name, value in headers.items() if name.lower() not in endpoint.public_headers}
    # The part behind a scheme, such as Bearer, is the secret.
    sent = [*credentials.values(), *secret.values(), *(value.rpartition(" ")[2] for value in secret.values())]
    return OpenEndpoint(
        endpoint=endpoint,
        connector=connector(endpoint.connector),
        destination=destination,
        secret_variables=variables,
        secret_headers=frozenset(secret),
        credential_names=frozenset(name for name, value in credentials.items() if value),
        hidden=Secrets(variables),
        confidential=Secrets(variables, sent),
    )


class Configuration:
    """Follows the catalogue. Sources and endpoints that cannot be opened are logged and listed as unusable."""

    def __init__(
        self,
        catalogue: Catalogue,
        vault: Vault,
        clock: Clock,
        *,
        retry_after_ms: tuple[int, ...] | None = None,
        redaction: Redaction | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._redaction = redaction or Redaction()
        self._retry_after_ms = retry_after_ms
        self._schedules: dict[str, tuple[int, ...]] = {}
        self._vault = vault
        self._clock = clock
        self._lock = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._checked_at_ms: int | None = None
        self._read_at_ms: int | None = None
        self._begun_reads = 0
        self._last_read = 0
        self._failure: StoreError | None = None
        self._snapshot = Snapshot(version=-1, applications=(), sources=(), endpoints=(), event_types=())
        self._sources: dict[str, OpenSource] = {}
        self._kinds: dict[str, SourceKind] = {}
        self._sources_by_id: dict[str, Source] = {}
        self._endpoints: dict[int, OpenEndpoint] = {}
        self._identity_rules: dict[int, IdentityRule] = {}
        self._subscriptions = Subscriptions(())
        self._application_kinds: dict[str, SourceKind] = {}
        self._app_uids: dict[str, str] = {}
        self._unusable_sources: dict[str, Unusable] = {}
        self._unusable_endpoints: dict[int, Unusable] = {}

    @property
    def unusable_sources(self) -> Mapping[str, Unusable]:
        """The sources that cannot be opened, by token. Their senders get 503, so that nothing is lost."""
        return self._unusable_sources

    @property
    def unusable_endpoints(self) -> Mapping[int, Unusable]:
        """The endpoints that cannot be opened, by `seq`. Their deliveries wait."""
        return self._unusable_endpoints

    @property
    def read_ms_ago(self) -> int | None:
        """Milliseconds since the catalogue was last read or found unchanged; None before the first time."""
        return None if self._read_at_ms is None else self._clock.steady_ms() - self._read_at_ms

    @property
    def failure(self) -> StoreError | None:
        """Why the last attempt to read the catalogue failed; None after a success."""
        return self._failure

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    @property
    def endpoints(self) -> dict[int, OpenEndpoint]:
        """The endpoints that can be used, by their `seq`."""
        return self._endpoints

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls the listener after every change."""
        self._listeners.append(listener)

    def forget(self, listener: Callable[[], None]) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def refresh(self) -> None:
        """Reads the catalogue again if it has changed. Raises StoreError."""
        async with self._lock:
            await self._read()

    async def catch_up(self, version: int) -> None:
        """Reads the catalogue again unless what was read is at least of this version. Raises StoreError."""
        if version > self._snapshot.version:
            async with self._lock:
                if version > self._snapshot.version:  # not read while this call waited
                    await self._read()

    async def _read(self) -> None:
        """The caller holds the lock."""
        self._checked_at_ms = self._clock.steady_ms()
        self._begun_reads += 1
        try:
            changed = await self._catalogue.version() != self._snapshot.version
            if changed:
                self._open(await read_snapshot(self._catalogue))
        except StoreError as error:
            self._failure = error
            raise
        self._failure = None
        self._read_at_ms = self._checked_at_ms
        self._last_read = self._begun_reads
        if changed:
            for listener in self._listeners:
                listener()

    def _open(self, snapshot: Snapshot) -> None:
        follow_key(self._vault, snapshot)
        self._sources, self._kinds, self._unusable_sources = {}, {}, {}
        self._sources_by_id = {source.id: source for source in snapshot.sources}
        for source in snapshot.sources:
            self._open_source(source)
        self._unusable_endpoints = {}
        self._endpoints = dict(self._open_endpoints(snapshot.endpoints))
        self._identity_rules = {
            seq: rule
            for seq, target in self._endpoints.items()
            if (rule := target.destination.identity_rule) is not None
        }
        self._subscriptions = Subscriptions(endpoint for endpoint in snapshot.endpoints if not endpoint.disabled)
        sources: dict[str, list[Source]] = {}
        for source in snapshot.sources:
            sources.setdefault(source.app_id, []).append(source)
        self._application_kinds = {app_id: application_kind(own, app_id) for app_id, own in sources.items()}
        self._app_uids = {application.id: application.uid for application in snapshot.applications}
        self._schedules = {
            event_type.name: event_type.retry_after_ms
            for event_type in snapshot.event_types
            if event_type.retry_after_ms is not None
        }
        self._snapshot = snapshot

    async def follow(self, stop: asyncio.Event) -> None:
        """Follows the catalogue until `stop` is set."""
        while not await self._clock.wait(stop, POLL_MS):
            try:
                await self.refresh()
            except StoreError as error:
                log.error("configuration not read", code=error.code, detail=error.detail)
            except Exception:  # noqa: BLE001 - an unexpected error must not stop the updates
                log.exception("configuration not read")

    async def source(self, token: str) -> OpenSource | Unusable | None:
        """The source with this token, even if the source or its first secret was created a moment ago. None only if a
        read of the catalogue that started after this call found none. Raises StoreError if the catalogue cannot be
        read.
        """
        found = self._find_source(token)
        if found is None or (isinstance(found, OpenSource) and not found.secrets):
            await self._read_from_now()
            found = self._find_source(token)
        return found

    def known_source_id(self, token: str) -> str:
        """The id of the source with this token as last read; empty for an unknown token."""
        found = self._find_source(token)
        if found is None:
            return ""
        return found.source.id if isinstance(found, OpenSource) else found.id

    async def _read_from_now(self) -> None:
        """Returns after a read that started after this call: an earlier read may have missed a change committed
        before the call. Calls share reads, which start at least UNKNOWN_TOKEN_POLL_MS apart.
        """
        begun = self._begun_reads
        while True:
            async with self._lock:
                wait_ms = self._ms_until_next_read()
                if self._last_read <= begun and wait_ms <= 0:
                    await self._read()
                if self._failure is not None:
                    raise self._failure
                if self._last_read > begun:
                    return
            # Without the lock, which a refresh must not wait for.
            await self._clock.wait(asyncio.Event(), wait_ms)

    def _find_source(self, token: str) -> OpenSource | Unusable | None:
        return self._sources.get(token) or self._unusable_sources.get(token)

    def wanting(
        self, app_id: str, event_type: str, channels: Sequence[str] = (), account: SenderAccount | None = None
    ) -> tuple[int, ...]:
        """The endpoints that get a delivery of such a message. A paused endpoint does, and sends it when it resumes.
        A disabled endpoint does not, nor does one that is subscribed to other channels only, or whose scope does not
        have the account.
        """
        return self._subscriptions.of(app_id, event_type, channels, account)

    def takes(self, endpoint: Endpoint, message: Message) -> bool:
        """Whether a stored message is within the endpoint's scope."""
        if not is_limited(endpoint):
            return True
        _, event = self.event(message)
        return takes(endpoint, account_of(event, self.mode_of(message)))

    def identity_rule(self, endpoint_seq: int) -> IdentityRule | None:
        """What identifies people at an endpoint; None if nothing says."""
        return self._identity_rules.get(endpoint_seq)

    def identity_rules(self, endpoint_seqs: Sequence[int]) -> dict[int, IdentityRule]:
        """What identifies people at those of the endpoints where it is known."""
        rules = self._identity_rules
        return {seq: rules[seq] for seq in endpoint_seqs if seq in rules} if rules else {}

    def enabled(self, app_id: str, mode: str) -> tuple[int, ...]:
        """The endpoints of an application that are enabled and take this mode, whatever they are subscribed to."""
        return tuple(
            endpoint.seq
            for endpoint in self._snapshot.endpoints
            if endpoint.app_id == app_id and not endpoint.disabled and endpoint.mode in {None, mode}
        )

    def reread(self, message: Message) -> tuple[Message, Reason | None]:
        """A message as it is read now, and why it cannot be read, if so."""
        return reread(self.kind_of(message), message)

    def kind_of(self, message: Message | NewMessage) -> SourceKind:
        """The kind of the source of a message."""
        return self._kinds.get(message.source_id) or self.application_kind(message.app_id)

    def mode_of(self, message: Message | NewMessage) -> str:
        """The mode of the source of a message, under which its facts are kept, also after the source was deleted. Of
        one that had none, and of the API, the mode of all sources of its kind in its application, empty if they
        differ.
        """
        source = self._sources_by_id.get(message.source_id)
        if source is not None:
            return mode_text(source)
        removed = self._snapshot.removed_modes.get(message.source_id)
        if removed is not None:
            return removed.value
        return self.application_mode(message.app_id, self.kind_of(message).kind)

    def application_mode(self, app_id: str, kind: str) -> str:
        """The mode of all sources of a kind in an application, empty if they differ. Events posted to the API have
        it.
        """
        sources = self._sources_by_id.values()
        modes = {mode_text(source) for source in sources if (source.app_id, source.kind) == (app_id, kind)}
        return modes.pop() if len(modes) == 1 else ""

    def customer_id_attribute(self, message: Message) -> str:
        """The attribute under which destinations keep the sender's customer id."""
        return self.kind_of(message).customer_id_attribute

    def customer(self, message: Message) -> Customer | None:
        """The customer of a message. Event ids depend on the customer, so it stays the same after the source was
        deleted: what was not stored with the message is read by the first kind that finds the stored customer key.
        """
        if message.customer_key is None:
            return None
        email, name = message.customer_email, message.customer_name
        if email is not None and name is not None:
            return Customer(key=message.customer_key, email=email or None, name=name or None)
        for kind in (self.kind_of(message), *SOURCES):
            found = kind.read_body(message.event_type, message.body).customer
            if found is not None and found.key == message.customer_key:
                return found
        return Customer(key=message.customer_key)

    def event(self, message: Message) -> tuple[SourceKind, Event]:
        """What a message's body says, and the kind that reads it: the first that finds the stored customer."""
        key = message.customer_key
        for kind in (self.kind_of(message), *SOURCES):
            event = kind.read_body(message.event_type, message.body)
            if key == (event.customer.key if event.customer else None):
                return kind, event
        kind = self.kind_of(message)
        return kind, kind.read_body(message.event_type, message.body)

    def about(self, message: Message) -> About:
        """What a message is about, read from its body. Its customer is the same as from `customer`."""
        kind, event = self.event(message)
        found = facts.about(kind.kind, event, self.mode_of(message))
        if message.customer_key == (event.customer.key if event.customer else None):
            return found
        # Known by its payment when it was accepted.
        key = message.customer_key
        return msgspec.structs.replace(found, customer=None if key is None else Customer(key=key))

    def redactor(self, message: Message | NewMessage) -> Redactor:
        """What masks the personal data of a message wherever it is stored or shown."""
        redactor = self._redaction.of(self.kind_of(message).personal_fields).redactor(message.body)
        raw = raw_payload(message.params)
        return redactor if raw is None else redactor.with_raw(raw.text)

    def retry_after_ms(self, endpoint: Endpoint | None, event_type: str) -> tuple[int, ...] | None:
        """The delay before each retry of a delivery: the event type's, else the endpoint's, else that of the
        settings; None for the default.
        """
        of_endpoint = endpoint.retry_after_ms if endpoint else None
        given = (self._schedules.get(event_type), of_endpoint, self._retry_after_ms)
        return next((schedule for schedule in given if schedule is not None), None)

    def application_kind(self, app_id: str) -> SourceKind:
        """The kind of source that reads events posted to the API."""
        return self._application_kinds.get(app_id, SOURCES[0])

    def app_uid(self, app_id: str) -> str:
        """An application's uid; its id if it has no uid."""
        return self._app_uids.get(app_id, app_id)

    def _ms_until_next_read(self) -> int:
        if self._checked_at_ms is None:
            return 0
        return self._checked_at_ms + UNKNOWN_TOKEN_POLL_MS - self._clock.steady_ms()

    def _open_source(self, source: Source) -> None:
        try:
            kind = source_kind(source.kind)
            self._kinds[source.id] = kind
            secrets = source_secrets(self._vault, source)
            for secret in secrets:
                kind.check_secret(secret)
            self._sources[source.token] = OpenSource(source=source, kind=kind, secrets=secrets)
        except NicobarError as error:
            self._unusable_sources[source.token] = Unusable(name=source.name, id=source.id, error=error)
            log.error("source not usable", source_id=source.id, code=error.code, detail=error.detail, fix=error.fix)

    def _open_endpoints(self, endpoints: Sequence[Endpoint]) -> list[tuple[int, OpenEndpoint]]:
        opened = []
        for endpoint in endpoints:
            try:
                opened.append((endpoint.seq, self._keep_or_open(endpoint)))
            except NicobarError as error:
                self._unusable_endpoints[endpoint.seq] = Unusable(name=endpoint.name, id=endpoint.id, error=error)
                log.error(
                    "endpoint not usable",
                    endpoint_id=endpoint.id,
                    code=error.code,
                    detail=error.detail,
                    fix=error.fix,
                )
        return opened

    def _keep_or_open(self, endpoint: Endpoint) -> OpenEndpoint:
        """Keeps the destination, with what it has learned, while its settings are the same."""
        earlier = self._endpoints.get(endpoint.seq)
        if earlier is not None:
            endpoint = self._as_sealed_before(earlier.endpoint, endpoint)
        if earlier is not None and is_made_alike(earlier.endpoint, endpoint):
            known = (earlier.endpoint.sealed_variables, earlier.endpoint.public_headers)
            if known == (endpoint.sealed_variables, endpoint.public_headers):
                return replace(earlier, endpoint=endpoint)
            return _opened_endpoint(self._vault, endpoint, earlier.destination)
        return open_endpoint(self._vault, endpoint)

    def _as_sealed_before(self, earlier: Endpoint, endpoint: Endpoint) -> Endpoint:
        """The endpoint with its secrets in the former bytes where they are the same under another key: the bytes tell
        whether its destination has changed, which would reset its breaker.
        """
        if not endpoint.sealed_credentials.startswith(sealed_prefix(self._vault.key_id)):
            return endpoint
        same = msgspec.structs.replace(
            endpoint, sealed_credentials=earlier.sealed_credentials, sealed_headers=earlier.sealed_headers
        )
        with suppress(StoreUnusable):
            if secrets_of(self._vault, same) == secrets_of(self._vault, endpoint):
                return same
        return endpoint
