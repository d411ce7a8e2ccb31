"""When a delivery is retried, and what the outcomes of its calls mean for it. Plain functions; nothing waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from nicobar.connectors import Blocked, Deferred, Delivered, Gone, Outcome, Refused
from nicobar.connectors.answers import MAX_RETRY_AFTER_MS
from nicobar.model import DeliveryState, Record, Setbacks
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
# The code of a delivery that waits for its next attempt.
DEFERRED = "deferred"
# The code of a delivery that the destination answered 429.
THROTTLED = "throttled"
MAX_FAILURE_CHARS = 200

# Waits after a 429 that does not say how long: as long as it has lasted, within these bounds.
MIN_THROTTLED_MS = 5 * _SECOND_MS
MAX_THROTTLED_MS = 5 * _MINUTE_MS
# The shortest wait that a destination may ask for.
MIN_ASKED_MS = _SECOND_MS
# Repeated answers 429 are stored as one attempt in this time.
THROTTLING_SHOWN_EVERY_MS = _MINUTE_MS
MAX_THROTTLED_DAYS = 5
# The longest wait that a destination may ask for, and the time between two attempts that are stored.
_LONGEST_WAIT_MS = MAX_RETRY_AFTER_MS + THROTTLING_SHOWN_EVERY_MS


NO_SETBACKS = Setbacks()


class Settled(Record):
    """The next state of a delivery after an attempt. `code` says why, for metrics. `hold_reason` is set if the whole
    endpoint goes on hold, `disable_reason` if it is disabled. `setbacks` is None for no change. An attempt that is
    not `shown` is not stored. `awaits` as in `Finished`.
    """

    state: DeliveryState
    code: str
    reason: Reason | None
    due_at_ms: int | None = None
    spent: bool = True
    hold_reason: Reason | None = None
    disable_reason: Reason | None = None
    setbacks: Setbacks | None = None
    shown: bool = True
    awaits: tuple[str, ...] | None = None


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


def settle(  # noqa: PLR0911 - an outcome a line
    outcomes: Sequence[Outcome],
    spent_attempts: int,
    now_ms: int,
    jitter: float,
    *,
    on_hold: bool = False,
    setbacks: Setbacks = NO_SETBACKS,
    schedule: Sequence[int] | None = None,
) -> Settled:
    """Combines the outcomes of one delivery's calls into one decision; the least final outcome wins.

    A call that can still succeed keeps the whole delivery alive: calls that did succeed are repeated with it, and
    the destination recognizes them by their ids. `on_hold` says that the destination is failing or the endpoint is on
    hold: no attempt is used up, and the breaker or the hold decides when the next one comes. `setbacks` are those of
    the attempts before.
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
        case Deferred(throttled=True):
            return _throttled(worst, setbacks, now_ms, jitter)
        case Deferred():
            return _put_off(
                worst, spent_attempts, now_ms, jitter, on_hold=on_hold, setbacks=setbacks, schedule=schedule
            )
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
    setbacks: Setbacks,
    schedule: Sequence[int] | None,
) -> Settled:
    why, asked_ms = outcome.reason, outcome.retry_after_ms
    now_has = Setbacks(
        failing_since_ms=setbacks.failing_since_ms or now_ms,
        failed_at_ms=now_ms,
        overtaken_at_ms=setbacks.overtaken_at_ms,
    )
    # A hastened attempt is an extra one.
    is_extra = setbacks.back_at_ms is not None and setbacks.back_at_ms > now_ms
    if on_hold or is_extra:
        earliest_ms = now_ms + (asked_ms or 0)
        return Settled(
            state=DeliveryState.PENDING,
            code=HELD if on_hold else DEFERRED,
            reason=why,
            due_at_ms=max(earliest_ms, setbacks.back_at_ms or 0) if is_extra else earliest_ms,
            spent=False,
            setbacks=now_has,
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
    return Settled(state=DeliveryState.PENDING, code=DEFERRED, reason=why, due_at_ms=due_at_ms, setbacks=now_has)


def _throttled(outcome: Deferred, setbacks: Setbacks, now_ms: int, jitter: float) -> Settled:
    """Throttling is no failure of the event: it uses up no attempt, and ends after some days of nothing else."""
    since_ms = _throttled_since_ms(setbacks, now_ms)
    lasted_ms = now_ms - since_ms
    if lasted_ms >= MAX_THROTTLED_DAYS * 24 * _HOUR_MS:
        given_up = reason(
            THROTTLED,
            "Failed after %(days)s days of only 429 responses. Last response: %(reason)s",
            days=MAX_THROTTLED_DAYS,
            reason=outcome.reason,
        )
        return Settled(state=DeliveryState.FAILED, code=THROTTLED, reason=given_up, spent=False)
    if outcome.retry_after_ms is None:
        wait_ms = int(min(max(lasted_ms, MIN_THROTTLED_MS), MAX_THROTTLED_MS) * (1 + JITTER * jitter))
    else:
        wait_ms = max(outcome.retry_after_ms, MIN_ASKED_MS)
    shown_at_ms = setbacks.throttling_shown_at_ms
    shown = shown_at_ms is None or abs(now_ms - shown_at_ms) >= THROTTLING_SHOWN_EVERY_MS
    now_has = Setbacks(
        failing_since_ms=setbacks.failing_since_ms or now_ms,
        failed_at_ms=setbacks.failed_at_ms,
        overtaken_at_ms=setbacks.overtaken_at_ms,
        throttled_since_ms=since_ms,
        throttling_shown_at_ms=now_ms if shown else shown_at_ms,
    )
    return Settled(
        state=DeliveryState.PENDING,
        code=THROTTLED,
        reason=outcome.reason,
        due_at_ms=now_ms + wait_ms,
        spent=False,
        setbacks=now_has,
        shown=shown,
    )


def _throttled_since_ms(setbacks: Setbacks, now_ms: int) -> int:
    """Since when it was throttled. Of the time since the last attempt that was stored, only what a wait may last
    counts: for more, the clock was set, a worker with another clock took over, or nothing was sent meanwhile.
    """
    since_ms, seen_at_ms = setbacks.throttled_since_ms, setbacks.throttling_shown_at_ms
    if since_ms is None or seen_at_ms is None:
        return now_ms
    return min(since_ms + max(0, now_ms - seen_at_ms - _LONGEST_WAIT_MS), now_ms)


def shifted(setbacks: Setbacks, by_ms: int) -> Setbacks:
    """The same after the machine's clock moved by `by_ms`."""
    if by_ms == 0:
        return setbacks
    times_ms: dict[str, int | None] = msgspec.structs.asdict(setbacks)
    return Setbacks(**{name: at_ms + by_ms for name, at_ms in times_ms.items() if at_ms is not None})


def failure_key(settled: Settled) -> str:
    """Groups equal failures: the codes of their reasons, and their location in the handler or call. No NUL."""
    key = settled.reason.key if settled.reason else settled.code
    return key.replace("\0", "")[:MAX_FAILURE_CHARS]


def _openness(outcome: Outcome) -> int:  # noqa: PLR0911 - an outcome a line
    match outcome:
        case Delivered():
            return 0
        case Refused():
            return 1
        case Deferred(sent=False):
            return 2
        case Deferred(throttled=True):
            return 3
        case Deferred():
            return 4
        case Blocked():
            return 5
        case Gone():
            return 6
        case _:
            assert_never(outcome)
