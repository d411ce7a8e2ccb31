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
from nicobar.reasons import Reason

# Per target: one that does not answer must not use up the memory.
MAX_WAITING = 20
RETRY_AFTER_MS = (5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000)
# A slow target must not keep a process that stops.
CLOSE_TIMEOUT_MS = 20_000

# Sends an alert; returns why it was not sent, None if it was. Never raises.
Send = Callable[[Alert], Awaitable[Reason | None]]


class _Queue:
    """The alerts for one target. `hastened` ends the wait before the next try."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Alert, Send]] = deque()
        self.hastened = asyncio.Event()


class Outbox:
    """Sends alerts, to each target one after the other, so that the end of a problem does not arrive before its
    start. The first is retried, then given up. If too many wait, the oldest is dropped.
    """

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._stop = asyncio.Event()
        self._queues: dict[str, _Queue] = {}
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
        return sum(len(queue.waiting) for queue in self._queues.values())

    def post(self, target_id: str, alert: Alert, send: Send) -> None:
        """Sends the alert soon."""
        queue = self._queues.get(target_id)
        if queue is None:
            queue = self._queues[target_id] = _Queue()
            task = asyncio.create_task(self._drain(target_id, queue), name=f"alerts to {target_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(queue.waiting) == MAX_WAITING:
            self._lose(target_id, queue.waiting.popleft()[0], "dropped")
        queue.waiting.append((alert, send))

    def hasten(self, target_id: str) -> None:
        """Tries at once what waits for a target: it works again, or is another one."""
        if target_id in self._queues:
            self._queues[target_id].hastened.set()

    def discard(self, target_id: str) -> None:
        """Gives up what waits for a target that was deleted."""
        if target_id in self._queues:
            queue = self._queues[target_id]
            while queue.waiting:
                self._lose(target_id, queue.waiting.popleft()[0], "dropped")
            queue.hastened.set()
        self._results.pop(target_id, None)

    async def send_now(self, target_id: str, alert: Alert, send: Send) -> Reason | None:
        """Sends the alert once; returns why it was not sent, None if it was."""
        why = await send(alert)
        at_ms = self._clock.now_ms()
        self._results[target_id] = AlertResult(at_ms=at_ms, alert_type=alert.type.value, reason=why)
        self._metrics.alerts.labels(alert.type.value, "failed" if why else "sent").inc()
        if why:
            log.error("alert not sent", alert=alert.type.value, target_id=target_id, error=why.text())
        else:
            self.sent += 1
        return why

    async def close(self) -> None:
        """Tries once more what waits, within the time limit, and gives up the rest."""
        self._stop.set()
        for target_id in self._queues:
            self.hasten(target_id)
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT_MS / 1000)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _drain(self, target_id: str, queue: _Queue) -> None:
        waiting = queue.waiting
        try:
            while waiting:
                first = waiting[0]
                is_sent = await self._try(target_id, queue, first)
                # A full queue may have dropped it meanwhile.
                if waiting and waiting[0] is first:
                    waiting.popleft()
                    if not is_sent:
                        self._lose(target_id, first[0], "given_up")
                if not is_sent and self._stop.is_set():
                    break
        finally:
            while waiting:
                self._lose(target_id, waiting.popleft()[0], "given_up")
            del self._queues[target_id]

    async def _try(self, target_id: str, queue: _Queue, first: tuple[Alert, Send]) -> bool:
        for after_ms in RETRY_AFTER_MS:
            if not await self.send_now(target_id, *first):
                return True
            if self._stop.is_set() or not queue.waiting or queue.waiting[0] is not first:
                return False
            queue.hastened.clear()
            await self._clock.wait(queue.hastened, after_ms)
            if not queue.waiting or queue.waiting[0] is not first:
                return False
        return not await self.send_now(target_id, *first)

    def _lose(self, target_id: str, alert: Alert, outcome: str) -> None:
        self.lost += 1
        self._metrics.alerts.labels(alert.type.value, outcome).inc()
        log.error("alert lost", alert=alert.type.value, target_id=target_id, outcome=outcome)
