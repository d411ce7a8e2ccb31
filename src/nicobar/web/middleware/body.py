"""Reads the body of each request before it reaches the application, with limits on its size and time."""

from __future__ import annotations

from nicobar.web.asgi import App, Message, Receive, Send, headers_of, read_body

_BODY = "nicobar.body"  # the key of the body in an ASGI scope


class Body:
    """Reads the body. `setting` is the name of the setting for `max_bytes`, if any. Raises Refusal 413 and 408,
    GoneError if the sender disconnects.
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
    """The body that `Body` has read."""
    body: bytes = scope[_BODY]
    return body
