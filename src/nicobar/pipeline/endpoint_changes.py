"""The changes of endpoints that the worker makes: hold, resume and disable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nicobar.audit import AuditAction
from nicobar.clock import Clock
from nicobar.errors import StoreError, StoreMoved
from nicobar.logs import log
from nicobar.model import Endpoint
from nicobar.pipeline.alert_types import Alert, AlertType
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import Configuration, OpenEndpoint
from nicobar.reasons import Reason, reason
from nicobar.store import Audited, BasedOn, Change, DisableEndpoint, PauseEndpoint, Store, is_made_alike

# The actor of automatic changes.
ACTOR = "nicobar"
# How often a change is decided again after concurrent changes of the configuration.
MAX_DECISIONS = 5


class EndpointChanges:
    """The changes of one endpoint. A change is only stored if it still suits the endpoint's current configuration: a
    user may pause, change or delete it at the same time. `current` gives the current endpoint, None while stopping;
    `signal` is set after each decision. All methods raise StoreError.
    """

    def __init__(
        self,
        *,
        store: Store,
        configuration: Configuration,
        clock: Clock,
        alerts: Alerts,
        current: Callable[[], OpenEndpoint | None],
        signal: asyncio.Event,
    ) -> None:
        self._store = store
        self._configuration = configuration
        self._clock = clock
        self._alerts = alerts
        self._current = current
        self._signal = signal
        self._deciding = asyncio.Lock()

    @property
    def under_way(self) -> bool:
        """Whether a change is being decided: nothing is sent meanwhile."""
        return self._deciding.locked()

    async def hold(self, endpoint: Endpoint, why: Reason, *, is_new: bool) -> None:
        """Stores the hold in the catalogue, where users see it. If that fails, the next rejection retries. Operators
        are alerted when the hold starts, not at each probe.
        """
        audit_line = [self._audit_line(endpoint, AuditAction.ENDPOINT_PAUSE, why)] if is_new else []
        put = PauseEndpoint(endpoint_id=endpoint.id, reason=why)
        if await self._make(endpoint, lambda item: _may_hold(item, why), put, *audit_line) and is_new:
            log.error("endpoint on hold", endpoint_id=endpoint.id, reason=why.without_texts().text())
            alert_reason = reason(
                why.code,
                "%(reason)s Nicobar keeps checking and resumes when the destination accepts a delivery.",
                reason=why,
            )
            await self._alerts.tell(Alert(type=AlertType.PAUSED, endpoint=endpoint, reason=alert_reason))

    async def resume(self, endpoint: Endpoint, why: Reason) -> bool:
        """Ends a hold; returns whether it did. The caller sends the alert."""
        ended = PauseEndpoint(endpoint_id=endpoint.id, reason=None)
        audit_line = self._audit_line(endpoint, AuditAction.ENDPOINT_RESUME, why)
        return await self._make(endpoint, heals, ended, audit_line)

    async def disable(self, endpoint: Endpoint, why: Reason) -> bool:
        """Returns whether the endpoint was enabled before."""
        disabled = DisableEndpoint(endpoint_id=endpoint.id, reason=why)
        audit_line = self._audit_line(endpoint, AuditAction.ENDPOINT_DISABLE, why)
        if not await self._make(endpoint, lambda item: not item.endpoint.disabled, disabled, audit_line):
            return False
        log.error("endpoint disabled", endpoint_id=endpoint.id, reason=why.without_texts().text())
        await self._alerts.tell(Alert(type=AlertType.DISABLED, endpoint=endpoint, reason=why))
        return True

    async def _make(self, endpoint: Endpoint, is_right: Callable[[OpenEndpoint], bool], *changes: Change) -> bool:
        async with self._deciding:
            try:
                return await self._decide(endpoint, is_right, *changes)
            finally:
                self._signal.set()

    async def _decide(self, endpoint: Endpoint, is_right: Callable[[OpenEndpoint], bool], *changes: Change) -> bool:
        for _ in range(MAX_DECISIONS):
            based_on = BasedOn(version=self._configuration.snapshot.version)
            current = self._current()
            if current is None or not is_made_alike(endpoint, current.endpoint) or not is_right(current):
                return False
            try:
                await self._store.change([based_on, *changes])
            except StoreMoved:
                await self._configuration.refresh()
                continue
            try:
                await self._configuration.refresh()
            except StoreError as error:
                log.error("configuration not read", code=error.code, detail=error.detail)  # the next poll reads it
            return True
        log.warning("configuration changes too often", endpoint_id=endpoint.id)
        return False

    def _audit_line(self, endpoint: Endpoint, action: AuditAction, why: Reason) -> Audited:
        """The audit log entry for an automatic change."""
        return Audited(
            at_ms=self._clock.now_ms(),
            actor=ACTOR,
            action=action.value,
            app_id=endpoint.app_id,
            subject=endpoint.id,
            detail=str(why),
        )


def is_stopped(endpoint: Endpoint) -> bool:
    return endpoint.disabled or endpoint.paused_reason is not None


def heals(target: OpenEndpoint) -> bool:
    """Whether the endpoint is on hold until its destination accepts requests, not until a user resumes it."""
    endpoint = target.endpoint
    return not endpoint.disabled and endpoint.paused_reason is not None and not endpoint.paused_by_hand


def _may_hold(target: OpenEndpoint, why: Reason) -> bool:
    """Whether the endpoint goes on hold for this reason: it is sending, or on hold for another reason."""
    return not is_stopped(target.endpoint) or (heals(target) and target.endpoint.paused_reason != why)
