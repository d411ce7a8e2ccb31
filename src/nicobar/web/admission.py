"""Limits concurrent requests. A request counts once its headers are complete. It can be closed for a new one while
the application is waiting for the rest of its body, or for its client to read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from nicobar.errors import Refusal
from nicobar.model import Json, Record
from nicobar.web.asgi import CONNECTION, App, Message, Receive, Send, plain_path, send_json
from nicobar.web.connection_pool import RETRY_AFTER_S, STALLED, Limits, OnLimit, address_key, too_busy
from nicobar.web.connections import Connection

# Requests that were closed for newer ones and still run: as many as the share has places, but at least these. They
# end as soon as the application notices; a burst on a small share closes several before it can.
MIN_LEAVING_REQUESTS = 16


# A group may have one of so many parts of its share's places and bytes, so that it alone cannot use them up.
GROUP_PARTS = 2


class Share(Record):
    """Requests whose path starts with `prefix` have limits of their own: for their number, and for what of their
    bodies is in memory. `group` finds what a path belongs to, if anything: each group has at most half of both.
    """

    prefix: str
    max_requests: int
    max_body_bytes: int = 64 * 1024 * 1024
    group: Callable[[str], str] | None = None


class _Request:
    """A request that the application is processing, or waiting for in `receive` or `send`."""

    __slots__ = ("_on_body", "_receive", "_send", "address", "body_bytes", "connection", "group", "waits")

    def __init__(
        self,
        connection: Connection,
        receive: Receive,
        send: Send,
        *,
        address: str | None,
        group: str,
        on_body: Callable[[_Request, int], None],
    ) -> None:
        self.connection = connection
        self.address = address
        self.group = group
        self.body_bytes = 0
        self.waits = False
        self._receive = receive
        self._send = send
        self._on_body = on_body

    @property
    def stalled(self) -> bool:
        """It is waiting for its client only, so closing the connection ends it soon."""
        return self.waits and self.connection.state in STALLED

    async def receive(self) -> Message:
        """Raises Refusal 503 where there is no memory for more of the body."""
        self.waits = True
        try:
            message = await self._receive()
        finally:
            self.waits = False
        body = message.get("body")
        if body:
            self._on_body(self, len(body))
        return message

    async def send(self, message: Message) -> None:
        self.waits = True
        try:
            await self._send(message)
        finally:
            self.waits = False


class _Group:
    """The running requests of a group, oldest first."""

    __slots__ = ("body_bytes", "requests")

    def __init__(self) -> None:
        self.requests: dict[_Request, None] = {}
        self.body_bytes = 0


class _Places:
    """The requests of one share."""

    __slots__ = (
        "body_bytes",
        "groups",
        "leaving",
        "max_group_body_bytes",
        "max_group_requests",
        "max_leaving_requests",
        "running_count",
        "share",
    )

    def __init__(self, share: Share) -> None:
        self.share = share
        parts = GROUP_PARTS if share.group else 1
        self.max_group_requests = -(-share.max_requests // parts)
        self.max_group_body_bytes = share.max_body_bytes // parts
        self.max_leaving_requests = max(share.max_requests, MIN_LEAVING_REQUESTS)
        self.groups: dict[str, _Group] = {}
        self.running_count = 0
        self.body_bytes = 0
        # Closed for others, but still running in the application.
        self.leaving: set[_Request] = set()

    def group_of(self, path: str) -> str:
        return self.share.group(path) if self.share.group else ""

    def add(self, request: _Request) -> None:
        self.groups.setdefault(request.group, _Group()).requests[request] = None
        self.running_count += 1

    def grow(self, request: _Request, size_bytes: int) -> None:
        group = self.groups.get(request.group)
        if group is not None and request in group.requests:
            request.body_bytes += size_bytes
            group.body_bytes += size_bytes
            self.body_bytes += size_bytes

    def remove(self, request: _Request) -> None:
        group = self.groups.get(request.group)
        if group is None or request not in group.requests:
            return
        del group.requests[request]
        self.running_count -= 1
        group.body_bytes -= request.body_bytes
        self.body_bytes -= request.body_bytes
        if not group.requests:
            del self.groups[request.group]

    def by_size(self) -> list[_Group]:
        """The groups, the largest first."""
        return sorted(self.groups.values(), key=lambda group: len(group.requests), reverse=True)

    def too_large(self, group_name: str) -> _Group | None:
        """The group with too much of its bodies in memory: this one, or else the largest if all have too much."""
        own = self.groups.get(group_name)
        if own is not None and own.body_bytes > self.max_group_body_bytes:
            return own
        if self.body_bytes > self.share.max_body_bytes:
            return max(self.groups.values(), key=lambda group: group.body_bytes)
        return None

    @property
    def whose(self) -> str:
        return "for this source " if self.share.group else ""


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
        request = _Request(
            connection,
            receive,
            send,
            address=self._address(scope, connection),
            group=places.group_of(path),
            on_body=functools.partial(self._count_body, places),
        )
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
        own = places.groups.get(request.group)
        if own is not None and len(own.requests) >= places.max_group_requests:
            groups, count, whose = [own], len(own.requests), places.whose
        elif places.running_count >= places.share.max_requests:
            groups, count, whose = places.by_size(), places.running_count, ""
        else:
            return None
        stalled = next((item for group in groups for item in group.requests if item.stalled), None)
        if stalled is None or not self._close(places, stalled):
            return too_busy(f"{count} requests {whose}are in progress, which is the limit.")
        return None

    def _count_body(self, places: _Places, request: _Request, size_bytes: int) -> None:
        """Closes the stalled requests that use most memory until there is enough. Raises Refusal 503."""
        places.grow(request, size_bytes)
        while (group := places.too_large(request.group)) is not None:
            stalled = [item for item in group.requests if item is request or item.stalled]
            largest = max(stalled, key=lambda item: item.body_bytes, default=None)
            if largest is None or largest is request or not self._close(places, largest):
                self._on_limit("too_busy")
                raise too_busy(f"The bodies of the requests {places.whose}in progress are too large together.")

    @staticmethod
    def _close(places: _Places, stalled: _Request) -> bool:
        if len(places.leaving) >= places.max_leaving_requests:
            return False
        places.remove(stalled)
        places.leaving.add(stalled)
        stalled.connection.evict()
        return True

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
