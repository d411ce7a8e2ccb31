"""Runs the replays that users requested, one page of each in turn, so that a large replay does not delay small ones
or new deliveries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from nicobar.clock import Clock
from nicobar.errors import NicobarError, StoreError
from nicobar.logs import log
from nicobar.store import Replays, Task, TaskStatus
from nicobar.store.facts import People

PAGE_DELIVERIES = 200
# Other writers get their turn between two pages; another process may have created a task between two polls.
PAUSE_MS = 10
POLL_MS = 1_000


class Replayer:
    """Moves deliveries back into the queue. `on_moved` gets the endpoints that have new work."""

    def __init__(
        self,
        *,
        replays: Replays,
        people: People,
        clock: Clock,
        on_moved: Callable[[Sequence[int]], None],
    ) -> None:
        self._replays = replays
        self._people = people
        self._clock = clock
        self._on_moved = on_moved

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set. A restart continues where this process stopped."""
        wait_ms = 0
        while not await self._clock.wait(stop, wait_ms):
            try:
                wait_ms = PAUSE_MS if await self.turn() else POLL_MS
            except StoreError as error:
                log.error("replay processing failed", code=error.code, detail=error.detail)
                wait_ms = POLL_MS
            except Exception:  # noqa: BLE001 - an unexpected error must not stop all replays
                log.exception("replay processing failed")
                wait_ms = POLL_MS

    async def turn(self) -> bool:
        """Runs one page of each open task; returns whether any ran. One that fails does not stop the others. Raises
        StoreError.
        """
        tasks = await self._replays.open_tasks()
        ran = False
        for task in tasks:
            try:
                done = await self._replays.work_on_task(
                    task.id, now_ms=self._clock.now_ms(), limit=PAGE_DELIVERIES, people=self._people
                )
            except NicobarError as error:
                log.error("replay processing failed", task_id=task.id, code=error.code, detail=error.detail)
                continue
            ran = True
            self._on_moved([task.endpoint_seq])
            if done is not None and done.status not in {TaskStatus.RUNNING, TaskStatus.CANCELING}:
                _log(done)
        return ran


def _log(task: Task) -> None:
    log.info(
        "replay finished",
        task_id=task.id,
        endpoint_id=task.endpoint_id,
        status=task.status.value,
        moved=task.moved,
        expected=task.expected,
    )
