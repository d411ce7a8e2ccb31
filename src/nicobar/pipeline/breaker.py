"""Whether a destination is worth asking. Plain functions over `Breaker`; nothing waits, nothing is kept here.

There are two reasons to ask less. A destination that fails opens the breaker; one that rejects everything as it is
configured puts the endpoint on hold.

A destination that fails request after request is left alone (OPEN). After a while one delivery is tried (HALF_OPEN):
an answer closes the breaker and the backlog drains, another failure opens it again for twice as long. Meanwhile no
delivery spends a try.

One delivery alone never opens it: a destination that breaks on one event only must not hold up the others, and that
event's own schedule ends by itself.

A hold is probed on the same schedule: first with the harmless call of the connector; where that is answered well, one
delivery goes out, and only if it is accepted the hold ends. Otherwise the wait doubles.
"""

from __future__ import annotations

import msgspec

from nicobar.model import Breaker, BreakerState, Hold
from nicobar.reasons import Reason

FAILURES_TO_OPEN = 5
FIRST_PROBE_MS = 10_000
MAX_PROBE_MS = 300_000
JITTER = 0.2
# As long as the public Svix service waits: https://docs.svix.com/retries.
DAY_MS = 24 * 3_600_000
DISABLE_AFTER_DAYS = 5


def answered(breaker: Breaker) -> Breaker:
    """The destination answered: whatever it said, it is there. That alone ends no hold."""
    return breaker if breaker.hold is not None else Breaker()


def failed(
    breaker: Breaker, reason: Reason, now_ms: int, jitter: float, *, several: bool, foreign: bool = False
) -> Breaker:
    """One more request failed. `several` says that the failures in a row were not all of one delivery, `foreign` that
    something else answered in the destination's place; `jitter` from -1 to 1 moves the wait by up to 20 %.
    """
    if breaker.hold is not None:
        return breaker
    since_ms = now_ms if breaker.failing_since_ms is None else breaker.failing_since_ms
    counted = msgspec.structs.replace(
        breaker,
        failures=breaker.failures + 1,
        failing_since_ms=since_ms,
        foreign=breaker.foreign or foreign,
        reason=reason if foreign else breaker.reason,
    )
    if breaker.state is BreakerState.OPEN:
        return breaker  # it was under way when the breaker opened
    if breaker.state is BreakerState.CLOSED and (counted.failures < FAILURES_TO_OPEN or not several):
        return counted
    opened_at_ms = now_ms if breaker.opened_at_ms is None else breaker.opened_at_ms
    day = (now_ms - opened_at_ms) // DAY_MS
    return msgspec.structs.replace(
        counted,
        state=BreakerState.OPEN,
        opens=breaker.opens + 1,
        opened_at_ms=opened_at_ms,
        failed_days=breaker.failed_days + (day != breaker.last_failed_day),
        last_failed_day=day,
        probe_at_ms=now_ms + _probe_ms(breaker.opens, jitter),
        reason=reason,
    )


def on_hold(now_ms: int, jitter: float) -> Breaker:
    """The destination rejected what it was sent: it is left alone, and asked after the first wait."""
    return Breaker(hold=Hold(probe_at_ms=now_ms + _probe_ms(0, jitter)))


def asked(breaker: Breaker, now_ms: int, jitter: float) -> Breaker:
    """A probe of a hold begins, or the delivery that it let through was not accepted: the next one comes after twice
    the wait. Counted at the beginning, so that one that breaks is followed by another one.
    """
    if breaker.hold is None:
        return breaker
    # The delivery is part of the probe that let it through, which was counted.
    probes = breaker.hold.probes + (breaker.hold.probe_at_ms is not None)
    return msgspec.structs.replace(breaker, hold=Hold(probes=probes, probe_at_ms=now_ms + _probe_ms(probes, jitter)))


def admitted(breaker: Breaker) -> Breaker:
    """The harmless call was answered well: one delivery may go out."""
    if breaker.hold is None:
        return breaker
    return msgspec.structs.replace(breaker, hold=msgspec.structs.replace(breaker.hold, probe_at_ms=None))


def unanswered(breaker: Breaker, now_ms: int, jitter: float) -> Breaker:
    """The probe ended without saying whether the destination is back, such as with a 429: the next one comes after
    twice the wait. It counts neither as a failure nor as an answer.
    """
    if breaker.hold is not None or breaker.state is not BreakerState.HALF_OPEN:
        return breaker
    return msgspec.structs.replace(
        breaker,
        state=BreakerState.OPEN,
        opens=breaker.opens + 1,
        probe_at_ms=now_ms + _probe_ms(breaker.opens, jitter),
    )


def is_sounded(breaker: Breaker) -> bool:
    """Whether people were told that the destination fails, or that the endpoint is on hold."""
    return breaker.opened_at_ms is not None or breaker.foreign or breaker.hold is not None


def probing(breaker: Breaker) -> Breaker:
    """The wait is over: one delivery finds out."""
    return msgspec.structs.replace(breaker, state=BreakerState.HALF_OPEN, probe_at_ms=None)


def wait_ms(breaker: Breaker, now_ms: int) -> int:
    """How long the destination is left alone."""
    at_ms = next_probe_at_ms(breaker)
    return 0 if at_ms is None else max(0, at_ms - now_ms)


def next_probe_at_ms(breaker: Breaker) -> int | None:
    """When the destination is asked next; None where it does not wait for a time."""
    if breaker.hold is not None:
        return breaker.hold.probe_at_ms
    return breaker.probe_at_ms if breaker.state is BreakerState.OPEN else None


def is_given_up(breaker: Breaker) -> bool:
    """Whether there were only failures for so long that a person has to look. It counts from where the breaker
    opened: from then on there are probes, while one event's failure may be followed by days without any event. Only
    failures say that days went by; while a probe is out (HALF_OPEN), its answer may be the first.
    """
    if breaker.state is not BreakerState.OPEN or breaker.last_failed_day is None:
        return False
    return min(breaker.failed_days, breaker.last_failed_day) >= DISABLE_AFTER_DAYS


def shifted(breaker: Breaker, by_ms: int) -> Breaker:
    """The same after the machine's clock was set by so much."""
    return msgspec.structs.replace(
        breaker,
        failing_since_ms=_plus(breaker.failing_since_ms, by_ms),
        opened_at_ms=_plus(breaker.opened_at_ms, by_ms),
        probe_at_ms=_plus(breaker.probe_at_ms, by_ms),
        hold=_held_until(breaker, None if breaker.hold is None else _plus(breaker.hold.probe_at_ms, by_ms)),
    )


def taken_up(breaker: Breaker, now_ms: int) -> Breaker:
    """What an earlier process kept. A probe that it had under way is made again, and a hold that let a delivery
    through asks again first; a wait that no breaker has, since the clock was set meanwhile, is cut.
    """
    latest_ms = now_ms + int(MAX_PROBE_MS * (1 + JITTER))
    if breaker.hold is not None:
        at_ms = breaker.hold.probe_at_ms
        return msgspec.structs.replace(
            breaker, hold=_held_until(breaker, now_ms if at_ms is None else min(at_ms, latest_ms))
        )
    if breaker.state is BreakerState.HALF_OPEN:
        breaker = msgspec.structs.replace(breaker, state=BreakerState.OPEN, probe_at_ms=now_ms)
    if breaker.probe_at_ms is None:
        return breaker
    return msgspec.structs.replace(breaker, probe_at_ms=min(breaker.probe_at_ms, latest_ms))


def _probe_ms(opens: int, jitter: float) -> int:
    # Ten doublings are beyond the bound; more would only make the number large.
    return int(min(MAX_PROBE_MS, FIRST_PROBE_MS * 2 ** min(opens, 10)) * (1 + JITTER * jitter))


def _held_until(breaker: Breaker, probe_at_ms: int | None) -> Hold | None:
    return None if breaker.hold is None else msgspec.structs.replace(breaker.hold, probe_at_ms=probe_at_ms)


def _plus(at_ms: int | None, by_ms: int) -> int | None:
    return None if at_ms is None else at_ms + by_ms
