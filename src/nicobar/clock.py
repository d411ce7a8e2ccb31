"""Time behind an interface: the running system reads the machine's clock, tests control their own."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Reads time and waits. Wall time is for values that are stored and compared across processes, steady
    time for durations.
    """

    def now_ms(self) -> int:
        """Unix milliseconds."""
        ...

    def steady_ms(self) -> int:
        """Milliseconds that never go back; only differences mean anything."""
        ...

    async def wait(self, signal: asyncio.Event, timeout_ms: int) -> bool:
        """Waits for the signal, at most `timeout_ms`; True if the signal came."""
        ...


# The first and the last millisecond of Python's calendar, the years 1 to 9999.
_FIRST_MS = -62_135_596_800_000
_LAST_MS = 253_402_300_799_999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_DAY_MS = 86_400_000


def utc_time(at_ms: int) -> datetime:
    """Unix milliseconds in UTC. A time beyond the calendar, which an event may have, becomes its nearest one."""
    return _EPOCH + min(max(at_ms, _FIRST_MS), _LAST_MS) * _MS


def unix_ms(at: datetime) -> int:
    """Unix milliseconds. A time without a zone is UTC. Exact, unlike the floating point of `timestamp()`."""
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH
    return since.days * _DAY_MS + since.seconds * 1_000 + since.microseconds // 1_000


# Continues while the machine sleeps, so that waking up does not look like a clock change.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def steady_ms(self) -> int:
        return time.clock_gettime_ns(_STEADY) // 1_000_000

    async def wait(self, signal: asyncio.Event, timeout_ms: int) -> bool:
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await signal.wait()
        except TimeoutError:
            return False
        return True
