"""A worker's start, its stop, and what it survives."""

from __future__ import annotations

import asyncio
from collections import Counter

from nicobar.errors import SandboxError, StoreUnavailable
from nicobar.model import DeliveryState
from nicobar.pipeline.lane import AFTER_ERROR_MS, IDLE_MS
from nicobar.pipeline.worker import BUSY_LOOK_MS
from nicobar.reasons import plain
from nicobar.sandbox import Broken, Failure
from nicobar.store.hints import RELEASED
from support.patience import PATIENCE_S
from support.store import failing_store
from support.worker import Sometimes, another_worker, world


class BrokenSandbox:
    calls = 0

    async def run(self, _jobs):
        self.calls += 1
        raise SandboxError("sandbox_unavailable", "No process could be started.")


async def test_a_failing_sandbox_puts_the_endpoint_on_hold_without_rows(tmp_path):
    sandbox = BrokenSandbox()
    async with world(tmp_path, sandbox=sandbox) as it:
        ids = [await it.accept(f"n{number}", f"cus_{number}") for number in range(3)]
        for tried in range(1, 4):
            await it.move(5_000)
            assert sandbox.calls <= tried + 1
        await it.move(0)
        for message_id in ids:
            delivery = await it.delivery(message_id)
            assert (delivery.state, delivery.attempts_used) == (DeliveryState.PENDING, 0)
            assert await it.attempts(message_id) == []
        assert "No process could be started" in str((await it.delivery(ids[0])).reason)


async def test_a_reason_is_kept_without_nul_which_would_cut_it(tmp_path):
    sandbox = Sometimes(Broken(failure=Failure.THREW, reason=plain("no \0name\0")))
    async with world(tmp_path, sandbox=sandbox) as it:
        message_id = await it.accept("one")
        item = await it.next_recorded()
        assert (await it.delivery(message_id)).reason == item.attempt.reason == plain("no name")
        (group,) = await it.store.failure_groups(it.snapshot.endpoints[0].app_id)
        assert (group.failure, group.reason) == ("text", plain("no name"))


async def test_a_surprise_in_the_lane_does_not_end_it(tmp_path):
    async with world(tmp_path) as it:
        with failing_store(it.store, "claim", RuntimeError("a surprise")) as failed:
            await it.accept("one")
            await failed.wait()
        await it.move(1_000)
        assert await it.network.next() == ["one"]
        assert it.worker.alive


async def test_deliveries_of_a_claim_without_an_answer_are_sent_soon(tmp_path):
    async with world(tmp_path) as it:
        await it.move(0)
        claim, failed = it.store.claim, asyncio.Event()

        async def claim_without_answer(*arguments, **named):
            if await claim(*arguments, **named):
                failed.set()
                raise StoreUnavailable("store_unavailable", "The server ended the connection.")
            return []

        it.store.claim = claim_without_answer
        await it.accept("stray")
        await failed.wait()
        it.store.claim = claim
        await it.move(AFTER_ERROR_MS)
        assert await it.network.next() == ["stray"]


async def test_stop_requeues_deliveries_in_flight(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        message_id = await it.accept("one")
        await it.network.next()
        await it.worker.stop(0)
        delivery = await it.delivery(message_id)
        assert (delivery.state, delivery.attempts_used) == (DeliveryState.PENDING, 0)
        assert not it.worker.alive


async def test_stop_on_a_full_disk_requeues_at_the_next_start(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        message_id = await it.accept("one")
        await it.network.next()
        with failing_store(it.store, "give_up_leases"):
            await it.worker.stop(0)
        async with another_worker(it) as again:
            assert await again.network.next() == ["one"]
            await again.next_recorded()
            assert (await again.delivery(message_id)).state is DeliveryState.SUCCESS


async def test_an_idle_endpoint_costs_no_query_of_its_own(tmp_path):
    async with world(tmp_path) as it:
        await it.move(0)
        counts = Counter()
        for promise in ("claim", "next_due_at_ms", "due_times", "keep_breaker"):
            count_calls(it.store, promise, counts)
        for _ in range(10):
            it.clock.move(IDLE_MS)
            while not it.rests:
                await it.clock.next_wait()
        assert counts == {"due_times": 10}


async def test_an_event_that_another_process_stored_leaves_within_a_second(tmp_path):
    async with world(tmp_path) as it:
        await it.move(0)
        it.worker.wake = lambda _endpoint_seqs: []
        await it.accept("one")
        del it.worker.wake
        await it.move(IDLE_MS)
        assert await it.network.next() == ["one"]


async def test_while_busy_an_event_without_a_hint_leaves_sooner(tmp_path):
    async with world(tmp_path, is_told=lambda: False) as it:
        for name, after_ms in (("one", IDLE_MS), ("two", BUSY_LOOK_MS)):
            await it.move(0)
            it.worker.wake = lambda _endpoint_seqs: []
            await it.accept(name)
            del it.worker.wake
            await it.move(after_ms)
            assert await it.network.next() == [name]
            await it.next_recorded()


def count_calls(store, promise: str, counts: Counter) -> None:
    works = getattr(store, promise)

    def counted(*arguments, **named):
        counts[promise] += 1
        return works(*arguments, **named)

    setattr(store, promise, counted)


async def test_a_hint_of_released_leases_is_acted_on_at_once(tmp_path):
    async with world(tmp_path, alone=False) as it:
        async with asyncio.timeout(PATIENCE_S):
            while it.worker.leases._wake.is_set():
                await asyncio.sleep(0)
        assert it.worker.wake([RELEASED]) == [RELEASED], "other processes are told"
        assert it.worker.leases._wake.is_set()
