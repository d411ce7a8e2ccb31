"""Workers of one database share the endpoints, and take over from those that end. Each has a clock of its own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from nicobar.ids import IdFactory
from nicobar.metrics import Metrics
from nicobar.pipeline.leases import BEAT_MS, DEAD_MS, LEFT_MS, MAX_UNCONFIRMED_MS, LeaseKeeper
from nicobar.store.leases import endpoint_lease
from support.clock import MovingClock
from support.patience import PATIENCE_S
from support.store import failing_store


class Process:
    """A worker's leases, and what it does under them."""

    def __init__(self, store, endpoints: int = 6, tasks=(), *, alone: bool = False) -> None:
        self.seqs = dict.fromkeys(range(1, endpoints + 1), True)
        self.names = tasks
        self.clock = MovingClock()
        self.does: dict[str, asyncio.Task[None]] = {}
        self.told: dict[str, asyncio.Event] = {}
        self.terms: dict[str, int] = {}
        # A page is in flight until this is set, except under these leases.
        self.pages_end = asyncio.Event()
        self.pages_end.set()
        self.idle: set[str] = set()
        self.dropped: list[str] = []
        # Those that are told of what it gives up.
        self.told_ones: list[Process] = []
        self.keeper = LeaseKeeper(
            store=store,
            holder=self,
            clock=self.clock,
            ids=IdFactory(self.clock.now_ms),
            metrics=Metrics(),
            alone=alone,
            on_released=lambda: [other.keeper.look() for other in self.told_ones],
        )

    def endpoints(self):
        return self.seqs

    def task_leases(self):
        return self.names

    def is_under_way(self, name):
        return name in self.does

    async def prepare(self, _names):
        pass

    def begin(self, lease):
        assert lease.term > self.terms.get(lease.name, 0)
        self.terms[lease.name] = lease.term
        told = self.told[lease.name] = asyncio.Event()
        self.does[lease.name] = asyncio.create_task(self.deliver(lease.name, told))

    async def deliver(self, name, told):
        await told.wait()
        if name not in self.idle:
            await self.pages_end.wait()

    def end(self, names):
        ending = {name: self.does.get(name) for name in names}
        for name, task in ending.items():
            if task is not None:
                self.told[name].set()
                task.add_done_callback(lambda _, name=name: self.does.pop(name, None))
        return ending

    def drop(self, names):
        self.dropped += names
        for task in self.end(names).values():
            if task is not None:
                task.cancel()

    @property
    def held(self) -> set[str]:
        return set(self.keeper._held)

    @property
    def rests(self) -> bool:
        keeper = self.keeper
        leaving = keeper._leaving and self.pages_end.is_set()
        return self.clock.quiet and keeper._acting is None and not keeper._wake.is_set() and not leaving

    def die(self) -> None:
        """As a killed process ends: it gives up nothing."""
        self.keeper._beating.cancel()


async def time_passes(*processes: Process, by_ms: int = BEAT_MS) -> None:
    """Time passes for all, beat by beat."""
    for _ in range(by_ms // BEAT_MS):
        for process in processes:
            process.clock.move(BEAT_MS)
        async with asyncio.timeout(PATIENCE_S):
            while not all(process.rests for process in processes if not process.keeper._beating.done()):
                await asyncio.sleep(0)


@asynccontextmanager
async def running(*processes: Process, beside: Process | None = None):
    """Some time after the start of these, which passes for a process beside them too."""
    async with AsyncExitStack() as stack:
        for process in processes:
            await process.keeper.start()
            stack.push_async_callback(stop, process)
        await time_passes(*processes, *([] if beside is None else [beside]), by_ms=10_000)
        yield


async def stop(process: Process) -> None:
    """Waits for pages in flight only if they are to end."""
    await process.keeper.stop(1_000_000 if process.pages_end.is_set() else 0)


def all_names(count: int) -> set[str]:
    return {endpoint_lease(seq) for seq in range(1, count + 1)}


def only_one_holder(*processes: Process) -> None:
    names = [name for process in processes for name in process.held]
    assert len(names) == len(set(names))


async def test_endpoints_and_tasks_are_spread_evenly(store):
    tasks = ("retention", "replays", "removed endpoints")
    processes = [Process(store, 7, tasks) for _ in range(3)]
    async with running(*processes):
        only_one_holder(*processes)
        assert sorted(len(process.held & all_names(7)) for process in processes) == [2, 2, 3]
        assert [len(process.held & set(tasks)) for process in processes] == [1, 1, 1]
        assert all(process.held == set(process.does) for process in processes)


async def test_a_new_worker_gets_its_share_within_ten_seconds(store):
    first, second = Process(store), Process(store)
    async with running(first):
        assert first.held == all_names(6)
        async with running(second, beside=first):
            assert (len(first.held), len(second.held)) == (3, 3)
            only_one_holder(first, second)


async def test_a_dead_worker_is_replaced_after_six_seconds(store):
    first, second = Process(store), Process(store)
    async with running(first, second):
        await time_passes(first, second)
        first.die()
        await time_passes(second, by_ms=DEAD_MS - BEAT_MS)
        assert len(second.held) == 3, "it may only be slow"
        await time_passes(second, by_ms=2 * BEAT_MS)
        assert second.held == all_names(6)


async def test_a_worker_without_confirmed_beat_sends_nothing(store):
    process = Process(store)
    async with running(process):
        assert process.keeper.may_send()
        with failing_store(store, "beat"):
            await time_passes(process, by_ms=MAX_UNCONFIRMED_MS)
            assert process.keeper.may_send()
            process.clock.move(1)
            assert not process.keeper.may_send()
            assert process.keeper.failure == "The disk is full."
        await time_passes(process)
        assert process.keeper.may_send()
        assert process.keeper.failure is None


async def test_a_frozen_worker_that_wakes_drops_what_others_took(store):
    first, second = Process(store), Process(store)
    async with running(first, second):
        first.pages_end.clear()
        had = first.held
        # Meanwhile only the second one's time passes.
        await time_passes(second, by_ms=DEAD_MS + BEAT_MS)
        assert second.held == all_names(6)
        first.clock.move(DEAD_MS + BEAT_MS - 1)
        assert not first.keeper.may_send(), "before it knows anything"
        await time_passes(first)
        assert set(first.dropped) == had
        await time_passes(first, second, by_ms=6_000)
        assert (len(first.held), len(second.held)) == (3, 3)
        only_one_holder(first, second)


async def test_a_beat_stored_after_the_last_look_keeps_a_worker(store, monkeypatch):
    first, second = Process(store), Process(store)
    remove, has_beaten = store.remove_silent_worker, asyncio.Event()

    async def remove_then(other, *, beat):
        await has_beaten.wait()
        return await remove(other, beat=beat)

    monkeypatch.setattr(store, "remove_silent_worker", remove_then)
    async with running(first, second):
        await time_passes(second, by_ms=DEAD_MS - BEAT_MS)
        second.clock.move(BEAT_MS)
        await time_passes(first)
        has_beaten.set()
        await time_passes(second)
        assert len(second.held) == 3
        assert first.dropped == []


async def test_nobody_is_removed_because_the_database_was_away(store):
    first, second = Process(store), Process(store)
    async with running(first, second):
        with failing_store(store, "beat"):
            await time_passes(first, second, by_ms=20_000)
        await time_passes(second)
        await time_passes(first, second)
        assert first.dropped == second.dropped == []
        assert (len(first.held), len(second.held)) == (3, 3)


async def test_a_lease_is_given_up_only_after_its_page_has_ended(store):
    first, second = Process(store), Process(store)
    first.pages_end.clear()
    async with running(first), running(second, beside=first):
        assert second.held == set()
        first.pages_end.set()
        await time_passes(first, second, by_ms=2 * BEAT_MS)
        assert len(second.held) == 3


async def test_a_worker_that_stops_hands_over_without_delay(store):
    first, second = Process(store), Process(store)
    async with running(second):
        async with running(first, beside=second):
            assert len(first.held) == 3
        await time_passes(second)
        assert second.held == all_names(6)
        assert list((await store.beat("worker_unknown")).by_worker) == [second.keeper._worker_id]


async def test_a_worker_that_stops_beats_until_its_pages_have_ended(store):
    first, second = Process(store), Process(store)
    async with running(first, second):
        first.pages_end.clear()
        stopping = asyncio.create_task(first.keeper.stop(1_000_000))
        await time_passes(first, second, by_ms=2 * DEAD_MS)
        assert len(second.held) == 3
        assert first.keeper.may_send()
        first.pages_end.set()
        async with asyncio.timeout(PATIENCE_S):
            await stopping
        await time_passes(second)
        assert second.held == all_names(6)


@asynccontextmanager
async def stopping(process: Process, *, busy: int):
    """Within the block the worker has given up all but so many leases; their pages end with it."""
    process.idle = set(sorted(process.held)[busy:])
    process.pages_end.clear()
    task = asyncio.create_task(process.keeper.stop(1_000_000))
    async with asyncio.timeout(PATIENCE_S):
        while process.held & process.idle:
            await asyncio.sleep(0)
    yield
    process.pages_end.set()
    async with asyncio.timeout(PATIENCE_S):
        await task


async def test_idle_endpoints_of_a_worker_that_stops_move_at_once(store):
    first, second = Process(store), Process(store)
    async with running(first, second):
        async with stopping(first, busy=1):
            await time_passes(second)
            assert len(first.held) == 1
            assert second.held == all_names(6) - first.held
            await time_passes(first, second, by_ms=2 * LEFT_MS)
            assert len(second.held) == 5, "one has a page in flight"
        await time_passes(second)
        assert second.held == all_names(6)


async def test_a_worker_that_hears_of_a_release_waits_for_no_beat(store):
    first, second = Process(store), Process(store)
    first.told_ones = [second]
    async with running(first, second), stopping(first, busy=1), asyncio.timeout(PATIENCE_S):
        while len(second.held) < 5:  # no time passes
            await asyncio.sleep(0)


async def test_a_worker_that_stops_is_left_out_of_the_shares(store):
    first, *others = [Process(store, 9) for _ in range(3)]
    async with running(first, *others):
        async with stopping(first, busy=1):
            await time_passes(*others)
            assert sorted(len(other.held) for other in others) == [4, 4]
            only_one_holder(first, *others)
        await time_passes(*others)
        assert sorted(len(other.held) for other in others) == [4, 5]


async def test_the_only_worker_finishes_before_it_stops(store):
    process = Process(store)
    async with running(process):
        async with stopping(process, busy=2):
            await time_passes(process, by_ms=2 * LEFT_MS)
            assert len(process.held) == 2
            assert process.keeper.may_send()
            assert process.dropped == []
        assert process.held == set()
        assert process.dropped == []


async def test_a_stop_that_could_not_be_announced_is_announced_later(store):
    first, second = Process(store), Process(store)
    async with running(first, second):
        with failing_store(store, "beat"):
            task = asyncio.create_task(first.keeper.stop(1_000_000))
            first.pages_end.clear()
            await time_passes(first)
        await time_passes(first, second, by_ms=2 * BEAT_MS)
        assert (await store.beat("worker_unknown")).leaving == {first.keeper._worker_id}
        first.pages_end.set()
        await task


async def test_a_stopping_worker_that_was_removed_never_returns(store):
    first, second = Process(store), Process(store)
    async with running(first, second):
        async with stopping(first, busy=1):
            await time_passes(second, by_ms=DEAD_MS + BEAT_MS)
            await time_passes(first, by_ms=2 * BEAT_MS)
            assert list((await store.beat("worker_unknown")).by_worker) == [second.keeper._worker_id]
        assert second.held == all_names(6)


async def test_a_stop_that_takes_too_long_ends_what_is_under_way(store):
    first, second = Process(store), Process(store)
    async with running(second):
        async with running(first, beside=second):
            assert len(first.held) == 3
            first.pages_end.clear()
        await time_passes(second)
        assert second.held == all_names(6)


async def test_an_endpoint_that_one_worker_cannot_use_goes_to_another(store):
    first, second = Process(store), Process(store)
    first.seqs |= dict.fromkeys([1, 2, 3, 4], False)
    async with running(first, second):
        await time_passes(first, second, by_ms=LEFT_MS + BEAT_MS)
        assert first.held == {endpoint_lease(5), endpoint_lease(6)} - second.held
        assert first.held | second.held == all_names(6)
        terms = {lease.name: lease.term for lease in await store.leases()}
        await time_passes(first, second, by_ms=2 * LEFT_MS)
        assert {lease.name: lease.term for lease in await store.leases()} == terms, "it stays there"


async def test_a_removed_endpoint_is_given_up(store):
    process = Process(store)
    async with running(process):
        del process.seqs[3]
        await time_passes(process)
        assert process.held == all_names(6) - {endpoint_lease(3)}


async def test_an_endpoint_that_is_added_is_taken_without_delay(store):
    process = Process(store, 1, alone=True)
    async with alone(process):
        process.seqs[2] = True
        process.keeper.look()
        async with asyncio.timeout(PATIENCE_S):
            while process.held != all_names(2):
                await asyncio.sleep(0)


@asynccontextmanager
async def alone(process: Process):
    await process.keeper.start()
    yield
    await stop(process)


async def test_a_worker_that_is_alone_has_everything_and_needs_no_beat(store):
    dead = Process(store)
    async with running(dead):
        dead.die()
        process = Process(store, alone=True)
        async with alone(process):
            assert process.held == all_names(6)
            assert set(process.terms.values()) == {2}
            process.clock.move(1_000_000)
            with failing_store(store, "beat"):
                assert process.keeper.may_send()
                assert process.keeper.failure is None


@pytest.mark.parametrize("promise", ["take_leases", "leases", "remove_silent_worker"])
async def test_a_failing_database_delays_a_take_over_only(store, promise):
    first, second = Process(store), Process(store)
    async with running(first, second):
        first.die()
        with failing_store(store, promise):
            await time_passes(second, by_ms=2 * DEAD_MS)
        await time_passes(second, by_ms=DEAD_MS)
        assert second.held == all_names(6)
        assert second.held == set(second.does)


async def test_leases_that_could_not_be_given_up_are_given_up_later(store):
    first, second = Process(store), Process(store)
    async with running(first):
        with failing_store(store, "give_up_leases") as failed:
            await second.keeper.start()
            await time_passes(first, second, by_ms=6_000)
            assert failed.is_set()
            assert first.held == all_names(6)
        await time_passes(first, second, by_ms=6_000)
        assert (len(first.held), len(second.held)) == (3, 3)
        await stop(second)
