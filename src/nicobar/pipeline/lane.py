"""The deliveries of one endpoint. The task claims a page, delivers it, and waits for a signal or until the next
delivery is due. The same task probes an endpoint on hold until sending resumes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nicobar.clock import Clock
from nicobar.connectors.transport import TIMEOUT_MS
from nicobar.errors import LeaseLost, NicobarError, StoreError
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import Breaker, Endpoint
from nicobar.pipeline import batching
from nicobar.pipeline import breaker as rules
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.breaker_record import BreakerRecord
from nicobar.pipeline.clock_changes import Watch
from nicobar.pipeline.configuration import Configuration, OpenEndpoint
from nicobar.pipeline.deliver import Deliverer, PageError, Passed
from nicobar.pipeline.endpoint_changes import EndpointChanges, heals, is_stopped
from nicobar.pipeline.gate import Gate
from nicobar.pipeline.hastening import Hastening
from nicobar.pipeline.new_shares import NewShares
from nicobar.pipeline.overtaking import Overtaking
from nicobar.pipeline.recent_calls import Workspaces
from nicobar.pipeline.repeating import Repeating
from nicobar.pipeline.unidentified import Identifying
from nicobar.reasons import Reason, reason
from nicobar.store import Claim, Claimed, DueRepeat, Shares, Store, is_made_alike

# Of an endpoint whose calls are not batched. With a receiver that responds in 100 ms that is 640 a second.
MAX_PARALLEL_DELIVERIES = 64
PAGE_MAX_BYTES = 4 * 1024 * 1024
LEASE_MS = 600_000
IDLE_MS = 1_000
# The worker wakes a lane that has something due, or all if it cannot see that. Without it a lane looks rarely, since
# there may be thousands.
REST_MS = 600_000
MIN_WAIT_MS = 5
AFTER_ERROR_MS = 1_000


class Lane:
    """One endpoint's deliveries, under one term of its lease: one page at a time if calls are batched, so that the
    next batch is gathered while one is in flight; otherwise as many parallel deliveries as there are places.

    An endpoint is on hold while the catalogue says that it is paused, but not by a user. The catalogue stores the
    hold, the breaker stores the time of the next probe.
    """

    def __init__(
        self,
        target: OpenEndpoint,
        *,
        term: int,
        store: Store,
        configuration: Configuration,
        deliverer: Deliverer,
        clock: Clock,
        watch: Watch,
        alerts: Alerts,
        metrics: Metrics,
        breaker: Breaker,
        overtake_after_ms: int,
        workspaces: Workspaces,
    ) -> None:
        self._target = target
        self._term = term
        self._store = store
        self._deliverer = deliverer
        self._clock = clock
        self._watch = watch
        self._record = BreakerRecord(queue=store, alerts=alerts, metrics=metrics, term=term, kept=breaker)
        self._gate = self._new_gate(target, breaker)
        self._configuration = configuration
        self._stopping = False
        self._new_shares = NewShares()
        self._pages: set[asyncio.Task[None]] = set()
        self._check: asyncio.Task[None] | None = None
        # The messages whose deliveries are in flight.
        self._under_way: set[int] = set()
        # Whether deliveries may be claimed that are not in flight, since the outcome of a write is not known.
        self._has_strays = False
        self.signal = asyncio.Event()
        self._changes = EndpointChanges(
            store=store,
            configuration=configuration,
            clock=clock,
            alerts=alerts,
            current=lambda: None if self._stopping else self._target,
            signal=self.signal,
        )
        self._hastening = Hastening(queue=store, clock=clock, endpoint=target.endpoint, term=term)
        self._overtaking = Overtaking(
            queue=store,
            deliverer=deliverer,
            clock=clock,
            metrics=metrics,
            term=term,
            after_ms=overtake_after_ms,
            signal=self.signal,
        )
        self._identifying = Identifying(
            facts=store, configuration=configuration, clock=clock, term=term, signal=self.signal
        )
        self._repeating = Repeating(repeats=store, workspaces=workspaces, clock=clock, metrics=metrics, term=term)
        # Whether the last page was of what is repeated; deliveries are next.
        self._has_repeated = False
        # Why the last read of the queue failed.
        self.failure: str | None = None
        self._follow_hold()

    @property
    def name(self) -> str:
        return f"{self._target.endpoint.name} ({self._target.endpoint.id})"

    @property
    def endpoint_name(self) -> str:
        return self._target.endpoint.name

    @property
    def breaker(self) -> Breaker:
        return self._gate.breaker

    def change(self, target: OpenEndpoint) -> None:
        """Follows a change of the endpoint. If its settings changed or it was resumed, sending starts at once."""
        before = self._target.endpoint
        if not is_made_alike(before, target.endpoint) or (is_stopped(before) and not is_stopped(target.endpoint)):
            self._gate.closing.set()  # what waits for its turn under the former settings comes back unsent
            self._gate = self._new_gate(target, rules.restarted(self._gate.breaker))
            self._record.reset()
        elif before.max_messages_per_s != target.endpoint.max_messages_per_s:
            self._gate.change_rate(target.endpoint.max_messages_per_s, self._clock.steady_ms())
        self._target = target
        self._follow_hold()
        self.signal.set()

    def _follow_hold(self) -> None:
        """Starts probing an endpoint that is on hold, and stops if it is not."""
        on_hold = heals(self._target)
        if on_hold and self._gate.breaker.hold is None:
            jitter = self._deliverer.jitter()
            self._gate.breaker = rules.on_hold(self._gate.breaker, self._clock.now_ms(), jitter)
        elif not on_hold and self._gate.breaker.hold is not None:
            self._gate.reset()
            self._record.reset()

    def set_clock(self, by_ms: int) -> None:
        """The machine's clock moved by `by_ms`."""
        self._gate.breaker = rules.shifted(self._gate.breaker, by_ms)
        self._overtaking.set_clock()
        self._repeating.set_clock()
        self.signal.set()

    def stop(self) -> None:
        """Claims and sends nothing more; the task ends once the requests in flight are answered."""
        self._stopping = True
        self._gate.closing.set()
        if self._check is not None:
            self._check.cancel()  # nothing was sent
        self._overtaking.stop()
        self.signal.set()

    async def run(self) -> None:
        try:
            while not self._stopping:
                self.signal.clear()
                try:
                    wait_ms = await self._start_pages()
                    self.failure = None
                    await self._clock.wait(self.signal, wait_ms)
                except LeaseLost:
                    # Another worker has it; what keeps the leases learns it within a moment, and ends this.
                    await self._clock.wait(self.signal, IDLE_MS)
                except StoreError as error:
                    self.failure = error.detail
                    log.error(
                        "queue not read", endpoint_id=self._target.endpoint.id, code=error.code, detail=error.detail
                    )
                    await self._clock.wait(self.signal, AFTER_ERROR_MS)
                except Exception as error:  # noqa: BLE001 - an unexpected error must not stop the deliveries
                    self.failure = f"internal error: {type(error).__name__}"
                    log.exception("queue not read", endpoint_id=self._target.endpoint.id)
                    await self._clock.wait(self.signal, AFTER_ERROR_MS)
            if self._pages:
                await asyncio.wait(self._pages)
        finally:
            for page in self._pages:
                page.cancel()

    async def _start_pages(self) -> int:
        """Claims and starts the deliveries that may be sent now; returns the milliseconds until the next look."""
        await self._keep_breaker()
        gate = self._gate
        if self._changes.under_way or self._rests():  # as the breaker may have disabled it just now
            return REST_MS
        await self._watch.follow()
        wait_ms = gate.wait_ms(self._clock.now_ms(), self._clock.steady_ms())
        if wait_ms > 0:
            return min(IDLE_MS, wait_ms)
        if rules.next_probe_at_ms(gate.breaker) is not None and gate.breaker.hold is not None:
            self._start_check(gate)
            return IDLE_MS
        if await self._hastening.follow(gate):
            self.signal.set()
        look_ms = _sooner(
            await self._overtaking.follow(self._target, gate), await self._identifying.follow(self._target)
        )
        places = 0 if await self._repeats(gate) else gate.places(self._free(), self._clock.steady_ms())
        look_ms = _sooner(look_ms, self._repeating.wait_ms)
        if places <= 0:
            return min(IDLE_MS, gate.allowance.wait_ms() or IDLE_MS)
        claimed_for = self._target.endpoint
        claimed = await self._claim(places)
        if not claimed:
            rest_ms = await self._rest(gate)
            return _sooner(look_ms, rest_ms) or rest_ms
        await self._start(claimed, claimed_for)
        return IDLE_MS

    async def _repeats(self, gate: Gate) -> bool:
        """Whether calls are being repeated, as a page between pages of deliveries."""
        if not self._repeating.is_due or self._pages or not gate.is_closed:
            return False
        if self._has_repeated:
            self._has_repeated = False
            self.signal.set()
            return False
        due = await self._repeating.due(self._target)
        if due:
            self._has_repeated = True
            task = asyncio.create_task(self._repeat(gate, due), name=f"repeat {self._target.endpoint.id}")
            self._pages.add(task)
            task.add_done_callback(self._page_done)
            task.add_done_callback(log_end)
        return bool(due)

    async def _repeat(self, gate: Gate, due: Sequence[DueRepeat]) -> None:
        try:
            await self._configuration.catch_up(max(item.catalogue_version for item in due))
            if not self._rests() and self._target.endpoint.seq in self._configuration.endpoints:
                await self._repeating.send(self._target, gate, self._deliverer.sender, due)
        except StoreError as error:
            endpoint_id = self._target.endpoint.id
            log.error("repeats not finished", endpoint_id=endpoint_id, code=error.code, detail=error.detail)

    async def _start(self, claimed: list[Claimed], claimed_for: Endpoint) -> None:
        try:
            if not await self._suits(claimed, claimed_for):
                await self._deliverer.put_back(self._target, claimed)
                return
        except BaseException:
            self._has_strays = True
            raise
        self._gate.taken(len(claimed))
        for page in [claimed] if self._target.destination.batch_bounds else [[item] for item in claimed]:
            self._under_way |= {item.message.seq for item in page}
            task = asyncio.create_task(self._deliver(page))
            self._pages.add(task)
            task.add_done_callback(self._page_done)

    def _rests(self) -> bool:
        """Whether the endpoint is disabled, or waits for a user to resume it."""
        return is_stopped(self._target.endpoint) and not heals(self._target)

    async def _rest(self, gate: Gate) -> int:
        """Nothing is due; returns the milliseconds until something is. A probe takes what waits for a retry."""
        if not gate.is_closed and await self._hastening.take_one():
            self.signal.set()
        now_ms, due_at_ms = self._clock.now_ms(), await self._store.next_due_at_ms(self._target.endpoint.seq)
        wait_ms = None if due_at_ms is None else max(MIN_WAIT_MS, due_at_ms - now_ms)
        if not self._pages and gate.opens_at_rest(wait_ms, now_ms, self._deliverer.jitter()):
            self.signal.set()
        return REST_MS if wait_ms is None else min(REST_MS, wait_ms)

    async def _claim(self, places: int) -> list[Claimed]:
        seq, term = self._target.endpoint.seq, self._term
        if self._has_strays:
            released = await self._release_strays()
            if released:
                log.warning("deliveries requeued", endpoint_id=self._target.endpoint.id, deliveries=released)
        now_ms = self._clock.now_ms()
        bounds = self._target.destination.batch_bounds
        oldest, newest = self._new_shares.of(places)
        shares = Shares(oldest_new=oldest, newest_new=newest, chains=bounds is not None and bounds.keeps_order)
        try:
            return await self._store.claim(
                Claim(
                    endpoint_seq=seq,
                    term=term,
                    now_ms=now_ms,
                    limit=places,
                    max_bytes=PAGE_MAX_BYTES,
                    lease_ms=LEASE_MS,
                    shares=shares,
                )
            )
        except LeaseLost:
            raise
        except Exception:
            self._has_strays = True
            raise

    async def _suits(self, claimed: Sequence[Claimed], claimed_for: Endpoint) -> bool:
        """Whether what was claimed may be sent to the endpoint as it is now. What was changed before deliveries were
        queued applies to them, also if another process did both: a replay runs the code that was published before it.
        """
        await self._configuration.catch_up(max(item.catalogue_version for item in claimed))
        if self._rests() or claimed_for.seq not in self._configuration.endpoints:
            return False
        if is_made_alike(claimed_for, self._target.endpoint):
            return True
        # What one destination gets together, in order, another one might get at the same time.
        self.signal.set()
        return False

    async def _release_strays(self) -> int:
        self._has_strays = False  # before it is waited: a page may leave more meanwhile
        # What was taken over a moment ago may still be under way at the worker that had it.
        after_ms = self._clock.now_ms() + TIMEOUT_MS
        try:
            return await self._store.release_strays(
                self._target.endpoint.seq, term=self._term, under_way=set(self._under_way), after_ms=after_ms
            )
        except BaseException:
            self._has_strays = True
            raise

    def _free(self) -> int:
        """How many more deliveries may be in flight."""
        if self._pages and not self._gate.is_closed:
            return 0  # the delivery in flight probes the destination
        bounds = self._target.destination.batch_bounds
        if bounds is None:
            return max(0, MAX_PARALLEL_DELIVERIES - len(self._under_way))
        return 0 if self._pages else bounds.max_items

    def _page_done(self, task: asyncio.Task[None]) -> None:
        self._pages.discard(task)
        self.signal.set()

    def _start_check(self, gate: Gate) -> None:
        """Checks the destination, unless something is in flight."""
        if self._pages:
            return
        gate.breaker = rules.hold_probed(gate.breaker, self._clock.now_ms(), self._deliverer.jitter())
        task = self._check = asyncio.create_task(self._check_hold(gate), name=f"check {self._target.endpoint.id}")
        self._pages.add(task)
        task.add_done_callback(self._page_done)
        task.add_done_callback(log_end)

    async def _check_hold(self, gate: Gate) -> None:
        if await self._deliverer.check(self._target):
            gate.breaker = rules.admitted(gate.breaker)

    async def _deliver(self, page: Sequence[Claimed]) -> None:
        target, gate = self._target, self._gate
        endpoint = target.endpoint
        was_on_hold = gate.breaker.hold is not None
        try:
            passed = await self._deliverer.deliver(target, page, gate, self._repeating)
            if was_on_hold:
                await self._follow_probe(endpoint, gate, passed)
            if passed.awaits_identity:
                self._identifying.begin()
            await self._keep_breaker()
            await self._follow_answers(endpoint, passed)
        except NicobarError as error:
            # The outcome is not known; some may be stored.
            self._identifying.begin()
            self._tell_unfinished(error)
        except Exception as error:  # noqa: BLE001 - one broken message must not stop the others
            log.exception(
                "deliveries broken by an internal error",
                endpoint_id=endpoint.id,
                messages=[item.message.id for item in page],
            )
            self._identifying.begin()
            # What has its result, of other requests, is not sent again: later ones of its customer may be accepted.
            left, cause = (error.left, error.__cause__) if isinstance(error, PageError) else (page, error)
            await self._one_by_one(left, cause or error)
        finally:
            self._under_way -= {item.message.seq for item in page}
            self._overtaking.attempted()

    async def _follow_probe(self, endpoint: Endpoint, gate: Gate, passed: Passed) -> None:
        """Only an accepted delivery ends a hold. After one that was not attempted, the next may go."""
        if passed.is_accepted:
            why = reason("delivery_accepted", "The destination accepted a delivery.")
            if await self._changes.resume(endpoint, why):
                # The configuration change created a new gate, which does not know about the hold.
                self._gate.suspects = gate.suspects
                self._gate.suspects.hold_ended(self._clock.steady_ms())
                self._gate.answered(self._clock.now_ms())
                log.info("endpoint hold ended", endpoint_id=endpoint.id)
        elif passed.is_sent:
            gate.breaker = rules.hold_probed(gate.breaker, self._clock.now_ms(), self._deliverer.jitter())

    async def _follow_answers(self, endpoint: Endpoint, passed: Passed) -> None:
        """Stops the endpoint if its destination demands it. Responses to credentials that were replaced meanwhile do
        not count for the new ones.
        """
        if self._changes.under_way or not is_made_alike(endpoint, self._target.endpoint):
            return
        if passed.disable_reason is not None:
            await self._disable(endpoint, passed.disable_reason)
        elif passed.hold_reason is not None:
            await self._changes.hold(endpoint, passed.hold_reason, is_new=not heals(self._target))
        elif passed.is_accepted and not is_stopped(self._target.endpoint):
            await self._record.accepted(endpoint)

    async def _keep_breaker(self) -> None:
        """Raises StoreError; the next look retries."""
        endpoint = self._target.endpoint
        given_up = await self._record.follow(endpoint, self._gate.breaker)
        if given_up is not None:
            await self._disable(endpoint, given_up)

    async def _disable(self, endpoint: Endpoint, why: Reason) -> None:
        if await self._changes.disable(endpoint, why):
            # After it is enabled, even while no process runs, it starts with a new breaker.
            self._gate.reset()
            await self._record.put(endpoint, self._gate.breaker)

    def _new_gate(self, target: OpenEndpoint, breaker: Breaker) -> Gate:
        return Gate(
            max_requests_per_s=target.destination.max_requests_per_s,
            max_messages_per_s=target.endpoint.max_messages_per_s,
            breaker=breaker,
            steady_ms=self._clock.steady_ms(),
        )

    async def _one_by_one(self, page: Sequence[Claimed], error: BaseException) -> None:
        """Finds the message that broke a page: the others are delivered, that one is retried later. What is behind
        another comes with a later page.
        """
        if len(page) == 1:
            try:
                await self._deliverer.postpone(self._target, page[0], error)
            except NicobarError as failure:
                self._tell_unfinished(failure)
            return
        firsts = [chain[0] for chain in batching.chains(item.order for item in page)]
        behind = [item for index, item in enumerate(page) if index not in firsts]
        try:
            await self._deliverer.put_behind(self._target, behind)
        except NicobarError as failure:
            self._tell_unfinished(failure)
            return
        for index in firsts:
            await self._deliver([page[index]])

    def _tell_unfinished(self, failure: NicobarError) -> None:
        self._has_strays = True
        endpoint_id = self._target.endpoint.id
        log.error("deliveries not finished", endpoint_id=endpoint_id, code=failure.code, detail=failure.detail)


def log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("delivery task stopped unexpectedly", task=task.get_name(), error=repr(error))


def _sooner(one_ms: int | None, other_ms: int | None) -> int | None:
    return min((ms for ms in (one_ms, other_ms) if ms is not None), default=None)
