"""Endpoints are disabled after days of failures, and by a 410."""

from __future__ import annotations

from contextlib import nullcontext

import msgspec
import pytest

from nicobar.model import Breaker, BreakerState, DeliveryState
from support.worker import OK, another_worker, audit_log, breaker, failing, status, the_endpoint, world


async def test_endpoint_is_disabled_after_five_days_of_failures(tmp_path):
    async with world(tmp_path) as it:
        ids = await failing(it, 5)
        for _ in range(5):
            await it.move(24 * 3_600_000)
            await it.network.next()
            await it.next_recorded()
        await it.move(0)
        endpoint = await the_endpoint(it)
        assert endpoint.disabled
        assert str(endpoint.disabled_reason).startswith("Disabled after 5 days of failures. Last failure: ")
        assert await audit_log(it.store) == [
            ("nicobar", "endpoint.disable", endpoint.id, str(endpoint.disabled_reason))
        ]
        assert (await it.delivery(ids[0])).state is DeliveryState.PENDING, "what is not finished waits"
        assert it.alerts() == ["endpoint.failing", "endpoint.disabled"]
        left = msgspec.structs.replace(await breaker(it), streak=None)
        assert left == Breaker(), "an endpoint that is enabled again has another five days"
        assert it.worker._configuration.wanting(endpoint.app_id, "a.b") == ()


async def test_days_without_a_process_are_not_days_of_failures(tmp_path):
    async with world(tmp_path) as it:
        await failing(it, 5)
        await it.move(0)
        await it.worker.stop(5_000)
        it.clock.move(6 * 24 * 3_600_000)
        async with another_worker(it) as again:
            again.network.answer = lambda _items: status(503)
            for left in (3, 2, 1, 0):
                again.worker.wake([1])
                await again.network.next()
                await again.next_recorded()
                await again.move(0)
                endpoint = await the_endpoint(again)
                assert endpoint.disabled is (left == 0)
                await again.move(24 * 3_600_000)
        assert again.alerts() == ["endpoint.disabled"]


@pytest.mark.parametrize("restarts", [True, False])
async def test_disabling_waits_for_the_probe_in_flight(tmp_path, restarts):
    """The five days pass while the probe is in flight; its result decides, not the clock."""
    day_ms = 24 * 3_600_000
    async with world(tmp_path) as it:
        await failing(it, 5)
        for _ in range(4):
            await it.move(day_ms)
            await it.network.next()
            await it.next_recorded()
        await it.move(0)
        if restarts:
            await it.worker.stop(5_000)
            it.clock.move(2 * day_ms)
        async with another_worker(it) if restarts else nullcontext(it) as again:
            again.network.answer = lambda _items: OK
            again.network.open.clear()
            if not restarts:
                again.clock.move(day_ms)
            await again.network.next()
            await again.accept("new", "cus_new")
            await again.clock_looked_at()
            again.network.open.set()
            assert (await again.next_recorded()).attempt.state is DeliveryState.SUCCESS
            await again.move(0)
            endpoint = await the_endpoint(again)
            assert not endpoint.disabled
            assert "endpoint.disabled" not in again.alerts()


async def test_one_more_failure_after_a_quiet_week_does_not_disable(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(500)
        bad = await it.accept("bad", "cus_bad")
        for _ in range(8):
            await it.network.next()
            await it.next_recorded()
            await it.move(((await it.delivery(bad)).due_at_ms or it.clock.now_ms()) - it.clock.now_ms())
        assert (await it.delivery(bad)).state is DeliveryState.FAILED
        await it.move(7 * 24 * 3_600_000)
        await it.accept("other", "cus_b")
        await it.network.next()
        await it.next_recorded()
        await it.move(0)
        assert (await breaker(it)).state is BreakerState.OPEN
        endpoint = await the_endpoint(it)
        assert not endpoint.disabled
        it.network.answer = lambda _items: OK
        await it.move(10_000)
        assert await it.network.next() == ["other"]


async def test_a_410_disables_the_endpoint_and_keeps_the_delivery(tmp_path):
    async with world(tmp_path, kind="http") as it:
        it.network.answer = lambda _items: status(410)
        ids = [await it.accept(f"n{n}", f"cus_{n}") for n in range(3)]
        await it.next_recorded()
        await it.move(0)
        endpoint = await the_endpoint(it)
        assert endpoint.disabled
        assert "410" in str(endpoint.disabled_reason)
        assert await audit_log(it.store) == [
            ("nicobar", "endpoint.disable", endpoint.id, str(endpoint.disabled_reason))
        ]
        assert it.alerts() == ["endpoint.disabled"]
        for item in ids:
            delivery = await it.delivery(item)
            assert (delivery.state, delivery.attempts_used) == (DeliveryState.PENDING, 0)
        sent = it.network.sent.qsize()
        await it.move(3_600_000)
        await it.move(0)
        assert it.network.sent.qsize() == sent, "nothing more is sent"
        it.network.answer = lambda _items: OK
        await it.change_endpoint()  # enables it
        for entry in ids:
            while (await it.delivery(entry)).state is not DeliveryState.SUCCESS:
                await it.next_recorded()


async def test_a_410_from_a_replaced_url_disables_nothing(tmp_path):
    async with world(tmp_path, kind="http") as it:
        it.network.open.clear()
        await it.accept("one")
        await it.network.next()
        await it.change_endpoint(settings={"url": "https://shop.example/new"})
        answers = iter([status(410)])
        it.network.answer = lambda _items: next(answers, OK)
        it.network.open.set()
        assert (await it.next_recorded()).attempt.status == 410
        assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        await it.move(0)
        assert not (await the_endpoint(it)).disabled
        assert it.alerts() == []
