"""The pipeline's decisions, from plain values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicobar.connectors import BatchBounds, Blocked, Deferred, Delivered, ReadyCall, Refused
from nicobar.model import Breaker, BreakerState, DeliveryState
from nicobar.pipeline import breaker
from nicobar.pipeline.batching import plan, requests
from nicobar.pipeline.retry import RETRY_AFTER_MS, Settled, failure_key, retry_at_ms, settle
from nicobar.pipeline.throttle import Allowance, Throttle
from nicobar.reasons import Reason, plain, reason

LATER = Deferred(reason=plain("later"))
NO = Refused(reason=plain("no"))
STOP = Blocked(reason=plain("stop"))


def test_the_schedule_is_the_documented_one():
    minute, hour = 60_000, 3_600_000
    assert (5_000, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 10 * hour) == RETRY_AFTER_MS
    assert [retry_at_ms(spent, 100, 0) for spent in range(8)] == [*(100 + wait for wait in RETRY_AFTER_MS), None]


@given(spent=st.integers(0, 6), jitter=st.floats(-1, 1), retry_after_ms=st.none() | st.integers(0, 10**9))
def test_retry_jitter_is_bounded_and_respects_retry_after(spent, jitter, retry_after_ms):
    due = retry_at_ms(spent, 0, jitter, retry_after_ms)
    assert due is not None
    wait = RETRY_AFTER_MS[spent]
    assert due >= (retry_after_ms or 0)
    assert 0.8 * wait - 1 <= due <= max(1.2 * wait, retry_after_ms or 0)


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
    assert str(last.reason) == "Failed after 8 attempts. Last attempt: later"


def test_a_throttle_allows_one_second_s_burst_then_spaces_requests():
    throttle = Throttle(10, 0)
    assert [throttle.take(0) for _ in range(10)] == [0] * 10
    assert [throttle.take(0), throttle.take(0)] == [101, 201]


def test_429_halves_the_rate_waits_and_recovers():
    throttle = Throttle(10, 0)
    throttle.slow_down(0, 3_000)
    assert throttle.per_s == 5
    assert throttle.take(0) == 3_000
    throttle.take(10_000)
    assert throttle.per_s == 10


def test_a_throttle_without_a_rate_lets_everything_go():
    throttle = Throttle(None, 0)
    assert [throttle.take(0) for _ in range(5_000)] == [0] * 5_000
    assert throttle.per_s is None


def test_429_without_a_rate_halves_the_recent_rate():
    throttle = Throttle(None, 0)
    for left in range(400):
        throttle.take(left)
    throttle.slow_down(500, 2_000)
    assert throttle.per_s == 200
    assert throttle.take(500) == 2_000
    assert throttle.take(3_500) == 0
    assert throttle.per_s is not None
    throttle.take(8_500)
    assert throttle.per_s is None, "nothing bounds it again"


def test_answers_to_requests_that_had_left_halve_the_rate_once():
    for throttle in (Throttle(100, 0), Throttle(None, 0)):
        for _ in range(100):
            throttle.take(0)
        for _ in range(16):
            throttle.slow_down(10, None)
        assert throttle.per_s == 50
        throttle.slow_down(1_010, None)
        assert throttle.per_s == 25


def test_a_slow_sender_is_never_slowed_below_one_a_second():
    throttle = Throttle(None, 0)
    throttle.take(0)
    throttle.slow_down(60_000, None)
    assert throttle.per_s == 1


def ready(size: int, *, batchable: bool = True) -> ReadyCall:
    return ReadyCall(method="POST", url="u", headers={}, body=b"x" * size, batchable=batchable)


CALLS = st.builds(ready, st.integers(1, 400), batchable=st.booleans())
BOUNDS = BatchBounds(max_items=5, max_bytes=1_000)


@given(
    deliveries=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.lists(CALLS, max_size=8)), max_size=12),
    bounds=st.sampled_from([BOUNDS, None]),
)
def test_every_delivery_is_in_one_parcel_within_the_limits(deliveries, bounds):
    orders, page = [order for order, _ in deliveries], [calls for _, calls in deliveries]
    parcels = plan(page, bounds, orders)
    assert sorted(member for parcel in parcels for member in parcel.members) == list(range(len(page)))
    for parcel in parcels:
        calls = [call for member in parcel.members for call in page[member]]
        cuts = requests(calls, bounds)
        assert [index for start, end in cuts for index in range(start, end)] == list(range(len(calls)))
        mine = [orders[member] for member in parcel.members]
        assert len(cuts) <= 1 or len(set(mine)) == 1
        for order in set(mine):
            members = [member for member in parcel.members if orders[member] == order]
            assert members == [index for index, other in enumerate(orders) if other == order], "a chain, in order"
        for start, end in cuts:
            together = calls[start:end]
            if len(together) > 1:
                assert bounds is not None
                assert all(call.batchable for call in together)
                assert len(together) <= bounds.max_items
                assert sum(len(call.body) + 1 for call in together) <= bounds.max_bytes


def test_an_allowance_gives_a_second_s_worth_and_no_more():
    allowance = Allowance(3, 0)
    assert allowance.room(0) == 3
    allowance.take(3)
    assert (allowance.room(0), allowance.wait_ms()) == (0, 334)
    assert allowance.room(334) == 1
    assert allowance.room(10_000) == 3
    assert Allowance(None, 0).room(0) > 10_000


@given(st.lists(st.tuples(st.sampled_from(["failed", "answered", "probing"]), st.booleans()), max_size=40))
def test_only_consecutive_failures_of_several_deliveries_open_the_breaker(steps):
    now_ms, kept, in_a_row = 0, Breaker(), 0
    for what, several in steps:
        now_ms += 1_000
        if what == "answered":
            kept, in_a_row = breaker.answered(kept, now_ms), 0
            assert kept == Breaker()
        elif what == "failed":
            before = kept
            kept, in_a_row = breaker.failed(kept, "why", now_ms, 0, several=several), in_a_row + 1
            if before.state is BreakerState.CLOSED:
                opens = in_a_row >= breaker.FAILURES_TO_OPEN and several
                assert (kept.state is BreakerState.OPEN) == opens
            assert kept.failing_since_ms is not None
        elif kept.state is BreakerState.OPEN:
            kept = breaker.probing(kept)
        if kept.state is BreakerState.OPEN:
            assert 0 <= breaker.wait_ms(kept, now_ms) <= breaker.MAX_PROBE_MS
        else:
            assert breaker.wait_ms(kept, now_ms) == 0


def test_a_restored_breaker_probes_soon_whatever_the_clock_says():
    kept = Breaker(state=BreakerState.OPEN, failures=9, failing_since_ms=1, opens=3, probe_at_ms=10**13)
    taken = breaker.taken_up(kept, 1_000)
    assert breaker.wait_ms(taken, 1_000) == 360_000
    half = breaker.taken_up(breaker.probing(kept), 1_000)
    assert (half.state, breaker.wait_ms(half, 1_000)) == (BreakerState.OPEN, 0)
    assert breaker.taken_up(Breaker(), 1_000) == Breaker()


def test_five_days_of_failures_disable_and_one_response_resets():
    def again(kept, at_ms):
        return breaker.failed(breaker.probing(kept), "why", at_ms, 0, several=True)

    failing = Breaker()
    for _ in range(breaker.FAILURES_TO_OPEN):
        assert not breaker.is_given_up(failing)
        failing = breaker.failed(failing, "why", 0, 0, several=True)
    for day in range(5):
        failing = again(failing, day * breaker.DAY_MS + 10_000)
        assert not breaker.is_given_up(failing)
    assert not breaker.is_given_up(again(failing, 5 * breaker.DAY_MS - 1))
    failing = again(failing, 5 * breaker.DAY_MS)
    assert breaker.is_given_up(failing)
    assert not breaker.is_given_up(breaker.probing(failing)), "the probe that is out may find it back"
    assert not breaker.is_given_up(breaker.answered(failing, 0))
    quiet = again(again(Breaker(state=BreakerState.OPEN, opened_at_ms=0), 0), 90 * breaker.DAY_MS)
    assert not breaker.is_given_up(quiet), "days without a try do not count"


def threw(error: str, line: int | None = 3) -> Reason:
    return reason("threw", "The handler threw %(error)s", error=error, location=line)


def missing(path: str) -> Reason:
    return reason("missing", "%(field)s is missing.", field="name", location=path)


def no_answer(why: str) -> Reason:
    return reason("no_answer", "No response: %(reason)s.", reason=reason(why, why))


@pytest.mark.parametrize(
    ("first", "other", "alike"),
    [
        (threw("TypeError: x of msg_2abcdef1"), threw("TypeError: x of msg_9zyxwvu7"), True),
        (threw("ada@northpine.example"), threw("\0eve@northpine.example"), True),
        (threw("x"), threw("x", 4), False),
        (threw("x"), threw("x", None), False),
        (missing("[0].payload.name"), missing("[0].payload.name"), True),
        (missing("[0].payload.name"), missing("[0].payload.id"), False),
        (missing("[0].payload.na\0me"), missing("[0].payload.name"), True),
        (no_answer("timed_out"), no_answer("timed_out"), True),
        (no_answer("timed_out"), no_answer("connection_refused"), False),
        (no_answer("timed_out"), reason("no_answer", "No response."), False),
    ],
)
def test_failures_are_grouped_by_code_and_location(first, other, alike):
    keys = [failure_key(Settled(state=DeliveryState.FAILED, code="failed", reason=why)) for why in (first, other)]
    assert (keys[0] == keys[1]) == alike
    assert "\0" not in "".join(keys)
