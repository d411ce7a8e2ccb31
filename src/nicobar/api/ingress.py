"""The hot path, bare ASGI: `POST /in/{token}`. Everything else goes to the application behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from nicobar.errors import Refusal
from nicobar.model import Json
from nicobar.observe import Metrics, log
from nicobar.pipeline.receive import Receiver

# ASGI's own types: messages are dictionaries of anything, https://asgi.readthedocs.io/en/latest/specs/main.html.
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

PREFIX = "/in/"
MAX_LOGGED_ID_CHARS = 256


class Ingress:
    """Takes webhooks. `max_body_bytes` is held while the body arrives, `body_timeout_ms` for all of it."""

    def __init__(
        self, receiver: Receiver, behind: App, metrics: Metrics, *, max_body_bytes: int, body_timeout_ms: int
    ) -> None:
        self._receiver = receiver
        self._behind = behind
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._body_timeout_ms = body_timeout_ms

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._behind(scope, receive, send)
            return
        try:
            await self._take(scope, receive, send)
        except _GoneError:
            self._metrics.refused.labels("disconnected").inc()
        except Refusal as refusal:
            self._metrics.refused.labels(refusal.code).inc()
            await _refuse(send, refusal)

    async def _take(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise Refusal(405, "method_not_allowed", "A source takes POST only.", "Send webhooks by POST.")
        source = await self._receiver.source(scope["path"].removeprefix(PREFIX))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            body = await self._body(headers, receive)
            appended = await self._receiver.receive(source, headers, body)
        except Refusal as refusal:
            log.warning(
                "refused",
                source_id=source.source.id,
                code=refusal.code,
                status=refusal.status,
                detail=refusal.detail,
                event_id=headers.get("webhook-id", "")[:MAX_LOGGED_ID_CHARS],
            )
            raise
        if appended.duplicate:
            await _answer(send, 200, {"id": appended.message_id, "duplicate": True})
        else:
            await _answer(send, 202, {"id": appended.message_id})

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        """The whole body; what is announced too large is refused before a byte is read."""
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_body_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size_bytes = 0
        try:
            async with asyncio.timeout(self._body_timeout_ms / 1000):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _GoneError
                    chunk: bytes = message.get("body", b"")
                    size_bytes += len(chunk)
                    if size_bytes > self._max_body_bytes:
                        raise self._too_large()
                    chunks.append(chunk)
                    more = message.get("more_body", False)
        except TimeoutError as error:
            raise Refusal(
                408,
                "body_too_slow",
                f"The body did not arrive within {self._body_timeout_ms} ms.",
                "Send it again over a faster line.",
            ) from error
        return b"".join(chunks)

    def _too_large(self) -> Refusal:
        return Refusal(
            413,
            "body_too_large",
            f"The body is larger than {self._max_body_bytes} bytes.",
            "Send a smaller event, or raise the setting max_body_bytes.",
        )


class _GoneError(Exception):
    """The sender hung up before the end of its body."""


async def _refuse(send: Send, refusal: Refusal) -> None:
    headers = []
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
    if refusal.status == 405:  # noqa: PLR2004 - the status that asks for this header
        headers.append((b"allow", b"POST"))
    if refusal.status in {408, 413}:
        # The rest of the body will not be read.
        headers.append((b"connection", b"close"))
    await _answer(
        send, refusal.status, {"code": refusal.code, "detail": f"{refusal.detail} {refusal.fix}".strip()}, headers
    )


async def _answer(send: Send, status: int, value: Json, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    body = msgspec.json.encode(value)
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
