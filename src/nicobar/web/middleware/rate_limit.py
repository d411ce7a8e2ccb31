"""Limits how many requests a caller may send per second."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from nicobar.clock import Clock
from nicobar.errors import Refusal
from nicobar.web.asgi import App, Message, Receive, Send

MAX_CALLERS = 10_000
BURST_S = 2


class RateLimit:
    """Counts requests by `key`; those without a key are not counted. Raises Refusal 429."""

    def __init__(self, app: App, clock: Clock, key: Callable[[Message], str | None], *, max_per_s: int) -> None:
        self._app = app
        self._clock = clock
        self._key = key
        self._rates = Rates(max_per_s)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        key = self._key(scope) if scope["type"] == "http" else None
        if key is not None:
            self._rates.take(key, self._clock.steady_ms())
        await self._app(scope, receive, send)


class Rates:
    """A bucket of requests for each token: `max_per_s` flow in a second, and `BURST_S` seconds' worth fit in it."""

    def __init__(self, max_per_s: int) -> None:
        self._max_per_s = max_per_s
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, token_id: str, now_ms: int) -> None:
        """Raises Refusal 429 where nothing is left."""
        full = float(self._max_per_s * BURST_S)
        left, at_ms = self._left.pop(token_id, (full, now_ms))
        left = min(full, left + (now_ms - at_ms) / 1000 * self._max_per_s)
        self._left[token_id] = (max(0.0, left - 1), now_ms) if left >= 1 else (left, now_ms)
        if len(self._left) > MAX_CALLERS:
            self._left.popitem(last=False)
        if left < 1:
            raise Refusal(
                429,
                "too_many_requests",
                f"This token has made more than {self._max_per_s} requests a second.",
                "Wait as long as Retry-After says, or raise the setting max_api_requests_per_s.",
                retry_after_s=1,
            )
