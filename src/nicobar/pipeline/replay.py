"""Works on the replays that people asked for, a page of each in turn, so that a large one does not hold up a small
one or the deliveries of the day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from nicobar.clock import Clock
from nicobar.errors import StoreError
from nicobar.logs import log
from nicobar.store import Replays, Task, TaskStatus

PAGE_DELIVERIES = 200
# Between two pages others write; between two looks another process may have made a task.
PAUSE_MS = 10
POLL_MS = 1_000


class Replayer:
    """Moves deliveries back into the queue. `on_moved` is told the endpoints that have new work."""

    def __init__(self, *, replays: Replays, clock: Clock, on_moved: Callable[[Sequence[int]], None]) -> None:
        self._replays = replays
        self._clock = clock
        self._on_moved = on_moved

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set. A restart goes on where this one ended."""
        wait_ms = 0
        while not await self._clock.wait(stop, wait_ms):
            try:
                wait_ms = PAUSE_MS if await self.turn() else POLL_MS
            except StoreError as error:
                log.error("replays not worked on", code=error.code, detail=error.detail)
                wait_ms = POLL_MS
            except Exception:  # noqa: BLE001 - a surprise must not end the replays of everybody
                log.exception("replays not worked on")
                wait_ms = POLL_MS

    async def turn(self) -> bool:
        """One page of each open task; whether there was any. Raises StoreError."""
        tasks = await self._replays.open_tasks()
        for task in tasks:
            done = await self._replays.work_on_task(task.id, now_ms=self._clock.now_ms(), limit=PAGE_DELIVERIES)
            self._on_moved([task.endpoint_seq])
            if done is not None and done.status not in {TaskStatus.RUNNING, TaskStatus.CANCELING}:
                _log(done)
        return bool(tasks)


def _log(task: Task) -> None:
    log.info(
        "replay ended",
        task_id=task.id,
        endpoint_id=task.endpoint_id,
        status=task.status.value,
        moved=task.moved,
        expected=task.expected,
    )
