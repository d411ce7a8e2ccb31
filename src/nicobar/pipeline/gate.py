"""What stands between an endpoint's queue and its destination: the rates and the breaker. It is told the time and
what happened; it never waits itself and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from nicobar.model import Breaker, BreakerState
from nicobar.pipeline import breaker as rules
from nicobar.pipeline.throttle import Allowance, Throttle


class Gate:
    """One endpoint's. `max_requests_per_s` is the connector's rate, `max_messages_per_s` the endpoint's own; either
    may be None for none. Wall times are Unix milliseconds, steady ones only differ.
    """

    def __init__(
        self, *, max_requests_per_s: int | None, max_messages_per_s: int | None, breaker: Breaker, steady_ms: int
    ) -> None:
        self.throttle = Throttle(max_requests_per_s, steady_ms)
        self.allowance = Allowance(max_messages_per_s, steady_ms)
        self.breaker = breaker
        self._failing: set[str] = set()

    @property
    def is_closed(self) -> bool:
        """Whether deliveries go out as they come, and spend their tries."""
        return self.breaker.state is BreakerState.CLOSED and self.breaker.hold is None

    def change_rate(self, max_messages_per_s: int | None, steady_ms: int) -> None:
        """The endpoint has another rate of its own; what is known of its destination holds."""
        self.allowance = Allowance(max_messages_per_s, steady_ms)

    def wait_ms(self, now_ms: int, steady_ms: int) -> int:
        """How long nothing may be taken from the queue."""
        return max(rules.wait_ms(self.breaker, now_ms), self.throttle.held_ms(steady_ms))

    def places(self, wanted: int, steady_ms: int) -> int:
        """How many of so many deliveries may be taken now. Where the breaker or the hold waited long enough, one that
        finds out.
        """
        if self.is_closed:
            return min(wanted, self.allowance.room(steady_ms))
        return min(wanted, 1)

    def taken(self, count: int) -> None:
        """So many deliveries were taken from the queue."""
        self.allowance.take(count)
        if count and self.breaker.state is BreakerState.OPEN:
            self.breaker = rules.probing(self.breaker)

    def answered(self) -> None:
        self._failing.clear()
        self.breaker = rules.answered(self.breaker)

    def failed(
        self, reason: str, message_ids: Iterable[str], now_ms: int, jitter: float, *, foreign: bool = False
    ) -> None:
        """A request with these messages failed, for a reason that lies with the destination; `foreign` as in
        `Deferred`.
        """
        for message_id in message_ids:
            # Two are enough to tell one event's failures from the destination's.
            if len(self._failing) > 1:
                break
            self._failing.add(message_id)
        several = len(self._failing) > 1
        self.breaker = rules.failed(self.breaker, reason, now_ms, jitter, several=several, foreign=foreign)

    def reset(self) -> None:
        """Somebody changed something: the destination is asked again at once."""
        self._failing.clear()
        self.breaker = Breaker()
