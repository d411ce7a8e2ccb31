"""Sends requests. The only place that knows the HTTP client, and that blocks addresses."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from nicobar import __version__
from nicobar.addresses import (
    PUBLIC_ONLY,
    Address,
    AllowedAddresses,
    RefusedAddress,
    has_one_reading,
    literal_addresses,
    refused,
)
from nicobar.connectors import NoResponse, Request, Response
from nicobar.reasons import Reason, reason

TIMEOUT_MS = 15_000
MAX_ANSWER_BYTES = 1024 * 1024
DNS_CACHE_S = 60
MAX_CHECKED_HOSTS = 10_000
# Of all endpoints together. A request that waits for a connection would spend its time limit waiting.
MAX_CONNECTIONS = 4_096


# As `socket.getaddrinfo` returns it: family, type, protocol, canonical name, socket address.
AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
SocketFactory = Callable[[AddressInfo], socket.socket]


class _RefusedAddressError(OSError):
    """Requests to this host are blocked."""

    def __init__(self, refused: RefusedAddress) -> None:
        super().__init__(refused.host)
        self.refused = refused


class HttpTransport:
    """A `Transport` with pooled connections to public addresses and those in `allowed`. `timeout_ms` covers
    everything from connecting to the last byte. With a `proxy`, the operator's, every request goes through it: hosts
    are checked here all the same, and the proxy connects. Tests pass their own `resolver` and `socket_factory`.
    """

    def __init__(
        self,
        *,
        allowed: AllowedAddresses = PUBLIC_ONLY,
        proxy: str = "",
        timeout_ms: int = TIMEOUT_MS,
        resolver: AbstractResolver | None = None,
        socket_factory: SocketFactory | None = None,
    ) -> None:
        self._allowed = allowed
        self._proxy = proxy
        # When each host was last found allowed, where a proxy connects.
        self._checked_hosts: dict[tuple[str, int], float] = {}
        self._timeout_ms = timeout_ms
        self._inner = resolver
        self._socket_factory = socket_factory
        self._resolver: _CheckedResolver | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        resolver = self._inner or aiohttp.ThreadedResolver()
        self._resolver = _CheckedResolver(resolver, self._allowed, all_of_them=bool(self._proxy))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS,
                # With a proxy only its own address is dialed, which the operator chose.
                resolver=resolver if self._proxy else self._resolver,
                ttl_dns_cache=DNS_CACHE_S,
                socket_factory=self._socket_factory,
            ),
            proxy=self._proxy or None,
            timeout=aiohttp.ClientTimeout(total=self._timeout_ms / 1000),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Responses are requested uncompressed; a compressed one could only be a decompression bomb.
            auto_decompress=False,
            # A proxy from the environment would connect to unchecked addresses.
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Request) -> Response | NoResponse:
        started_ns = time.monotonic_ns()
        if self._session is None:
            return NoResponse(reason=reason("transport_closed", "the HTTP client is closed"), duration_ms=0)
        try:
            url = URL(request.url, encoded=True)
            await self._check(url)
            async with self._session.request(
                request.method,
                url,
                data=request.body or None,
                headers=_wire_headers(request),
                allow_redirects=False,
            ) as answer:
                body, truncated = await _read(answer.content)
                return Response(
                    status=answer.status,
                    headers={
                        name: ", ".join(answer.headers.getall(name))
                        for name in dict.fromkeys(map(str.lower, answer.headers))
                    },
                    body=body,
                    duration_ms=_since_ms(started_ns),
                    truncated=truncated,
                )
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            return NoResponse(
                reason=self._reason(error), duration_ms=_since_ms(started_ns), refused=_refused_address(error)
            )

    async def refused_address(self, url: str) -> RefusedAddress | None:
        try:
            await self._resolve(*self._check_literal(URL(url, encoded=True)))
        except (OSError, ValueError, TimeoutError) as error:
            return _refused_address(error)
        return None

    async def _check(self, url: URL) -> None:
        """Raises _RefusedAddressError for a host that may not be reached. Without a proxy, names are checked when the
        client resolves them. With one, a name that does not resolve here is the proxy's to decide.
        """
        checked = self._check_literal(url)
        if not self._proxy:
            return
        now_s = time.monotonic()
        if now_s - self._checked_hosts.get(checked, -DNS_CACHE_S) < DNS_CACHE_S:
            return
        try:
            await self._resolve(*checked)
        except (OSError, TimeoutError) as error:
            if isinstance(error, _RefusedAddressError):
                raise
        if len(self._checked_hosts) >= MAX_CHECKED_HOSTS:
            self._checked_hosts.clear()
        self._checked_hosts[checked] = now_s

    async def _resolve(self, host: str, port: int) -> None:
        """Raises _RefusedAddressError for a name that has only addresses that may not be reached."""
        if self._resolver is not None and not literal_addresses(host):
            async with asyncio.timeout(self._timeout_ms / 1000):
                await self._resolver.resolve(host, port)

    def _check_literal(self, url: URL) -> tuple[str, int]:
        """Checks a host that is an IP address, since the client does not resolve it. Returns host and port."""
        host, port = url.raw_host or "", url.port or 0
        addresses = literal_addresses(host)
        if not addresses and (not host.isascii() or ":" in host or host.replace(".", "").isdigit()):
            # The client treats these as addresses and passes them to the system, which accepts full-width digits too.
            raise _RefusedAddressError(refused(host, port))
        if self._proxy and addresses and not has_one_reading(host):
            raise _RefusedAddressError(refused(host, port))
        if (
            addresses
            and not self._allowed.allows_host(host, port)
            and not any(self._allowed.allows(address, port) for address in addresses)
        ):
            raise _RefusedAddressError(refused(host, port))
        return host, port

    def _reason(self, error: BaseException) -> Reason:  # noqa: C901, PLR0911 - one per kind of failure
        match error:
            case asyncio.TimeoutError():
                return reason("timed_out", "timed out after %(timeout_ms)s ms", timeout_ms=self._timeout_ms)
            case _ if _refused_address(error) is not None:
                return reason("address_not_allowed", "the address is not public and not in allowed_addresses")
            case aiohttp.ClientHttpProxyError():
                return reason("proxy_refused", "the outbound proxy responded with %(status)s", status=error.status)
            case _ if self._proxy and _is_of_proxy(error):
                return reason("proxy_unreachable", "cannot connect to the outbound proxy")
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | ssl.SSLError():
                return reason("tls_failed", "TLS connection failed")
            case aiohttp.ClientConnectorDNSError():
                return reason("host_unknown", "unknown host name")
            case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()) | ConnectionRefusedError():
                return reason("connection_refused", "connection refused")
            case aiohttp.ClientConnectorError():
                strerror = error.os_error.strerror or type(error.os_error).__name__
                return reason("no_connection", "connection failed (%(strerror)s)", strerror=strerror)
            case aiohttp.ServerDisconnectedError() | ConnectionError():
                return reason("connection_closed", "connection closed before the response")
            case aiohttp.InvalidURL() | ValueError():
                return reason("request_invalid", "invalid URL or header")
            case _:
                return reason("request_failed", "request failed (%(name)s)", name=type(error).__name__)


class _CheckedResolver(AbstractResolver):
    """Resolves a name once and returns only the allowed addresses. The client connects to exactly these, so DNS
    rebinding has no effect. A proxy connects to any of them, so `all_of_them` have to be allowed there.
    """

    def __init__(self, inner: AbstractResolver, allowed: AllowedAddresses, *, all_of_them: bool) -> None:
        self._inner = inner
        self._allowed = allowed
        self._all_of_them = all_of_them

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if self._allowed.allows_host(host, port):
            return found
        allowed = [item for item in found if self._allowed.allows(_address(item), port)]
        if found and (not allowed or (self._all_of_them and len(allowed) < len(found))):
            raise _RefusedAddressError(refused(host, port))
        return allowed

    async def close(self) -> None:
        await self._inner.close()


def _address(result: ResolveResult) -> Address:
    """The address without its zone (an interface)."""
    return ipaddress.ip_address(result["host"].partition("%")[0])


def _is_of_proxy(error: BaseException) -> bool:
    """Whether the proxy itself was not reached: only its own name is resolved, and only its address dialed."""
    return isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientConnectorDNSError)


def _refused_address(error: BaseException) -> RefusedAddress | None:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    for item in (cause, cause.__cause__):
        if isinstance(item, _RefusedAddressError):
            return item.refused
    return None


def _wire_headers(request: Request) -> dict[str, str]:
    """The request's headers and ours. Responses are requested uncompressed, since nothing decompresses them."""
    own = {name: value for name, value in request.headers.items() if name.lower() != "accept-encoding"}
    return {"user-agent": f"nicobar/{__version__}", **own, "accept-encoding": "identity"}


async def _read(content: aiohttp.StreamReader) -> tuple[bytes, bool]:
    """The body up to the limit, and whether there was more."""
    chunks: list[bytes] = []
    left_bytes = MAX_ANSWER_BYTES + 1
    while left_bytes > 0 and (chunk := await content.read(left_bytes)):
        chunks.append(chunk)
        left_bytes -= len(chunk)
    body = b"".join(chunks)
    return body[:MAX_ANSWER_BYTES], len(body) > MAX_ANSWER_BYTES


def _since_ms(started_ns: int) -> int:
    return (time.monotonic_ns() - started_ns) // 1_000_000
