"""Brings forward what waits for a retry: after an outage, and for a probe."""

from __future__ import annotations

import msgspec

from nicobar.clock import Clock
from nicobar.logs import log
from nicobar.model import Endpoint, Outage
from nicobar.pipeline.gate import Gate
from nicobar.store import Queue

# An outage's deliveries are due within this time, so many of each transaction.
HASTEN_OVER_MS = 10_000
HASTEN_STEP_DELIVERIES = 500


class Hastening:
    """The hastening of one endpoint's deliveries, under one term of its lease. Both methods raise StoreError."""

    def __init__(self, *, queue: Queue, clock: Clock, endpoint: Endpoint, term: int) -> None:
        self._queue = queue
        self._clock = clock
        self._endpoint = endpoint
        self._term = term

    async def follow(self, gate: Gate) -> bool:
        """One step of what an outage put off; returns whether there was one to make. Its repetition after a restart
        changes nothing.
        """
        outage = gate.breaker.ended
        if outage is None or not gate.is_closed:
            return False
        hastened = await self._hasten(outage, HASTEN_OVER_MS, HASTEN_STEP_DELIVERIES)
        if hastened:
            log.info("deliveries hastened", endpoint_id=self._endpoint.id, deliveries=hastened)
        if hastened < HASTEN_STEP_DELIVERIES and gate.breaker.ended == outage:
            gate.breaker = msgspec.structs.replace(gate.breaker, ended=None)
        return True

    async def take_one(self) -> bool:
        """Makes the delivery due that failed longest ago; returns whether there was one."""
        return await self._hasten(Outage(since_ms=0, until_ms=self._clock.now_ms()), 0, 1) > 0

    async def _hasten(self, outage: Outage, over_ms: int, limit: int) -> int:
        now_ms = self._clock.now_ms()
        return await self._queue.hasten_failed(
            self._endpoint.seq, term=self._term, outage=outage, now_ms=now_ms, over_ms=over_ms, limit=limit
        )
