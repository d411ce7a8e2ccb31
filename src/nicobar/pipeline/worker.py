"""Delivers for the endpoints whose leases this process holds: one lane per endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from nicobar.clock import Clock
from nicobar.errors import StoreError
from nicobar.ids import IdFactory
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import Breaker, BreakerState
from nicobar.pipeline import breaker as rules
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import Configuration
from nicobar.pipeline.deliver import Deliverer
from nicobar.pipeline.lane import IDLE_MS, Lane, log_end
from nicobar.pipeline.leases import LeaseKeeper
from nicobar.pipeline.overtaking import OVERTAKE_AFTER_MS
from nicobar.pipeline.recent_calls import Workspaces
from nicobar.pipeline.retry import JITTER, RETRY_AFTER_MS
from nicobar.store import Lease, Store
from nicobar.store.hints import RELEASED
from nicobar.store.leases import endpoint_lease, endpoint_of

# No delivery waits longer than the schedule's longest step, or a day if a destination requests it.
MAX_WAIT_MS = max(int(RETRY_AFTER_MS[-1] * (1 + JITTER)), 24 * 3_600_000)

# Runs until the event is set.
Work: TypeAlias = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


# Without hints from other processes, the worker looks more often while there was something due a moment ago.
BUSY_LOOK_MS = 250
BUSY_MS = 10_000


class Worker:
    """Delivers for its share of the endpoints and follows their changes. `tasks` are what only one process of a
    database may run. `alone` says that this process is certainly the only worker of its database, `is_told` that it
    gets hints of work that other processes store. `on_released` tells others of leases that they may acquire.
    `overtake_after_ms` is how long a delivery may fail before its
    customer's later ones go on without it.
    """

    def __init__(
        self,
        *,
        store: Store,
        configuration: Configuration,
        deliverer: Deliverer,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        alerts: Alerts,
        alone: bool,
        tasks: Mapping[str, Work],
        is_told: Callable[[], bool] = lambda: True,
        on_released: Callable[[], None] = lambda: None,
        overtake_after_ms: int = OVERTAKE_AFTER_MS,
    ) -> None:
        self._store = store
        self._configuration = configuration
        self._deliverer = deliverer
        self._clock = clock
        self._metrics = metrics
        self._alerts = alerts
        self._overtake_after_ms = overtake_after_ms
        self._works = tasks
        self._watch = deliverer.watch
        self._watch.act_on(lambda: list(self._lanes))
        self._watch.on_set(self._set_clock)
        self._breakers: Mapping[int, Breaker] = {}
        self._lanes: dict[int, Lane] = {}
        self._workspaces = Workspaces(configuration, lambda seq: seq in self._lanes)
        # What runs under each lease.
        self._running: dict[str, asyncio.Task[None]] = {}
        # How the tasks of leases are told to end.
        self._stops: dict[str, asyncio.Event] = {}
        self._is_told = is_told
        self._looking: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._busy_until_ms = 0
        self._stop = asyncio.Event()
        self.leases = LeaseKeeper(
            store=store,
            holder=self,
            clock=clock,
            ids=ids,
            metrics=metrics,
            alone=alone,
            on_released=on_released,
        )
        configuration.on_change(self._follow)

    async def start(self) -> None:
        """Acquires a share of the endpoints and delivers. Raises StoreError."""
        await self.leases.start()
        self._looking = asyncio.create_task(self._look_at_queues(), name="look at queues")

    def wake(self, endpoint_seqs: Sequence[int]) -> list[int]:
        """Signals new work for these endpoints, or released leases; returns those for which others deliver."""
        if RELEASED in endpoint_seqs:
            self.leases.look()
        for seq in endpoint_seqs:
            lane = self._lanes.get(seq)
            if lane:
                lane.signal.set()
        return [seq for seq in endpoint_seqs if seq not in self._lanes]

    def look(self) -> None:
        """Checks the queues now."""
        self._look.set()

    async def stop(self, timeout_ms: int) -> None:
        """Claims nothing new, waits for the pages in flight, and gives the endpoints up. Deliveries unfinished after
        `timeout_ms` are requeued for the endpoint's next worker.
        """
        self._stop.set()
        self._look.set()
        self._configuration.forget(self._follow)
        for lane in self._lanes.values():
            lane.stop()
        if self._looking is not None:
            await asyncio.wait([self._looking])
        await self.leases.stop(timeout_ms)

    @property
    def alive(self) -> bool:
        """Whether everything that was begun is running."""
        tasks = [*self._running.values(), *([] if self._looking is None else [self._looking])]
        return not self._stop.is_set() and self.leases.alive and not any(task.done() for task in tasks)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The background tasks whose leases this process holds."""
        return [task for name, task in self._running.items() if name in self._works]

    def failing_lanes(self) -> dict[str, str]:
        """The endpoints whose deliveries cannot be claimed, and why: the queue was not read, or the task stopped."""
        failing = {}
        for seq, lane in self._lanes.items():
            ended = self._running[endpoint_lease(seq)].done()
            failure = "its task stopped unexpectedly" if ended else lane.failure
            if failure is not None:
                failing[lane.name] = failure
        return failing

    def endpoints(self) -> Mapping[int, bool]:
        opened = self._configuration.endpoints
        return {endpoint.seq: endpoint.seq in opened for endpoint in self._configuration.snapshot.endpoints}

    def task_leases(self) -> Collection[str]:
        return self._works.keys()

    def is_under_way(self, name: str) -> bool:
        return name in self._running

    async def prepare(self, names: Sequence[str]) -> None:
        await self._watch.follow()
        seqs = [seq for name in names if (seq := endpoint_of(name)) is not None]
        if seqs:
            now_ms = self._clock.now_ms()
            await self._store.bound_times(seqs, now_ms=now_ms, latest_ms=now_ms + MAX_WAIT_MS)
            self._breakers = await self._store.breakers()

    def begin(self, lease: Lease) -> None:
        seq = endpoint_of(lease.name)
        if seq is None:
            stop = self._stops[lease.name] = asyncio.Event()
            self._running[lease.name] = asyncio.create_task(self._works[lease.name](stop), name=lease.name)
            return
        target = self._configuration.endpoints.get(seq)
        if target is None:
            return  # it cannot be used since a moment ago
        lane = self._lanes[seq] = Lane(
            target,
            term=lease.term,
            store=self._store,
            configuration=self._configuration,
            deliverer=self._deliverer,
            clock=self._clock,
            watch=self._watch,
            alerts=self._alerts,
            metrics=self._metrics,
            breaker=rules.taken_up(self._breakers.get(seq, Breaker()), self._clock.now_ms()),
            overtake_after_ms=self._overtake_after_ms,
            workspaces=self._workspaces,
        )
        task = asyncio.create_task(lane.run(), name=f"deliver {target.endpoint.id}")
        task.add_done_callback(log_end)
        self._running[lease.name] = task
        name = target.endpoint.name
        self._metrics.paused.labels(name).set(int(target.endpoint.paused_reason is not None))
        self._metrics.breaker.labels(name).set(int(lane.breaker.state is not BreakerState.CLOSED))
        self._metrics.held.set(len(self._lanes))

    def end(self, names: Iterable[str]) -> Mapping[str, asyncio.Task[None] | None]:
        ending = {}
        for name in names:
            ending[name] = self._running.get(name)
            seq = endpoint_of(name)
            if seq is None:
                stop = self._stops.get(name)
                if stop is not None:
                    stop.set()
            elif seq in self._lanes:
                lane = self._lanes.pop(seq)
                lane.stop()
                self._metrics.forget_endpoint(lane.endpoint_name)
            task = ending[name]
            if task is not None:
                task.add_done_callback(partial(self._forget, name))
        self._metrics.held.set(len(self._lanes))
        return ending

    def drop(self, names: Iterable[str]) -> None:
        for name, task in self.end(names).items():
            self._running.pop(name, None)
            if task is not None:
                task.cancel()

    def _forget(self, name: str, task: asyncio.Task[None]) -> None:
        if self._running.get(name) is task:
            del self._running[name]

    def _follow(self) -> None:
        for seq, target in self._configuration.endpoints.items():
            lane = self._lanes.get(seq)
            if lane is not None:
                lane.change(target)
                self._metrics.paused.labels(target.endpoint.name).set(int(target.endpoint.paused_reason is not None))
        self.leases.look()

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
            except Exception:  # noqa: BLE001 - an unexpected error must not end the checks
                log.exception("cannot check the queues")
                self.wake(list(self._lanes))
            else:
                now_ms = self._clock.now_ms()
                due = [seq for seq, at_ms in due_at_ms.items() if at_ms <= now_ms and seq in self._lanes]
                if due:
                    self._busy_until_ms = self._clock.steady_ms() + BUSY_MS
                self.wake(due)
            is_busy = self._clock.steady_ms() < self._busy_until_ms
            await self._clock.wait(self._look, BUSY_LOOK_MS if is_busy and not self._is_told() else IDLE_MS)
            self._look.clear()

    def _set_clock(self, by_ms: int) -> None:
        for lane in self._lanes.values():
            lane.set_clock(by_ms)
