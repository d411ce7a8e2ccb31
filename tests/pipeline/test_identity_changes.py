"""What identifies people is changed while deliveries wait for an identity."""

from __future__ import annotations

import asyncio

import pytest

from nicobar.model import DeliveryState
from nicobar.pipeline.unidentified import LOOK_AGAIN_MS
from nicobar.store.facts import LATE_MS
from support.patience import PATIENCE_S
from support.store import STORES
from support.worker import another_worker, world

BY_EMAIL = {"keep_profile": False, "identify_by": "email"}
BY_CUSTOMER_ID = {"keep_profile": False, "identify_by": "customer_id"}


async def wait_in_vain(it) -> str:
    """A delivery without an identity that was looked at, also after all transactions of its time."""
    await it.change_endpoint(settings=BY_EMAIL)
    message_id = await it.accept("early", "cus_1")
    await it.next_recorded()
    for _ in range(2 + LATE_MS // LOOK_AGAIN_MS):
        await it.move(LOOK_AGAIN_MS)
    (endpoint,) = it.snapshot.endpoints
    assert not await it.store.unidentified(endpoint.seq, now_ms=it.clock.now_ms(), limit=9)
    assert (await it.delivery(message_id)).state is DeliveryState.CANCELED
    return message_id


async def sent(it) -> list[object]:
    async with asyncio.timeout(PATIENCE_S):
        return [item["identifiers"] for item in await it.network.sent.get()]


@pytest.mark.parametrize("database", STORES)
async def test_another_answer_sends_what_waited_for_an_identity(tmp_path, database):
    async with world(tmp_path, database=database) as it:
        message_id = await wait_in_vain(it)
        await it.change_endpoint(settings=BY_CUSTOMER_ID)
        await it.move(LOOK_AGAIN_MS)
        assert await sent(it) == [{"id": "cus_1"}]
        await it.next_recorded()
        assert (await it.delivery(message_id)).state is DeliveryState.SUCCESS


async def test_a_change_while_no_worker_ran_is_noticed(tmp_path):
    async with world(tmp_path) as it:
        await wait_in_vain(it)
        await it.worker.stop(5_000)
        await it.change_endpoint(settings=BY_CUSTOMER_ID)
        async with another_worker(it) as again:
            await again.move(LOOK_AGAIN_MS)
            assert await sent(again) == [{"id": "cus_1"}]
