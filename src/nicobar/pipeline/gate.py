"""The gate between an endpoint's queue and its destination: rate limits and circuit breaker. Callers pass the time
and the results; nothing waits or is stored here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence

from nicobar.model import Breaker, BreakerState
from nicobar.pipeline import breaker as rules
from nicobar.pipeline import outages
from nicobar.pipeline.throttle import Allowance, Throttle
from nicobar.reasons import Reason

# How long an ended hold is remembered: otherwise one event that always gets 403 would start a hold on each attempt.
HOLD_MEMORY_MS = 600_000
# So many consecutive deliveries, each blocked alone and none accepted in between, mean a wrong configuration.
BLOCKED_TO_HOLD = 3
MAX_SUSPECTS = 1_000


class Suspects:
    """Distinguishes problems of single deliveries from a wrong configuration, for deliveries that were blocked.
    Outlives the hold that it ends. `steady_ms` as in `Gate`.
    """

    def __init__(self) -> None:
        self._healed_at_ms: int | None = None
        # Deliveries that were blocked alone, the oldest first, by message id.
        self._suspects: dict[str, None] = {}
        self._in_a_row: set[str] = set()
        self._new_in_a_row = 0

    def hold_ended(self, steady_ms: int) -> None:
        """The destination accepted a delivery during a hold."""
        self._healed_at_ms = steady_ms
        self._start_again()

    def are_asked(self, message_ids: Collection[str], steady_ms: int) -> bool:
        """Whether these are sent one by one, instead of putting the endpoint on hold."""
        if any(message_id in self._suspects for message_id in message_ids):
            return True
        return self._healed_at_ms is not None and steady_ms - self._healed_at_ms < HOLD_MEMORY_MS

    def blocked(self, message_id: str) -> bool:
        """A delivery was blocked alone; returns whether the endpoint goes on hold. A delivery that was blocked before
        does not count again, unless nothing was accepted since.
        """
        is_back = message_id in self._in_a_row
        self._in_a_row.add(message_id)
        if message_id not in self._suspects:
            self._new_in_a_row += 1
            self._suspects[message_id] = None
            if len(self._suspects) > MAX_SUSPECTS:
                del self._suspects[next(iter(self._suspects))]
        return is_back or self._new_in_a_row >= BLOCKED_TO_HOLD

    def accepted(self, message_ids: Sequence[str]) -> None:
        """The destination accepted calls of these."""
        for message_id in message_ids:
            self._suspects.pop(message_id, None)
        if message_ids:
            self._start_again()

    def _start_again(self) -> None:
        self._in_a_row.clear()
        self._new_in_a_row = 0


class Gate:
    """The gate of one endpoint. `max_requests_per_s` is the connector's rate, `max_messages_per_s` the endpoint's
    own; either may be None for no limit. Wall times are Unix milliseconds; steady times only measure differences.
    """

    def __init__(
        self, *, max_requests_per_s: int | None, max_messages_per_s: int | None, breaker: Breaker, steady_ms: int
    ) -> None:
        self.throttle = Throttle(max_requests_per_s, steady_ms)
        self.allowance = Allowance(max_messages_per_s, steady_ms)
        self.breaker = breaker
        self.suspects = Suspects()
        self._failing: set[str] = set()
        # Nothing more is sent once it is set.
        self.closing = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        """Whether deliveries are sent normally and use up attempts."""
        return self.breaker.state is BreakerState.CLOSED and self.breaker.hold is None

    def change_rate(self, max_messages_per_s: int | None, steady_ms: int) -> None:
        """Changes the endpoint's own rate; the state of its destination is kept."""
        self.allowance = Allowance(max_messages_per_s, steady_ms)

    def wait_ms(self, now_ms: int, steady_ms: int) -> int:
        """The milliseconds until deliveries may be claimed."""
        return max(rules.wait_ms(self.breaker, now_ms), self.throttle.held_ms(steady_ms))

    def places(self, wanted: int, steady_ms: int) -> int:
        """How many deliveries, at most `wanted`, may be claimed now. Only one, as a probe, while the breaker is open
        or the endpoint is on hold.
        """
        if self.is_closed:
            return min(wanted, self.allowance.room(steady_ms))
        return min(wanted, 1)

    def taken(self, count: int) -> None:
        """Deliveries were claimed."""
        self.allowance.take(count)
        if count and self.breaker.state is BreakerState.OPEN:
            self.breaker = rules.probing(self.breaker)

    def answered(self, now_ms: int) -> None:
        self._failing.clear()
        self.breaker = rules.answered(self.breaker, now_ms)

    def reached(self) -> None:
        """The destination responded and accepted nothing."""
        self._failing.clear()
        if self.breaker.hold is None:
            self.breaker = rules.restarted(self.breaker)

    def put_off(self, reason: Reason, message_ids: Iterable[str], now_ms: int) -> None:
        """The destination responded to a request with these messages, which are to be sent again."""
        self.breaker = outages.counted(self.breaker, reason, message_ids, now_ms, failing=False)

    def opens_at_rest(self, rest_ms: int | None, now_ms: int, jitter: float) -> bool:
        """Nothing would be sent for `rest_ms`; None for no end. If there may be an outage, its end would be missed:
        the breaker opens, so that the destination is probed.
        """
        streak = self.breaker.streak
        if rest_ms is not None and rest_ms <= rules.FIRST_PROBE_MS:
            return False
        if streak is None or not streak.failing or not self.is_closed or not outages.may_be_outage(self.breaker):
            return False
        self.breaker = rules.opened(self.breaker, streak.reason, now_ms, jitter)
        return True

    def failed(
        self, reason: Reason, message_ids: Iterable[str], now_ms: int, jitter: float, *, foreign: bool = False
    ) -> None:
        """A request with these messages failed because of the destination; `foreign` as in `Deferred`."""
        failed = [*message_ids]
        for message_id in failed:
            # Two are enough to distinguish one event's failures from the destination's.
            if len(self._failing) > 1:
                break
            self._failing.add(message_id)
        several = len(self._failing) > 1
        self.breaker = rules.failed(self.breaker, reason, now_ms, jitter, several=several, foreign=foreign)
        self.breaker = outages.counted(self.breaker, reason, failed, now_ms, failing=True)

    def unanswered(self, now_ms: int, jitter: float) -> None:
        """The probe was inconclusive."""
        self.breaker = rules.unanswered(self.breaker, now_ms, jitter)

    def reset(self) -> None:
        """The configuration changed: sending starts again at once."""
        self._failing.clear()
        self.breaker = rules.restarted(self.breaker)
