"""Rejected requests of sources are stored within limits."""

from __future__ import annotations

import asyncio

from nicobar.errors import Refusal
from nicobar.pipeline.rejected_requests import FLUSH_MS, MAX_AT_ONCE, RefusalLog
from support.clock import MovingClock

WRONG = Refusal(401, "signature_mismatch", "No signature fits.", "Check the secret.")


async def kept(store, source_id="src_1"):
    return (await store.refusals(source_id, limit=250)).items


async def test_flood_becomes_one_write_per_second_with_a_count(store):
    clock = MovingClock()
    refusals = RefusalLog(store, clock)
    stop = asyncio.Event()
    writes = []
    write = store.keep_refusals

    async def counted(refused):
        writes.append(len(refused))
        await write(refused)

    store.keep_refusals = counted
    waiting = asyncio.create_task(clock.next_wait())
    running = asyncio.create_task(refusals.run(stop))
    await waiting
    for number in range(1_000):
        refusals.note("src_1", WRONG, f"evt_{number}")
    refusals.note("src_2", WRONG, "evt_other")
    assert writes == []
    waiting = asyncio.create_task(clock.next_wait())
    await asyncio.sleep(0)
    clock.move(FLUSH_MS)
    await waiting
    assert writes == [MAX_AT_ONCE + 1]
    latest, *_, oldest = await kept(store)
    assert (latest.event_id, oldest.event_id) == ("evt_999", f"evt_{1_000 - MAX_AT_ONCE}")
    assert str(latest.reason).endswith("Check the secret. (Not shown: 950 more in the same second.)")
    assert (oldest.status, oldest.code, str(oldest.reason)) == (
        401,
        WRONG.code,
        "No signature fits. Check the secret.",
    )
    assert len(await kept(store, "src_2")) == 1
    refusals.note("src_1", WRONG, "evt_last")
    stop.set()
    await running
    assert (await kept(store))[0].event_id == "evt_last", "what is left is written at the end"


async def test_store_failure_stops_nothing(store):
    clock = MovingClock()
    refusals = RefusalLog(store, clock)
    refusals.note("src_1", WRONG, "x" * 1_000)
    await store.close()
    await refusals.flush()
    await refusals.flush()
