"""Requests through the operator's outbound proxy, which is a loopback server here."""

from __future__ import annotations

import asyncio
import base64
import socket
from contextlib import asynccontextmanager

import pytest
from aiohttp.abc import AbstractResolver

from nicobar.addresses import AllowedAddresses
from nicobar.connectors import NoResponse, Request, Response
from nicobar.connectors.transport import HttpTransport
from support.patience import PATIENCE_MS, PATIENCE_S

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
TABLE = {
    "shop.example": "1.1.1.1",
    "crm.internal": "10.0.0.5",
    "proxy.internal": "127.0.0.1",
    "rebound.example": "169.254.169.254",
    "mixed.example": "1.1.1.1 169.254.169.254",
}


class Names(AbstractResolver):
    """Resolves the names of the table, and counts the lookups."""

    def __init__(self) -> None:
        self.lookups: list[str] = []

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC):
        del family
        self.lookups.append(host)
        if host not in TABLE:
            raise OSError("unknown name")
        found = {"hostname": host, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
        return [{**found, "host": address} for address in TABLE[host].split()]

    async def close(self) -> None:
        pass


class Proxy:
    """Answers every request with these bytes, and records its head and what follows a tunnel's answer."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.tunneled = b""
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        writer.write(self.answer)
        if head.startswith("CONNECT") and b" 200 " in self.answer:
            async with asyncio.timeout(PATIENCE_S):
                self.tunneled += await reader.read(4_096)
        writer.close()


@asynccontextmanager
async def proxied(answer: bytes = OK, allowed: str = "", user: str = "", host: str = "127.0.0.1"):
    """A transport with a proxy."""
    proxy, names = Proxy(answer), Names()
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with HttpTransport(
        allowed=AllowedAddresses.read(allowed.replace("PORT", str(proxy.port))),
        proxy=f"http://{user}{host}:{proxy.port}",
        timeout_ms=PATIENCE_MS,
        resolver=names,
    ) as transport:
        yield transport, proxy, names
    server.close()


def post(url: str) -> Request:
    return Request(method="POST", url=url, headers={"x-plan": "pro"}, body=b"{}")


@pytest.mark.parametrize("host", ["127.0.0.1", "proxy.internal"])
async def test_http_requests_go_through_the_proxy_in_absolute_form(host):
    async with proxied(user="nico:p%40ss@", host=host) as (transport, proxy, _):
        request = post("http://shop.example/a%2Fb?c=1")
        answer = await transport.send(request)
    assert isinstance(answer, Response)
    assert (answer.status, answer.body) == (200, b"ok")
    (head,) = proxy.heads
    assert head.startswith("POST http://shop.example/a%2Fb?c=1 HTTP/1.1\r\n")
    assert "x-plan: pro" in head
    assert base64.b64encode(b"nico:p@ss").decode() in head
    assert "authorization" not in str(request.headers).lower()


async def test_https_requests_are_tunneled():
    async with proxied(b"HTTP/1.1 200 Connection established\r\n\r\n", user="nico:secret@") as (transport, proxy, _):
        await transport.send(post("https://shop.example/hooks?token=1"))
    (head,) = proxy.heads
    assert head.startswith("CONNECT shop.example:443 HTTP/1.1\r\n")
    assert base64.b64encode(b"nico:secret").decode() in head
    assert "token" not in head
    assert proxy.tunneled[:2] == b"\x16\x03", "a TLS handshake"
    assert b"shop.example" in proxy.tunneled


async def test_a_refusal_by_the_proxy_is_told_without_its_credentials(caplog):
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
    async with proxied(refusal, user="nico:secret@") as (transport, _, _):
        answer = await transport.send(post("https://shop.example/"))
    assert isinstance(answer, NoResponse)
    assert str(answer.reason) == "the outbound proxy responded with 407"
    assert "secret" not in f"{answer}{transport!r}{caplog.text}"


async def test_a_proxy_that_is_down_is_named():
    for proxy in ("http://127.0.0.1:1", "http://nowhere.example:3128"):
        async with HttpTransport(proxy=proxy, timeout_ms=PATIENCE_MS, resolver=Names()) as transport:
            answer = await transport.send(post("https://shop.example/"))
        assert isinstance(answer, NoResponse)
        assert str(answer.reason) == "cannot connect to the outbound proxy"
        assert answer.refused is None


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "localhost",
        "2130706433",
        "010.0.0.1",  # 8.0.0.1, or 10.0.0.1 to another program
        "169.254.169.254",
        "crm.internal",
        "rebound.example",
        "mixed.example",
    ],
)
async def test_addresses_that_are_not_public_are_blocked_before_the_proxy(scheme, host):
    async with proxied() as (transport, proxy, _):
        url = f"{scheme}://{host}/"
        answer = await transport.send(post(url))
        assert isinstance(answer, NoResponse)
        assert answer.refused is not None
        assert await transport.refused_address(url) == answer.refused
    assert proxy.heads == []


async def test_only_the_operator_may_reach_the_proxy_s_own_address():
    for allowed, is_sent in (("", False), ("127.0.0.1:PORT", True)):
        async with proxied(allowed=allowed) as (transport, proxy, _):
            await transport.send(post(f"http://127.0.0.1:{proxy.port}/"))
        assert bool(proxy.heads) is is_sent


async def test_allowed_hosts_and_names_that_only_the_proxy_knows_are_sent():
    async with proxied(allowed="crm.internal, 169.254.0.0/16") as (transport, proxy, _):
        for host in ("crm.internal", "rebound.example", "known-to-the-proxy.example"):
            assert isinstance(await transport.send(post(f"http://{host}/")), Response)
            assert await transport.refused_address(f"http://{host}/") is None
    assert len(proxy.heads) == 3


async def test_a_name_is_not_looked_up_for_every_request():
    async with proxied() as (transport, proxy, names):
        for _ in range(5):
            await transport.send(post("http://shop.example/"))
    assert (len(proxy.heads), names.lookups) == (5, ["shop.example"])
