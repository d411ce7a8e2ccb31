"""A delivery that had failed for good and is sent after all is told."""

from __future__ import annotations

import pytest

from contracts.test_stores import claim, done, endpoint, message
from nicobar.model import DeliveryState
from nicobar.store import AddTransformation
from support.handlers import ORDER_PAID
from support.server import running
from support.store import STORES, drop_store, open_store

BROKEN = 'function handler(webhook) { throw new Error("no"); }'


async def test_failed_delivery_that_is_sent_raises_one_alert(tmp_path):
    async with running(tmp_path, BROKEN) as nicobar:
        runtime = nicobar.runtime
        (endpoint_,) = runtime.configuration.snapshot.endpoints

        async def resend(message_id) -> DeliveryState:
            now_ms = runtime.clock.now_ms()
            await runtime.store.resend(message_id, endpoint_.id, now_ms=now_ms, new_ids=True)
            runtime.wake([endpoint_.seq])
            return (await nicobar.next_recorded()).attempt.state

        def told() -> int:
            return sum(cause.startswith("message.attempt.recovered/") for cause in runtime.alerts._hour_of_cause)

        failed_ids = [(await nicobar.send_sample("payment.succeeded", f"evt_{n}"))[1]["id"] for n in range(2)]
        for _ in failed_ids:
            assert (await nicobar.next_recorded()).attempt.state is DeliveryState.FAILED
        await runtime.store.change(
            [AddTransformation(endpoint_id=endpoint_.id, code=ORDER_PAID, created_at_ms=runtime.clock.now_ms())]
        )
        await runtime.configuration.refresh()
        _, new = await nicobar.send_sample("payment.succeeded", "evt_9")
        assert (await nicobar.next_recorded()).attempt.state is DeliveryState.SUCCESS
        assert await resend(new["id"]) is DeliveryState.SUCCESS
        assert told() == 0, "it had not failed"
        for failed_id in failed_ids:
            assert await resend(failed_id) is DeliveryState.SUCCESS
        assert told() == 1, "once an hour"


@pytest.mark.parametrize("database", STORES)
async def test_store_finds_the_first_delivery_that_had_failed(tmp_path, database):
    store = await open_store(tmp_path, database=database)
    try:
        await store.change([await endpoint(store, "ep_1")])
        for number in range(3):
            await store.append(message(number, f"cus_{number}"))
        claimed = await claim(store, limit=3)
        states = (DeliveryState.SUCCESS, DeliveryState.FAILED, DeliveryState.FAILED)
        await store.record(
            [done(one, state, attempt=f"atmpt_{one.message.seq}") for one, state in zip(claimed, states, strict=True)]
        )
        seqs = [item.message.seq for item in claimed]
        assert await store.failed_before(1, seqs) == claimed[1].message.id
        assert await store.failed_before(1, seqs[:1]) is None
        assert await store.failed_before(2, seqs) is None
    finally:
        await store.close()
        drop_store(tmp_path)
