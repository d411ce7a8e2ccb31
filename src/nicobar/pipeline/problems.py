"""Turns what stops the work into alerts: what `/readyz` reports, sources and endpoints that cannot be used, and
events that wait for too long. Every process looks, so that a worker that is gone is noticed by the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from nicobar.clock import Clock
from nicobar.errors import StoreError
from nicobar.logs import log
from nicobar.model import Endpoint, Record, Source
from nicobar.pipeline.alert_types import Alert, AlertType
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import Configuration, Unusable
from nicobar.pipeline.readiness import Part, Readiness, State
from nicobar.reasons import Reason, reason
from nicobar.store import AlertLog
from nicobar.store.condition import Condition

LOOK_MS = 10_000
# A slow disk may fail one look; what fails this many in a row is a problem, and its end is as certain.
LOOKS_TO_TELL = 2
BACKLOG_EVERY_MS = 60_000
HOUR_MS = 3_600_000
# Some destinations start no campaign for events of 72 hours and older: one alert in time to act, one before the end.
BACKLOG_LIMITS_MS = (24 * HOUR_MS, 60 * HOUR_MS)


class ConditionedLog(AlertLog, Protocol):
    """What finding problems needs of the store."""

    def condition(self) -> Condition: ...


class _Kind(Record):
    """A problem of the process: the parts of `/readyz` that have it, and its alerts."""

    trouble: AlertType
    why: Reason
    end: AlertType
    end_why: Reason
    parts: tuple[str, ...]
    # Whether a degraded part is enough.
    at_degraded: bool = False


_KINDS = (
    _Kind(
        trouble=AlertType.STORE_FAILING,
        why=reason(
            "store_failing",
            "Events cannot be stored. Senders get status 503 and retry.",
            "Run `nicobar doctor` on this host.",
        ),
        end=AlertType.STORE_RECOVERED,
        end_why=reason("store_recovered", "Events are stored again."),
        parts=("store",),
    ),
    _Kind(
        trouble=AlertType.DISK_LOW,
        why=reason(
            "disk_low",
            "The database's disk is nearly full. When it is full, events are rejected.",
            "Free space, or enlarge the disk.",
        ),
        end=AlertType.DISK_RECOVERED,
        end_why=reason("disk_recovered", "The database's disk has free space."),
        parts=("disk",),
        at_degraded=True,
    ),
    _Kind(
        trouble=AlertType.SANDBOX_FAILING,
        why=reason(
            "sandbox_failing",
            "Handlers cannot run. Events are stored, and deliveries wait.",
            "Run `nicobar doctor` on this host.",
        ),
        end=AlertType.SANDBOX_RECOVERED,
        end_why=reason("sandbox_recovered", "Handlers run again."),
        parts=("sandbox",),
    ),
    _Kind(
        trouble=AlertType.PROCESS_FAILING,
        why=reason(
            "process_failing",
            "A part of the process does not work.",
            "See the log, and restart Nicobar if it does not recover.",
        ),
        end=AlertType.PROCESS_RECOVERED,
        end_why=reason("process_recovered", "All parts of the process work again."),
        parts=("claims", "tasks", "catalogue"),
    ),
)
# These fail along with the store, which has its own alert.
_READING = ("claims", "catalogue")
_DAMAGED = reason(
    "store_damaged",
    "The database is damaged.",
    "Stop Nicobar and restore a backup; `nicobar doctor` lists the damage.",
)
_OLD = reason("backlog_old", "Events are waiting for too long.", "The queue in the dashboard shows the cause.")
_NOT_OLD = reason("backlog_recovered", "No event is waiting for too long.")
_ENDPOINT_USABLE = reason("endpoint_usable", "The endpoint can be used again. Its deliveries are sent.")
_SOURCE_USABLE = reason("source_usable", "The source can be used again. Its events are accepted.")


class _Course:
    """Whether a problem lasts, over several looks. `is_told` is None until that is known."""

    def __init__(self) -> None:
        self._alike = 0
        self._is_bad: bool | None = None
        self.is_told: bool | None = None

    def follow(self, *, is_bad: bool) -> bool | None:
        """Whether the problem is now to be told (True) or its end (False): at first, one of an earlier process."""
        self._alike = self._alike + 1 if is_bad is self._is_bad else 1
        self._is_bad = is_bad
        if self._alike < LOOKS_TO_TELL or is_bad is self.is_told:
            return None
        self.is_told = is_bad
        return is_bad


class Problems:
    """Looks for problems until it is stopped. `host` names this machine, `backlog_limit_ms` is the age of the oldest
    waiting event that is a problem, 0 for the common limits alone.
    """

    def __init__(
        self,
        *,
        readiness: Readiness,
        store: ConditionedLog,
        configuration: Configuration,
        alerts: Alerts,
        clock: Clock,
        host: str,
        backlog_limit_ms: int,
    ) -> None:
        self._readiness = readiness
        self._store = store
        self._configuration = configuration
        self._alerts = alerts
        self._clock = clock
        self._host = host
        self._own_limits_ms = (backlog_limit_ms,) if backlog_limit_ms else ()
        self._courses = {kind.trouble: _Course() for kind in _KINDS}
        self._sent_before = (0, 0)
        self._damage_told = False
        self._unusable_sources: set[str] = set()
        self._unusable_endpoints: set[str] = set()
        # By endpoint: the longest limit that was told.
        self._told_limits_ms: dict[str, int] = {}
        self._backlog_at_ms: int | None = None
        # The latest alert about each problem when this process started; None until it could be read.
        self._earlier: Mapping[str, str] | None = None
        self._is_compared = self._is_backlog_compared = False

    async def run(self, stop: asyncio.Event) -> None:
        while not await self._clock.wait(stop, LOOK_MS):
            try:
                await self.look()
            except StoreError as error:
                log.error("backlog not read", code=error.code, detail=error.detail)
            except Exception:  # noqa: BLE001 - an unexpected error must not end the alerts
                log.exception("problems not checked")

    async def look(self) -> None:
        """Looks once. Raises StoreError if the backlog cannot be read; the other alerts were sent then."""
        report = await self._readiness.report(delivery=True)
        if self._earlier is None:
            self._earlier = await self._read_earlier()
        await self._follow_damage()
        is_store_bad = any(part.name == "store" and part.state is State.FAILED for part in report.parts)
        ignored = _READING if is_store_bad else ()
        for kind in _KINDS:
            parts = [part for part in report.parts if part.name in kind.parts and part.name not in ignored]
            await self._follow_parts(kind, parts)
        of = self._configuration
        self._unusable_sources = await self._follow_unusable(
            of.snapshot.sources, of.unusable_sources.values(), self._unusable_sources
        )
        self._unusable_endpoints = await self._follow_unusable(
            of.snapshot.endpoints, of.unusable_endpoints.values(), self._unusable_endpoints
        )
        self._is_compared = self._earlier is not None
        is_stored = not self._courses[AlertType.STORE_FAILING].is_told
        if is_stored:
            await self._alerts.keep_results()
        now_ms = self._clock.steady_ms()
        if is_stored and (self._backlog_at_ms is None or now_ms - self._backlog_at_ms >= BACKLOG_EVERY_MS):
            self._backlog_at_ms = now_ms
            await self._follow_backlog()

    async def _read_earlier(self) -> Mapping[str, str] | None:
        try:
            return await self._alerts.latest()
        except StoreError as error:
            log.error("earlier alerts not read", code=error.code, detail=error.detail)
            return None

    async def _tell_end(self, alert: Alert) -> None:
        """Tells the end of a problem that an earlier process told, and that this one does not have."""
        if self._earlier is not None and self._alerts.ends(alert, self._earlier):
            await self._alerts.tell(alert)

    async def _follow_damage(self) -> None:
        damage = self._store.condition().damage
        if damage is not None and not self._damage_told:
            self._damage_told = True
            await self._tell(AlertType.STORE_DAMAGED, _DAMAGED, f" {damage.detail}")

    async def _follow_parts(self, kind: _Kind, parts: Sequence[Part]) -> None:
        bad = [
            part for part in parts if part.state is State.FAILED or (kind.at_degraded and part.state is not State.OK)
        ]
        if kind.trouble is AlertType.STORE_FAILING and self._damage_told:
            return  # the damage was told, and lasts until the process ends
        outbox = self._alerts.outbox
        tell_end = self._tell_end if self._courses[kind.trouble].is_told is None else self._alerts.tell
        match self._courses[kind.trouble].follow(is_bad=bool(bad)):
            case True:
                if kind.trouble is AlertType.STORE_FAILING:
                    self._sent_before = (outbox.sent, outbox.lost)
                await self._tell(kind.trouble, kind.why, "".join(f" {part.detail}" for part in bad))
            case False:
                sent, lost = self._sent_before
                meanwhile = f" Alerts sent meanwhile: {outbox.sent - sent}, lost: {outbox.lost - lost}."
                is_store = kind.end is AlertType.STORE_RECOVERED
                addition = meanwhile if is_store else ""
                await tell_end(Alert(type=kind.end, reason=kind.end_why, host=self._host, addition=addition))
            case None:
                pass

    async def _tell(self, alert_type: AlertType, why: Reason, addition: str) -> None:
        await self._alerts.tell(Alert(type=alert_type, reason=why, host=self._host, addition=addition))

    async def _follow_unusable(
        self, items: Sequence[Source] | Sequence[Endpoint], unusable: Collection[Unusable], known: set[str]
    ) -> set[str]:
        """Tells which items can no longer be used, or can again; returns the ids of those that cannot."""
        reasons = {item.id: item.error.reason for item in unusable}
        for item in items:
            why = reasons.get(item.id)
            if (why is not None) is not (item.id in known):
                await self._alerts.tell(_unusable_alert(item, why))
            elif not self._is_compared and why is None:
                await self._tell_end(_unusable_alert(item, None))
        return set(reasons)

    async def _follow_backlog(self) -> None:
        now_ms = self._clock.now_ms()
        waiting_since_ms = await self._store.waiting_since(now_ms=now_ms)
        for endpoint in self._configuration.snapshot.endpoints:
            since_ms = waiting_since_ms.get(endpoint.seq, now_ms)
            reached = max((limit for limit in self._limits_ms(endpoint) if now_ms - since_ms >= limit), default=0)
            told = self._told_limits_ms.get(endpoint.id, 0)
            self._told_limits_ms[endpoint.id] = reached
            if reached > told:
                await self._alerts.tell(
                    Alert(
                        type=AlertType.BACKLOG_OLD,
                        endpoint=endpoint,
                        reason=_OLD,
                        cause=str(reached // HOUR_MS),
                        addition=f" The oldest has waited for {(now_ms - since_ms) / HOUR_MS:.1f} hours.",
                    )
                )
            elif not reached and (told or not self._is_backlog_compared):
                end = Alert(type=AlertType.BACKLOG_RECOVERED, endpoint=endpoint, reason=_NOT_OLD)
                await (self._alerts.tell if told else self._tell_end)(end)
        self._is_backlog_compared = self._earlier is not None
        ids = {endpoint.id for endpoint in self._configuration.snapshot.endpoints}
        self._told_limits_ms = {key: limit for key, limit in self._told_limits_ms.items() if limit and key in ids}

    def _limits_ms(self, endpoint: Endpoint) -> tuple[int, ...]:
        """Who has stopped an endpoint knows that its events wait; not that they get too old."""
        is_stopped_by_hand = endpoint.paused_by_hand or (endpoint.disabled and endpoint.disabled_reason is None)
        return BACKLOG_LIMITS_MS if is_stopped_by_hand else (*self._own_limits_ms, *BACKLOG_LIMITS_MS)


def _unusable_alert(item: Source | Endpoint, why: Reason | None) -> Alert:
    """That it cannot be used, or without a reason that it can."""
    if isinstance(item, Source):
        kind = AlertType.SOURCE_USABLE if why is None else AlertType.SOURCE_UNUSABLE
        return Alert(type=kind, source=item, reason=why or _SOURCE_USABLE)
    kind = AlertType.ENDPOINT_USABLE if why is None else AlertType.ENDPOINT_UNUSABLE
    return Alert(type=kind, endpoint=item, reason=why or _ENDPOINT_USABLE)
