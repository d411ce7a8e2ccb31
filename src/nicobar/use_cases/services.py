"""What the handlers of the API and of the dashboard work with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from nicobar.clock import Clock
from nicobar.connectors import Transport
from nicobar.crypto import Vault
from nicobar.errors import StoreMoved, StoreUnusable
from nicobar.ids import IdFactory
from nicobar.model import Source
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import Configuration, source_secrets
from nicobar.pipeline.receive import Receiver
from nicobar.sandbox import Sandbox
from nicobar.settings import Settings
from nicobar.store import Audited, BasedOn, Change, Snapshot, Store
from nicobar.use_cases.edit import Actor, Edit
from nicobar.use_cases.token_uses import TokenUses

MAX_TRIES = 10

P = ParamSpec("P")
T = TypeVar("T")


class Changing:
    """Held by who reads the catalogue to change it. Within a process one does so at a time; and what is changed while
    it is held is refused where another process changed something in between (`StoreMoved`).
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        _versions.set([])

    async def __aexit__(self, *_: object) -> None:
        _versions.set(None)
        self._lock.release()


# The versions that whoever holds `changing` has read, the first of which decides; None for everybody else.
_versions: ContextVar[list[int] | None] = ContextVar("nicobar.versions", default=None)


def again_if_moved(handler: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Does it anew where another process was faster; a few times, then StoreMoved is raised."""

    @wraps(handler)
    async def until_done(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(MAX_TRIES - 1):
            with suppress(StoreMoved):
                return await handler(*args, **kwargs)
        return await handler(*args, **kwargs)

    return until_done


@dataclass(frozen=True, slots=True)
class Services:
    """The running parts. `receiver` takes messages; `wake` tells the worker of new deliveries for these endpoints,
    `own_url` is where this process listens, `transport` asks destinations whether they know us, `origins` is where
    those settings come from that were given. Whoever reads the catalogue to change it holds `changing` meanwhile, so
    that two partial changes do not undo one another, and is `again_if_moved`.
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
    alerts: Alerts
    origins: Mapping[str, str]
    changing: Changing = field(default_factory=Changing)
    token_uses: TokenUses = field(default_factory=TokenUses)

    async def snapshot(self) -> Snapshot:
        """The catalogue as it is now, changes of other processes included."""
        await self.configuration.refresh()
        snapshot = self.configuration.snapshot
        if (versions := _versions.get()) is not None:
            versions.append(snapshot.version)
        return snapshot

    @asynccontextmanager
    async def edit(self, actor: Actor) -> AsyncIterator[Edit]:
        """Reads the configuration to change it. Within a process one edit is open at a time."""
        async with self.changing:
            yield Edit(self, actor, await self.snapshot(), self.snapshot)

    async def change(
        self, caller: Actor, action: str, subject: str, *changes: Change, app_id: str | None, detail: str = ""
    ) -> Snapshot:
        """Makes the changes and says so in the audit log, in one transaction; returns the catalogue after it.
        `action` is a noun and a verb, `endpoint.create`; `subject` the thing's id.
        """
        said = self.said(caller, action, subject, app_id=app_id, detail=detail)
        based_on = [BasedOn(version=version) for version in (_versions.get() or ())[:1]]
        await self.store.change([*based_on, *changes, said])
        if based_on:
            _versions.set([])  # what comes next is decided on what is there now
        return await self.snapshot()

    def said(self, caller: Actor, action: str, subject: str, *, app_id: str | None, detail: str = "") -> Audited:
        """The line of the audit log for what `caller` does now outside the configuration; the store keeps it with
        what is done.
        """
        return Audited(
            at_ms=self.clock.now_ms(),
            actor=caller.name,
            action=action,
            app_id=app_id,
            subject=subject,
            detail=detail,
        )

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
