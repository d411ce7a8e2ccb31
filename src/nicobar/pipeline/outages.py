"""When the failures of a destination are an outage, and when that is over. Plain functions over `Breaker`.

Several failures in a row of more than one delivery are an outage: one event that breaks the destination is none, nor
is a destination that fails now and then. Only a success ends it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nicobar.model import Breaker, BreakerState, Outage, Streak
from nicobar.reasons import Reason

REQUESTS_OF_AN_OUTAGE = 3
DELIVERIES_OF_AN_OUTAGE = 2
# Deliveries that share requests fail together, perhaps because of one of them. So much makes it worth a look.
REQUESTS_OF_A_SUSPICION = 2
FAILURES_OF_A_SUSPICION = 3


def counted(breaker: Breaker, reason: Reason, message_ids: Iterable[str], now_ms: int, *, failing: bool) -> Breaker:
    """A request with these messages failed; `failing` as in `Deferred`."""
    if breaker.hold is not None:
        return breaker
    streak = breaker.streak or Streak(since_ms=now_ms, reason=reason)
    failed = set(message_ids)
    known = dict.fromkeys([*streak.message_ids, *sorted(failed)])
    streak = msgspec.structs.replace(
        streak,
        requests=min(streak.requests + 1, REQUESTS_OF_AN_OUTAGE),
        deliveries=min(streak.deliveries + len(failed), FAILURES_OF_A_SUSPICION),
        message_ids=tuple(known)[:DELIVERIES_OF_AN_OUTAGE],
        failing=failing,
    )
    return msgspec.structs.replace(breaker, streak=streak)


def may_be_outage(breaker: Breaker) -> bool:
    """Whether the destination should be probed if nothing else is sent."""
    streak = breaker.streak
    return (
        streak is not None
        and streak.requests >= REQUESTS_OF_A_SUSPICION
        and streak.deliveries >= FAILURES_OF_A_SUSPICION
        and len(streak.message_ids) >= DELIVERIES_OF_AN_OUTAGE
    )


def ended(breaker: Breaker, now_ms: int) -> Outage | None:
    """The destination accepted a request: the outage that has ended, or one before whose deliveries are not hastened
    yet.
    """
    since_ms, before = _since_ms(breaker), breaker.ended
    if since_ms is None:
        return before
    return Outage(since_ms=since_ms if before is None else min(since_ms, before.since_ms), until_ms=now_ms)


def shifted(breaker: Breaker, by_ms: int) -> Breaker:
    """The same after the machine's clock moved by `by_ms`."""
    streak, past = breaker.streak, breaker.ended
    if streak is not None:
        streak = msgspec.structs.replace(streak, since_ms=streak.since_ms + by_ms)
    if past is not None:
        past = Outage(since_ms=past.since_ms + by_ms, until_ms=past.until_ms + by_ms)
    return msgspec.structs.replace(breaker, streak=streak, ended=past)


def _since_ms(breaker: Breaker) -> int | None:
    streak = breaker.streak
    if streak is None:
        # An earlier version has opened it.
        return breaker.failing_since_ms if breaker.state is not BreakerState.CLOSED else None
    is_one = streak.requests >= REQUESTS_OF_AN_OUTAGE and len(streak.message_ids) >= DELIVERIES_OF_AN_OUTAGE
    return streak.since_ms if is_one or breaker.state is not BreakerState.CLOSED else None
