"""Rate limits of requests, one per endpoint. Callers pass the time; nothing waits here."""

from __future__ import annotations

_MIN_PER_S = 1.0
_RECOVERY_PER_S = 0.1
_MANY = 1_000_000
_SECOND_MS = 1_000
_ROUNDING = 1e-6


class Throttle:
    """A token bucket of one second; None for no rate limit. A 429 halves the rate, to at least one per second: that
    of the bucket, or without one, the rate of the last second. Every second without a 429 restores a tenth of the
    full rate. `now_ms` is the steady clock's.
    """

    def __init__(self, max_per_s: int | None, now_ms: int) -> None:
        self._max_per_s = None if max_per_s is None else float(max_per_s)
        # The rate it recovers to; None while unlimited.
        self._full_per_s = self._max_per_s
        self._per_s = self._max_per_s or 0.0
        self._tokens = self._per_s
        self._filled_at_ms = now_ms
        self._held_until_ms = now_ms
        self._slowed_at_ms: int | None = None
        self._left = _Count(now_ms)

    @property
    def per_s(self) -> float | None:
        """The current rate; None if unlimited."""
        return None if self._full_per_s is None else self._per_s

    def held_ms(self, now_ms: int) -> int:
        """The milliseconds until requests may be sent."""
        return max(0, self._held_until_ms - now_ms)

    def take(self, now_ms: int) -> int:
        """Reserves the next slot; returns the milliseconds until the request may be sent."""
        self._left.add(now_ms)
        elapsed_s = max(0, now_ms - self._filled_at_ms) / 1000
        self._filled_at_ms = max(now_ms, self._filled_at_ms)
        if self._full_per_s is not None:
            self._per_s = min(self._full_per_s, self._per_s + elapsed_s * _RECOVERY_PER_S * self._full_per_s)
            if self._max_per_s is None and self._per_s >= self._full_per_s:
                self._full_per_s = None
        if self._full_per_s is None:
            return self.held_ms(now_ms)
        self._tokens = min(self._per_s, self._tokens + elapsed_s * self._per_s)
        self._tokens -= 1
        wait_ms = 0 if self._tokens >= 0 else int(-self._tokens / self._per_s * 1000) + 1
        return max(wait_ms, self.held_ms(now_ms))

    def slow_down(self, now_ms: int, retry_after_ms: int | None) -> None:
        """The destination responded with 429: halves the rate, and sends nothing before the requested time. Responses
        within a second of the first halve it only once, since their requests were sent before.
        """
        if self._slowed_at_ms is None or now_ms - self._slowed_at_ms >= _SECOND_MS:
            self._slowed_at_ms = now_ms
            if self._full_per_s is None:
                self._full_per_s = self._per_s = max(_MIN_PER_S, self._left.per_s(now_ms))
                self._filled_at_ms, self._tokens = now_ms, 0.0
            self._per_s = max(_MIN_PER_S, self._per_s / 2)
        self._tokens = min(self._tokens, 0.0)
        self.hold(now_ms, retry_after_ms or 0)

    def hold(self, now_ms: int, for_ms: int) -> None:
        """Sends nothing for `for_ms`."""
        self._held_until_ms = max(self._held_until_ms, now_ms + for_ms)


class _Count:
    """Counts sent requests per second."""

    def __init__(self, now_ms: int) -> None:
        self._since_ms = now_ms
        self._count = 0
        self._before = 0

    def add(self, now_ms: int) -> None:
        self._roll(now_ms)
        self._count += 1

    def per_s(self, now_ms: int) -> float:
        """The larger count of this second and the last."""
        self._roll(now_ms)
        return float(max(self._count, self._before))

    def _roll(self, now_ms: int) -> None:
        seconds = (now_ms - self._since_ms) // _SECOND_MS
        if seconds > 0:
            self._before = self._count if seconds == 1 else 0
            self._count = 0
            self._since_ms += seconds * _SECOND_MS


class Allowance:
    """How many messages may be claimed: at most `max_per_s` in any second; None for no limit. `now_ms` is the steady
    clock's.
    """

    def __init__(self, max_per_s: int | None, now_ms: int) -> None:
        self._max_per_s = max_per_s
        self._left = float(max_per_s or 0)
        self._filled_at_ms = now_ms

    def room(self, now_ms: int) -> int:
        """How many may be claimed now."""
        if self._max_per_s is None:
            return _MANY
        elapsed_s = max(0, now_ms - self._filled_at_ms) / 1000
        self._filled_at_ms = max(now_ms, self._filled_at_ms)
        self._left = min(float(self._max_per_s), self._left + elapsed_s * self._max_per_s)
        # Rounding errors must not keep the sum below a whole message forever.
        return int(self._left + _ROUNDING)

    def take(self, count: int) -> None:
        self._left -= count

    def wait_ms(self) -> int:
        """The milliseconds until there is room for one, as of the last call of `room`."""
        if self._max_per_s is None or self._left >= 1:
            return 0
        return int((1 - self._left) / self._max_per_s * 1000) + 1
