"""Detects changes of the machine's clock: a delivery due in five minutes is still due in five minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from nicobar.clock import Clock
from nicobar.errors import StoreError
from nicobar.logs import log
from nicobar.store import Queue

# Time synchronization moves a clock by fractions of a second; a larger step means that the clock was set.
MAX_DRIFT_MS = 2_000


class Watch:
    """Detects wall-clock jumps against the monotonic clock. Call `follow()` before reading or recording due times."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._listeners: list[Callable[[int], None]] = []
        self._endpoint_seqs: Callable[[], Sequence[int]] = list
        self._ahead_ms = clock.now_ms() - clock.steady_ms()
        # By how much the clock was set since the start, in sum.
        self.set_by_ms = 0
        self._lock = asyncio.Lock()

    def act_on(self, endpoint_seqs: Callable[[], Sequence[int]]) -> None:
        """Moves the due times of these endpoints, for which this process delivers."""
        self._endpoint_seqs = endpoint_seqs

    def on_set(self, listener: Callable[[int], None]) -> None:
        """Calls the listener after each change, with the milliseconds by which the clock moved."""
        self._listeners.append(listener)

    async def now_ms(self) -> int:
        """The time from which the next attempt counts, Unix milliseconds. A clock change is followed first, or the
        time recorded now would be moved along with earlier ones; if that fails, the time before the change is
        returned, which is moved once the change is followed.
        """
        try:
            await self.follow()
        except StoreError as error:
            log.error("clock change not followed yet", code=error.code, detail=error.detail)
            return self._clock.steady_ms() + self._ahead_ms
        return self._clock.now_ms()

    async def follow(self) -> None:
        """Moves the due times if the clock was set. Raises StoreError; the next call retries."""
        async with self._lock:
            now_ms = self._clock.now_ms()
            by_ms = now_ms - self._clock.steady_ms() - self._ahead_ms
            if abs(by_ms) <= MAX_DRIFT_MS:
                # Small corrections of the clock are followed, or they would add up.
                self._ahead_ms += by_ms
                return
            # Deliveries that were due stay due; the others wait exactly as long as before.
            of = self._endpoint_seqs()
            moved = await self._queue.shift_times(of, after_ms=now_ms - max(by_ms, 0), by_ms=by_ms)
            self._ahead_ms += by_ms
            self.set_by_ms += by_ms
            log.warning("clock changed", by_ms=by_ms, deliveries=moved)
            for listener in self._listeners:
                listener(by_ms)
