"""The pipeline's decisions, from plain values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicobar.connectors import BatchBounds, Blocked, Deferred, Delivered, ReadyCall, Refused
from nicobar.model import DeliveryState
from nicobar.pipeline.batching import plan, requests
from nicobar.pipeline.retry import RETRY_AFTER_MS, retry_at_ms, settle
from nicobar.pipeline.throttle import Throttle

LATER = Deferred(reason="later")
NO = Refused(reason="no")
STOP = Blocked(reason="stop")


def test_the_schedule_is_the_documented_one():
    minute, hour = 60_000, 3_600_000
    assert (5_000, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 10 * hour) == RETRY_AFTER_MS
    assert [retry_at_ms(tries, 100, 0) for tries in range(8)] == [*(100 + wait for wait in RETRY_AFTER_MS), None]


@given(tries=st.integers(0, 6), jitter=st.floats(-1, 1), asked=st.none() | st.integers(0, 10**9))
def test_a_retry_comes_within_a_fifth_of_its_time_and_never_before_what_was_asked(tries, jitter, asked):
    due = retry_at_ms(tries, 0, jitter, asked)
    assert due is not None
    wait = RETRY_AFTER_MS[tries]
    assert due >= (asked or 0)
    assert 0.8 * wait - 1 <= due <= max(1.2 * wait, asked or 0)


@pytest.mark.parametrize(
    ("outcomes", "state", "spent"),
    [
        ([Delivered()], DeliveryState.SUCCESS, True),
        ([Delivered(), NO], DeliveryState.FAILED, True),
        ([NO, LATER], DeliveryState.PENDING, True),
        ([NO, LATER, STOP], DeliveryState.PENDING, False),
    ],
)
def test_the_call_that_leaves_most_open_decides(outcomes, state, spent):
    settled = settle(outcomes, 0, 0, 0)
    assert (settled.state, settled.spent) == (state, spent)


def test_the_eighth_failure_is_the_last():
    assert settle([LATER], 6, 0, 0).state is DeliveryState.PENDING
    last = settle([LATER], 7, 0, 0)
    assert (last.state, last.code) == (DeliveryState.FAILED, "given_up")
    assert last.reason == "Given up after 8 tries; the last one: later"


def test_a_throttle_lets_one_second_s_worth_go_and_then_spaces_them():
    throttle = Throttle(10, 0)
    assert [throttle.take(0) for _ in range(10)] == [0] * 10
    assert [throttle.take(0), throttle.take(0)] == [101, 201]


def test_a_429_halves_the_rate_waits_as_asked_and_recovers():
    throttle = Throttle(10, 0)
    throttle.slow_down(0, 3_000)
    assert throttle.per_s == 5
    assert throttle.take(0) == 3_000
    throttle.take(10_000)
    assert throttle.per_s == 10


def ready(size: int, *, batchable: bool = True) -> ReadyCall:
    return ReadyCall(method="POST", url="u", headers={}, body=b"x" * size, batchable=batchable)


CALLS = st.builds(ready, st.integers(1, 400), batchable=st.booleans())
BOUNDS = BatchBounds(max_items=5, max_bytes=1_000)


@given(page=st.lists(st.lists(CALLS, min_size=1, max_size=8), max_size=12), bounds=st.sampled_from([BOUNDS, None]))
def test_every_delivery_is_in_one_parcel_and_every_request_keeps_the_bounds(page, bounds):
    parcels = plan(page, bounds)
    assert sorted(member for parcel in parcels for member in parcel.members) == list(range(len(page)))
    for parcel in parcels:
        calls = [call for member in parcel.members for call in page[member]]
        cuts = requests(calls, bounds)
        assert [index for start, end in cuts for index in range(start, end)] == list(range(len(calls)))
        assert len(cuts) == 1 or len(parcel.members) == 1
        for start, end in cuts:
            together = calls[start:end]
            if len(together) > 1:
                assert bounds is not None
                assert all(call.batchable for call in together)
                assert len(together) <= bounds.max_items
                assert sum(len(call.body) + 1 for call in together) <= bounds.max_bytes
