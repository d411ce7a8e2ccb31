"""Requests come to the application behind it with their whole body, which is bounded in size and in time."""

from __future__ import annotations

from nicobar.web.asgi import App, Message, Receive, Send, headers_of, read_body

_BODY = "nicobar.body"  # where it stands in an ASGI scope


class Body:
    """Reads the body; `setting` is the one that `max_bytes` comes from, if any. Raises Refusal 413 and 408, GoneError
    when the sender hangs up.
    """

    def __init__(self, app: App, *, max_bytes: int, timeout_ms: int, setting: str = "") -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_ms = timeout_ms
        self._setting = setting

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[_BODY] = await read_body(
                headers_of(scope),
                receive,
                max_bytes=self._max_bytes,
                timeout_ms=self._timeout_ms,
                setting=self._setting,
            )
        await self._app(scope, receive, send)


def body_of(scope: Message) -> bytes:
    """The body of a request that came through `Body`."""
    body: bytes = scope[_BODY]
    return body
