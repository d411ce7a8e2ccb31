"""Delivers for every endpoint: one lane per endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from nicobar.clock import Clock
from nicobar.errors import StoreError
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import Breaker
from nicobar.pipeline import breaker as rules
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import Configuration
from nicobar.pipeline.deliver import Deliverer
from nicobar.pipeline.lane import IDLE_MS, Lane, log_end
from nicobar.pipeline.retry import JITTER, RETRY_AFTER_MS
from nicobar.store import Store

# No delivery waits longer than the schedule's longest step, or a day if a destination requests it.
MAX_WAIT_MS = max(int(RETRY_AFTER_MS[-1] * (1 + JITTER)), 24 * 3_600_000)


# Where no hint may come, the queues are looked at as often while there was something due a moment ago.
BUSY_LOOK_MS = 250
BUSY_MS = 10_000


class Worker:
    """Delivers for all endpoints of the configuration and follows its changes. `is_told` says whether all that store
    work say so: then looking finds only what became due.
    """

    def __init__(
        self,
        *,
        store: Store,
        configuration: Configuration,
        deliverer: Deliverer,
        clock: Clock,
        metrics: Metrics,
        alerts: Alerts,
        is_told: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._configuration = configuration
        self._deliverer = deliverer
        self._clock = clock
        self._metrics = metrics
        self._alerts = alerts
        self._watch = deliverer.watch
        self._watch.on_set(self._set_clock)
        self._breakers: dict[int, Breaker] = {}
        self._lanes: dict[int, Lane] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._is_told = is_told
        self._looking: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._busy_until_ms = 0
        # The tasks of endpoints that were removed.
        self._leaving: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._is_aborted = False
        configuration.on_change(self._follow)

    async def start(self) -> None:
        """Requeues the deliveries of an earlier process, then delivers. Only for a database's single worker."""
        now_ms = self._clock.now_ms()
        await self._store.bound_times(now_ms=now_ms, latest_ms=now_ms + MAX_WAIT_MS)
        self._breakers = dict(await self._store.breakers())
        released = await self._store.release_leases()
        if released:
            log.info("deliveries of an earlier process requeued", deliveries=released)
        self._follow()
        self._looking = asyncio.create_task(self._look_at_queues(), name="look at queues")

    def wake(self, endpoint_seqs: Sequence[int]) -> list[int]:
        """Signals new work for these endpoints; returns those for which others deliver."""
        for seq in endpoint_seqs:
            lane = self._lanes.get(seq)
            if lane:
                lane.signal.set()
        return [seq for seq in endpoint_seqs if seq not in self._lanes]

    def look(self) -> None:
        """Looks at the queues now."""
        self._look.set()

    def abort(self) -> None:
        """Ends the pages in flight at once, because another process delivers already. The leases are that process's
        now: none is released.
        """
        self._is_aborted = True
        self._stop.set()
        self._look.set()
        for lane in self._lanes.values():
            lane.stop()
        for task in (*self._tasks.values(), *self._leaving):
            task.cancel()
        if self._looking is not None:
            self._looking.cancel()

    async def stop(self, timeout_ms: int) -> None:
        """Claims nothing new and waits for the pages in flight. Deliveries unfinished after `timeout_ms` are requeued
        and repeated by the next process.
        """
        self._stop.set()
        self._look.set()
        self._configuration.forget(self._follow)
        for lane in self._lanes.values():
            lane.stop()
        if self._looking is not None:
            await asyncio.wait([self._looking])
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_ms / 1000)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
                log.warning("stopped with deliveries in flight", endpoints=len(late))
                if not self._is_aborted:
                    await self._hand_back()

    async def _hand_back(self) -> None:
        try:
            await self._store.release_leases()
        except StoreError as error:
            log.error(
                "deliveries in flight not requeued; the next start requeues them",
                code=error.code,
                detail=error.detail,
            )

    @property
    def alive(self) -> bool:
        """Whether the tasks of all endpoints are running, and the task that wakes them."""
        tasks = [*self._tasks.values(), *([] if self._looking is None else [self._looking])]
        return not self._stop.is_set() and not any(task.done() for task in tasks)

    def failing_lanes(self) -> dict[str, str]:
        """The endpoints whose deliveries cannot be claimed, and why: the queue was not read, or the task stopped."""
        failing = {}
        for seq, lane in self._lanes.items():
            failure = "its task stopped unexpectedly" if self._tasks[seq].done() else lane.failure
            if failure is not None:
                failing[lane.name] = failure
        return failing

    def _follow(self) -> None:
        if self._stop.is_set():
            return
        opened = self._configuration.endpoints
        for seq, target in opened.items():
            lane = self._lanes.get(seq)
            if lane is None:
                kept = rules.taken_up(self._breakers.get(seq, Breaker()), self._clock.now_ms())
                lane = self._lanes[seq] = Lane(
                    target,
                    store=self._store,
                    configuration=self._configuration,
                    deliverer=self._deliverer,
                    clock=self._clock,
                    watch=self._watch,
                    alerts=self._alerts,
                    metrics=self._metrics,
                    breaker=kept,
                )
                self._tasks[seq] = asyncio.create_task(lane.run(), name=f"deliver {target.endpoint.id}")
            else:
                lane.change(target)
            self._metrics.paused.labels(target.endpoint.name).set(int(target.endpoint.paused_reason is not None))
        for seq in self._lanes.keys() - opened.keys():
            lane = self._lanes.pop(seq)
            lane.stop()
            self._breakers[seq] = lane.breaker
            # The task ends after its page; the reference keeps it from being collected before.
            task = self._tasks.pop(seq)
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            task.add_done_callback(log_end)

    async def _look_at_queues(self) -> None:
        """Wakes the lanes whose queues have something due: what became due, and what another process has put in. One
        query for all, so that any number of idle endpoints cost little.
        """
        while not self._stop.is_set():
            try:
                await self._watch.follow()
                due_at_ms = await self._store.due_times()
            except StoreError:
                self.wake(list(self._lanes))  # each says what it cannot do
            else:
                now_ms = self._clock.now_ms()
                due = [seq for seq, at_ms in due_at_ms.items() if at_ms <= now_ms]
                if due:
                    self._busy_until_ms = self._clock.steady_ms() + BUSY_MS
                self.wake(due)
            is_busy = self._clock.steady_ms() < self._busy_until_ms
            await self._clock.wait(self._look, BUSY_LOOK_MS if is_busy and not self._is_told() else IDLE_MS)
            self._look.clear()

    def _set_clock(self, by_ms: int) -> None:
        for lane in self._lanes.values():
            lane.set_clock(by_ms)
