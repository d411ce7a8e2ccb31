"""The services that handlers of the API and of the dashboard use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from nicobar.clock import Clock
from nicobar.connectors import Transport
from nicobar.crypto import Vault
from nicobar.errors import StoreUnusable
from nicobar.ids import IdFactory
from nicobar.model import Source
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import Configuration, source_secrets
from nicobar.pipeline.receive import Receiver
from nicobar.sandbox import Sandbox
from nicobar.settings import Settings
from nicobar.store import Snapshot, Store
from nicobar.use_cases.edit import Actor, Edit
from nicobar.use_cases.identity_provider import IdentityProvider
from nicobar.use_cases.passwords import PasswordWork
from nicobar.use_cases.request_limit import RequestLimit
from nicobar.use_cases.token_uses import TokenUses


@dataclass(frozen=True, slots=True)
class Services:
    """The running parts. `receiver` accepts messages; `wake` tells the worker about new deliveries of endpoints;
    `own_url` is the address of this process; `transport` checks credentials with destinations, `asking` looks things
    up there, a request at a time; `origins` are the origins of the settings that are not the default; `provider` is
    where users sign in, None without one.
    """

    store: Store
    configuration: Configuration
    vault: Vault
    ids: IdFactory
    clock: Clock
    sandbox: Sandbox
    settings: Settings
    receiver: Receiver
    wake: Callable[[Sequence[int]], None]
    own_url: Callable[[], str]
    transport: Transport
    asking: Transport
    alerts: Alerts
    origins: Mapping[str, str]
    request_limit: RequestLimit
    provider: IdentityProvider | None = None
    edit_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    passwords: PasswordWork = field(default_factory=PasswordWork)
    token_uses: TokenUses = field(default_factory=TokenUses)

    async def snapshot(self) -> Snapshot:
        """The current configuration, including changes by other processes."""
        await self.configuration.refresh()
        return self.configuration.snapshot

    @asynccontextmanager
    async def edit(self, actor: Actor) -> AsyncIterator[Edit]:
        """Reads the configuration to change it. Within a process one edit is open at a time."""
        async with self.edit_lock:
            yield Edit(self, actor, await self.snapshot(), self.snapshot)

    def has_secret(self, source: Source) -> bool:
        """Whether the source can accept events: without a secret, no signature is valid."""
        try:
            return bool(source_secrets(self.vault, source))
        except StoreUnusable:
            return False

    @property
    def public_url(self) -> str:
        """The public URL of this process, without a trailing slash."""
        return self.settings.public_url.rstrip("/") or self.own_url()
