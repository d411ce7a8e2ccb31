"""When a delivery is retried, and what the outcomes of its calls mean for it. Plain functions; nothing waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from nicobar.connectors import Blocked, Deferred, Delivered, Gone, Outcome, Refused
from nicobar.model import DeliveryState, Record
from nicobar.reasons import Reason, reason

_SECOND_MS = 1_000
_MINUTE_MS = 60 * _SECOND_MS
_HOUR_MS = 60 * _MINUTE_MS

# The schedule of Svix and of payment platforms: https://docs.svix.com/retries.
RETRY_AFTER_MS = (
    5 * _SECOND_MS,
    5 * _MINUTE_MS,
    30 * _MINUTE_MS,
    2 * _HOUR_MS,
    5 * _HOUR_MS,
    10 * _HOUR_MS,
    10 * _HOUR_MS,
)
JITTER = 0.2
# The code of a delivery that was requeued before anything was sent.
NOT_SENT = "not_sent"
# The code of a delivery that was sent and waits for the breaker or the hold.
HELD = "held"
MAX_FAILURE_CHARS = 200


class Settled(Record):
    """The next state of a delivery after an attempt. `code` says why, for metrics. `hold_reason` is set if the whole
    endpoint goes on hold, `disable_reason` if it is disabled.
    """

    state: DeliveryState
    code: str
    reason: Reason | None
    due_at_ms: int | None = None
    spent: bool = True
    hold_reason: Reason | None = None
    disable_reason: Reason | None = None


def retry_at_ms(
    spent_attempts: int,
    now_ms: int,
    jitter: float,
    retry_after_ms: int | None = None,
    schedule: Sequence[int] | None = None,
) -> int | None:
    """When a delivery that failed after `spent_attempts` earlier attempts is due again; None after the last attempt
    of its `schedule`, by default RETRY_AFTER_MS.

    `jitter` from -1 to 1 moves the wait by up to 20 %. The destination's `retry_after_ms` is a minimum and never
    shortens the schedule: a destination that asks for one second during a day-long outage would use up all attempts
    in a few seconds.
    """
    delays_ms = RETRY_AFTER_MS if schedule is None else schedule
    if spent_attempts >= len(delays_ms):
        return None
    wait_ms = int(delays_ms[spent_attempts] * (1 + JITTER * jitter))
    return now_ms + max(wait_ms, retry_after_ms or 0)


def settle(
    outcomes: Sequence[Outcome],
    spent_attempts: int,
    now_ms: int,
    jitter: float,
    *,
    on_hold: bool = False,
    schedule: Sequence[int] | None = None,
) -> Settled:
    """Combines the outcomes of one delivery's calls into one decision; the least final outcome wins.

    A call that can still succeed keeps the whole delivery alive: calls that did succeed are repeated with it, and
    the destination recognizes them by their ids. `on_hold` says that the destination is failing or the endpoint is on
    hold: no attempt is used up, and the breaker or the hold decides when the next one comes.
    """
    worst: Outcome = max(outcomes, key=_openness)
    match worst:
        case Delivered():
            return Settled(state=DeliveryState.SUCCESS, code="delivered", reason=None)
        case Refused(reason=why):
            return Settled(state=DeliveryState.FAILED, code="refused", reason=why)
        case Deferred(sent=False, reason=why, retry_after_ms=retry_after_ms):
            return Settled(
                state=DeliveryState.PENDING,
                code=NOT_SENT,
                reason=why,
                due_at_ms=now_ms + (retry_after_ms or 0),
                spent=False,
            )
        case Deferred():
            return _put_off(worst, spent_attempts, now_ms, jitter, on_hold=on_hold, schedule=schedule)
        case Blocked(reason=why):
            return Settled(
                state=DeliveryState.PENDING,
                code="blocked",
                reason=why,
                due_at_ms=now_ms,
                spent=False,
                hold_reason=why,
            )
        case Gone(reason=why):
            return Settled(
                state=DeliveryState.PENDING,
                code="gone",
                reason=why,
                due_at_ms=now_ms,
                spent=False,
                disable_reason=why,
            )
        case _:
            assert_never(worst)


def _put_off(
    outcome: Deferred,
    spent_attempts: int,
    now_ms: int,
    jitter: float,
    *,
    on_hold: bool,
    schedule: Sequence[int] | None,
) -> Settled:
    why, asked_ms = outcome.reason, outcome.retry_after_ms
    if on_hold:
        return Settled(
            state=DeliveryState.PENDING, code=HELD, reason=why, due_at_ms=now_ms + (asked_ms or 0), spent=False
        )
    due_at_ms = retry_at_ms(spent_attempts, now_ms, jitter, asked_ms, schedule)
    if due_at_ms is None:
        given_up = reason(
            "given_up",
            "Failed after %(attempts)s attempts. Last attempt: %(reason)s",
            attempts=spent_attempts + 1,
            reason=why,
        )
        return Settled(state=DeliveryState.FAILED, code="given_up", reason=given_up)
    return Settled(state=DeliveryState.PENDING, code="deferred", reason=why, due_at_ms=due_at_ms)


def failure_key(settled: Settled) -> str:
    """Groups equal failures: the codes of their reasons, and their location in the handler or call. No NUL."""
    key = settled.reason.key if settled.reason else settled.code
    return key.replace("\0", "")[:MAX_FAILURE_CHARS]


def _openness(outcome: Outcome) -> int:
    match outcome:
        case Delivered():
            return 0
        case Refused():
            return 1
        case Deferred(sent=False):
            return 2
        case Deferred():
            return 3
        case Blocked():
            return 4
        case Gone():
            return 5
        case _:
            assert_never(outcome)
