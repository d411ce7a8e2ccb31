"""The report of `/readyz`: whether this process works, part by part.

One check costs a commit of one row and about a millisecond of short reads. Simultaneous requests share it, so it can
be requested every second. Every response comes within 2 s.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from nicobar.clock import Clock
from nicobar.errors import NicobarError, SandboxError
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import Record
from nicobar.pipeline.configuration import Configuration, Unusable
from nicobar.pipeline.shared_checks import SharedCheck
from nicobar.pipeline.worker import Worker
from nicobar.sandbox import Broken, Job, Sandbox
from nicobar.settings import Role
from nicobar.store import Store

# With some room for the rest of the response, which comes within 2 s.
READY_TIMEOUT_MS = 1_500
# The configuration is read every second; a process that could not read it for this long misses changes.
STALE_MS = 30_000
MIN_FREE_DISK = 0.05
# A successful handler run proves for this long that handlers run.
SANDBOX_FRESH_MS = 10_000
# The check is queued after other handlers, which may take a while on a busy machine.
SANDBOX_TIMEOUT_MS = 60_000
MAX_NAMES = 20

_JOB = Job(
    code_id="readiness",
    code="function handler(webhook) { return webhook; }",
    body=b"{}",
    event_type="",
    url="",
    now_ms=0,
    occurred_at_ms=0,
    seed="",
)


class State(StrEnum):
    """`degraded` needs attention but does not make the process unready."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


_GAUGE = {State.OK: 0, State.DEGRADED: 1, State.FAILED: 2}


class Part(Record):
    """One part of the process. `detail` is for people."""

    name: str
    state: State
    detail: str


class Report(Record):
    """`failed` names the parts that make the process unready."""

    role: Role
    parts: tuple[Part, ...]
    failed: tuple[str, ...]


# Without these, no event can be stored; a delivery that cannot be recorded must not be sent either.
_STORING = frozenset({"store", "catalogue", "sources"})
_CLAIMING = frozenset({"store", "claims"})
_DELIVERING = frozenset({"store", "catalogue", "claims", "sandbox", "endpoints", "tasks"})
# `all` stays ready while handlers cannot run: its events are stored, and would otherwise be rejected needlessly.
FATAL: Mapping[Role, frozenset[str]] = {
    Role.WEB: _STORING,
    Role.WORKER: _DELIVERING,
    Role.ALL: _STORING | _CLAIMING,
}


class Readiness:
    """Checks the parts of one process. `directory` is on the database's disk, None if a server has the database;
    `worker` returns None while the process does not deliver; `tasks` are the background tasks that run until the
    process ends.
    """

    def __init__(
        self,
        *,
        role: Role,
        store: Store,
        configuration: Configuration,
        sandbox: Sandbox,
        worker: Callable[[], Worker | None],
        tasks: Callable[[], Sequence[asyncio.Task[None]]],
        directory: Path | None,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._role = role
        self._metrics = metrics
        self._store = store
        self._configuration = configuration
        self._sandbox = sandbox
        self._worker = worker
        self._tasks = tasks
        self._directory = directory
        self._storing = SharedCheck(self._write_and_read, clock)
        self._running = SharedCheck(self._run_a_handler, clock, fresh_ms=SANDBOX_FRESH_MS)
        self._measuring = SharedCheck(self._measure_disk, clock)
        self._last: dict[str, State] = {}

    async def report(self, *, delivery: bool) -> Report:
        """The current state. With `delivery`, parts that stop deliveries make every role unready."""
        store, sandbox, disk = await asyncio.gather(
            self._look_at_store(), self._look_at_sandbox(), self._look_at_disk()
        )
        parts = [store, self._catalogue(), self._sources(), self._endpoints()]
        worker = self._worker()
        if worker is not None:
            parts.append(self._claims(worker))
        parts += [sandbox, self._background(), *([] if disk is None else [disk])]
        fatal = FATAL[self._role] | (_DELIVERING if delivery else frozenset())
        self._log_changes(parts)
        failed = tuple(part.name for part in parts if part.state is State.FAILED and part.name in fatal)
        return Report(role=self._role, parts=tuple(parts), failed=failed)

    async def close(self) -> None:
        for look in (self._storing, self._running, self._measuring):
            await look.close()

    def _log_changes(self, parts: Sequence[Part]) -> None:
        for part in parts:
            self._metrics.failing_part.labels(part.name).set(_GAUGE[part.state])
            if part.state is not self._last.get(part.name, State.OK):
                if part.state is State.OK:
                    log.info("readiness", part=part.name, state=part.state.value)
                else:
                    log.error("readiness", part=part.name, state=part.state.value, detail=part.detail)
            self._last[part.name] = part.state

    async def _write_and_read(self) -> None:
        await self._store.check()
        await self._store.probe()

    async def _look_at_store(self) -> Part:
        look = await self._storing.result(READY_TIMEOUT_MS)
        condition = self._store.condition()
        if condition.damage is not None:
            return _failed("store", f"The database is damaged. {condition.damage}")
        if look is None:
            waits_ms = condition.waits_for_lock_ms
            return _failed(
                "store",
                f"No write was committed within {READY_TIMEOUT_MS} ms: "
                + (
                    f"another process has held the database's write lock for {waits_ms} ms."
                    if waits_ms is not None
                    else "the database's disk or server is slow, or does not respond."
                ),
            )
        error = _error_of(look) or condition.append_refused
        if error is not None:
            return _failed("store", f"Events cannot be stored. {error}")
        return Part(name="store", state=State.OK, detail="Events can be stored.")

    def _catalogue(self) -> Part:
        failure, read_ms_ago = self._configuration.failure, self._configuration.read_ms_ago
        if read_ms_ago is None:
            return _failed("catalogue", f"The configuration has not been read yet. {failure or ''}".strip())
        if failure is None and read_ms_ago < STALE_MS:
            return Part(name="catalogue", state=State.OK, detail="The configuration is up to date.")
        return Part(
            name="catalogue",
            state=State.DEGRADED,
            detail=f"The configuration was last read {read_ms_ago // 1000} s ago. {failure or ''}".strip(),
        )

    def _sources(self) -> Part:
        unusable = self._configuration.unusable_sources
        return _opened(
            "sources", unusable, len(self._configuration.snapshot.sources), "Their senders get status 503."
        )

    def _endpoints(self) -> Part:
        unusable = self._configuration.unusable_endpoints
        return _opened("endpoints", unusable, len(self._configuration.snapshot.endpoints), "Their deliveries wait.")

    def _claims(self, worker: Worker) -> Part:
        failing = worker.failing_lanes()
        if failing:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(failing.items())[:MAX_NAMES])
            return _failed("claims", f"Deliveries cannot be claimed for {len(failing)} endpoints. {reasons}")
        if worker.leases.failure is not None:
            return _failed("claims", f"The worker cannot follow which endpoints it has. {worker.leases.failure}")
        if not worker.alive:
            return _failed("claims", "The worker is stopping.")
        return Part(name="claims", state=State.OK, detail="The queue of every endpoint was read.")

    async def _look_at_sandbox(self) -> Part:
        look = await self._running.result(READY_TIMEOUT_MS)
        if look is None and self._running.hangs(SANDBOX_TIMEOUT_MS):
            return _failed("sandbox", "Handlers cannot run: the sandbox processes do not start.")
        if look is None:
            return Part(name="sandbox", state=State.DEGRADED, detail="The sandbox is busy with other handlers.")
        error = _error_of(look)
        if error is not None:
            return _failed("sandbox", f"Handlers cannot run. {error}")
        return Part(name="sandbox", state=State.OK, detail="Handlers can run.")

    async def _run_a_handler(self) -> None:
        (result,) = await self._sandbox.run([_JOB])
        if isinstance(result, Broken):
            raise SandboxError(
                "sandbox_broken",
                "A test handler failed: %(reason)s",
                "Run `nicobar doctor`.",
                reason=result.reason,
            )

    def _background(self) -> Part:
        ended = sorted(task.get_name() for task in self._tasks() if task.done())
        if ended:
            return _failed("tasks", f"Background tasks stopped unexpectedly: {', '.join(ended)}. Restart Nicobar.")
        return Part(name="tasks", state=State.OK, detail="All background tasks are running.")

    async def _measure_disk(self) -> tuple[int, float]:
        usage = await asyncio.to_thread(shutil.disk_usage, self._directory or ".")
        return usage.free, usage.free / usage.total if usage.total else 0.0

    async def _look_at_disk(self) -> Part | None:
        if self._directory is None:
            return None
        look = await self._measuring.result(READY_TIMEOUT_MS)
        if look is None or look.exception() is not None:
            return Part(name="disk", state=State.DEGRADED, detail="The free disk space could not be read.")
        free_bytes, share = look.result()
        detail = f"{share:.0%} of the disk is free ({free_bytes // 1024**2} MiB)."
        return Part(name="disk", state=State.OK if share >= MIN_FREE_DISK else State.DEGRADED, detail=detail)


def _failed(name: str, detail: str) -> Part:
    return Part(name=name, state=State.FAILED, detail=detail)


def _error_of(look: asyncio.Task[Any]) -> NicobarError | None:
    """Why the check failed. Unexpected errors are logged with their traceback."""
    error = look.exception()
    if error is None or isinstance(error, NicobarError):
        return error
    log.error("readiness check failed", exc_info=error)
    return NicobarError("internal_error", f"Internal error: {type(error).__name__}.", "See the log for details.")


def _opened(name: str, unusable: Mapping[Any, Unusable], count: int, consequence: str) -> Part:
    """Failed if none can be opened; one of several must not stop the others."""
    if not unusable:
        return Part(name=name, state=State.OK, detail=f"All {count} can be opened.")
    names = ", ".join(sorted(item.name for item in unusable.values())[:MAX_NAMES])
    return Part(
        name=name,
        state=State.DEGRADED if len(unusable) < count else State.FAILED,
        detail=f"{len(unusable)} of {count} cannot be opened: {names}. {consequence} Run `nicobar doctor`.",
    )
