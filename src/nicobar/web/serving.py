"""Serves an ASGI application inside a running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import logging
import math
import resource
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from nicobar.errors import UserError
from nicobar.web.admission import Admission, Share
from nicobar.web.connection_pool import Limits, Network, OnLimit, Pool
from nicobar.web.connections import Connection
from nicobar.web.shutdown import answer_canceled

_log = logging.getLogger(__name__)

BACKLOG = 2048
# Files that are no connections: the database, logs, handler processes, requests to destinations.
RESERVED_FILES = 256
# The prefix of IPv4-mapped addresses, ::ffff:0:0/96: RFC 4291, 2.5.5.2.
_MAPPED_BITS = 96
# For an application that has no limits of its own.
_EVERYTHING = (Share(prefix="", max_requests=1_000),)
# How often a server that stops looks for connections that are left.
_DRAIN_CHECK_S = 0.005


class _Quiet(uvicorn.Server):
    """uvicorn handles the process's signals; here the caller handles them. uvicorn also polls ten times per second
    for a request to stop; this server is notified.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        while not self.stopping.is_set():
            # The first tick of a second: it renews the date header.
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn's sets signal nothing
                    await asyncio.sleep(_DRAIN_CHECK_S)
        except TimeoutError:
            _log.warning("%d unfinished requests were canceled by the shutdown.", len(self.server_state.tasks))
            for task in self.server_state.tasks:
                task.cancel()
        await self.lifespan.shutdown()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """A listening server. Created by `start`."""

    def __init__(
        self,
        *,
        server: _Quiet,
        pool: Pool,
        task: asyncio.Task[None],
        listening: socket.socket,
        host: str,
        scheme: str,
    ) -> None:
        self._server = server
        self._pool = pool
        self._scheme = scheme
        self._task = task
        self._socket = listening
        self.host = host
        self.port = int(listening.getsockname()[1])

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self._scheme}://{host}:{self.port}"

    @classmethod
    async def start(
        cls,
        app: Any,
        host: str,
        port: int,
        *,
        limits: Limits | None = None,
        shares: Sequence[Share] = _EVERYTHING,
        on_limit: OnLimit = lambda _: None,
        shutdown_s: int = 5,
        certificate: Path | None = None,
    ) -> Server:
        """Listens, then serves. `app` is any ASGI application; with a `certificate` (a PEM file with its key) over
        TLS. `on_limit` gets the reason each time that a limit closes a connection or rejects a request. Raises
        UserError when it cannot listen on the address.
        """
        limits = _affordable(limits or Limits())
        listening = _listen(host, port)
        pool = Pool(limits, on_limit)
        config = uvicorn.Config(
            Admission(answer_canceled(app), _within(shares, limits.max_connections // 2), limits, on_limit),
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=math.ceil(limits.idle_timeout_ms / 1000),
            timeout_graceful_shutdown=shutdown_s,
            lifespan="on",
            loop="none",
            forwarded_allow_ips=_trusted_forms(limits.trusted_networks),
            http=functools.partial(Connection, pool=pool),  # type: ignore[arg-type] # is called, and nothing else
            ssl_certfile=certificate,
            ws="none",
        )
        server = _Quiet(config)
        task = asyncio.create_task(server.serve(sockets=[listening]), name=f"serve {host}:{port}")
        up = asyncio.create_task(server.listening.wait())
        await asyncio.wait([task, up], return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if task.done():
            task.result()
            raise UserError("server_failed", f"The server on {host}:{port} did not start.", "See the log.")
        scheme = "https" if certificate else "http"
        return cls(server=server, pool=pool, task=task, listening=listening, host=host, scheme=scheme)

    async def stop(self) -> None:
        """Accepts no new connections, finishes requests in progress within the time limit, then ends."""
        # The system may have accepted some connections before.
        self._pool.refuse_all()
        self._server.stopping.set()
        await self._task
        self._pool.close()
        self._socket.close()

    @property
    def max_connections(self) -> int:
        """The connection limit of this process; lower than configured if the system allows fewer files."""
        return self._pool.limits.max_connections

    @property
    def alive(self) -> bool:
        return not self._task.done()


def _trusted_forms(networks: Sequence[Network]) -> list[str]:
    """As uvicorn needs them to trust what `address_key` trusts: a socket that listens on :: has IPv4 clients as
    ::ffff:a.b.c.d, which uvicorn does not compare with IPv4 networks.
    """
    mapped = [
        ipaddress.IPv6Network(f"::ffff:{network.network_address}/{_MAPPED_BITS + network.prefixlen}")
        for network in networks
        if isinstance(network, ipaddress.IPv4Network)
    ]
    return [_shortest(item) for item in (*networks, *mapped)]


def _shortest(network: Network) -> str:
    """A network of one address as that address, which uvicorn finds faster."""
    return str(network.network_address if network.num_addresses == 1 else network)


def _affordable(limits: Limits) -> Limits:
    """Allows this process as many open files as the connections need, up to the system's hard limit, and has as many
    connections as fit in the half of them: a burst is accepted at once, before the oldest connections are closed.
    """
    needed = 2 * limits.max_connections + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return limits
    return msgspec.structs.replace(limits, max_connections=max(2, (soft - RESERVED_FILES) // 2))


def _within(shares: Sequence[Share], max_requests: int) -> list[Share]:
    """Leaves half of the connections to those that wait for a request: one of them can always be closed for a new
    one.
    """
    total = max(max_requests, sum(share.max_requests for share in shares))
    return [
        msgspec.structs.replace(share, max_requests=max(1, share.max_requests * max_requests // total))
        for share in shares
    ]


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise UserError(
            "host_unknown", f"Cannot resolve the address {host}:{port}.", "Choose another address with --host."
        ) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    except OSError as error:
        listening.close()
        raise UserError(
            "port_taken", f"Cannot listen on {host}:{port}: {error.strerror}.", "Choose another port with --port."
        ) from error
    return listening
