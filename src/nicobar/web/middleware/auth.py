"""Identifies the sender of each request before it reaches the application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicobar.web.asgi import App, Message, Receive, Send, headers_of
from nicobar.web.operations import Response, send_response

# Puts the sender of a request into its scope, by its headers. A returned response is sent immediately.
Identify = Callable[[Message, Mapping[str, str]], Awaitable[Response[Any] | None]]


class Authentication:
    """Raises what `identify` raises."""

    def __init__(self, app: App, identify: Identify) -> None:
        self._app = app
        self._identify = identify

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            response = await self._identify(scope, headers_of(scope))
            if response is not None:
                await send_response(send, response, 200)
                return
        await self._app(scope, receive, send)
