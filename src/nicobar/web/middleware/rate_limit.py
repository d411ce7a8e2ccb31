"""Limits how many requests a caller may send per second."""

from __future__ import annotations

from collections.abc import Callable

from nicobar.clock import Clock
from nicobar.use_cases.request_limit import RequestLimit
from nicobar.web.asgi import App, Message, Receive, Send


class RateLimit:
    """Counts requests by the token whose id `token_id` finds; requests without a token are not counted. Raises
    Refusal 429.
    """

    def __init__(
        self, app: App, limit: RequestLimit, clock: Clock, token_id: Callable[[Message], str | None]
    ) -> None:
        self._app = app
        self._limit = limit
        self._clock = clock
        self._token_id = token_id

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        token_id = self._token_id(scope) if scope["type"] == "http" else None
        if token_id is not None:
            self._limit.count(token_id, self._clock.now_ms())
        await self._app(scope, receive, send)
