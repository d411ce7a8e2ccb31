"""Lets a customer's later deliveries go on without one that the destination alone does not accept."""

from __future__ import annotations

import asyncio

from nicobar.clock import Clock
from nicobar.errors import NicobarError
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.deliver import Deliverer
from nicobar.pipeline.gate import Gate
from nicobar.store import Queue

OVERTAKE_AFTER_MS = 1_800_000
# How often deliveries are judged again for which it is not certain yet that the destination accepts others.
LOOK_AGAIN_MS = 60_000
# One transaction overtakes so many deliveries at most.
STEP_DELIVERIES = 500


class Overtaking:
    """The overtaking of one endpoint. `after_ms` is how long a delivery may fail before others are judged; `signal`
    is set once there is something to do.
    """

    def __init__(
        self,
        *,
        queue: Queue,
        deliverer: Deliverer,
        clock: Clock,
        metrics: Metrics,
        term: int,
        after_ms: int,
        signal: asyncio.Event,
    ) -> None:
        self._queue = queue
        self._deliverer = deliverer
        self._clock = clock
        self._metrics = metrics
        self._term = term
        self._after_ms = after_ms
        self._signal = signal
        # When to look; None while nothing fails. What an earlier process has left is looked at first.
        self._look_at_ms: int | None = clock.now_ms()
        self._responds = False
        self.check: asyncio.Task[None] | None = None

    def attempted(self) -> None:
        """Deliveries were attempted; some may have failed."""
        if self._look_at_ms is None:
            self._look_at_ms = self._clock.now_ms() + min(self._after_ms, LOOK_AGAIN_MS)

    def set_clock(self) -> None:
        self._look_at_ms = self._clock.now_ms()

    def stop(self) -> None:
        if self.check is not None:
            self.check.cancel()  # nothing was sent

    async def follow(self, target: OpenEndpoint, gate: Gate) -> int | None:
        """Overtakes what has failed for long enough; returns the milliseconds until the next look, None if nothing
        fails. Nothing is overtaken during an outage, nor before its deliveries are hastened. Raises StoreError.
        """
        now_ms = self._clock.now_ms()
        if self._look_at_ms is not None and self._look_at_ms <= now_ms:
            self._look_at_ms = now_ms + LOOK_AGAIN_MS
            if gate.is_closed and gate.breaker.ended is None:
                self._look_at_ms = await self._look(target, now_ms)
        return None if self._look_at_ms is None else max(1, self._look_at_ms - now_ms)

    async def _look(self, target: OpenEndpoint, now_ms: int) -> int | None:
        endpoint = target.endpoint
        since_ms = await self._queue.failing_since_ms(endpoint.seq)
        if since_ms is None:
            return None
        if since_ms + self._after_ms > now_ms:
            return since_ms + self._after_ms
        responds, self._responds = self._responds, False
        overtaken = await self._queue.overtake(
            endpoint.seq,
            term=self._term,
            before_ms=now_ms - self._after_ms,
            now_ms=now_ms,
            responds=responds,
            limit=STEP_DELIVERIES,
        )
        for item in overtaken:
            self._metrics.overtaken.labels(endpoint.name).inc()
            log.warning(
                "delivery overtaken",
                endpoint_id=endpoint.id,
                message_id=item.message_id,
                failing_since_ms=item.failing_since_ms,
            )
        if len(overtaken) == STEP_DELIVERIES:
            self._signal.set()
            return now_ms
        if not overtaken and not responds and self.check is None:
            self.check = asyncio.create_task(self._ask(target), name=f"check {endpoint.id}")
        return now_ms + LOOK_AGAIN_MS

    async def _ask(self, target: OpenEndpoint) -> None:
        """The harmless call, by which a destination without other events shows that it responds."""
        try:
            if await self._deliverer.responds(target):
                self._responds = True
                self._look_at_ms = self._clock.now_ms()
        except NicobarError as error:
            log.error("destination not checked", endpoint_id=target.endpoint.id, code=error.code, detail=error.detail)
        finally:
            self.check = None
            self._signal.set()
