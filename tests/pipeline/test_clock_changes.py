"""A machine's clock that is set moves no retry, probe or lease."""

from __future__ import annotations

import pytest

from nicobar.model import DeliveryState
from support.store import failing_store
from support.worker import OK, another_worker, breaker, failing, put_on_hold, status, world


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_a_clock_change_moves_the_hold_s_probe_along(tmp_path, by_ms):
    async with world(tmp_path) as it:
        await put_on_hold(it)
        it.clock.set_by(by_ms)
        it.network.answer = lambda _items: OK
        await it.move(9_000)
        await it.move(0)
        assert it.network.checks == 0
        await it.move(1_000)
        assert await it.network.next() == ["one"]


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_a_clock_that_is_set_neither_stalls_nor_hurries_anything(tmp_path, by_ms):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(503) if items[0]["name"] == "a" else OK
        await it.accept("a", "cus_a")
        await it.network.next()
        await it.next_recorded()
        it.clock.set_by(by_ms)
        await it.accept("b", "cus_b")
        assert await it.network.next() == ["b"], "what is new leaves at once"
        await it.move(4_000)
        assert it.network.sent.empty(), "not before its time"
        it.network.answer = lambda _items: OK
        await it.move(1_000)
        assert await it.network.next() == ["a"], "at its time"


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_a_clock_change_during_a_request_moves_no_retry(tmp_path, by_ms):
    async with world(tmp_path) as it:
        it.network.open.clear()
        it.network.answer = lambda _items: status(503)
        await it.accept("a")
        await it.network.next()
        it.clock.set_by(by_ms)
        it.network.open.set()
        await it.next_recorded()
        it.network.answer = lambda _items: OK
        await it.move(4_000)
        assert it.network.sent.empty(), "not before its time"
        await it.move(1_000)
        assert await it.network.next() == ["a"], "at its time"


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_clock_change_during_a_store_failure_moves_no_retry(tmp_path, by_ms):
    async with world(tmp_path) as it:
        it.network.open.clear()
        it.network.answer = lambda _items: status(503)
        await it.accept("a")
        await it.network.next()
        it.clock.set_by(by_ms)
        with failing_store(it.store, "shift_times") as failed:
            it.network.open.set()
            await it.next_recorded()
            assert failed.is_set()
        it.network.answer = lambda _items: OK
        await it.move(4_000)
        assert it.network.sent.empty(), "not before its time"
        await it.move(1_000)
        assert await it.network.next() == ["a"], "at its time"


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_a_clock_change_while_the_breaker_opens_moves_no_probe(tmp_path, by_ms):
    async with world(tmp_path) as it:
        await failing(it, 4)
        it.network.open.clear()
        await it.accept("a")
        await it.network.next()
        it.clock.set_by(by_ms)
        it.network.open.set()
        await it.next_recorded()
        await it.move(0)
        assert (await breaker(it)).probe_at_ms == it.clock.now_ms() + 10_000


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_a_clock_that_is_set_makes_no_lease_end(tmp_path, by_ms):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("a", "cus_a")
        await it.network.next()
        it.clock.set_by(by_ms)
        await it.clock_looked_at()
        it.network.open.set()
        assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        await it.move(5_000)
        assert it.network.sent.empty()


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_a_clock_change_moves_the_breaker_s_probe_along(tmp_path, by_ms):
    async with world(tmp_path) as it:
        await failing(it, 5)
        await it.move(0)
        it.clock.set_by(by_ms)
        it.network.answer = lambda _items: OK
        await it.move(9_000)
        assert it.network.sent.empty()
        await it.move(1_000)
        assert len(await it.network.next()) == 1


async def test_events_accepted_with_a_fast_clock_are_sent_after_restart(tmp_path):
    async with world(tmp_path) as it:
        await it.worker.stop(5_000)
        it.clock.set_by(3_600_000)
        await it.accept("a", "cus_a")
        await it.accept("b", "cus_b")
        it.clock.set_by(-3_600_000)
        async with another_worker(it) as again:
            assert sorted(await again.network.next()) == ["a", "b"]
