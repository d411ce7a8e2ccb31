"""Changes of the configuration: read, decide, write on the version that was read, with a line in the audit log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol, TypeVar

from nicobar.audit import AuditAction
from nicobar.clock import Clock
from nicobar.crypto import Vault
from nicobar.errors import StoreMoved
from nicobar.ids import IdFactory
from nicobar.model import Record
from nicobar.settings import Settings
from nicobar.store import Audited, BasedOn, Change, Snapshot, Store

MAX_ATTEMPTS = 10

T = TypeVar("T")


class Actor(Protocol):
    """The actor of a change; `name` is shown in the audit log."""

    @property
    def name(self) -> str: ...


class OperationServices(Protocol):
    """What use cases need: `Services` in a running Nicobar, `CommandServices` in a command."""

    @property
    def store(self) -> Store: ...
    @property
    def vault(self) -> Vault: ...
    @property
    def ids(self) -> IdFactory: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def wake(self) -> Callable[[Sequence[int]], None]: ...

    def edit(self, actor: Actor) -> AbstractAsyncContextManager[Edit]:
        """Reads the configuration to change it. Within a process one edit is open at a time."""
        ...


class Act(Record):
    """One act of an owner: what it changes, and its line in the audit log. `subject` is the id of the thing."""

    action: AuditAction
    subject: str
    changes: tuple[Change, ...]
    app_id: str | None
    detail: str = ""


class Edit:
    """An open read-modify-write of the configuration. `snapshot` is the configuration that was read; `commit` is
    the only way to write, and raises StoreMoved if the configuration has changed since.
    """

    def __init__(
        self,
        services: OperationServices,
        actor: Actor,
        snapshot: Snapshot,
        read: Callable[[], Awaitable[Snapshot]],
    ) -> None:
        self.services = services
        self.snapshot = snapshot
        self._actor = actor
        self._read = read
        self._is_committed = False

    async def commit(
        self, action: AuditAction, subject: str, *changes: Change, app_id: str | None, detail: str = ""
    ) -> Snapshot:
        """Stores the changes and their line in the audit log; returns the configuration after it."""
        return await self.commit_acts(
            [Act(action=action, subject=subject, changes=changes, app_id=app_id, detail=detail)]
        )

    async def commit_acts(self, acts: Sequence[Act]) -> Snapshot:
        """Stores the changes of all acts, each with its line in the audit log, in one transaction; returns the
        configuration after it. Nothing is written without acts. Once per edit: a further change has to read again.
        """
        if self._is_committed:
            raise RuntimeError("An edit is committed once.")
        if not acts:
            return self.snapshot
        self._is_committed = True
        changes: list[Change] = [BasedOn(version=self.snapshot.version)]
        for act in acts:
            line = audit_line(
                self.services, self._actor, act.action, act.subject, app_id=act.app_id, detail=act.detail
            )
            changes += (*act.changes, line)
        await self.services.store.change(changes)
        return await self._read()


def audit_line(
    services: OperationServices,
    actor: Actor,
    action: AuditAction,
    subject: str,
    *,
    app_id: str | None,
    detail: str = "",
) -> Audited:
    """The audit log line for an action of `actor` outside the configuration; the store keeps it together with the
    action.
    """
    return Audited(
        at_ms=services.clock.now_ms(),
        actor=actor.name,
        action=action.value,
        app_id=app_id,
        subject=subject,
        detail=detail,
    )


async def edited(services: OperationServices, actor: Actor, change: Callable[[Edit], Awaitable[T]]) -> T:
    """Runs `change` in an edit, and again as a whole where the configuration was changed elsewhere meanwhile. Raises
    StoreMoved where that happens each time. `change` has to decide everything on `edit.snapshot`.
    """

    async def attempt() -> T:
        async with services.edit(actor) as edit:
            return await change(edit)

    return await retried(attempt)


async def retried(attempt: Callable[[], Awaitable[T]]) -> T:
    """Runs `attempt` again while it raises StoreMoved, up to MAX_ATTEMPTS times. It has to read again each time."""
    for _ in range(MAX_ATTEMPTS - 1):
        with suppress(StoreMoved):
            return await attempt()
    return await attempt()
