"""Sends requests. The only place that knows the HTTP client, and the one that refuses addresses."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from nicobar import __version__
from nicobar.connectors import NoResponse, Request, Response

TIMEOUT_MS = 15_000
MAX_ANSWER_BYTES = 1024 * 1024
MAX_CONNECTIONS = 100


class _RefusedAddressError(OSError):
    """The host's address is inside a network that handlers may not reach."""


class HttpTransport:
    """A `Transport` with pooled connections. `timeout_ms` is for everything from the connection to the last byte."""

    def __init__(self, *, timeout_ms: int = TIMEOUT_MS) -> None:
        self._timeout_ms = timeout_ms
        self._open: aiohttp.ClientSession | None = None
        self._guarded: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._open = self._session(aiohttp.ThreadedResolver())
        self._guarded = self._session(_PublicResolver())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._open, self._guarded):
            if session is not None:
                await session.close()

    async def send(self, request: Request) -> Response | NoResponse:
        session = self._open if request.operator_host else self._guarded
        started_ns = time.monotonic_ns()
        if session is None:
            return NoResponse(reason="the transport is closed", duration_ms=0)
        try:
            url = URL(request.url, encoded=True)
            if not request.operator_host:
                _check_literal(url.host or "")
            async with session.request(
                request.method,
                url,
                data=request.body or None,
                headers=_wire_headers(request),
                allow_redirects=False,
            ) as answer:
                body, truncated = await _read(answer.content)
                return Response(
                    status=answer.status,
                    headers={name.lower(): value for name, value in answer.headers.items()},
                    body=body,
                    duration_ms=_since_ms(started_ns),
                    truncated=truncated,
                )
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            return NoResponse(reason=self._reason(error), duration_ms=_since_ms(started_ns))

    def _session(self, resolver: AbstractResolver) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, resolver=resolver, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=self._timeout_ms / 1000),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Answers are asked for uncompressed; one that is not would only be a bomb.
            auto_decompress=False,
            trust_env=False,
        )

    def _reason(self, error: BaseException) -> str:  # noqa: PLR0911 - one a kind of failure
        match error:
            case asyncio.TimeoutError():
                return f"timed out after {self._timeout_ms} ms"
            case _RefusedAddressError():
                return "the address is inside a private network, which a handler may not reach"
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | ssl.SSLError():
                return "the TLS connection failed"
            case aiohttp.ClientConnectorDNSError():
                if isinstance(error.os_error.__cause__ or error.os_error, _RefusedAddressError):
                    return "the address is inside a private network, which a handler may not reach"
                return "the host name is not known"
            case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()) | ConnectionRefusedError():
                return "connection refused"
            case aiohttp.ClientConnectorError():
                return f"no connection ({error.os_error.strerror or type(error.os_error).__name__})"
            case aiohttp.ServerDisconnectedError() | ConnectionError():
                return "the connection was closed before the answer"
            case aiohttp.InvalidURL() | ValueError():
                return "the URL or a header is not valid"
            case _:
                return f"the request failed ({type(error).__name__})"


class _PublicResolver(AbstractResolver):
    """Resolves once and passes on only public addresses, so that a name cannot change its mind in between."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [result for result in found if _is_public(result["host"])]
        if not allowed:
            raise _RefusedAddressError(host)
        return allowed

    async def close(self) -> None:
        await self._inner.close()


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_global and not (mapped or parsed).is_multicast


def _wire_headers(request: Request) -> dict[str, str]:
    """The request's own, and ours. Answers are asked for as they are, since nothing unpacks them."""
    own = {name: value for name, value in request.headers.items() if name.lower() != "accept-encoding"}
    return {"user-agent": f"nicobar/{__version__}", **own, "accept-encoding": "identity"}


def _check_literal(host: str) -> None:
    """The client does not ask its resolver about addresses."""
    try:
        public = _is_public(host)
    except ValueError:
        return
    if not public:
        raise _RefusedAddressError(host)


async def _read(content: aiohttp.StreamReader) -> tuple[bytes, bool]:
    """The body up to the bound, and whether there was more."""
    chunks: list[bytes] = []
    left_bytes = MAX_ANSWER_BYTES + 1
    while left_bytes > 0 and (chunk := await content.read(left_bytes)):
        chunks.append(chunk)
        left_bytes -= len(chunk)
    body = b"".join(chunks)
    return body[:MAX_ANSWER_BYTES], len(body) > MAX_ANSWER_BYTES


def _since_ms(started_ns: int) -> int:
    return (time.monotonic_ns() - started_ns) // 1_000_000
