"""HTTP by hand: for tests of what a server does with connections and with requests that no client would send."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from nicobar.web.asgi import Message, Receive, Send, send_json
from nicobar.web.connection_pool import Limits
from nicobar.web.serving import Server
from support.patience import PATIENCE_S


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: Any  # parsed where it is JSON


class Line:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, source: str | None = None) -> Line:
        local = (source, 0) if source else None
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=local))

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(PATIENCE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body: Any = await self._reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("content-type") == "application/json":
            body = json.loads(body)
        return Answer(int(status.split()[1]), headers, body)

    async def rest(self) -> bytes:
        """What still comes before the server closes; b"" also for a reset."""
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionError):
                return await self._reader.read()
        return b""

    async def ask(self, request: bytes) -> Answer:
        await self.say(request)
        return await self.answer()

    def close(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def lines(port: int, count: int, *sources: str) -> AsyncIterator[list[Line]]:
    """Connections, from these addresses in turn."""
    opened: list[Line] = []
    try:
        for number in range(count):
            line = await Line.open(port, sources[number % len(sources)] if sources else None)
            opened.append(line)
        yield opened
    finally:
        for line in opened:
            line.close()


async def once(port: int, request: bytes, source: str | None = None) -> Answer:
    """The answer to one request on a connection of its own."""
    line = await Line.open(port, source)
    try:
        return await line.ask(request)
    finally:
        line.close()


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "host: x", *headers, "", ""]).encode()


def post(path: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    announced = f"content-length: {len(body) if length is None else length}"
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: x", announced, *headers, "", ""]).encode() + body


class Echo:
    """An application whose requests can be made to wait: those for /wait until `go` is set."""

    def __init__(self, body: bytes = b"") -> None:
        self.go = asyncio.Event()
        self.waiting = asyncio.Semaphore(0)
        self.served = 0
        self._body = body

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        self.served += 1
        if scope["path"].endswith("/wait"):
            self.waiting.release()
            await self.go.wait()
        if scope["path"] == "/large":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": self._body})
            return
        size = 0
        while scope["method"] == "POST":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            if not message["more_body"]:
                break
        names = [name.decode() for name, _ in scope["headers"]]
        await send_json(send, 200, {"bytes": size, "client": scope["client"][0], "headers": names})


class Hits:
    """The limits that were hit."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self._news = asyncio.Condition()

    def __call__(self, reason: str) -> None:
        self.reasons.append(reason)
        asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, reason: str) -> None:
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: reason in self.reasons)


@asynccontextmanager
async def serving(
    app: Callable[..., Any] | None = None, hits: Hits | None = None, shares: Any = None, **limits: Any
) -> AsyncIterator[Server]:
    more = {"shares": shares} if shares else {}
    server = await Server.start(
        app or Echo(), "127.0.0.1", 0, limits=Limits(**limits), on_limit=hits or Hits(), **more
    )
    try:
        yield server
    finally:
        await server.stop()


def affordable(wanted: int) -> int:
    """So many connections with both of their ends in this process, or as many as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1_000_000 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(most, 2 * wanted + 1_000)), hard))
    return min(wanted, (most - 500) // 2)
