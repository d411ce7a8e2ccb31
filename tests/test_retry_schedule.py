"""Retry schedules as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicobar.errors import UserError
from nicobar.retry_schedule import (
    MAX_RETRIES,
    MAX_RETRY_DELAY_MS,
    MAX_RETRY_TOTAL_MS,
    MIN_RETRY_DELAY_MS,
    check_schedule,
    read_schedule,
    schedule_text,
)

S, M, H = 1_000, 60_000, 3_600_000


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("5s, 5m, 2h", (5 * S, 5 * M, 2 * H)),
        (" 30 S ,90s,1d ", (30 * S, 90 * S, 24 * H)),
        ("1500ms", (1_500,)),
        ("none", ()),
    ],
)
def test_a_schedule_is_read_from_delays_with_units(text, schedule):
    assert read_schedule(text) == schedule


@given(st.lists(st.integers(MIN_RETRY_DELAY_MS, MAX_RETRY_DELAY_MS), max_size=MAX_RETRIES))
def test_a_schedule_is_read_as_it_is_written(delays):
    if sum(delays) <= MAX_RETRY_TOTAL_MS:
        assert read_schedule(schedule_text(delays)) == tuple(delays)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("5", "'5'"),
        ("5s,,5m", "''"),
        ("", "''"),
        ("-5s", "'-5s'"),
        ("five s", "'five s'"),
        ("none, 5s", "'none'"),
        ("5s " * 3, "'5s 5s 5s'"),
        ("9" * 5_000 + "s", "9…"),
        ("\u0665s", "'\u0665s'"),  # a digit of another script
        ("999ms", "999ms"),
        ("5s, 1441m", "1441m"),
        ("1s," * MAX_RETRIES + "1s", str(MAX_RETRIES + 1)),
        ("24h," * 7 + "1s", "7d1s"),
    ],
)
def test_a_schedule_outside_its_bounds_is_rejected_with_the_value(text, named):
    with pytest.raises(UserError) as caught:
        read_schedule(text)
    assert caught.value.code == "retry_schedule_invalid"
    assert named in caught.value.detail
    assert len(caught.value.detail) < 200
    assert caught.value.fix


@pytest.mark.parametrize("delays", [(0,), (MAX_RETRY_DELAY_MS + 1,), (S,) * (MAX_RETRIES + 1), (24 * H,) * 8])
def test_a_schedule_of_numbers_has_the_same_bounds(delays):
    with pytest.raises(UserError):
        check_schedule(delays)
