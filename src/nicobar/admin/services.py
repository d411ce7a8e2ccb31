"""What the handlers of the API and of the dashboard work with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nicobar.clock import Clock
from nicobar.crypto import Vault
from nicobar.errors import StoreUnusable
from nicobar.ids import IdFactory
from nicobar.model import Source
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import Configuration, source_secrets
from nicobar.pipeline.receive import Receiver
from nicobar.sandbox import Sandbox
from nicobar.settings import Settings
from nicobar.store import Audited, Change, Snapshot, Store


class Actor(Protocol):
    """Who changes something; `name` is what the audit log shows."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Services:
    """The running parts. `receiver` takes messages; `wake` tells the worker of new deliveries for these endpoints,
    `own_url` is where this process listens, `origins` where those settings come from that were given. Whoever reads
    the catalogue to change it holds `changing` meanwhile, so that two partial changes do not undo one another.
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
    alerts: Alerts
    origins: Mapping[str, str]
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def snapshot(self) -> Snapshot:
        """The catalogue as it is now, changes of other processes included."""
        await self.configuration.refresh()
        return self.configuration.snapshot

    async def change(
        self, caller: Actor, action: str, subject: str, *changes: Change, app_id: str | None, detail: str = ""
    ) -> Snapshot:
        """Makes the changes and says so in the audit log, in one transaction; returns the catalogue after it.
        `action` is a noun and a verb, `endpoint.create`; `subject` the thing's id.
        """
        said = Audited(
            at_ms=self.clock.now_ms(),
            actor=caller.name,
            action=action,
            app_id=app_id,
            subject=subject,
            detail=detail,
        )
        await self.store.change([*changes, said])
        return await self.snapshot()

    def has_secret(self, source: Source) -> bool:
        """Whether the source can take anything: without a secret no signature fits."""
        try:
            return bool(source_secrets(self.vault, source))
        except StoreUnusable:
            return False

    @property
    def public_url(self) -> str:
        """Where others reach this process, without a slash at its end."""
        return self.settings.public_url.rstrip("/") or self.own_url()
