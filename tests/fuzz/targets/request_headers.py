"""Bytes of a connection: requests are answered or rejected, in one piece or in many, and the application never gets
one beyond the limits.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
import uvicorn
from uvicorn.server import ServerState

from fuzz.choices import Choices
from nicobar.web.asgi import Message, Receive, Send
from nicobar.web.connection_pool import Limits, Pool
from nicobar.web.connections import MAX_PIPELINED_REQUESTS, Connection

LIMITS = Limits(max_header_bytes=600, max_headers=12)
MAX_PIECES = 12
# More than any request needs to be answered.
MAX_TURNS = 400
PARTS = (
    b"GET / HTTP/1.1\r\n", b"POST /in/x HTTP/1.1\r\n", b"GET http://a/ HTTP/1.0\r\n", b"host: a\r\n", b"\r\n", b"\n",
    b"content-length: 3\r\n", b"content-length: +3\r\n", b"transfer-encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n",
    b"abc", b"connection: close\r\n", b"expect: 100-continue\r\n", b"upgrade: h2c\r\nconnection: upgrade\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"a: b\r\n", b"x" * 300, b": \r\n", b" folded\r\n", b"3;ext=1\r\nabc\r\n",
    b"0\r\ntrailer: a\r\n\r\n", b"\0", b"\xff", b"transfer-encoding: gzip, chunked\r\n",
    b"content-length: 18446744073709551616\r\n",
)  # fmt: skip
SEEDS = (
    b"\1\5\0GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    b"\2\1\1\0POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
    b"\0\1" + bytes([0, 3, 4] * 6),
    b"\1\7\1" + bytes([1, 3, 8, 4, 9, 0, 3, 4]),
    b"\3\1\2\3\1" + bytes([0] + [15] * 14 + [4]),
)


class Wire(asyncio.Transport):
    """Keeps the written bytes."""

    def __init__(self) -> None:
        super().__init__({"peername": ("203.0.113.7", 4711), "sockname": ("127.0.0.1", 80)})
        self.written = bytearray()
        self.closing = False

    def write(self, data: Any) -> None:
        self.written += data

    def writelines(self, parts: Any) -> None:
        self.written += b"".join(parts)

    def close(self) -> None:
        self.closing = True

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Door:
    """Connections to an application that notes its requests."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.seen: list[tuple[object, ...]] = []
        self.config = uvicorn.Config(
            self.app, interface="asgi3", log_config=None, access_log=False, lifespan="off", ws="none"
        )
        self.config.load()
        self.state = ServerState()
        self.pool = self.loop.run_until_complete(self.new_pool())

    async def new_pool(self) -> Pool:
        return Pool(LIMITS, lambda _: None)

    async def app(self, scope: Message, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        headers = tuple(scope["headers"])
        self.seen.append((scope["method"], scope["raw_path"], scope["query_string"], headers, body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def take(self, pieces: list[bytes]) -> tuple[list[tuple[object, ...]], bytes]:
        """The requests that the application got, and what the client got."""
        self.seen = []
        wire = Wire()
        self.loop.run_until_complete(self.feed(wire, pieces))
        return self.seen, bytes(wire.written)

    async def feed(self, wire: Wire, pieces: list[bytes]) -> None:
        connection = Connection(self.config, self.state, {}, self.loop, pool=self.pool)
        connection.connection_made(wire)
        for piece in pieces:
            connection.data_received(piece)
            await self.settled()
        connection.connection_lost(None)
        await self.settled()
        assert not self.state.tasks
        assert len(self.pool) == 0

    async def settled(self) -> None:
        """Until only the client can continue."""
        for _ in range(MAX_TURNS):
            before = len(self.state.tasks)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if len(self.state.tasks) in {0, before}:
                break

    def close(self) -> None:
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.pool.close()
        self.loop.close()


_doors: list[Door] = []


def run(data: bytes) -> None:
    it = Choices(data)
    if not _doors:
        _doors.append(Door())
    sizes = [1 + it.byte() for _ in range(it.byte() % MAX_PIECES)]
    if it.byte() % 4:
        content = b"".join(it.pick(PARTS) if it.byte() % 8 else it.chunk(20) for _ in range(min(it.left, 40)))
    else:
        content = it.rest()
    seen, answered = _doors[0].take([content])
    check_requests(seen)
    check_answers(answered, len(seen))
    pieces = []
    rest = content
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    in_pieces, _ = _doors[0].take([piece for piece in [*pieces, rest] if piece])
    check_requests(in_pieces)
    if len(seen) < MAX_PIPELINED_REQUESTS and len(content) <= LIMITS.max_header_bytes:
        assert in_pieces == seen, (content, sizes)


def close() -> None:
    while _doors:
        _doors.pop().close()


def check_requests(seen: list[tuple[object, ...]]) -> None:
    for _, path, query, headers, _ in seen:
        assert len(headers) <= LIMITS.max_headers
        size = len(path) + len(query) + sum(len(name) + len(value) + 4 for name, value in headers)
        assert size <= LIMITS.max_header_bytes
        names = [name for name, _ in headers]
        assert not (b"content-length" in names and b"transfer-encoding" in names)
        assert names.count(b"content-length") <= 1
        assert not any(set(b"\r\n\0") & set(name + value) for name, value in headers)


class Answers:
    def __init__(self) -> None:
        self.count = 0

    def on_message_complete(self) -> None:
        self.count += 1


def check_answers(written: bytes, requests: int) -> None:
    """All of it is answers, at most one for each request and one rejection."""
    answers = Answers()
    written = written.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    if written:
        httptools.HttpResponseParser(answers).feed_data(written)
        assert requests <= answers.count + 1
        assert answers.count <= requests + 1
