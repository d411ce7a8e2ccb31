"""When a delivery is tried again, and what the outcomes of its calls mean for it. Plain functions; nothing waits."""

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
# The code of what was given back before anything of it left.
NOT_SENT = "not_sent"
# The code of what was sent, and waits for the breaker or the hold.
HELD = "held"
MAX_FAILURE_CHARS = 200


class Settled(Record):
    """What becomes of a delivery after a try. `code` names why, for metrics. `hold_reason` is set when the whole
    endpoint goes on hold, `disable_reason` when it is disabled.
    """

    state: DeliveryState
    code: str
    reason: Reason | None
    due_at_ms: int | None = None
    spent: bool = True
    hold_reason: Reason | None = None
    disable_reason: Reason | None = None


def retry_at_ms(spent_attempts: int, now_ms: int, jitter: float, retry_after_ms: int | None = None) -> int | None:
    """When a delivery that failed after `tries` earlier tries is due again; None when it was the last one.

    `jitter` from -1 to 1 moves the wait by up to 20 %. What the destination asks for (`retry_after_ms`) is never
    undercut, but does not shorten the schedule: a destination that asks for one second in an outage of a day
    would use up every try in a few seconds.
    """
    if spent_attempts >= len(RETRY_AFTER_MS):
        return None
    wait_ms = int(RETRY_AFTER_MS[spent_attempts] * (1 + JITTER * jitter))
    return now_ms + max(wait_ms, retry_after_ms or 0)


def settle(
    outcomes: Sequence[Outcome], spent_attempts: int, now_ms: int, jitter: float, *, held: bool = False
) -> Settled:
    """The outcomes of one delivery's calls, in order, as one decision; the one that leaves most open decides.

    A call that can still succeed keeps the whole delivery alive: calls that did succeed are sent again with it,
    which a destination tells by their ids. `held` says that the destination itself fails, or the endpoint is on hold:
    no try is spent, and the breaker or the hold decides when the next one comes.
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
            return _put_off(worst, spent_attempts, now_ms, jitter, held=held)
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


def _put_off(outcome: Deferred, spent_attempts: int, now_ms: int, jitter: float, *, held: bool) -> Settled:
    why, asked_ms = outcome.reason, outcome.retry_after_ms
    if held:
        return Settled(
            state=DeliveryState.PENDING, code=HELD, reason=why, due_at_ms=now_ms + (asked_ms or 0), spent=False
        )
    due_at_ms = retry_at_ms(spent_attempts, now_ms, jitter, asked_ms)
    if due_at_ms is None:
        given_up = reason(
            "given_up",
            "Given up after %(tries)s tries; the last one: %(reason)s",
            tries=spent_attempts + 1,
            reason=why,
        )
        return Settled(state=DeliveryState.FAILED, code="given_up", reason=given_up)
    return Settled(state=DeliveryState.PENDING, code="deferred", reason=why, due_at_ms=due_at_ms)


def failure_key(settled: Settled) -> str:
    """What equal failures have in common: the codes of their reasons, and where in the handler or in the call they
    are. It holds no NUL.
    """
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
