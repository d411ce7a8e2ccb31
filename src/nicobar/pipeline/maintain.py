"""Retention: empties and forgets what is old enough, in small steps between which everybody else writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nicobar.clock import Clock
from nicobar.errors import StoreError
from nicobar.observe import log
from nicobar.store import Step, Upkeep

DAY_MS = 24 * 3_600_000
# Dodo tries for about 28 hours and lets people replay later; a repeated event is known for at least so long.
MIN_ID_DAYS = 30
ANSWER_HOURS = 12  # as the public Svix API keeps them: https://docs.svix.com/idempotency
STEP_MESSAGES = 200
PAUSE_MS = 20
ROUND_MS = 600_000


class Maintainer:
    """Keeps payloads, attempts and their counts `retention_days`, ids as long or `MIN_ID_DAYS`, whichever is
    longer.
    """

    def __init__(self, *, upkeep: Upkeep, clock: Clock, retention_days: int) -> None:
        self._upkeep = upkeep
        self._clock = clock
        self._payload_ms = retention_days * DAY_MS
        self._id_ms = max(retention_days, MIN_ID_DAYS) * DAY_MS

    async def run(self, stop: asyncio.Event) -> None:
        """A round every ten minutes, until `stop` is set."""
        while not stop.is_set():
            try:
                await self.round(stop)
            except StoreError as error:
                log.error("nothing cleaned up", code=error.code, detail=error.detail)
            except Exception:  # noqa: BLE001 - a surprise must not end the clean-up for good
                log.exception("nothing cleaned up")
            await self._clock.wait(stop, ROUND_MS)

    async def round(self, stop: asyncio.Event) -> None:
        """Once through everything that is old enough. Raises StoreError."""
        now_ms = self._clock.now_ms()
        forgotten = await self._steps(stop, self._upkeep.forget_old, now_ms - self._id_ms)
        emptied = await self._steps(stop, self._upkeep.expunge_old, now_ms - self._payload_ms)
        await self._rows(stop, self._upkeep.forget_tallies, now_ms - self._payload_ms)
        await self._rows(stop, self._upkeep.forget_answers, now_ms - ANSWER_HOURS * 3_600_000)
        await self._upkeep.keep_clean_up(ended_at_ms=self._clock.now_ms(), emptied=emptied, forgotten=forgotten)
        if forgotten or emptied:
            log.info("cleaned up", messages_forgotten=forgotten, messages_emptied=emptied)

    async def _rows(self, stop: asyncio.Event, forget: Callable[..., Awaitable[int]], before_ms: int) -> None:
        while await forget(before_ms=before_ms, limit=STEP_MESSAGES) == STEP_MESSAGES:
            if await self._clock.wait(stop, PAUSE_MS):
                return

    async def _steps(self, stop: asyncio.Event, step: Callable[..., Awaitable[Step]], before_ms: int) -> int:
        done, after_seq = 0, 0
        while True:
            result = await step(before_ms=before_ms, after_seq=after_seq, limit=STEP_MESSAGES)
            done += result.done
            if result.after_seq is None:
                return done
            after_seq = result.after_seq
            if await self._clock.wait(stop, PAUSE_MS):
                return done
