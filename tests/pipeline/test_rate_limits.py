"""The destination's rate limits and the endpoint's own."""

from __future__ import annotations

from nicobar.model import DeliveryState
from support.worker import OK, breaker, failing, status, world


async def test_nothing_is_sent_before_retry_after(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(429, **{"retry-after": "3600"})
        first = await it.accept("a1", "cus_a")
        await it.network.next()
        await it.next_recorded()
        assert (await it.delivery(first)).due_at_ms == it.clock.now_ms() + 3_600_000
        second = await it.accept("b1", "cus_b")
        it.network.answer = lambda _items: OK
        await it.move(3_599_000)
        assert it.network.sent.empty()
        assert (await it.delivery(second)).state is DeliveryState.PENDING
        await it.move(1_000)
        left: set[object] = set()
        while left != {"a1", "b1"}:
            left |= {*await it.network.next()}


async def test_long_pause_requeues_the_rest_without_using_attempts(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("first", "cus_0")
        await it.network.next()
        # Each nearly a batch of its own, so that the page becomes several requests.
        ids = {await it.accept(f"n{n}", f"cus_{n + 1}", "x" * 30_000): n for n in range(40)}
        answers = iter([OK, status(429, **{"retry-after": "3600"})])
        it.network.answer = lambda _items: next(answers, OK)
        it.network.open.set()
        await it.move(0)
        sent = {message.message.id for message in [it.recorded.get_nowait() for _ in range(it.recorded.qsize())]}
        assert 1 < len(sent) < 41
        for message_id in ids.keys() - sent:
            assert await it.attempts(message_id) == [], "nothing of it left"
        spent = [(await it.delivery(message_id)).attempts_used for message_id in ids]
        states = {(await it.delivery(message_id)).state for message_id in ids}
        assert set(spent) <= {0, 1}
        assert DeliveryState.PENDING in states


async def test_a_changed_rate_does_not_shorten_the_destination_s_wait(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(429, **{"retry-after": "3600"})
        await it.accept("a1", "cus_a")
        await it.network.next()
        await it.next_recorded()
        it.network.answer = lambda _items: OK
        await it.change_endpoint(max_messages_per_s=50)
        await it.accept("b1", "cus_b")
        await it.move(3_599_000)
        assert it.network.sent.empty()
        await it.move(1_000)
        await it.network.next()


async def test_an_http_endpoint_without_a_rate_is_not_slowed(tmp_path):
    async with world(tmp_path, kind="http") as it:
        ids = [await it.accept(f"n{n}", f"cus_{n}") for n in range(250)]
        for _ in ids:
            assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS


async def test_a_probe_answered_429_waits_for_the_next_probe(tmp_path):
    async with world(tmp_path) as it:
        ids = await failing(it, 5)
        await it.move(0)
        spent = sum([(await it.delivery(item)).attempts_used for item in ids])
        it.network.answer = lambda _items: status(429)
        waits = []
        for _ in range(5):
            waits.append((await breaker(it)).probe_at_ms - it.clock.now_ms())
            await it.move(waits[-1])
            assert len(await it.network.next()) == 1
            await it.next_recorded()
            for _ in range(5):
                await it.move(1_000)
            assert it.network.sent.empty()
            await it.move(0)
        assert waits == [10_000, 5_000, 15_000, 35_000, 75_000], "longer each time, 5 s of which are over"
        assert sum([(await it.delivery(item)).attempts_used for item in ids]) == spent
        it.network.answer = lambda _items: OK
        await it.move(300_000)
        for _ in ids:
            assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS


async def test_endpoint_rate_limit_is_never_exceeded(tmp_path):
    async with world(tmp_path) as it:
        await it.change_endpoint(max_messages_per_s=3)
        it.network.open.clear()
        await it.accept("first", "cus_0")
        await it.network.next()
        for number in range(8):
            await it.accept(f"n{number}", f"cus_{number + 1}")
        it.network.open.set()
        sizes = [len(await it.network.next())]
        await it.move(0)
        assert it.network.sent.empty()
        for _ in range(2):
            await it.move(1_000)
            sizes.append(len(await it.network.next()))
        assert sizes == [2, 3, 3]
