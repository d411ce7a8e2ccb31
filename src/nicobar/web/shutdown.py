"""Requests that a shutdown cancels."""

from __future__ import annotations

import asyncio

from nicobar.web.asgi import App, Message, Receive, Send, send_json
from nicobar.web.connection_pool import RETRY_AFTER_S, too_busy

_STOPPING = too_busy("The server is shutting down.")


def answer_canceled(app: App) -> App:
    """An application whose canceled requests are answered 503: it has no error, so there is no traceback. Only
    the shutdown cancels requests. A response that has begun stays incomplete, and the connection is closed.
    """

    async def call(scope: Message, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await app(scope, receive, watched)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            if not started:
                detail = f"{_STOPPING.detail} {_STOPPING.fix}"
                retry = [(b"retry-after", str(RETRY_AFTER_S).encode()), (b"connection", b"close")]
                await send_json(send, _STOPPING.status, {"code": _STOPPING.code, "detail": detail}, retry)

    return call
