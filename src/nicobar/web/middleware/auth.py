"""Requests come to the application behind it with who sent them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicobar.web.asgi import App, Message, Receive, Send, headers_of
from nicobar.web.operations import Response, send_response

# Puts who sent a request into its scope, by its headers. Returns an answer where the application is not to be asked.
Identify = Callable[[Message, Mapping[str, str]], Awaitable[Response[Any] | None]]


class Authentication:
    """Raises what `identify` raises."""

    def __init__(self, app: App, identify: Identify) -> None:
        self._app = app
        self._identify = identify

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            answer = await self._identify(scope, headers_of(scope))
            if answer is not None:
                await send_response(send, answer, 200)
                return
        await self._app(scope, receive, send)
