"""How fast requests may leave. One per endpoint; it is told the time, it never waits itself."""

from __future__ import annotations

_MIN_PER_S = 1.0
_RECOVERY_PER_S = 0.1
_MANY = 1_000_000
_ROUNDING = 1e-6


class Throttle:
    """A token bucket of one second's worth. A 429 halves its rate, down to one a second; each quiet second gives
    back a tenth of the full rate. `now_ms` is the steady clock's.
    """

    def __init__(self, max_per_s: int, now_ms: int) -> None:
        self._max_per_s = float(max_per_s)
        self._per_s = self._max_per_s
        self._tokens = self._max_per_s
        self._filled_at_ms = now_ms
        self._held_until_ms = now_ms

    @property
    def per_s(self) -> float:
        """The rate that holds now."""
        return self._per_s

    def held_ms(self, now_ms: int) -> int:
        """How long nothing may leave yet."""
        return max(0, self._held_until_ms - now_ms)

    def take(self, now_ms: int) -> int:
        """Takes the next place in line; returns how many milliseconds to wait until the request may leave."""
        elapsed_s = max(0, now_ms - self._filled_at_ms) / 1000
        self._filled_at_ms = max(now_ms, self._filled_at_ms)
        self._per_s = min(self._max_per_s, self._per_s + elapsed_s * _RECOVERY_PER_S * self._max_per_s)
        self._tokens = min(self._per_s, self._tokens + elapsed_s * self._per_s)
        self._tokens -= 1
        wait_ms = 0 if self._tokens >= 0 else int(-self._tokens / self._per_s * 1000) + 1
        return max(wait_ms, self.held_ms(now_ms))

    def slow_down(self, now_ms: int, retry_after_ms: int | None) -> None:
        """The destination said 429: half the rate, and nothing before the time that it asked for."""
        self._per_s = max(_MIN_PER_S, self._per_s / 2)
        self._tokens = min(self._tokens, 0.0)
        self.hold(now_ms, retry_after_ms or 0)

    def hold(self, now_ms: int, for_ms: int) -> None:
        """Nothing before that time."""
        self._held_until_ms = max(self._held_until_ms, now_ms + for_ms)


class Allowance:
    """How many messages may be taken from the queue: at most `max_per_s` in any second, None for as many as there
    are. `now_ms` is the steady clock's.
    """

    def __init__(self, max_per_s: int | None, now_ms: int) -> None:
        self._max_per_s = max_per_s
        self._left = float(max_per_s or 0)
        self._filled_at_ms = now_ms

    def room(self, now_ms: int) -> int:
        """How many may be taken now."""
        if self._max_per_s is None:
            return _MANY
        elapsed_s = max(0, now_ms - self._filled_at_ms) / 1000
        self._filled_at_ms = max(now_ms, self._filled_at_ms)
        self._left = min(float(self._max_per_s), self._left + elapsed_s * self._max_per_s)
        # A sum of parts of a second must not stay short of a whole one for ever.
        return int(self._left + _ROUNDING)

    def take(self, count: int) -> None:
        self._left -= count

    def wait_ms(self) -> int:
        """How long until there is room for one, as of the last look."""
        if self._max_per_s is None or self._left >= 1:
            return 0
        return int((1 - self._left) / self._max_per_s * 1000) + 1
