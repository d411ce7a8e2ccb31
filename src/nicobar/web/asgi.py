"""Bare ASGI that the hot paths share: https://asgi.readthedocs.io/en/latest/specs/www.html."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import unquote

import msgspec

from nicobar.errors import Refusal
from nicobar.model import Json

# ASGI's own types: messages are dictionaries of anything.
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

# A callable in a scope's `extensions` that resets the connection: what a sender sees when a machine dies.
ABORT = "nicobar.abort"
# The connection of a request, in the same place.
CONNECTION = "nicobar.connection"


class GoneError(Exception):
    """The sender hung up before the end of its body."""


# How a slash of an event type's name stays within its segment of a path; no name has a percent sign.
ENCODED_SLASH = "%2F"


def keep_encoded_slashes(app: App) -> App:
    """An application for which a slash that a client encoded is no separator: it is still encoded in the path, and
    `decode_slashes` restores the segment.
    """

    async def call(scope: Message, receive: Receive, send: Send) -> None:
        raw_path = scope.get("raw_path", b"").decode("latin-1")
        if scope["type"] == "http" and ENCODED_SLASH in raw_path.upper():
            kept = re.sub("%2f", "%252F", raw_path, flags=re.IGNORECASE)
            scope = {**scope, "path": unquote(kept)}
        await app(scope, receive, send)

    return call


def decode_slashes(segment: str) -> str:
    return segment.replace(ENCODED_SLASH, "/")


def plain_path(scope: Message) -> str:
    """A request's path with one slash at its start; senders that join URLs may add more."""
    return "/" + str(scope["path"]).lstrip("/")


def headers_of(scope: Message) -> dict[str, str]:
    """A request's headers, names in lower case."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def read_body(
    headers: dict[str, str], receive: Receive, *, max_bytes: int, timeout_ms: int, setting: str = ""
) -> bytes:
    """The whole body. One that is announced as too large is rejected before a byte is read, any other while it
    arrives. `setting` is the name of the setting that `max_bytes` comes from, if any.

    Raises Refusal 413 and 408, GoneError when the sender hangs up.
    """
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes, setting)
    chunks: list[bytes] = []
    size_bytes = 0
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError
                chunk: bytes = message.get("body", b"")
                size_bytes += len(chunk)
                if size_bytes > max_bytes:
                    raise _too_large(max_bytes, setting)
                chunks.append(chunk)
                more = message.get("more_body", False)
    except TimeoutError as error:
        raise Refusal(
            408,
            "body_too_slow",
            "The body did not arrive within %(timeout_ms)s ms.",
            "Retry over a faster connection.",
            timeout_ms=timeout_ms,
        ) from error
    return b"".join(chunks)


def _too_large(max_bytes: int, setting: str) -> Refusal:
    if not setting:
        return Refusal(
            413,
            "body_too_large",
            "The body is larger than %(max_bytes)s bytes.",
            "Send a smaller body.",
            max_bytes=max_bytes,
        )
    return Refusal(
        413,
        "body_too_large",
        "The body is larger than %(max_bytes)s bytes.",
        "Send a smaller body, or raise the setting %(setting)s.",
        max_bytes=max_bytes,
        setting=setting,
    )


async def send_json(send: Send, status: int, value: Json, headers: Headers = ()) -> None:
    await send_body(send, status, msgspec.json.encode(value), [(b"content-type", b"application/json"), *headers])


async def send_body(send: Send, status: int, body: bytes, headers: Headers) -> None:
    start = [(b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
