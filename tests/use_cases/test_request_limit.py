"""The rate of API requests: a limit for each token, on all processes together."""

from __future__ import annotations

import pytest

from nicobar.errors import Refusal
from nicobar.use_cases.request_limit import BLOCKS, PERIOD_S, RequestLimit
from support.store import failing_store

MAX_PER_S = 100
MAX_REQUESTS = MAX_PER_S * PERIOD_S
BLOCK_REQUESTS = MAX_REQUESTS // BLOCKS
PERIOD_MS = PERIOD_S * 1000
START_MS = 850_000_000 * PERIOD_MS


async def granted(*limits: RequestLimit, now_ms: int = START_MS, token_id: str = "tok_1") -> int:
    """How many requests are granted, in turn, until every process rejects one."""
    requests = 0
    open_limits = list(limits)
    while open_limits:
        for limit in list(open_limits):
            try:
                limit.count(token_id, now_ms)
                requests += 1
            except Refusal:
                open_limits.remove(limit)
            await limit.settle()
    return requests


async def test_each_token_has_its_own_limit(store):
    limit = RequestLimit(store, MAX_PER_S)
    assert await granted(limit, token_id="tok_1") == MAX_REQUESTS
    assert await granted(limit, token_id="tok_2") == MAX_REQUESTS


async def test_a_rejected_request_can_be_retried_in_the_next_period(store):
    limit = RequestLimit(store, 1)
    assert await granted(limit) == PERIOD_S
    for now_ms, wait_s in ((START_MS, 2), (START_MS + 999, 2), (START_MS + 1_000, 1), (START_MS + 1_999, 1)):
        with pytest.raises(Refusal) as refused:
            limit.count("tok_1", now_ms)
        assert (refused.value.status, refused.value.retry_after_s) == (429, wait_s)
    assert await granted(limit, now_ms=START_MS + PERIOD_MS) == PERIOD_S


@pytest.mark.parametrize("processes", [2, 5])
async def test_all_processes_together_grant_one_limit(store, processes):
    for period in range(3):
        limits = [RequestLimit(store, MAX_PER_S) for _ in range(processes)]
        requests = await granted(*limits, now_ms=START_MS + period * PERIOD_MS)
        assert MAX_REQUESTS <= requests <= MAX_REQUESTS + processes * BLOCK_REQUESTS


async def test_a_process_asked_late_grants_at_most_one_block(store):
    assert await granted(RequestLimit(store, MAX_PER_S)) == MAX_REQUESTS
    assert await granted(RequestLimit(store, MAX_PER_S)) == BLOCK_REQUESTS


async def test_fewer_requests_than_a_block_cost_no_write(store):
    limit = RequestLimit(store, MAX_PER_S)
    for requests in range(1, BLOCK_REQUESTS + 1):
        assert await store.answer("rate/tok_1", "0") is None
        limit.count("tok_1", START_MS)
        await limit.settle()
        assert (await store.answer("rate/tok_1", "0") is not None) is (requests == BLOCK_REQUESTS)
    assert await store.answer("rate/tok_1", "1") is None


async def test_a_locked_store_blocks_no_request_and_is_queried_once(store):
    limit = RequestLimit(store, MAX_PER_S)
    with failing_store(store, "begin_answer") as failed:
        assert await granted(limit) == MAX_REQUESTS
        assert failed.is_set()
        failed.clear()
        assert await granted(limit) == 0
        assert not failed.is_set()
        limit.count("tok_1", START_MS + PERIOD_MS)
    assert await granted(limit, RequestLimit(store, MAX_PER_S), now_ms=START_MS + 2 * PERIOD_MS) < 2 * MAX_REQUESTS


async def test_a_clock_set_back_rejects_nothing_within_the_limit(store):
    limit = RequestLimit(store, MAX_PER_S)
    assert await granted(limit) == MAX_REQUESTS
    assert await granted(limit, now_ms=START_MS - 3_600_000) == MAX_REQUESTS
