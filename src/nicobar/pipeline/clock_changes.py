"""Notices that the machine's clock was set: what was five minutes away still is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nicobar.clock import Clock
from nicobar.errors import StoreError
from nicobar.logs import log
from nicobar.store import Queue

# A clock that is kept in step goes by parts of a second; more than this, and somebody has set it.
MAX_DRIFT_MS = 2_000


class Watch:
    """Is asked before anybody looks what is due, and before a time is recorded at which something is. The steady
    clock goes on as it was when the other is set, so that the two tell it.
    """

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._listeners: list[Callable[[int], None]] = []
        self._ahead_ms = clock.now_ms() - clock.steady_ms()
        self._lock = asyncio.Lock()

    def on_set(self, listener: Callable[[int], None]) -> None:
        """Tells the listener by how many milliseconds the clock was set, each time."""
        self._listeners.append(listener)

    async def now_ms(self) -> int:
        """The time from which the next attempt counts, Unix milliseconds. A clock that was set is followed first, or
        what is recorded now would be moved along with what was recorded before; where that cannot be, it has to be
        moved along later.
        """
        try:
            await self.follow()
        except StoreError as error:
            log.error("the clock was set, and not followed yet", code=error.code, detail=error.detail)
            return self._clock.steady_ms() + self._ahead_ms
        return self._clock.now_ms()

    async def follow(self) -> None:
        """Moves what waits, where the clock was set. Raises StoreError; the next look tries again."""
        async with self._lock:
            now_ms = self._clock.now_ms()
            by_ms = now_ms - self._clock.steady_ms() - self._ahead_ms
            if abs(by_ms) <= MAX_DRIFT_MS:
                # The clock's small corrections are followed, or they would add up.
                self._ahead_ms += by_ms
                return
            # What was due when the clock was set is due; what was not waits as long as it had to.
            moved = await self._queue.shift_times(after_ms=now_ms - max(by_ms, 0), by_ms=by_ms)
            self._ahead_ms += by_ms
            log.warning("the clock was set", by_ms=by_ms, deliveries=moved)
            for listener in self._listeners:
                listener(by_ms)
