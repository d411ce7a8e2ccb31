"""The breaker opens, probes and closes."""

from __future__ import annotations

import asyncio

from nicobar.connectors import Response
from nicobar.model import Breaker, BreakerState, DeliveryState
from support.patience import PATIENCE_S
from support.worker import OK, another_worker, breaker, failing, status, world


async def test_failing_destination_uses_up_no_attempts(tmp_path):
    async with world(tmp_path) as it:
        ids = await failing(it, 5)
        await it.move(0)
        assert (await breaker(it)).state is BreakerState.OPEN
        assert "503" in str((await breaker(it)).reason)
        later = await it.accept("later", "cus_z")
        await it.move(9_000)
        assert it.network.sent.empty(), "the retries that were due are not sent either"
        assert (await it.delivery(ids[4])).attempts_used == 0, "the one that opened it"
        for probed in range(6):
            await it.move(320_000)
            assert len(await it.network.next()) == 1, "one delivery finds out"
            await it.next_recorded()
            await it.move(0)
            assert (await breaker(it)).opens == probed + 2
        assert it.network.sent.empty()
        assert (await it.delivery(later)).attempts_used == 0
        it.network.answer = lambda _items: OK
        await it.move(400_000)
        left: set[object] = set()
        while len(left) < 6:
            left |= {*await it.network.next()}
        assert left == {*(f"f{n}" for n in range(5)), "later"}
        await it.move(0)
        assert await breaker(it) == Breaker()
        assert it.alerts() == ["endpoint.failing", "endpoint.recovered"]


async def test_the_waits_between_probes_double_up_to_five_minutes(tmp_path):
    async with world(tmp_path) as it:
        await failing(it, 5)
        waits = []
        for _ in range(7):
            await it.move(0)
            waits.append((await breaker(it)).probe_at_ms - it.clock.now_ms())
            await it.move(waits[-1])
            await it.network.next()
            await it.next_recorded()
        assert waits == [10_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000]


async def test_one_event_that_breaks_the_destination_opens_no_breaker(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(500) if items[0]["name"] == "bad" else OK
        bad = await it.accept("bad", "cus_bad")
        for tried in range(7):
            await it.network.next()
            await it.next_recorded()
            delivery = await it.delivery(bad)
            assert delivery.attempts_used == tried + 1
            await it.move(delivery.due_at_ms - it.clock.now_ms())
        assert {breaker.state for breaker in (await it.store.breakers()).values()} == {BreakerState.CLOSED}


async def test_two_events_that_break_the_destination_do_not_block_others(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(500) if any(item["name"] == "bad" for item in items) else OK
        await it.accept("bad", "cus_a")
        await it.network.next()
        await it.next_recorded()
        await it.accept("bad", "cus_b")
        while (await it.store.breakers()).get(1, Breaker()).state is not BreakerState.OPEN:
            await it.move(300_000)
        good = await it.accept("good", "cus_c")
        for _ in range(3):
            await it.move(330_000)
        while (await it.delivery(good)).state is not DeliveryState.SUCCESS:
            await it.next_recorded()


async def test_restart_keeps_the_breaker(tmp_path):
    async with world(tmp_path) as it:
        await failing(it, 5)
        await it.move(0)
        kept = await breaker(it)
        async with another_worker(it) as again:
            await again.accept("later", "cus_z")
            await again.move(9_000)
            assert again.network.sent.empty()
            assert await breaker(again) == kept
            again.network.answer = lambda _items: OK
            await again.move(1_000)
            assert len(await again.network.next()) == 1


async def test_temporarily_unusable_endpoint_keeps_its_breaker(tmp_path):
    async with world(tmp_path) as it:
        await failing(it, 5)
        await it.move(0)
        it.network.answer = lambda _items: OK
        opened = it.worker._configuration._endpoints
        for endpoints in ({}, opened):
            it.worker._configuration._endpoints = endpoints
            it.worker._follow()
            async with asyncio.timeout(PATIENCE_S):
                while len(it.worker._lanes) != len(endpoints):
                    await asyncio.sleep(0)
        await it.move(9_000)
        assert it.network.sent.empty()
        await it.move(1_000)
        assert len(await it.network.next()) == 1


async def test_new_credentials_are_used_at_once(tmp_path):
    async with world(tmp_path) as it:
        await failing(it, 5)
        await it.move(0)
        it.network.answer = lambda _items: OK
        it.network.open.clear()
        await it.change_endpoint(credentials={"site_id": "site", "api_key": "another"})
        assert len(await it.network.next()) >= 1
        await it.clock_looked_at()
        assert it.alerts() == ["endpoint.failing"], "nobody has heard from it yet"


async def test_without_batches_too_one_delivery_alone_finds_out(tmp_path):
    async with world(tmp_path, kind="http") as it:
        await failing(it, 5)
        await it.move(0)
        assert (await breaker(it)).state is BreakerState.OPEN
        it.network.open.clear()
        await it.move(10_000)
        await it.network.next()
        for number in range(3):
            await it.accept("later", f"cus_later_{number}")
            await it.clock_looked_at()
        assert it.network.sent.empty()
        it.network.answer = lambda _items: OK
        it.network.open.set()
        names = [name for _ in range(7) for name in await it.network.next()]
        assert sorted(names)[4:] == ["later"] * 3


async def test_changed_rate_keeps_the_breaker(tmp_path):
    async with world(tmp_path) as it:
        await failing(it, 5)
        await it.move(0)
        kept = await breaker(it)
        it.network.answer = lambda _items: OK
        await it.change_endpoint(max_messages_per_s=50)
        await it.move(9_000)
        assert it.network.sent.empty()
        assert await breaker(it) == kept
        await it.move(1_000)
        assert len(await it.network.next()) == 1


async def test_foreign_answers_alert_once_and_mark_nothing_delivered(tmp_path):
    page = Response(status=200, headers={}, body=b"<html>sign in</html>", duration_ms=1)
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: page
        first = await it.accept("first", "cus_first")
        await it.network.next()
        assert "not from Customer.io" in str((await it.next_recorded()).attempt.reason)
        await it.move(0)
        assert it.alerts() == ["endpoint.failing"], "at the first one"
        ids = [first, *await failing(it, 4, page)]
        await it.move(0)
        assert (await breaker(it)).state is BreakerState.OPEN
        spent = sum([(await it.delivery(item)).attempts_used for item in ids])
        for _ in range(30):
            await it.move(360_000)
            await it.network.next()
            assert (await it.next_recorded()).attempt.state is DeliveryState.PENDING
        assert sum([(await it.delivery(item)).attempts_used for item in ids]) == spent, (
            "none is spent while it is open"
        )
        assert it.alerts() == ["endpoint.failing"], "nobody is told again, three hours later"
        it.network.answer = lambda _items: OK
        await it.move(360_000)
        for _ in ids:
            assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        await it.move(0)
        assert it.alerts() == ["endpoint.failing", "endpoint.recovered"]


async def test_restart_does_not_repeat_an_outage_alert(tmp_path):
    page = Response(status=200, headers={}, body=b"<html>", duration_ms=1)
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: page
        await it.accept("one")
        await it.network.next()
        await it.next_recorded()
        await it.move(0)
        it.clock.move(3_600_000)
        async with another_worker(it) as again:
            again.network.answer = lambda _items: page
            await again.network.next()
            await again.next_recorded()
            await again.move(0)
            assert again.alerts() == []


async def test_a_4xx_probe_closes_an_http_endpoint_s_breaker(tmp_path):
    async with world(tmp_path, kind="http") as it:
        await failing(it, 5)
        await it.move(0)
        it.network.answer = lambda _items: status(404)
        await it.move(10_000)
        await it.next_recorded()
        await it.move(0)
        assert (await breaker(it)).state is BreakerState.CLOSED
