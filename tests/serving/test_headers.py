"""What a request may be before its body: in time, in size, and as HTTP."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from support.http import Echo, Hits, Line, get, once, post, serving

PIECE_BYTES = 64 * 1024
FLOOD_BYTES = 24_000_000
# Of all that is allocated in a process with a client and a server; a read has up to 256 KiB.
MAX_PEAK_BYTES = 3_000_000
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_a_silent_connection_is_closed_without_an_answer():
    hits = Hits()
    async with serving(hits=hits, header_timeout_ms=100) as server:
        line = await Line.open(server.port)
        assert await line.rest() == b""
        line.close()
    assert hits.reasons == ["header_too_slow"]


@pytest.mark.parametrize("part", [b"G", b"\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nx-a"])
async def test_part_of_a_header_is_answered_408_and_closed(part):
    async with serving(header_timeout_ms=100) as server:
        line = await Line.open(server.port)
        answer = await line.ask(part)
        assert (answer.status, answer.body["code"]) == (408, "header_too_slow")
        assert "100 ms" in answer.body["detail"]
        assert await line.rest() == b""
        line.close()


async def test_a_header_deadline_holds_for_each_further_request():
    async with serving(header_timeout_ms=100) as server:
        line = await Line.open(server.port)
        assert (await line.ask(get("/"))).status == 200
        assert (await line.ask(get("/") + b"GET / HT")).status == 200
        assert (await line.answer()).status == 408
        assert await line.rest() == b""
        line.close()


async def test_bytes_that_drip_do_not_move_the_deadline():
    hits = Hits()
    async with serving(hits=hits, header_timeout_ms=200) as server:
        line = await Line.open(server.port)
        ended = asyncio.create_task(hits.until("header_too_slow"))
        await line.say(b"GET / HTTP/1.1\r\nx: ")
        for _ in range(10_000):
            await line.say(b"a")
            if (await asyncio.wait([ended], timeout=0.01))[0]:
                break
        assert ended.done()
        await ended
        line.close()


async def test_an_idle_connection_is_closed_by_its_own_bound():
    async with serving(idle_timeout_ms=100, header_timeout_ms=60_000) as server:
        line = await Line.open(server.port)
        assert (await line.ask(get("/"))).status == 200
        assert await line.rest() == b""
        line.close()


async def test_one_header_beyond_the_limit_is_431():
    async with serving(max_headers=20) as server:
        for count, status in ((20, 200), (21, 431)):
            answer = await once(server.port, get("/", *(f"x-{number}: 1" for number in range(count - 1))))
            assert answer.status == status
        assert answer.body["code"] == "headers_too_large"
        assert "20 headers" in answer.body["detail"]


@pytest.mark.parametrize("cut", [1, 4_000, 100_000])
async def test_as_many_bytes_as_the_limit_pass_however_they_arrive(cut):
    async with serving(max_header_bytes=8_192) as server:
        for size, status in ((8_192, 200), (8_200, 431)):
            line = await Line.open(server.port)
            request = get("/", "x: " + "a" * (size - len(get("/", "x: "))))
            assert len(request) == size
            await line.say(request[:cut])
            answer = await line.ask(request[cut:])
            assert answer.status == status
            line.close()


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (get("/")[:-2], b"a: b\r\n" * 10_000),
        (get("/")[:-2], b"a: " + b"b" * 6_000_000 + b"\r\n"),
        (get("/")[:-2], b"a" * PIECE_BYTES),
        (get("/")[:-2] + b"a:", b" " * PIECE_BYTES),
        (b"GET /", b"a" * PIECE_BYTES),
        (b"GET http://x/", b"a" * PIECE_BYTES),
        (b"", b"\r\n" * PIECE_BYTES),
        (CHUNKED + b"0\r\n", b"a: b\r\n" * 10_000),
        (CHUNKED + b"0\r\na: ", b"b" * PIECE_BYTES),
        (CHUNKED + b"0\r\n", b"b" * PIECE_BYTES),
        (CHUNKED + b"5;a=", b"b" * PIECE_BYTES),
        (CHUNKED, b"1;a=" + b"b" * PIECE_BYTES + b"\r\nx\r\n"),
    ],
    ids=[
        *("headers", "huge values", "a name", "spaces", "a request line", "an absolute one", "empty lines"),
        *("trailers", "a trailer's value", "a trailer's name", "a chunk extension", "chunk extensions"),
    ],
)
async def test_oversized_headers_and_trailers_are_431_without_using_memory(start, piece):
    hits = Hits()
    async with serving(hits=hits, discard_timeout_ms=60_000) as server:
        line = await Line.open(server.port)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            await line.say(start)
            # In one write the client's own buffer would count.
            for _ in range(FLOOD_BYTES // len(piece)):
                for at in range(0, len(piece), PIECE_BYTES):
                    await line.say(piece[at : at + PIECE_BYTES])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak - before < MAX_PEAK_BYTES
        answer = await line.answer()
        assert (answer.status, answer.body["code"]) == (431, "headers_too_large")
        assert answer.headers["connection"] == "close"
        assert await line.rest() == b""
        line.close()
    assert hits.reasons == ["headers_too_large"]


async def test_a_body_in_chunks_of_one_byte_is_read_whole():
    body = b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"
    async with serving() as server:
        answer = await once(server.port, CHUNKED + body)
    assert (answer.status, answer.body["bytes"]) == (200, 50_000)


async def test_trailers_do_not_become_headers():
    async with serving() as server:
        answer = await once(server.port, CHUNKED + b"1\r\nx\r\n0\r\nauthorization: later\r\n\r\n")
    assert answer.body["headers"] == ["host", "transfer-encoding"]


async def test_pipelined_requests_are_answered_in_order_up_to_a_bound():
    app = Echo()
    async with serving(app) as server:
        line = await Line.open(server.port)
        await line.say(get("/wait") + get("/") * 10_000)
        await app.waiting.acquire()
        app.go.set()
        answers = [await line.answer() for _ in range(17)]
        assert {answer.status for answer in answers} == {200}
        assert await line.rest() == b""
        assert app.served == 17
        line.close()


async def test_a_malformed_request_does_not_overtake_the_answer_before_it():
    app = Echo()
    async with serving(app) as server:
        line = await Line.open(server.port)
        await line.say(get("/wait") + b"nonsense\r\n\r\n")
        await app.waiting.acquire()
        app.go.set()
        assert (await line.answer()).status == 200
        assert await line.rest() == b""
        line.close()


@pytest.mark.parametrize(
    "request_",
    [
        post("/", b"x", "content-length: 2"),
        post("/", b"x", "transfer-encoding: chunked"),
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +38\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost : x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\n y\r\n\r\n",
        b"POST / HTTP/1.1\nhost: x\n\n",
        b"POST / HTTP/1.1\r\nhost: x\x00y\r\n\r\n",
        b"POST / HTTP/1.1\r\nho\x00st: x\r\n\r\n",
        b"POST /\x00 HTTP/1.1\r\nhost: x\r\n\r\n",
        CHUNKED + b"ffffffffffffffffff\r\n",
        CHUNKED + b"-1\r\nx\r\n",
        CHUNKED + b"1\r\nxx\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        post("/", b"x", "connection: upgrade", "upgrade: h2c"),
    ],
    ids=[
        *("two lengths", "a length and chunks", "+38", "negative", "huge", "space before the colon", "folded"),
        *("bare line feeds", "NUL in a value", "NUL in a name", "NUL in the path", "chunk overflow"),
        *("negative chunk", "chunk too long", "HTTP/2", "TLS", "upgrade with a body"),
    ],
)
async def test_malformed_requests_are_400_and_closed(request_):
    async with serving() as server:
        line = await Line.open(server.port)
        answer = await line.ask(request_)
        assert (answer.status, answer.body["code"]) == (400, "request_invalid")
        assert answer.headers["connection"] == "close"
        assert await line.rest() == b""
        line.close()


async def test_an_upgrade_request_is_served_and_closed():
    async with serving() as server:
        line = await Line.open(server.port)
        assert (await line.ask(get("/", "connection: upgrade", "upgrade: h2c"))).status == 200
        assert await line.rest() == b""
        line.close()
