"""How many requests are processed at the same time, and whose. A connection that waits for its client costs nothing
here: it counts once its header is complete, and makes room for a newcomer while its body is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.asgi import CONNECTION, App, Message, Receive, Send, send_json
from nicobar.connections import RETRY_AFTER_S, STALLED, Connection, Limits, OnLimit, address_key, too_busy
from nicobar.errors import Refusal
from nicobar.model import Json, Record


class Share(Record):
    """Requests whose path starts with `prefix` have places of their own."""

    prefix: str
    max_requests: int


class _Request:
    """A request under way."""

    __slots__ = ("address", "connection")

    def __init__(self, connection: Connection, address: str | None) -> None:
        self.connection = connection
        self.address = address


class Gate:
    """In front of an application: gives each request a place, or answers 503. The last of `shares` has an empty
    prefix.
    """

    def __init__(self, app: App, shares: Sequence[Share], limits: Limits, on_limit: OnLimit) -> None:
        self._app = app
        self._shares = [(share.prefix, share.max_requests, dict[_Request, None]()) for share in shares]
        self._limits = limits
        self._on_limit = on_limit
        self._by_address: dict[str, int] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection: Connection = scope["extensions"][CONNECTION]
        request = _Request(connection, self._address(scope, connection))
        path: str = scope["path"]
        for prefix, max_requests, places in self._shares:  # noqa: B007 - the last one has every path
            if path.startswith(prefix):
                break
        refusal = self._make_room(request, max_requests, places)
        if refusal is not None:
            self._on_limit(refusal.code)
            body: Json = {"code": refusal.code, "detail": f"{refusal.detail} {refusal.fix}"}
            await send_json(send, refusal.status, body, [(b"retry-after", str(RETRY_AFTER_S).encode())])
            return
        places[request] = None
        if request.address is not None:
            self._by_address[request.address] = self._by_address.get(request.address, 0) + 1
        try:
            await self._app(scope, receive, send)
            if connection.flow.write_paused:
                # An answer that nobody reads is still in memory.
                await connection.flow.drain()
        finally:
            self._release(request, places)

    def _address(self, scope: Message, connection: Connection) -> str | None:
        """Behind a trusted proxy it is the one that the proxy forwarded."""
        client: tuple[str, int] | None = scope["client"]
        if client is None or client == connection.client:
            return connection.address
        return address_key(client[0], self._limits.trusted_networks)

    def _make_room(self, request: _Request, max_requests: int, places: dict[_Request, None]) -> Refusal | None:
        most = self._limits.max_connections_per_address
        if request.address is not None and self._by_address.get(request.address, 0) >= most:
            return too_busy(f"{most} requests from this address are being processed.")
        if len(places) < max_requests:
            return None
        stalled = next((one for one in places if one.connection.state in STALLED), None)
        if stalled is None:
            return too_busy(f"{len(places)} requests are being processed, which is the limit.")
        self._release(stalled, places)
        stalled.connection.evict()
        return None

    def _release(self, request: _Request, places: dict[_Request, None]) -> None:
        if request not in places:
            # It was closed for another one.
            return
        del places[request]
        if request.address is not None:
            left = self._by_address[request.address] - 1
            if left:
                self._by_address[request.address] = left
            else:
                del self._by_address[request.address]
