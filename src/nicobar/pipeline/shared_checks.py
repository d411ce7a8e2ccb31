"""Checks and readings that simultaneous requests share, and that none of them waits for too long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from nicobar.clock import Clock

T = TypeVar("T")


class SharedCheck(Generic[T]):
    """A check that simultaneous requests share. A success is valid for `fresh_ms`."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]], clock: Clock, *, fresh_ms: int = 0) -> None:
        self._work = work
        self._clock = clock
        self._fresh_ms = fresh_ms
        self._task: asyncio.Task[T] | None = None
        self._began_at_ms = 0
        self._succeeded: tuple[int, asyncio.Task[T]] | None = None

    async def result(self, timeout_ms: int) -> asyncio.Task[T] | None:
        """The finished task of the latest check; None if it did not finish in time."""
        if self._succeeded is not None and self._clock.steady_ms() - self._succeeded[0] < self._fresh_ms:
            return self._succeeded[1]
        if self._task is None:
            self._began_at_ms = self._clock.steady_ms()
            self._task = asyncio.create_task(self._work(), name="check")
            self._task.add_done_callback(self._end)
        task = self._task
        await asyncio.wait([task], timeout=timeout_ms / 1000)
        return task if task.done() else None

    def hangs(self, timeout_ms: int) -> bool:
        """Whether the check never succeeded, or has been running for longer than that."""
        return self._succeeded is None or self._clock.steady_ms() - self._began_at_ms >= timeout_ms

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _end(self, task: asyncio.Task[T]) -> None:
        self._task = None
        # Retrieves the error too, since possibly no request is waiting.
        if not task.cancelled() and task.exception() is None:
            self._succeeded = (self._clock.steady_ms(), task)
