"""A count of a replay may read all there is."""

from __future__ import annotations

import asyncio
import threading

from contracts.test_stores import endpoint
from nicobar.store import ReplayFilter
from nicobar.store.sqlite import SqliteStore
from nicobar.store.tables import replays
from support.patience import PATIENCE_S


async def test_replay_counts_run_one_at_a_time_beside_other_reads(tmp_path, monkeypatch):
    store = await SqliteStore.open(tmp_path / "a.db", now_ms=1)
    count, held, under_way = replays._count, threading.Event(), []

    def slow(*asked):
        under_way.append(asked)
        held.wait(PATIENCE_S)
        return count(*asked)

    monkeypatch.setattr(replays, "_count", slow)
    await store.change([await endpoint(store, "ep_1")])
    counts = [asyncio.create_task(store.count_replay(1, ReplayFilter())) for _ in range(8)]
    try:
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(20):
                assert await store.task("qtask_1") is None
        assert len(under_way) == 1
        counts[0].cancel()
        assert await store.task("qtask_1") is None
        assert len(under_way) == 1, "whoever goes away does not let another one in before its own is over"
    finally:
        held.set()
    assert [(await count).deliveries for count in counts[1:]] == [0] * 7
    await store.close()
