"""The figures of `/metrics` that are read from the database when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.clock import Clock
from nicobar.errors import StoreError
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.pipeline.configuration import Configuration
from nicobar.pipeline.shared_checks import SharedCheck
from nicobar.store import Queue
from nicobar.store.queue import Backlog

# Prometheus waits 10 s for a response by default, and the other figures are needed most while the database hangs.
BACKLOG_TIMEOUT_MS = 1_500


class BacklogGauges:
    """Figures that cannot be read within `BACKLOG_TIMEOUT_MS` are left out: the previous ones would be wrong."""

    def __init__(self, queue: Queue, configuration: Configuration, clock: Clock, metrics: Metrics) -> None:
        self._configuration = configuration
        self._clock = clock
        self._metrics = metrics
        self._reading = SharedCheck(queue.backlog, clock)

    async def refresh(self) -> None:
        found = await self._read()
        self._metrics.backlog.clear()
        self._metrics.oldest_age.clear()
        if found is None:
            return
        backlog = {waiting.endpoint_seq: waiting for waiting in found}
        for endpoint in self._configuration.snapshot.endpoints:
            item = backlog.get(endpoint.seq)
            age_ms = max(0, self._clock.now_ms() - item.oldest_accepted_at_ms) if item else 0
            self._metrics.backlog.labels(endpoint.name).set(item.unfinished if item else 0)
            self._metrics.oldest_age.labels(endpoint.name).set(age_ms / 1000)

    async def close(self) -> None:
        await self._reading.close()

    async def _read(self) -> Sequence[Backlog] | None:
        """None if the database cannot be read, or not in time."""
        reading = await self._reading.result(BACKLOG_TIMEOUT_MS)
        if reading is None:
            log.error("cannot read backlog", code="store_slow", detail=f"No response within {BACKLOG_TIMEOUT_MS} ms.")
            return None
        try:
            return reading.result()
        except StoreError as error:
            log.error("cannot read backlog", code=error.code, detail=error.detail)
            return None
