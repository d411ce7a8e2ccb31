"""The alerts on their way to their targets, in memory: they leave also while the database cannot be written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from nicobar.clock import Clock
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import AlertResult
from nicobar.pipeline.alert_types import Alert

# Per target: one that does not answer must not use up the memory.
MAX_WAITING = 20
RETRY_AFTER_MS = (5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000)

# Sends an alert; returns the error in a few words, empty for none. Never raises.
Send = Callable[[Alert], Awaitable[str]]


class Outbox:
    """Sends alerts, to each target one after the other, so that the end of a problem does not arrive before its
    start. The first is retried, then given up. If too many wait, the oldest is dropped.
    """

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._stop = asyncio.Event()
        self._queues: dict[str, deque[tuple[Alert, Send]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._results: dict[str, AlertResult] = {}
        self.sent = 0
        self.lost = 0

    @property
    def results(self) -> Mapping[str, AlertResult]:
        """How the latest alert to each target ended, by the target's id."""
        return self._results

    @property
    def waiting(self) -> int:
        """How many alerts are not sent yet."""
        return sum(len(queue) for queue in self._queues.values())

    def post(self, target_id: str, alert: Alert, send: Send) -> None:
        """Sends the alert soon."""
        queue = self._queues.get(target_id)
        if queue is None:
            queue = self._queues[target_id] = deque()
            task = asyncio.create_task(self._drain(target_id, queue), name=f"alerts to {target_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(queue) == MAX_WAITING:
            self._lose(target_id, queue.popleft()[0], "dropped")
        queue.append((alert, send))

    async def send_now(self, target_id: str, alert: Alert, send: Send) -> str:
        """Sends the alert once; returns the error, empty for none."""
        error = await send(alert)
        at_ms = self._clock.now_ms()
        self._results[target_id] = AlertResult(at_ms=at_ms, alert_type=alert.type.value, error=error)
        self._metrics.alerts.labels(alert.type.value, "failed" if error else "sent").inc()
        if error:
            log.error("alert not sent", alert=alert.type.value, target_id=target_id, error=error)
        else:
            self.sent += 1
        return error

    async def close(self) -> None:
        """Tries once more what waits, within the time limit of each target, and gives up the rest."""
        self._stop.set()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _drain(self, target_id: str, queue: deque[tuple[Alert, Send]]) -> None:
        while queue:
            first = queue[0]
            is_sent = await self._try(target_id, first)
            # A full queue may have dropped it meanwhile.
            if queue and queue[0] is first:
                queue.popleft()
                if not is_sent:
                    self._lose(target_id, first[0], "given_up")
            if not is_sent and self._stop.is_set():
                break
        while queue:
            self._lose(target_id, queue.popleft()[0], "given_up")
        del self._queues[target_id]

    async def _try(self, target_id: str, first: tuple[Alert, Send]) -> bool:
        for after_ms in RETRY_AFTER_MS:
            if not await self.send_now(target_id, *first):
                return True
            if self._stop.is_set():
                return False
            await self._clock.wait(self._stop, after_ms)
        return not await self.send_now(target_id, *first)

    def _lose(self, target_id: str, alert: Alert, outcome: str) -> None:
        self.lost += 1
        self._metrics.alerts.labels(alert.type.value, outcome).inc()
        log.error("alert lost", alert=alert.type.value, target_id=target_id, outcome=outcome)
