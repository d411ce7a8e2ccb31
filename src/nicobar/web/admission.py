"""Limits concurrent requests. A request counts once its headers are complete. It can be closed for a new one while
the application is waiting for the rest of its body, or for its client to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nicobar.errors import Refusal
from nicobar.model import Json, Record
from nicobar.web.asgi import CONNECTION, App, Message, Receive, Send, plain_path, send_json
from nicobar.web.connection_pool import RETRY_AFTER_S, STALLED, Limits, OnLimit, address_key, too_busy
from nicobar.web.connections import Connection

# Requests that were closed for newer ones and still run: as many as the share has places, but at least these. They
# end as soon as the application notices; a burst on a small share closes several before it can.
MIN_LEAVING_REQUESTS = 16


# A group may have one of so many parts of its share's places, so that one group alone cannot use them up.
GROUP_PARTS = 2


class Share(Record):
    """Requests whose path starts with `prefix` have a limit of their own. `group` finds what a path belongs to, if
    anything: each group has at most half of the places.
    """

    prefix: str
    max_requests: int
    group: Callable[[str], str] | None = None


class _Request:
    """A request that the application is processing, or waiting for in `receive` or `send`."""

    __slots__ = ("_receive", "_send", "address", "connection", "group", "waits")

    def __init__(self, connection: Connection, address: str | None, group: str, receive: Receive, send: Send) -> None:
        self.connection = connection
        self.address = address
        self.group = group
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

    __slots__ = ("groups", "leaving", "max_group_requests", "max_leaving_requests", "running_count", "share")

    def __init__(self, share: Share) -> None:
        self.share = share
        self.max_group_requests = -(-share.max_requests // GROUP_PARTS) if share.group else share.max_requests
        self.max_leaving_requests = max(share.max_requests, MIN_LEAVING_REQUESTS)
        # The running requests of each group, oldest first.
        self.groups: dict[str, dict[_Request, None]] = {}
        self.running_count = 0
        # Closed for others, but still running in the application.
        self.leaving: set[_Request] = set()

    def group_of(self, path: str) -> str:
        return self.share.group(path) if self.share.group else ""

    def add(self, request: _Request) -> None:
        self.groups.setdefault(request.group, {})[request] = None
        self.running_count += 1

    def remove(self, request: _Request) -> None:
        group = self.groups.get(request.group, {})
        if request in group:
            del group[request]
            self.running_count -= 1
            if not group:
                del self.groups[request.group]

    def by_size(self) -> list[dict[_Request, None]]:
        """The requests of each group, of the largest first."""
        return sorted(self.groups.values(), key=len, reverse=True)


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
        path = plain_path(scope)
        for places in self._shares:  # the last one has every path
            if path.startswith(places.share.prefix):
                break
        request = _Request(connection, self._address(scope, connection), places.group_of(path), receive, send)
        refusal = self._make_room(request, places)
        if refusal is not None:
            self._on_limit(refusal.code)
            body: Json = {"code": refusal.code, "detail": f"{refusal.detail} {refusal.fix}"}
            await send_json(send, refusal.status, body, [(b"retry-after", str(RETRY_AFTER_S).encode())])
            return
        places.add(request)
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
        own = places.groups.get(request.group, {})
        if len(own) >= places.max_group_requests:
            whose = "for this source " if places.share.group else ""
            return self._replace(places, [own], f"{len(own)} requests {whose}are in progress, which is the limit.")
        if places.running_count >= places.share.max_requests:
            what = f"{places.running_count} requests are in progress, which is the limit."
            return self._replace(places, places.by_size(), what)
        return None

    def _replace(self, places: _Places, groups: Sequence[Iterable[_Request]], why_not: str) -> Refusal | None:
        """Closes the oldest stalled request of the first group that has one."""
        if len(places.leaving) >= places.max_leaving_requests:
            return too_busy(why_not)
        stalled = next((request for group in groups for request in group if request.stalled), None)
        if stalled is None:
            return too_busy(why_not)
        places.remove(stalled)
        places.leaving.add(stalled)
        stalled.connection.evict()
        return None

    def _release(self, request: _Request, places: _Places) -> None:
        """A request counts until the application has finished it, even if it was closed for another one."""
        places.remove(request)
        places.leaving.discard(request)
        if request.address is not None:
            left = self._by_address[request.address] - 1
            if left:
                self._by_address[request.address] = left
            else:
                del self._by_address[request.address]
