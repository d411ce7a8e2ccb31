"""Sending for real, over loopback."""

from __future__ import annotations

import asyncio

import pytest

from nicobar.connectors import NoResponse, Request, Response
from nicobar.connectors.transport import HttpTransport


async def ask(
    answer: bytes | None, *, operator_host: bool = True, close: bool = True, timeout_ms: int = 2_000, headers=None
):
    """One request against a server that answers with these bytes; None resets the connection."""
    seen: list[bytes] = []
    released = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        if answer is None:
            writer.transport.abort()
            return
        writer.write(answer)
        if not close:
            await released.wait()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with HttpTransport(timeout_ms=timeout_ms) as transport:
        result = await transport.send(
            Request(
                method="POST",
                url=f"http://127.0.0.1:{port}/a%2Fb?c=1",
                headers={"x-plan": "pro", **(headers or {})},
                body=b"{}",
                operator_host=operator_host,
            )
        )
    released.set()
    server.close()
    return result, seen


async def test_an_answer_is_read_and_the_request_is_as_written():
    result, (seen,) = await ask(b"HTTP/1.1 207 Multi\r\nRetry-After: 5\r\ncontent-length: 2\r\n\r\n{}")
    assert isinstance(result, Response)
    assert (result.status, result.headers["retry-after"], result.body) == (207, "5", b"{}")
    assert seen.startswith(b"POST /a%2Fb?c=1 HTTP/1.1\r\n")
    assert b"x-plan: pro" in seen


async def test_answers_are_asked_for_in_plain_bytes():
    _, (seen,) = await ask(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", headers={"Accept-Encoding": "gzip"})
    assert [line for line in seen.lower().splitlines() if b"accept-encoding" in line] == [
        b"accept-encoding: identity"
    ]


async def test_a_redirect_is_an_answer_and_not_followed():
    result, seen = await ask(b"HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
    assert isinstance(result, Response)
    assert (result.status, len(seen)) == (301, 1)


async def test_a_long_answer_is_cut():
    for longer in (0, 1):
        result, _ = await ask(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (1_048_576 + longer))
        assert isinstance(result, Response)
        assert (len(result.body), result.truncated) == (1_048_576, bool(longer))


@pytest.mark.parametrize("answer", [None, b"nonsense\r\n\r\n"])
async def test_a_broken_answer_is_no_answer(answer):
    result, _ = await ask(answer)
    assert isinstance(result, NoResponse)
    assert result.reason


async def test_an_answer_that_does_not_come_is_timed_out():
    result, _ = await ask(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", close=False, timeout_ms=200)
    assert isinstance(result, NoResponse)
    assert result.reason == "timed out after 200 ms"


async def test_a_handler_cannot_reach_the_private_network():
    result, seen = await ask(b"HTTP/1.1 200 OK\r\n\r\n", operator_host=False)
    assert isinstance(result, NoResponse)
    assert "private network" in result.reason
    assert not seen


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:1/",
        "http://[::1]:1/",
        "http://[::ffff:127.0.0.1]:1/",
        "http://169.254.169.254/",
        "http://10.0.0.1/",
        "http://0.0.0.0:1/",
    ],
)
async def test_private_addresses_are_refused_in_every_form(url):
    async with HttpTransport(timeout_ms=2_000) as transport:
        result = await transport.send(Request(method="POST", url=url, headers={}, body=b""))
    assert isinstance(result, NoResponse)
    assert "private network" in result.reason


async def test_a_refused_connection_and_a_bad_url_are_told_apart():
    async with HttpTransport(timeout_ms=2_000) as transport:
        refused = await transport.send(
            Request(method="POST", url="http://127.0.0.1:1/", headers={}, body=b"", operator_host=True)
        )
        bad = await transport.send(Request(method="POST", url="http://", headers={}, body=b"", operator_host=True))
    assert isinstance(refused, NoResponse)
    assert isinstance(bad, NoResponse)
    assert refused.reason == "connection refused"
    assert bad.reason == "the URL or a header is not valid"
