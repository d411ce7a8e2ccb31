"""Limits concurrent requests. A request counts once its headers are complete. It can be closed for a new one while
the application is waiting for the rest of its body, or for its client to read.
"""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.errors import Refusal
from nicobar.model import Json, Record
from nicobar.web.asgi import CONNECTION, App, Message, Receive, Send, send_json
from nicobar.web.connection_pool import RETRY_AFTER_S, STALLED, Limits, OnLimit, address_key, too_busy
from nicobar.web.connections import Connection

# Requests that were closed for newer ones and still run: as many as the share has places, but at least these. They
# end as soon as the application notices; a burst on a small share closes several before it can.
MIN_LEAVING_REQUESTS = 16


class Share(Record):
    """Requests whose path starts with `prefix` have a limit of their own."""

    prefix: str
    max_requests: int


class _Request:
    """A request that the application is processing, or waiting for in `receive` or `send`."""

    __slots__ = ("_receive", "_send", "address", "connection", "waits")

    def __init__(self, connection: Connection, address: str | None, receive: Receive, send: Send) -> None:
        self.connection = connection
        self.address = address
        self.waits = False
        self._receive = receive
        self._send = send

    @property
    def stalled(self) -> bool:
        """It is waiting for its client only, so closing the connection ends it soon."""
        return self.waits and self.connection.state in STALLED

    async def receive(self) -> Message:
        self.waits = True
        try:
            return await self._receive()
        finally:
            self.waits = False

    async def send(self, message: Message) -> None:
        self.waits = True
        try:
            await self._send(message)
        finally:
            self.waits = False


class _Places:
    """The requests of one share."""

    __slots__ = ("leaving", "max_leaving_requests", "max_requests", "prefix", "running")

    def __init__(self, share: Share) -> None:
        self.prefix = share.prefix
        self.max_requests = share.max_requests
        self.max_leaving_requests = max(share.max_requests, MIN_LEAVING_REQUESTS)
        self.running: dict[_Request, None] = {}
        # Closed for others, but still running in the application.
        self.leaving: set[_Request] = set()


class Admission:
    """In front of an application: admits each request, or answers 503. The last of `shares` has an empty prefix."""

    def __init__(self, app: App, shares: Sequence[Share], limits: Limits, on_limit: OnLimit) -> None:
        self._app = app
        self._shares = [_Places(share) for share in shares]
        self._limits = limits
        self._on_limit = on_limit
        self._by_address: dict[str, int] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection: Connection = scope["extensions"][CONNECTION]
        request = _Request(connection, self._address(scope, connection), receive, send)
        path: str = scope["path"]
        for places in self._shares:  # the last one has every path
            if path.startswith(places.prefix):
                break
        refusal = self._make_room(request, places)
        if refusal is not None:
            self._on_limit(refusal.code)
            body: Json = {"code": refusal.code, "detail": f"{refusal.detail} {refusal.fix}"}
            await send_json(send, refusal.status, body, [(b"retry-after", str(RETRY_AFTER_S).encode())])
            return
        places.running[request] = None
        if request.address is not None:
            self._by_address[request.address] = self._by_address.get(request.address, 0) + 1
        try:
            await self._app(scope, request.receive, request.send)
            if connection.flow.write_paused:
                # A response that is not read is still in memory.
                request.waits = True
                await connection.flow.drain()
        finally:
            self._release(request, places)

    def _address(self, scope: Message, connection: Connection) -> str | None:
        """The client address; behind a trusted proxy, the forwarded one."""
        client: tuple[str, int] | None = scope["client"]
        if client is None or client == connection.client:
            return connection.address
        return address_key(client[0], self._limits.trusted_networks)

    def _make_room(self, request: _Request, places: _Places) -> Refusal | None:
        most = self._limits.max_connections_per_address
        if request.address is not None and self._by_address.get(request.address, 0) >= most:
            return too_busy(f"This address has {most} requests in progress, which is the limit.")
        if len(places.running) < places.max_requests:
            return None
        stalled = None
        if len(places.leaving) < places.max_leaving_requests:
            stalled = next((item for item in places.running if item.stalled), None)
        if stalled is None:
            return too_busy(f"{len(places.running)} requests are in progress, which is the limit.")
        del places.running[stalled]
        places.leaving.add(stalled)
        stalled.connection.evict()
        return None

    def _release(self, request: _Request, places: _Places) -> None:
        """A request counts until the application has finished it, even if it was closed for another one."""
        places.running.pop(request, None)
        places.leaving.discard(request)
        if request.address is not None:
            left = self._by_address[request.address] - 1
            if left:
                self._by_address[request.address] = left
            else:
                del self._by_address[request.address]
