"""This process as one of the workers of a database: it reports that it runs, notices workers that do not, acquires
leases and releases them.

Nothing depends on clocks of different machines. A worker is dead once its beat has not changed for `DEAD_MS` by the
clock of the worker that looks; that worker removes it only if the beat is still the same, and only leases of removed
workers are free. A worker whose own beat was not confirmed for `MAX_UNCONFIRMED_MS` sends nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Protocol

from nicobar.clock import Clock
from nicobar.connectors.transport import TIMEOUT_MS
from nicobar.errors import StoreError
from nicobar.ids import IdFactory
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.pipeline.sharing import Plan, share_out
from nicobar.store import Lease, Leases
from nicobar.store.leases import endpoint_lease

BEAT_MS = 2_000
DEAD_MS = 6_000
MAX_UNCONFIRMED_MS = 4_000
# A lease that is free for so long is acquired beyond the share: the worker whose share it is cannot use it.
LEFT_MS = 10_000


class Holder(Protocol):
    """The work under leases."""

    def endpoints(self) -> Mapping[int, bool]:
        """All endpoints, by their `seq`, and whether this process can deliver for them."""
        ...

    def task_leases(self) -> Collection[str]:
        """The leases of tasks that only one process may run."""
        ...

    def is_under_way(self, name: str) -> bool:
        """Whether what belongs to the lease is being done."""
        ...

    async def prepare(self, names: Sequence[str]) -> None:
        """Reads the data that these need. Raises StoreError."""
        ...

    def begin(self, lease: Lease) -> None:
        """Does from now on what belongs to a lease for which `prepare` was called."""
        ...

    def end(self, names: Iterable[str]) -> Mapping[str, asyncio.Task[None] | None]:
        """Begins nothing new under these; gives the tasks that end with what is under way."""
        ...

    def drop(self, names: Iterable[str]) -> None:
        """Ends at once what is done under these: another worker may do it already."""
        ...


class LeaseKeeper:
    """Holds this process's leases. `alone` says that it is certain that no other worker runs: no beat is needed.
    `on_released` tells other workers that they may acquire leases; those that do not hear of it see it at a beat.
    """

    def __init__(
        self,
        *,
        store: Leases,
        holder: Holder,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        alone: bool,
        on_released: Callable[[], None],
    ) -> None:
        self._store = store
        self._holder = holder
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._alone = alone
        self._on_released = on_released
        self._worker_id: str | None = None
        # When the last beat that is known to be stored was sent.
        self._confirmed_at_ms = 0
        # The last beat of each worker that runs, and when it was first seen.
        self._seen: dict[str, tuple[int, int]] = {}
        # Those of them that stop.
        self._stopping: frozenset[str] = frozenset()
        self._leases: dict[str, Lease] = {}
        # The version of `_leases`, None where they have to be read again.
        self._version: int | None = None
        self._changing = asyncio.Lock()
        self._held: dict[str, Lease] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._free_since_ms: dict[str, int] = {}
        # Acquired beyond the share, and kept until other workers run.
        self._kept: set[str] = set()
        self._kept_among: frozenset[str] = frozenset()
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._beating: asyncio.Task[None] | None = None
        self._acting: asyncio.Task[None] | None = None
        # Why the last attempt to follow the leases failed.
        self.failure: str | None = None

    def may_send(self) -> bool:
        """Whether no other worker can have acquired this one's leases yet."""
        if self._worker_id is None:
            return False
        return self._alone or self._clock.steady_ms() - self._confirmed_at_ms <= MAX_UNCONFIRMED_MS

    def look(self) -> None:
        """The endpoints have changed, or leases were released."""
        self._wake.set()

    @property
    def alive(self) -> bool:
        return self._beating is not None and not self._beating.done()

    async def start(self) -> None:
        """Acquires free leases. Raises StoreError."""
        await self._beat()
        await self._act()
        self._beating = asyncio.create_task(self._run(), name="leases")

    async def stop(self, timeout_ms: int) -> None:
        """Gives up everything, each lease once nothing is under way under it, and all after `timeout_ms`."""
        self._is_stopping = True
        # Others share out the leases that are released from now on. If this fails, the next beat reports it.
        await self._try(self._beat())
        if self._acting is not None:
            await asyncio.wait([self._acting], timeout=timeout_ms / 1000)
        self._leave(self._held.keys())
        leaving = set(self._leaving.values())
        if leaving:
            _, late = await asyncio.wait(leaving, timeout=timeout_ms / 1000)
            if late:
                names = list(self._leaving)
                log.warning("stopped with deliveries in flight", leases=len(names))
                self._holder.drop(names)
                await asyncio.wait(late)
        await _canceled(self._beating)
        try:
            if self._worker_id is not None:
                await self._store.remove_worker(self._worker_id)
        except StoreError as error:
            log.error("worker not removed; others notice it", code=error.code, detail=error.detail)

    async def _run(self) -> None:
        """Says that this worker runs, whatever else is under way."""
        while True:
            if self._alone and self.failure is None:
                await self._wake.wait()
            else:
                await self._clock.wait(self._wake, BEAT_MS)
            self._wake.clear()
            if not await self._try(self._beat()) or self._is_stopping:
                continue
            if self._alone:
                await self._try(self._act())
            elif self._acting is None:
                self._acting = asyncio.create_task(self._follow(), name="leases")

    async def _follow(self) -> None:
        try:
            await self._try(self._act())
        finally:
            self._acting = None

    async def _try(self, work: Coroutine[None, None, None]) -> bool:
        try:
            await work
        except StoreError as error:
            if self.failure is None:
                log.error("leases not followed", code=error.code, detail=error.detail)
            self.failure = error.detail
        except Exception as error:  # noqa: BLE001 - an unexpected error must not end delivery
            log.exception("leases not followed")
            self.failure = f"internal error: {type(error).__name__}"
        else:
            self.failure = None
            return True
        return False

    async def _beat(self) -> None:
        """Reports that this worker runs, and whether it stops; reads which others do."""
        if self._worker_id is None and not self._is_stopping:
            await self._join()
        if self._alone or self._worker_id is None:
            return
        asked_at_ms = self._clock.steady_ms()
        beats = await self._store.beat(self._worker_id, leaving=self._is_stopping)
        if self._worker_id not in beats.by_worker:
            self._end_after_removal()
            return
        if asked_at_ms - self._confirmed_at_ms > MAX_UNCONFIRMED_MS:
            self._seen.clear()  # the database did not respond, or this process did not run: others are not to blame
        self._confirmed_at_ms = asked_at_ms
        read_at_ms = self._clock.steady_ms()
        seen, self._seen = self._seen, {}
        for worker, beat in beats.by_worker.items():
            known = seen.get(worker)
            self._seen[worker] = known if known is not None and known[0] == beat else (beat, read_at_ms)
        self._stopping = beats.leaving
        if beats.version != self._version:
            self._version = None

    async def _join(self) -> None:
        worker_id = self._ids.new("worker")
        asked_at_ms = self._clock.steady_ms()
        await self._store.add_worker(worker_id, alone=self._alone)
        self._worker_id, self._confirmed_at_ms = worker_id, asked_at_ms
        self._seen = {worker_id: (1, asked_at_ms)}
        log.info("worker joined", worker_id=worker_id)

    def _end_after_removal(self) -> None:
        """Another worker has removed this one, and may have its leases already."""
        log.error("worker was removed by another one, since it did not respond in time", worker_id=self._worker_id)
        self._metrics.leases.labels("lost").inc(len(self._held))
        self._holder.drop(list(self._held))
        self._held.clear()
        self._seen.clear()
        self._version = None
        self._worker_id = None
        self._wake.set()

    async def _act(self) -> None:
        """Acquires and releases the leases that are due for it."""
        worker_id = self._worker_id
        if worker_id is None:
            return
        await self._remove_silent(worker_id)
        await self._read_leases(worker_id)
        if self._is_stopping:
            return  # it has no share
        plan, late = self._plan(worker_id)
        self._leave(plan.give_up)
        if plan.take:
            await self._take(plan.take, worker_id, late)
        names = [name for name in self._held if name not in self._leaving and not self._holder.is_under_way(name)]
        if names:
            await self._holder.prepare(names)
        for name in names:
            # Meanwhile another worker may have removed this one.
            if name in self._held and name not in self._leaving and not self._is_stopping:
                self._holder.begin(self._held[name])

    async def _remove_silent(self, worker_id: str) -> None:
        for other, (beat, seen_at_ms) in list(self._seen.items()):
            # Both times are of this worker's own last look, at which the beat was still the same.
            if other == worker_id or self._confirmed_at_ms - seen_at_ms < DEAD_MS:
                continue
            if await self._store.remove_silent_worker(other, beat=beat):
                log.warning("worker does not respond; others take over", worker_id=other)
            self._seen.pop(other, None)

    async def _read_leases(self, worker_id: str) -> None:
        """Reads the leases if any was changed, and drops those that this worker no longer has."""
        async with self._changing:
            if self._version is not None:
                return
            self._leases = {lease.name: lease for lease in await self._store.leases()}
            if worker_id != self._worker_id:
                return
            self._version = sum(lease.term for lease in self._leases.values())
            mine = {name: lease for name, lease in self._leases.items() if lease.holder == worker_id}
            lost = [name for name, lease in self._held.items() if mine.get(name) != lease]
            if lost:
                log.error("leases lost", worker_id=worker_id, leases=len(lost))
                self._holder.drop(lost)
            self._held = mine

    def _plan(self, worker_id: str) -> tuple[Plan, set[str]]:
        """The leases to acquire and to release, and those that are beyond the share."""
        worker_ids = frozenset([*self._seen, worker_id])
        leaving = worker_ids & self._stopping
        sharing = worker_ids - leaving
        if sharing != self._kept_among:
            self._kept, self._kept_among = set(), sharing
        endpoints = {endpoint_lease(seq): usable for seq, usable in self._holder.endpoints().items()}
        tasks = self._holder.task_leases()
        usable = {name for name, is_usable in endpoints.items() if is_usable} | set(tasks)
        holders = {lease.name: lease.holder for lease in self._leases.values()}
        plans = [share_out(worker_id, sharing, holders, names, leaving) for names in (endpoints, tasks)]
        now_ms = self._clock.steady_ms()
        free = [name for name in (*endpoints, *tasks) if holders.get(name) not in worker_ids]
        self._free_since_ms = {name: self._free_since_ms.get(name, now_ms) for name in free}
        late = {name for name, since_ms in self._free_since_ms.items() if now_ms - since_ms >= LEFT_MS}
        give_up = {name for plan in plans for name in plan.give_up} - self._kept
        take = {name for plan in plans for name in plan.take} | late
        plan = Plan(take=tuple(sorted(take & usable)), give_up=tuple(sorted(give_up | (self._held.keys() - usable))))
        return plan, late

    async def _take(self, names: Sequence[str], worker_id: str, late: Collection[str]) -> None:
        # What another worker was sending may still be under way at its destination.
        sent_again_at_ms = self._clock.now_ms() + (0 if self._alone else TIMEOUT_MS)
        async with self._changing:
            try:
                taken = await self._store.take_leases(names, worker_id, sent_again_at_ms=sent_again_at_ms)
            except StoreError:
                self._version = None  # some of them may be acquired
                raise
            self._note(taken)
            if worker_id != self._worker_id:
                return
            self._held |= {lease.name: lease for lease in taken}
        self._kept |= {lease.name for lease in taken if lease.name in late}
        self._metrics.leases.labels("acquired").inc(len(taken))
        if taken:
            log.info("leases acquired", worker_id=worker_id, leases=len(taken), held=len(self._held))

    def _leave(self, names: Iterable[str]) -> None:
        """Begins to give these up."""
        new = [name for name in names if name not in self._leaving]
        if new and self._worker_id is not None:
            task = asyncio.create_task(self._give_up(new, self._worker_id), name="give up leases")
            self._leaving |= dict.fromkeys(new, task)

    async def _give_up(self, names: Sequence[str], worker_id: str) -> None:
        """Gives up each once nothing is under way under it."""
        try:
            ending = self._holder.end(names)
            under_way = {task: name for name, task in ending.items() if task is not None}
            ended = [name for name, task in ending.items() if task is None]
            while ended or under_way:
                if ended:
                    await self._give_up_ended(ended, worker_id)
                    ended = []
                if under_way:
                    done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    ended = [under_way.pop(task) for task in done]
            self._wake.set()
        except StoreError as error:
            log.error("leases not released", leases=len(names), code=error.code, detail=error.detail)
            self._version = None
        finally:
            self._left(names)

    def _left(self, names: Iterable[str]) -> None:
        """These are given up; another hand-over of one of them may have begun since."""
        for name in names:
            if self._leaving.get(name) is asyncio.current_task():
                del self._leaving[name]

    async def _give_up_ended(self, names: Sequence[str], worker_id: str) -> None:
        async with self._changing:
            # A delivery taken over a moment ago may still be under way at the previous worker.
            after_ms = self._clock.now_ms() + (0 if self._alone else TIMEOUT_MS)
            given_up = await self._store.give_up_leases(names, worker_id, after_ms=after_ms)
            self._note(given_up)
            if worker_id == self._worker_id:
                for name in names:
                    self._held.pop(name, None)
        self._left(names)
        self._metrics.leases.labels("released").inc(len(given_up))
        if given_up:
            self._on_released()
        log.info("leases released", worker_id=worker_id, leases=len(given_up), held=len(self._held))

    def _note(self, changed: Iterable[Lease]) -> None:
        """Each change adds one to the version."""
        for lease in changed:
            self._leases[lease.name] = lease
            if self._version is not None:
                self._version += 1


async def _canceled(task: asyncio.Task[None] | None) -> None:
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task])
