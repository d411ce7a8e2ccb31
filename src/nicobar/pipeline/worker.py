"""Keeps every endpoint's deliveries going: one task an endpoint, which claims a page, delivers it, and waits for a
signal or for the next delivery that becomes due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nicobar.clock import Clock
from nicobar.errors import NicobarError, StoreError
from nicobar.observe import Metrics, log
from nicobar.pipeline.configuration import Configuration, OpenEndpoint
from nicobar.pipeline.deliver import MAX_PARALLEL_PARCELS, Deliverer
from nicobar.pipeline.throttle import Throttle
from nicobar.store import Claimed, PauseEndpoint, Store

PAGE_MAX_BYTES = 4 * 1024 * 1024
LEASE_MS = 600_000
# The signal makes a new delivery leave at once; this finds what another process has put in.
IDLE_MS = 1_000
MIN_WAIT_MS = 5
AFTER_ERROR_MS = 1_000


class Worker:
    """Delivers for all endpoints of the configuration, and follows its changes."""

    def __init__(
        self, *, store: Store, configuration: Configuration, deliverer: Deliverer, clock: Clock, metrics: Metrics
    ) -> None:
        self._store = store
        self._configuration = configuration
        self._deliverer = deliverer
        self._clock = clock
        self._metrics = metrics
        self._lanes: dict[int, _Lane] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._stopping = False
        configuration.on_change(self._follow)

    async def start(self) -> None:
        """Takes up what an earlier process left, then delivers. Only for the one worker of a database."""
        released = await self._store.release_leases()
        if released:
            log.info("taken up from an earlier process", deliveries=released)
        self._follow()

    def wake(self, endpoint_seqs: Sequence[int]) -> None:
        """New work is there for these endpoints."""
        for seq in endpoint_seqs:
            lane = self._lanes.get(seq)
            if lane:
                lane.signal.set()

    async def stop(self, timeout_ms: int) -> None:
        """Takes nothing new and waits for the pages in flight; what is not through after `timeout_ms` is given
        back to the queue, to be sent again by the next process.
        """
        self._stopping = True
        for lane in self._lanes.values():
            lane.stop()
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_ms / 1000)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
                log.warning("stopped before everything in flight was through", endpoints=len(late))
                await self._store.release_leases()

    @property
    def alive(self) -> bool:
        """Whether every endpoint's task is running."""
        return not self._stopping and not any(task.done() for task in self._tasks.values())

    def _follow(self) -> None:
        if self._stopping:
            return
        opened = self._configuration.endpoints
        for seq, target in opened.items():
            lane = self._lanes.get(seq)
            if lane is None:
                lane = self._lanes[seq] = _Lane(target, self._store, self._deliverer, self._clock)
                self._tasks[seq] = asyncio.create_task(lane.run(), name=f"deliver {target.endpoint.id}")
            else:
                lane.change(target)
            self._metrics.paused.labels(target.endpoint.name).set(int(target.endpoint.paused_reason is not None))
        for seq in self._lanes.keys() - opened.keys():
            self._lanes.pop(seq).stop()
            # The task ends by itself after its page; a reference keeps it from being collected before.
            task = self._tasks.pop(seq)
            task.add_done_callback(_log_end)


class _Lane:
    """One endpoint's deliveries: one page at a time where calls are batched, so that the next batch gathers while
    one is in flight; elsewhere as many deliveries at once as there are places.
    """

    def __init__(self, target: OpenEndpoint, store: Store, deliverer: Deliverer, clock: Clock) -> None:
        self._target = target
        self._store = store
        self._deliverer = deliverer
        self._clock = clock
        self._throttle = Throttle(target.destination.max_requests_per_s, clock.steady_ms())
        self._stopping = False
        self._paused = False
        self._pages: set[asyncio.Task[None]] = set()
        self._held = 0
        self.signal = asyncio.Event()

    def change(self, target: OpenEndpoint) -> None:
        self._target = target
        self._paused = False
        self.signal.set()

    def stop(self) -> None:
        self._stopping = True
        self.signal.set()

    async def run(self) -> None:
        try:
            while not self._stopping:
                self.signal.clear()
                try:
                    await self._clock.wait(self.signal, await self._start_pages())
                except StoreError as error:
                    log.error(
                        "queue not read", endpoint_id=self._target.endpoint.id, code=error.code, detail=error.detail
                    )
                    await self._clock.wait(self.signal, AFTER_ERROR_MS)
                except Exception:  # noqa: BLE001 - a surprise must not end an endpoint's deliveries
                    log.exception("queue not read", endpoint_id=self._target.endpoint.id)
                    await self._clock.wait(self.signal, AFTER_ERROR_MS)
            if self._pages:
                await asyncio.wait(self._pages)
        finally:
            for page in self._pages:
                page.cancel()

    async def _start_pages(self) -> int:
        """Takes what may be taken now; returns how many milliseconds to wait for the next look."""
        endpoint = self._target.endpoint
        if self._paused or endpoint.paused_reason is not None or endpoint.disabled:
            return IDLE_MS
        held_ms = self._throttle.held_ms(self._clock.steady_ms())
        if held_ms > 0:
            return min(IDLE_MS, held_ms)
        bounds = self._target.destination.batch_bounds
        places = (0 if self._pages else bounds.max_items) if bounds else MAX_PARALLEL_PARCELS - self._held
        if places <= 0:
            return IDLE_MS
        claimed = await self._store.claim(
            endpoint.seq, now_ms=self._clock.now_ms(), limit=places, max_bytes=PAGE_MAX_BYTES, lease_ms=LEASE_MS
        )
        if not claimed:
            due_at_ms = await self._store.next_due_at_ms(endpoint.seq)
            return IDLE_MS if due_at_ms is None else min(IDLE_MS, max(MIN_WAIT_MS, due_at_ms - self._clock.now_ms()))
        for page in [claimed] if bounds else [[one] for one in claimed]:
            self._held += len(page)
            task = asyncio.create_task(self._deliver(page))
            self._pages.add(task)
            task.add_done_callback(self._page_done)
        return IDLE_MS

    def _page_done(self, task: asyncio.Task[None]) -> None:
        self._pages.discard(task)
        self.signal.set()

    async def _deliver(self, page: Sequence[Claimed]) -> None:
        endpoint = self._target.endpoint
        try:
            reason = await self._deliverer.deliver(self._target, page, self._throttle)
            if reason is not None and not self._paused:
                await self._pause(reason)
        except NicobarError as error:
            # The lease ends by itself, and then the page is taken up again.
            log.error("page not finished", endpoint_id=endpoint.id, code=error.code, detail=error.detail)
        except Exception as error:  # noqa: BLE001 - whatever one message breaks must not hold up the others
            log.exception("page broken", endpoint_id=endpoint.id, messages=[one.message.id for one in page])
            await self._one_by_one(page, error)
        finally:
            self._held -= len(page)

    async def _pause(self, reason: str) -> None:
        """At once here, and for good in the catalogue, where a person sees and ends it. Where it cannot be kept, the
        next refusal tries again. Raises StoreError.
        """
        endpoint_id = self._target.endpoint.id
        self._paused = True
        log.error("endpoint paused", endpoint_id=endpoint_id, reason=reason)
        try:
            await self._store.change([PauseEndpoint(endpoint_id=endpoint_id, reason=reason)])
        except StoreError:
            self._paused = False
            raise

    async def _one_by_one(self, page: Sequence[Claimed], error: Exception) -> None:
        """Finds the message that broke a page: the others go through, that one is tried later."""
        if len(page) == 1:
            await self._deliverer.postpone(self._target, page[0], error)
            return
        for one in page:
            self._held += 1
            await self._deliver([one])


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("delivery task ended", task=task.get_name(), error=repr(error))
