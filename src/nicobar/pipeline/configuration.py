"""The configuration as the running parts use it: opened, and never older than a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from nicobar.clock import Clock
from nicobar.connectors import Connector, Destination
from nicobar.connectors.kinds import connector
from nicobar.crypto import Vault
from nicobar.errors import NicobarError, StoreError
from nicobar.model import Customer, Endpoint, Message, Source
from nicobar.observe import log
from nicobar.sources import SourceKind
from nicobar.sources.dodo import read_any
from nicobar.sources.kinds import source_kind
from nicobar.store import Catalogue, Snapshot, is_made_alike

POLL_MS = 1_000
# A token that nobody knows, or a source's first secret, may have been made a moment ago; asking the store again is
# bounded to this often.
UNKNOWN_TOKEN_POLL_MS = 100
# The source of messages that came through the API.
API_SOURCE_ID = "api"


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source with its kind and its secrets, newest first."""

    source: Source
    kind: SourceKind
    secrets: tuple[str, ...]

    def live_secrets(self, now_ms: int) -> tuple[str, ...]:
        """What a sender may sign with now."""
        until_ms = self.source.older_until_ms
        return self.secrets[:1] if until_ms is not None and until_ms <= now_ms else self.secrets


@dataclass(frozen=True, slots=True)
class OpenEndpoint:
    """An endpoint with its connector and its opened destination."""

    endpoint: Endpoint
    connector: Connector
    destination: Destination


def seal_source_secrets(vault: Vault, source_id: str, secrets: Sequence[str]) -> bytes:
    return vault.seal(msgspec.json.encode(list(secrets)), source_id)


def source_secrets(vault: Vault, source: Source) -> tuple[str, ...]:
    """Raises StoreUnusable when they were sealed with another key."""
    return msgspec.json.decode(vault.unseal(source.sealed_secrets, source.id), type=tuple[str, ...])


def seal_credentials(vault: Vault, endpoint_id: str, credentials: dict[str, str]) -> bytes:
    return vault.seal(msgspec.json.encode(credentials), endpoint_id)


def endpoint_credentials(vault: Vault, endpoint: Endpoint) -> dict[str, str]:
    """Raises StoreUnusable when they were sealed with another key."""
    return msgspec.json.decode(vault.unseal(endpoint.sealed_credentials, endpoint.id), type=dict[str, str])


def seal_headers(vault: Vault, endpoint_id: str, headers: dict[str, str]) -> bytes:
    return vault.seal(msgspec.json.encode(headers), f"{endpoint_id}/headers") if headers else b""


def endpoint_headers(vault: Vault, endpoint: Endpoint) -> dict[str, str]:
    """Raises StoreUnusable when they were sealed with another key."""
    if not endpoint.sealed_headers:
        return {}
    return msgspec.json.decode(vault.unseal(endpoint.sealed_headers, f"{endpoint.id}/headers"), type=dict[str, str])


def open_endpoint(vault: Vault, endpoint: Endpoint) -> OpenEndpoint:
    """Raises NicobarError when the connector, its settings or its credentials cannot be used."""
    kind = connector(endpoint.connector)
    credentials = endpoint_credentials(vault, endpoint)
    destination = kind.open(endpoint.settings, credentials, endpoint_headers(vault, endpoint))
    return OpenEndpoint(endpoint=endpoint, connector=kind, destination=destination)


class Configuration:
    """Follows the catalogue. What cannot be opened is logged and left out; the rest goes on."""

    def __init__(self, catalogue: Catalogue, vault: Vault, clock: Clock) -> None:
        self._catalogue = catalogue
        self._vault = vault
        self._clock = clock
        self._lock = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._checked_at_ms: int | None = None
        self._snapshot = Snapshot(version=-1, applications=(), sources=(), endpoints=(), event_types=())
        self._sources: dict[str, OpenSource] = {}
        self._kinds: dict[str, SourceKind] = {}
        self._endpoints: dict[int, OpenEndpoint] = {}

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

    async def refresh(self) -> None:
        """Reads the catalogue again if it has changed. Raises StoreError."""
        async with self._lock:
            self._checked_at_ms = self._clock.steady_ms()
            if await self._catalogue.version() == self._snapshot.version:
                return
            snapshot = await self._catalogue.snapshot()
            self._sources = {}
            self._kinds = {}
            for source in snapshot.sources:
                self._open_source(source)
            self._endpoints = dict(self._open_endpoints(snapshot.endpoints))
            self._snapshot = snapshot
        for listener in self._listeners:
            listener()

    async def follow(self, stop: asyncio.Event) -> None:
        """Keeps up with the catalogue until `stop` is set."""
        while not await self._clock.wait(stop, POLL_MS):
            try:
                await self.refresh()
            except StoreError as error:
                log.error("configuration not read", code=error.code, detail=error.detail)
            except Exception:  # noqa: BLE001 - a surprise must not end what keeps everything up to date
                log.exception("configuration not read")

    async def source(self, token: str) -> OpenSource | None:
        """The source with this token, also when it, or its first secret, was made a moment ago. Raises StoreError."""
        found = self._sources.get(token)
        if (found is None or not found.secrets) and self._may_ask_again():
            await self.refresh()
            found = self._sources.get(token)
        return found

    def wanting(self, app_id: str, event_type: str, channels: Sequence[str] = ()) -> tuple[int, ...]:
        """The endpoints that get a delivery of such a message. A paused one does, and sends it when it resumes; a
        disabled one does not, nor does one that wants channels of which the message has none.
        """
        return tuple(
            endpoint.seq
            for endpoint in self._snapshot.endpoints
            if endpoint.app_id == app_id and not endpoint.disabled and wants(endpoint, event_type, channels)
        )

    def customer(self, message: Message) -> Customer | None:
        """Whom a message is about, in full where its source is still known."""
        if message.source_id == API_SOURCE_ID:
            return read_any(message.body, message.event_type).customer
        kind = self._kinds.get(message.source_id)
        if kind is not None:
            return kind.read(message.body).customer
        return Customer(key=message.customer_key) if message.customer_key else None

    def _may_ask_again(self) -> bool:
        return self._checked_at_ms is None or self._clock.steady_ms() - self._checked_at_ms >= UNKNOWN_TOKEN_POLL_MS

    def _open_source(self, source: Source) -> None:
        try:
            kind = source_kind(source.kind)
            self._kinds[source.id] = kind
            self._sources[source.token] = OpenSource(
                source=source, kind=kind, secrets=source_secrets(self._vault, source)
            )
        except NicobarError as error:
            log.error(
                "source cannot be used", source_id=source.id, code=error.code, detail=error.detail, fix=error.fix
            )

    def _open_endpoints(self, endpoints: Sequence[Endpoint]) -> list[tuple[int, OpenEndpoint]]:
        opened = []
        for endpoint in endpoints:
            try:
                opened.append((endpoint.seq, self._keep_or_open(endpoint)))
            except NicobarError as error:
                log.error(
                    "endpoint cannot be used",
                    endpoint_id=endpoint.id,
                    code=error.code,
                    detail=error.detail,
                    fix=error.fix,
                )
        return opened

    def _keep_or_open(self, endpoint: Endpoint) -> OpenEndpoint:
        """Keeps the destination, with what it has learned, while what it was made of is the same."""
        known = self._endpoints.get(endpoint.seq)
        if known is not None and is_made_alike(known.endpoint, endpoint):
            return OpenEndpoint(endpoint=endpoint, connector=known.connector, destination=known.destination)
        return open_endpoint(self._vault, endpoint)


def wants(endpoint: Endpoint, event_type: str, channels: Sequence[str]) -> bool:
    """Whether the endpoint's filter lets such a message through."""
    return (not endpoint.event_types or event_type in endpoint.event_types) and (
        not endpoint.channels or not set(endpoint.channels).isdisjoint(channels)
    )
