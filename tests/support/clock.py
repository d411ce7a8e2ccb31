"""A clock that only moves when a test moves it."""

from __future__ import annotations

import asyncio


class MovingClock:
    def __init__(self, now_ms: int = 1_789_000_000_000) -> None:
        self._now_ms = now_ms
        self._set_by_ms = 0
        self._moved = asyncio.Event()
        self._entered = asyncio.Event()
        self._wakes_ms: list[int] = []

    @property
    def quiet(self) -> bool:
        """Whether a task is waiting, and no wait has ended."""
        return bool(self._wakes_ms) and min(self._wakes_ms) > self._now_ms

    @property
    def waiting(self) -> int:
        """The number of waiting tasks."""
        return len(self._wakes_ms)

    def now_ms(self) -> int:
        return self._now_ms + self._set_by_ms

    def steady_ms(self) -> int:
        return self._now_ms

    async def wait(self, signal: asyncio.Event, timeout_ms: int) -> bool:
        until_ms = self._now_ms + timeout_ms
        self._wakes_ms.append(until_ms)
        entered, self._entered = self._entered, asyncio.Event()
        entered.set()
        try:
            while not signal.is_set() and self._now_ms < until_ms:
                waits = [asyncio.ensure_future(item.wait()) for item in (signal, self._moved)]
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for wait in waits:
                        wait.cancel()
        finally:
            self._wakes_ms.remove(until_ms)
        return signal.is_set()

    async def next_wait(self) -> None:
        """Returns when a task begins to wait."""
        await self._entered.wait()

    def set_by(self, by_ms: int) -> None:
        """Changes the clock time, as an operator or a time server does; no time passes."""
        self._set_by_ms += by_ms

    def move(self, by_ms: int) -> None:
        self._now_ms += by_ms
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
