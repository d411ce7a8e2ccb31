"""Retry schedules as text: delays within the bounds, which read the same when they are written again."""

from __future__ import annotations

from fuzz.choices import Choices
from nicobar.errors import UserError
from nicobar.pipeline.retry import RETRY_AFTER_MS, retry_at_ms
from nicobar.retry_schedule import (
    MAX_RETRIES,
    MAX_RETRY_DELAY_MS,
    MAX_RETRY_TOTAL_MS,
    MIN_RETRY_DELAY_MS,
    read_schedule,
    schedule_text,
)
from nicobar.web.api.durations import Duration, delays_of, durations
from nicobar.web.api.errors import Invalid
from nicobar.web.dashboard.forms import read_rate, read_retries, read_variables

PARTS = (
    "5s",
    "5m",
    "30M",
    "2h",
    "10 h",
    "1d",
    "500ms",
    "none",
    "",
    " ",
    "0s",
    "-1s",
    "5",
    "s",
    "٣s",
    "1e3s",
    "9" * 13 + "s",
)
SEEDS = (
    b"\0" + b"5s, 5m, 30m, 2h, 5h, 10h, 10h",
    b"\0none",
    b"\1" + bytes(range(30)),
    b"\1\0\1\2\3" * 8,
    b"\0" + b"1s," * 21,
)


def run(data: bytes) -> None:
    it = Choices(data)
    text = (
        ",".join(it.pick(PARTS) for _ in range(it.byte() % 24))
        if it.flag()
        else it.chunk().decode("utf-8", "replace")
    )
    try:
        delays = read_schedule(text)
    except UserError as error:
        assert error.code == "retry_schedule_invalid"
        assert len(str(error)) < 1_000
    else:
        check_bounds(delays)
        assert read_schedule(schedule_text(delays)) == delays
        assert delays_of(durations(delays)) == delays
        check_times(it, delays)
    schedule = [Duration(secs=it.number(2**64), nanos=it.number(999_999_999)) for _ in range(it.byte() % 4)]
    try:
        check_bounds(delays_of(schedule) or ())
    except Invalid as error:
        assert error.loc == ["body", "retrySchedule"]
    check_forms(text)


def check_bounds(delays: tuple[int, ...]) -> None:
    assert len(delays) <= MAX_RETRIES
    assert all(MIN_RETRY_DELAY_MS <= delay <= MAX_RETRY_DELAY_MS for delay in delays)
    assert sum(delays) <= MAX_RETRY_TOTAL_MS


def check_times(it: Choices, delays: tuple[int, ...]) -> None:
    spent, jitter, asked_ms = it.byte() % 24, it.number(2_000) / 1_000 - 1, it.pick((None, it.number(10**9)))
    due_ms = retry_at_ms(spent, 1_000, jitter, asked_ms, it.pick((delays, None)))
    last = max(*delays, *RETRY_AFTER_MS)
    assert due_ms is None or 1_000 < due_ms <= 1_000 + max(last * 1.2, asked_ms or 0)


def check_forms(text: str) -> None:
    for read in (read_rate, read_retries, read_variables):
        try:
            read(text)
        except UserError as error:
            assert error.detail
