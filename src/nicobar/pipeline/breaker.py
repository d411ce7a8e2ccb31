"""The circuit breaker of a destination. Plain functions over `Breaker`; nothing waits, nothing is stored here.

A destination that fails opens the breaker; one that rejects everything with the current configuration puts the
endpoint on hold.

After repeated failures, sending stops (OPEN). After a wait, one delivery is sent as a probe (HALF_OPEN): a response
closes the breaker and the backlog drains; another failure opens it again, for longer. Meanwhile no delivery uses up
an attempt.

A single delivery never opens the breaker: one event that breaks the destination must not block the others, and its
own retries come to an end.

A hold is probed on a similar schedule: first with the connector's harmless call; if that succeeds, one delivery is
sent, and the hold ends only if it is accepted. Otherwise the wait doubles.
"""

from __future__ import annotations

import msgspec

from nicobar.model import Breaker, BreakerState, Hold
from nicobar.pipeline import outages
from nicobar.reasons import Reason

FAILURES_TO_OPEN = 5
FIRST_PROBE_MS = 10_000
MAX_PROBE_MS = 300_000
JITTER = 0.2
# The same as the public Svix service: https://docs.svix.com/retries.
DAY_MS = 24 * 3_600_000
DISABLE_AFTER_DAYS = 5


def answered(breaker: Breaker, now_ms: int) -> Breaker:
    """The destination accepted or rejected a call for good. That alone does not end a hold."""
    return breaker if breaker.hold is not None else Breaker(ended=outages.ended(breaker, now_ms))


def restarted(breaker: Breaker) -> Breaker:
    """Sending starts again, since the destination responded or the configuration changed: an outage lasts until
    something is accepted.
    """
    return Breaker(streak=breaker.streak, ended=breaker.ended)


def failed(
    breaker: Breaker, reason: Reason, now_ms: int, jitter: float, *, several: bool, foreign: bool = False
) -> Breaker:
    """Another request failed. `several` says that the consecutive failures belong to more than one delivery,
    `foreign` that something else responded in the destination's place; `jitter` from -1 to 1 moves the wait by up to
    20 %.
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
        return breaker  # it was in flight when the breaker opened
    if breaker.state is BreakerState.CLOSED and (counted.failures < FAILURES_TO_OPEN or not several):
        return counted
    return opened(counted, reason, now_ms, jitter)


def opened(breaker: Breaker, reason: Reason, now_ms: int, jitter: float) -> Breaker:
    """Sending stops until the next probe."""
    opened_at_ms = now_ms if breaker.opened_at_ms is None else breaker.opened_at_ms
    day = (now_ms - opened_at_ms) // DAY_MS
    return msgspec.structs.replace(
        breaker,
        state=BreakerState.OPEN,
        opens=breaker.opens + 1,
        opened_at_ms=opened_at_ms,
        failed_days=breaker.failed_days + (day != breaker.last_failed_day),
        last_failed_day=day,
        probe_at_ms=now_ms + _open_ms(breaker.opens, jitter),
        reason=reason,
    )


def on_hold(breaker: Breaker, now_ms: int, jitter: float) -> Breaker:
    """The destination rejected the deliveries: sending stops until the first probe."""
    return msgspec.structs.replace(restarted(breaker), hold=Hold(probe_at_ms=now_ms + _probe_ms(0, jitter)))


def hold_probed(breaker: Breaker, now_ms: int, jitter: float) -> Breaker:
    """A probe of a hold starts, or its delivery was not accepted: the next probe comes after twice the wait. Counted
    at the start, so that a probe that breaks is followed by another.
    """
    if breaker.hold is None:
        return breaker
    # The delivery is part of the probe, which was already counted.
    probes = breaker.hold.probes + (breaker.hold.probe_at_ms is not None)
    return msgspec.structs.replace(breaker, hold=Hold(probes=probes, probe_at_ms=now_ms + _probe_ms(probes, jitter)))


def admitted(breaker: Breaker) -> Breaker:
    """The harmless call succeeded: one delivery may be sent."""
    if breaker.hold is None:
        return breaker
    return msgspec.structs.replace(breaker, hold=msgspec.structs.replace(breaker.hold, probe_at_ms=None))


def unanswered(breaker: Breaker, now_ms: int, jitter: float) -> Breaker:
    """The probe was inconclusive, such as with a 429: the next one comes after twice the wait. It counts neither as a
    failure nor as a response.
    """
    if breaker.hold is not None or breaker.state is not BreakerState.HALF_OPEN:
        return breaker
    return msgspec.structs.replace(
        breaker,
        state=BreakerState.OPEN,
        opens=breaker.opens + 1,
        probe_at_ms=now_ms + _open_ms(breaker.opens, jitter),
    )


def is_sounded(breaker: Breaker) -> bool:
    """Whether an alert was sent that the destination is failing or the endpoint is on hold."""
    return breaker.opened_at_ms is not None or breaker.foreign or breaker.hold is not None


def probing(breaker: Breaker) -> Breaker:
    """After the wait, one delivery is sent as a probe."""
    return msgspec.structs.replace(breaker, state=BreakerState.HALF_OPEN, probe_at_ms=None)


def wait_ms(breaker: Breaker, now_ms: int) -> int:
    """The milliseconds until the destination is probed."""
    at_ms = next_probe_at_ms(breaker)
    return 0 if at_ms is None else max(0, at_ms - now_ms)


def next_probe_at_ms(breaker: Breaker) -> int | None:
    """When the destination is probed next; None if no probe is scheduled."""
    if breaker.hold is not None:
        return breaker.hold.probe_at_ms
    return breaker.probe_at_ms if breaker.state is BreakerState.OPEN else None


def is_given_up(breaker: Breaker) -> bool:
    """Whether there were only failures for so long that the endpoint is disabled. Counts from when the breaker
    opened: from then on there are probes, whereas a single failure may be followed by days without events. Only
    failures count days; while a probe is in flight (HALF_OPEN), it may still succeed.
    """
    if breaker.state is not BreakerState.OPEN or breaker.last_failed_day is None:
        return False
    return min(breaker.failed_days, breaker.last_failed_day) >= DISABLE_AFTER_DAYS


def shifted(breaker: Breaker, by_ms: int) -> Breaker:
    """The breaker after the machine's clock moved by `by_ms`."""
    return msgspec.structs.replace(
        outages.shifted(breaker, by_ms),
        failing_since_ms=_plus(breaker.failing_since_ms, by_ms),
        opened_at_ms=_plus(breaker.opened_at_ms, by_ms),
        probe_at_ms=_plus(breaker.probe_at_ms, by_ms),
        hold=_held_until(breaker, None if breaker.hold is None else _plus(breaker.hold.probe_at_ms, by_ms)),
    )


def taken_up(breaker: Breaker, now_ms: int) -> Breaker:
    """The breaker of an earlier process. A probe that was in flight is repeated, and a hold starts over with its
    check. A wait that is too long, because the clock was set meanwhile, is cut.
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
    # Ten doublings exceed the maximum.
    return int(min(MAX_PROBE_MS, FIRST_PROBE_MS * 2 ** min(opens, 10)) * (1 + JITTER * jitter))


def _open_ms(opens: int, jitter: float) -> int:
    """The wait before a probe while the breaker is open: as long as it has been open, so that a short outage is not
    prolonged much.
    """
    return _probe_ms(max(0, opens - 1), jitter)


def _held_until(breaker: Breaker, probe_at_ms: int | None) -> Hold | None:
    return None if breaker.hold is None else msgspec.structs.replace(breaker.hold, probe_at_ms=probe_at_ms)


def _plus(at_ms: int | None, by_ms: int) -> int | None:
    return None if at_ms is None else at_ms + by_ms
