"""An endpoint goes on hold, is probed, and resumes."""

from __future__ import annotations

import asyncio

import pytest

from nicobar.addresses import RefusedAddress
from nicobar.connectors import NoResponse
from nicobar.model import Breaker, DeliveryState
from nicobar.reasons import plain
from nicobar.sandbox import Broken, Failure
from nicobar.store import PauseEndpoint
from support.store import failing_store
from support.worker import (
    OK,
    Network,
    Sometimes,
    World,
    another_worker,
    audit_log,
    breaker,
    put_on_hold,
    status,
    the_endpoint,
    world,
)


async def test_wrong_credentials_put_the_endpoint_on_hold(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(401)
        it.network.region = status(401)
        message_id = await it.accept("one")
        await it.network.next()
        await it.next_recorded()
        await it.accept("two", "cus_b")
        await it.move(60_000)
        assert (await it.delivery(message_id)).attempts_used == 0
        assert it.network.sent.empty()
        endpoint = await the_endpoint(it)
        assert "401" in str(endpoint.paused_reason)
        assert await audit_log(it.store) == [("nicobar", "endpoint.pause", endpoint.id, str(endpoint.paused_reason))]


async def test_unstored_hold_is_stored_by_the_next_rejection(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(401)
        with failing_store(it.store, "change") as failed:
            message_id = await it.accept("one")
            await failed.wait()
        await it.move(1_000)
        await it.next_recorded()
        await it.next_recorded()
        await it.move(0)
        endpoint = await the_endpoint(it)
        assert "401" in str(endpoint.paused_reason)
        assert (await it.delivery(message_id)).attempts_used == 0


async def test_rejection_of_replaced_credentials_pauses_nothing(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("one")
        await it.network.next()
        await it.change_endpoint(credentials={"site_id": "site", "api_key": "another"})
        it.network.answer = lambda _items: status(401)
        it.network.open.set()
        await it.next_recorded()
        it.network.answer = lambda _items: OK
        assert await it.network.next() == ["one"]
        assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        endpoint = await the_endpoint(it)
        assert endpoint.paused_reason is None


@pytest.mark.parametrize("number", [301, 302, 307, 401, 402, 403, 404, 405, 407])
async def test_a_hold_heals_without_a_person(tmp_path, number):
    async with world(tmp_path) as it:
        ids = [await put_on_hold(it, status(number))]
        ids += [await it.accept(f"n{n}", f"cus_{n}") for n in range(5)]
        it.network.answer = lambda _items: OK
        await it.move(9_000)
        await it.move(0)
        assert (it.network.checks, it.network.sent.qsize()) == (0, 0)
        await it.move(1_000)
        assert len(await it.network.next()) == 1, "one delivery finds out"
        assert len(await it.network.next()) == 5, "then the others follow"
        for _ in ids:
            assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        await it.move(0)
        assert {(await it.delivery(item)).attempts_used for item in ids} <= {0, 1}
        endpoint = await the_endpoint(it)
        assert (endpoint.paused_reason, it.network.checks) == (None, 1)
        assert [line[:2] for line in await audit_log(it.store)] == [
            ("nicobar", "endpoint.resume"),
            ("nicobar", "endpoint.pause"),
        ]
        assert it.alerts() == ["endpoint.paused", "endpoint.recovered"]
        assert await breaker(it) == Breaker()


async def probes(it: World, count: int) -> list[int]:
    """The waits before so many probes."""
    waits = []
    for _ in range(count):
        await it.move(0)
        waits.append((await breaker(it)).hold.probe_at_ms - it.clock.now_ms())
        before = it.network.checks
        await it.move(waits[-1] - 1)
        await it.move(0)
        assert it.network.checks == before
        await it.move(1)
        await it.move(0)
        assert it.network.checks == before + 1
    return waits


DOUBLING = [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]


@pytest.mark.parametrize("region", [status(401), status(200), NoResponse(reason=plain("refused"), duration_ms=1)])
async def test_waits_double_while_the_harmless_call_is_not_answered_well(tmp_path, region):
    async with world(tmp_path) as it:
        message_id = await put_on_hold(it)
        it.network.region = region
        assert await probes(it, 7) == DOUBLING
        assert it.network.sent.empty(), "nothing is sent before it is"
        assert (await it.delivery(message_id)).attempts_used == 0
        assert it.alerts() == ["endpoint.paused"]
        assert len(await audit_log(it.store)) == 1


@pytest.mark.parametrize("refused", [status(403), status(401), status(503), status(200), status(400)])
async def test_waits_double_while_no_delivery_is_accepted(tmp_path, refused):
    async with world(tmp_path) as it:
        await put_on_hold(it)
        ids = [await it.accept(f"n{n}", f"cus_{n}") for n in range(9)]
        it.network.answer = lambda _items: refused
        assert await probes(it, 7) == DOUBLING
        assert it.network.sent.qsize() == 7, "one delivery each time"
        assert {(await it.delivery(item)).attempts_used for item in ids} == {0} or refused.status == 400
        assert it.alerts()[0] == "endpoint.paused"
        assert set(it.alerts()[1:]) <= {"message.attempt.exhausted"}
        assert len(await audit_log(it.store)) == 1
        assert (await the_endpoint(it)).paused_reason


async def test_the_reason_of_a_hold_is_the_last_answer(tmp_path):
    async with world(tmp_path) as it:
        await put_on_hold(it, status(403))
        it.network.answer = lambda _items: status(401)
        await probes(it, 1)
        assert "401" in str((await the_endpoint(it)).paused_reason)


async def test_a_hold_s_waits_have_jitter(tmp_path):
    async with world(tmp_path, jitter=1.0) as it:
        await put_on_hold(it)
        it.network.region = status(401)
        assert await probes(it, 2) == [12_000, 24_000]


async def test_next_event_is_sent_at_once_after_a_good_check(tmp_path):
    async with world(tmp_path) as it:
        message_id = await put_on_hold(it)
        await it.store.cancel_pending(1, now_ms=it.clock.now_ms(), limit=10, reason=plain("canceled by hand"))
        assert (await it.delivery(message_id)).state is DeliveryState.CANCELED
        await probes(it, 1)
        for _ in range(3):
            await it.move(3_600_000)
        await it.move(0)
        assert it.network.checks == 1, "it need not be asked again"
        assert (await the_endpoint(it)).paused_reason, "nothing was accepted yet"
        it.network.answer = lambda _items: OK
        await it.accept("two")
        assert await it.network.next() == ["two"]
        await it.next_recorded()
        await it.move(0)
        assert (await the_endpoint(it)).paused_reason is None


async def test_a_hold_keeps_each_customer_s_order(tmp_path):
    async with world(tmp_path) as it:
        await put_on_hold(it, name="a1")
        for name in ("a2", "a3"):
            await it.accept(name)
        await it.accept("b1", "cus_b")
        it.network.answer = lambda _items: OK
        await it.move(10_000)
        names: list[object] = []
        while len(names) < 4:
            names += await it.network.next()
        assert [name for name in names if name != "b1"] == ["a1", "a2", "a3"]


@pytest.mark.parametrize("probed", [False, True])
async def test_restart_keeps_the_hold(tmp_path, probed):
    async with world(tmp_path) as it:
        await put_on_hold(it)
        it.network.region = status(401)
        if probed:
            assert await probes(it, 2) == DOUBLING[:2]
        await it.move(0)
        kept = await breaker(it)
        async with another_worker(it) as again:
            again.network.region = status(401)
            await again.move(0)
            assert await breaker(again) == kept
            assert await probes(again, 2) == (DOUBLING[2:4] if probed else DOUBLING[:2])
            again.network.region = Network().region
            await again.move(300_000)
            assert await again.network.next() == ["one"]
            await again.next_recorded()
            await again.move(0)
            assert (await the_endpoint(again)).paused_reason is None
            assert again.alerts() == ["endpoint.recovered"]


async def test_a_hold_of_which_no_schedule_was_kept_heals(tmp_path):
    async with world(tmp_path) as it:
        await it.worker.stop(5_000)
        await it.store.change([PauseEndpoint(endpoint_id=(await the_endpoint(it)).id, reason=plain("401"))])
        await it.accept("one")
        async with another_worker(it) as again:
            await again.move(10_000)
            assert await again.network.next() == ["one"]


async def test_new_credentials_end_the_hold_at_once(tmp_path):
    async with world(tmp_path) as it:
        await put_on_hold(it, status(401))
        it.network.answer = lambda _items: OK
        await it.change_endpoint(credentials={"site_id": "site", "api_key": "another"})
        assert await it.network.next() == ["one"]
        await it.next_recorded()
        await it.move(0)
        assert (await the_endpoint(it)).paused_reason is None
        assert it.alerts() == ["endpoint.paused", "endpoint.recovered"]


async def test_a_handler_that_fails_does_not_use_up_the_probe(tmp_path):
    sandbox = Sometimes(None)
    async with world(tmp_path, sandbox=sandbox) as it:
        await put_on_hold(it)
        # Its calls would be repeated, whatever the handler does.
        endpoint = await the_endpoint(it)
        await it.store.cancel_pending(endpoint.seq, now_ms=it.clock.now_ms(), limit=10, reason=plain("a test"))
        await it.accept("two", "cus_b")
        it.network.answer = lambda _items: OK
        sandbox.result = Broken(failure=Failure.THREW, reason=plain("no"))
        await it.move(10_000)
        assert (await it.next_recorded()).attempt.state is DeliveryState.FAILED
        await it.move(0)
        assert (await the_endpoint(it)).paused_reason
        sandbox.result = None
        await it.accept("three", "cus_c")
        assert await it.network.next() == ["three"]
        await it.next_recorded()
        await it.move(0)
        assert (await the_endpoint(it)).paused_reason is None


async def test_a_stop_does_not_wait_for_a_check(tmp_path):
    async with world(tmp_path) as it:
        await put_on_hold(it)
        probed = asyncio.Event()

        async def never(_request):
            probed.set()
            await asyncio.Event().wait()

        it.network.send = never
        await it.move(10_000)
        await probed.wait()
        await it.worker.stop(60_000)


async def test_an_http_endpoint_whose_address_was_not_allowed_resumes_automatically(tmp_path):
    refused = RefusedAddress(host="shop.example", entry="shop.example:443")
    async with world(tmp_path, kind="http") as it:
        it.network.refused = refused
        message_id = await put_on_hold(it, NoResponse(reason=plain("not allowed"), duration_ms=0, refused=refused))
        assert await probes(it, 3) == DOUBLING[:3]
        assert it.network.sent.empty(), "nothing is sent before the address is allowed"
        it.network.refused = None
        it.network.answer = lambda _items: OK
        await it.move(80_000)
        assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        await it.move(0)
        assert (await the_endpoint(it)).paused_reason is None
        assert (await it.delivery(message_id)).state is DeliveryState.SUCCESS
        assert it.alerts() == ["endpoint.paused", "endpoint.recovered"]
