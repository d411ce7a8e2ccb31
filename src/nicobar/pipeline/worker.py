"""Keeps every endpoint's deliveries going: one task an endpoint, which claims a page, delivers it, and waits for a
signal or for the next delivery that becomes due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nicobar.clock import Clock
from nicobar.errors import NicobarError, StoreError
from nicobar.model import Breaker, BreakerState
from nicobar.observe import Metrics, log
from nicobar.pipeline import breaker as rules
from nicobar.pipeline.alerts import Alert, Alerts, AlertType
from nicobar.pipeline.configuration import Configuration, OpenEndpoint
from nicobar.pipeline.deliver import MAX_PARALLEL_PARCELS, Deliverer
from nicobar.pipeline.gate import Gate
from nicobar.pipeline.retry import JITTER, RETRY_AFTER_MS
from nicobar.pipeline.watch import Watch
from nicobar.store import Audited, Claimed, DisableEndpoint, PauseEndpoint, Store, is_made_alike

PAGE_MAX_BYTES = 4 * 1024 * 1024
LEASE_MS = 600_000
# Who pauses and disables where nobody asked for it.
ACTOR = "nicobar"
# The signal makes a new delivery leave at once; this finds what another process has put in.
IDLE_MS = 1_000
MIN_WAIT_MS = 5
AFTER_ERROR_MS = 1_000
# Nothing waits longer than the schedule's longest step, unless a destination asked for it (at most a day).
MAX_WAIT_MS = max(int(RETRY_AFTER_MS[-1] * (1 + JITTER)), 24 * 3_600_000)


class Worker:
    """Delivers for all endpoints of the configuration, and follows its changes."""

    def __init__(
        self,
        *,
        store: Store,
        configuration: Configuration,
        deliverer: Deliverer,
        clock: Clock,
        metrics: Metrics,
        alerts: Alerts,
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
        self._lanes: dict[int, _Lane] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._stopping = False
        configuration.on_change(self._follow)

    async def start(self) -> None:
        """Takes up what an earlier process left, then delivers. Only for the one worker of a database."""
        now_ms = self._clock.now_ms()
        await self._store.bound_times(now_ms=now_ms, latest_ms=now_ms + MAX_WAIT_MS)
        self._breakers = dict(await self._store.breakers())
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
                await self._hand_back()

    async def _hand_back(self) -> None:
        try:
            await self._store.release_leases()
        except StoreError as error:
            log.error("handed back by the next start", code=error.code, detail=error.detail)

    @property
    def alive(self) -> bool:
        """Whether every endpoint's task is running."""
        return not self._stopping and not any(task.done() for task in self._tasks.values())

    def failing_lanes(self) -> dict[str, str]:
        """Whose deliveries cannot be claimed and why: the last look at the queue failed, or the task has ended."""
        failing = {}
        for seq, lane in self._lanes.items():
            failure = "its task has ended" if self._tasks[seq].done() else lane.failure
            if failure is not None:
                failing[lane.name] = failure
        return failing

    def _follow(self) -> None:
        if self._stopping:
            return
        opened = self._configuration.endpoints
        for seq, target in opened.items():
            lane = self._lanes.get(seq)
            if lane is None:
                kept = rules.taken_up(self._breakers.get(seq, Breaker()), self._clock.now_ms())
                lane = self._lanes[seq] = _Lane(
                    target,
                    store=self._store,
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
            # The task ends by itself after its page; a reference keeps it from being collected before.
            task = self._tasks.pop(seq)
            task.add_done_callback(_log_end)

    def _set_clock(self, by_ms: int) -> None:
        for lane in self._lanes.values():
            lane.set_clock(by_ms)


class _Lane:
    """One endpoint's deliveries: one page at a time where calls are batched, so that the next batch gathers while
    one is in flight; elsewhere as many deliveries at once as there are places.
    """

    def __init__(
        self,
        target: OpenEndpoint,
        *,
        store: Store,
        deliverer: Deliverer,
        clock: Clock,
        watch: Watch,
        alerts: Alerts,
        metrics: Metrics,
        breaker: Breaker,
    ) -> None:
        self._target = target
        self._store = store
        self._deliverer = deliverer
        self._clock = clock
        self._watch = watch
        self._alerts = alerts
        self._metrics = metrics
        self._kept = breaker
        self._reset = False
        self._gate = self._new_gate(target, breaker)
        self._stopping = False
        self._paused = False
        self._pages: set[asyncio.Task[None]] = set()
        self._held = 0
        self.signal = asyncio.Event()
        # Why the last look at the queue failed.
        self.failure: str | None = None

    @property
    def name(self) -> str:
        return f"{self._target.endpoint.name} ({self._target.endpoint.id})"

    @property
    def breaker(self) -> Breaker:
        return self._gate.breaker

    def change(self, target: OpenEndpoint) -> None:
        """Follows the endpoint. Where it has become another one, or somebody lets it go on, it is asked at once."""
        before = self._target.endpoint
        if not is_made_alike(before, target.endpoint) or (_is_held(self._target) and not _is_held(target)):
            self._gate = self._new_gate(target, Breaker())
            self._reset = True
        elif before.max_messages_per_s != target.endpoint.max_messages_per_s:
            self._gate.change_rate(target.endpoint.max_messages_per_s, self._clock.steady_ms())
        self._target = target
        self._paused = False
        self.signal.set()

    def set_clock(self, by_ms: int) -> None:
        """The machine's clock was set by so much."""
        self._gate.breaker = rules.shifted(self._gate.breaker, by_ms)
        self.signal.set()

    def stop(self) -> None:
        self._stopping = True
        self.signal.set()

    async def run(self) -> None:
        try:
            while not self._stopping:
                self.signal.clear()
                try:
                    wait_ms = await self._start_pages()
                    self.failure = None
                    await self._clock.wait(self.signal, wait_ms)
                except StoreError as error:
                    self.failure = error.detail
                    log.error(
                        "queue not read", endpoint_id=self._target.endpoint.id, code=error.code, detail=error.detail
                    )
                    await self._clock.wait(self.signal, AFTER_ERROR_MS)
                except Exception as error:  # noqa: BLE001 - a surprise must not end an endpoint's deliveries
                    self.failure = f"internal error: {type(error).__name__}"
                    log.exception("queue not read", endpoint_id=self._target.endpoint.id)
                    await self._clock.wait(self.signal, AFTER_ERROR_MS)
            if self._pages:
                await asyncio.wait(self._pages)
        finally:
            for page in self._pages:
                page.cancel()

    async def _start_pages(self) -> int:
        """Takes what may be taken now; returns how many milliseconds to wait for the next look."""
        endpoint, gate = self._target.endpoint, self._gate
        await self._keep_breaker()
        if self._paused or _is_held(self._target):
            return IDLE_MS
        await self._watch.follow()
        wait_ms = gate.wait_ms(self._clock.now_ms(), self._clock.steady_ms())
        if wait_ms > 0:
            return min(IDLE_MS, wait_ms)
        places = gate.places(self._free(), self._clock.steady_ms())
        if places <= 0:
            return min(IDLE_MS, gate.allowance.wait_ms() or IDLE_MS)
        claimed = await self._store.claim(
            endpoint.seq, now_ms=self._clock.now_ms(), limit=places, max_bytes=PAGE_MAX_BYTES, lease_ms=LEASE_MS
        )
        if not claimed:
            due_at_ms = await self._store.next_due_at_ms(endpoint.seq)
            return IDLE_MS if due_at_ms is None else min(IDLE_MS, max(MIN_WAIT_MS, due_at_ms - self._clock.now_ms()))
        gate.taken(len(claimed))
        for page in [claimed] if self._target.destination.batch_bounds else [[one] for one in claimed]:
            self._held += len(page)
            task = asyncio.create_task(self._deliver(page))
            self._pages.add(task)
            task.add_done_callback(self._page_done)
        return IDLE_MS

    def _free(self) -> int:
        """How many deliveries more may be under way."""
        if self._pages and not self._gate.is_closed:
            return 0  # what is under way finds out whether the destination is back
        bounds = self._target.destination.batch_bounds
        if bounds is None:
            return max(0, MAX_PARALLEL_PARCELS - self._held)
        return 0 if self._pages else bounds.max_items

    def _page_done(self, task: asyncio.Task[None]) -> None:
        self._pages.discard(task)
        self.signal.set()

    async def _deliver(self, page: Sequence[Claimed]) -> None:
        target = self._target
        endpoint = target.endpoint
        try:
            reason = await self._deliverer.deliver(target, page, self._gate)
            await self._keep_breaker()
            # What was refused with credentials that were replaced meanwhile says nothing of the new ones.
            if reason is not None and not self._paused and is_made_alike(endpoint, self._target.endpoint):
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
            paused = PauseEndpoint(endpoint_id=endpoint_id, reason=reason)
            await self._store.change([paused, self._said("endpoint.pause", reason)])
        except StoreError:
            self._paused = False
            raise
        await self._alerts.tell(Alert(type=AlertType.PAUSED, endpoint=self._target.endpoint, reason=reason))

    async def _keep_breaker(self) -> None:
        """Keeps what a restart and whoever looks have to know: the breaker's state, its next probe, and since when
        there were only failures. Says what a person should hear. Raises StoreError; the next look tries again.
        """
        endpoint, breaker, kept = self._target.endpoint, self._gate.breaker, self._kept
        if _told(breaker) == _told(kept):
            return
        self._kept = breaker
        try:
            await self._store.keep_breaker(endpoint.seq, breaker)
        except StoreError:
            self._kept = kept
            raise
        self._metrics.breaker.labels(endpoint.name).set(int(breaker.state is not BreakerState.CLOSED))
        was_open, is_open = (one.opened_at_ms is not None for one in (kept, breaker))
        if is_open and not was_open:
            self._reset = False
            reason = breaker.reason or ""
            log.error("breaker opened", endpoint_id=endpoint.id, reason=reason, probe_at_ms=breaker.probe_at_ms)
            await self._alerts.tell(Alert(type=AlertType.FAILING, endpoint=endpoint, reason=reason))
        elif was_open and not is_open and not self._reset:
            log.info("breaker closed", endpoint_id=endpoint.id)
            await self._alerts.tell(Alert(type=AlertType.RECOVERED, endpoint=endpoint, reason="It answers again."))
        if rules.is_given_up(breaker):
            await self._disable(breaker.reason or "only failures")

    def _said(self, action: str, reason: str) -> Audited:
        """The line of the audit log for what nobody asked for."""
        endpoint = self._target.endpoint
        return Audited(
            at_ms=self._clock.now_ms(),
            actor=ACTOR,
            action=action,
            app_id=endpoint.app_id,
            subject=endpoint.id,
            detail=reason,
        )

    async def _disable(self, reason: str) -> None:
        endpoint = self._target.endpoint
        self._paused = True
        why = f"Disabled after {rules.DISABLE_AFTER_DAYS} days of failures only; the last one: {reason}"
        log.error("endpoint disabled", endpoint_id=endpoint.id, reason=why)
        try:
            disabled = DisableEndpoint(endpoint_id=endpoint.id, reason=why)
            await self._store.change([disabled, self._said("endpoint.disable", why)])
        except StoreError:
            self._paused = False
            raise
        await self._alerts.tell(Alert(type=AlertType.DISABLED, endpoint=endpoint, reason=why))
        # Whoever enables it, be it while no process runs, begins anew.
        self._gate.reset()
        self._kept = self._gate.breaker
        await self._store.keep_breaker(endpoint.seq, self._gate.breaker)

    def _new_gate(self, target: OpenEndpoint, breaker: Breaker) -> Gate:
        return Gate(
            max_requests_per_s=target.destination.max_requests_per_s,
            max_messages_per_s=target.endpoint.max_messages_per_s,
            breaker=breaker,
            steady_ms=self._clock.steady_ms(),
        )

    async def _one_by_one(self, page: Sequence[Claimed], error: Exception) -> None:
        """Finds the message that broke a page: the others go through, that one is tried later."""
        if len(page) == 1:
            await self._deliverer.postpone(self._target, page[0], error)
            return
        for one in page:
            self._held += 1
            await self._deliver([one])


def _is_held(target: OpenEndpoint) -> bool:
    return target.endpoint.disabled or target.endpoint.paused_reason is not None


def _told(breaker: Breaker) -> tuple[object, ...]:
    """What of a breaker is kept and told when it changes; the count of failures alone is not worth a write."""
    return breaker.state, breaker.opens, breaker.probe_at_ms, breaker.failing_since_ms


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("delivery task ended", task=task.get_name(), error=repr(error))
