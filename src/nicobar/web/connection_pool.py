"""All connections of the HTTP server: their limits, their deadlines, and which one is closed for a new one."""

from __future__ import annotations

import asyncio
import ipaddress
import math
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Protocol

from nicobar.errors import Refusal
from nicobar.model import Record

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
OnLimit = Callable[[str], None]

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.1"), ipaddress.ip_network("::1"))
RETRY_AFTER_S = 1
# A network of IPv6 that one customer of a provider has: RFC 6177.
_IPV6_CUSTOMER_BITS = 64


class Limits(Record):
    """The limits of connections. The `on_limit` of a pool gets the reason each time one is reached."""

    max_connections: int = 2_000
    max_connections_per_address: int = 200
    max_header_bytes: int = 64 * 1024
    max_headers: int = 100
    header_timeout_ms: int = 10_000
    # Between two requests of one connection.
    idle_timeout_ms: int = 30_000
    # How long the rest of a request is read and dropped once it is answered. Closing at once would reset the
    # connection, and a client that is still sending would not see the answer: RFC 9112, 9.6.
    discard_timeout_ms: int = 2_000
    # A client has to accept `min_send_bytes` of its answer in this time, or the rest of it.
    send_timeout_ms: int = 10_000
    min_send_bytes: int = 10_000
    # Proxies: the client addresses that they forward are trusted, and limits per address apply to those.
    trusted_networks: tuple[Network, ...] = LOOPBACK


class State(IntEnum):
    """What a connection is waiting for. Numbers, since they are looked up twice per request."""

    HEADER = 0  # the first byte of a new connection, or the rest of a header
    IDLE = 1  # the next request
    BODY = 2  # the rest of the request that the application has
    BUSY = 3  # the application
    SENDING = 4  # a client that does not read its answer; also everything that is closing
    DISCARDING = 5  # the rest of a request that is answered


# Which connection a new one replaces: the oldest of the first group that is not empty.
_REPLACEABLE = ((State.DISCARDING,), (State.HEADER, State.IDLE), (State.SENDING,), (State.BODY,))
_SILENT = frozenset({State.DISCARDING, State.HEADER, State.IDLE})
# A request in one of these waits for its client, not for us.
STALLED = frozenset({State.BODY, State.SENDING})


def too_busy(detail: str) -> Refusal:
    return Refusal(503, "too_busy", detail, f"Retry after {RETRY_AFTER_S} s.", retry_after_s=RETRY_AFTER_S)


def address_key(address: str, trusted: Iterable[Network]) -> str | None:
    """What the connections of an address are counted under; None for a trusted one."""
    ip = _ip(address)
    # What a proxy forwards may be any text.
    if ip is not None:
        plain = _plain(ip)
        if any(ip in network or plain in network for network in trusted):
            return None
    return counted_address(address)


def counted_address(address: str) -> str:
    """What an address is counted under: of IPv6 the network of one customer."""
    ip = _ip(address)
    if ip is None:
        return address
    plain = _plain(ip)
    if isinstance(plain, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((plain.packed, _IPV6_CUSTOMER_BITS), strict=False))
    return str(plain)


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _plain(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 address that is written as an IPv6 one, as itself."""
    return (ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None) or ip


class Member(Protocol):
    """A connection, as its pool sees it. Only the pool sets its `state`."""

    state: State
    address: str | None

    def evict(self) -> None:
        """Closes it for a new one."""

    def expire(self) -> None:
        """The time limit of its state has passed."""


class Pool:
    """All connections of a server, by state and by age. It has the clock of their deadlines, and decides which one is
    closed for a new one.
    """

    def __init__(self, limits: Limits, on_limit: OnLimit) -> None:
        self.limits = limits
        self.on_limit = on_limit
        self._loop = asyncio.get_running_loop()
        # By state; since when each is in it.
        self._members: list[dict[Member, float]] = [{} for _ in State]
        self._by_address: dict[str, dict[Member, None]] = {}
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = math.inf
        self._stopping = False
        self._timeouts_s = [math.inf for _ in State]
        self._timeouts_s[State.HEADER] = limits.header_timeout_ms / 1000
        self._timeouts_s[State.IDLE] = limits.idle_timeout_ms / 1000
        self._timeouts_s[State.DISCARDING] = limits.discard_timeout_ms / 1000
        self._timeouts_s[State.SENDING] = limits.send_timeout_ms / 1000

    def __len__(self) -> int:
        return self._count

    def enter(self, connection: Member) -> Refusal | None:
        """Adds a new connection, which may replace another one. A Refusal is what it has to be told instead."""
        stopping = too_busy("The server is shutting down.") if self._stopping else None
        refusal = stopping or self._make_room(connection.address)
        if refusal is None and connection.address is not None:
            self._by_address.setdefault(connection.address, {})[connection] = None
        self._count += 1
        self._place(connection, State.HEADER)
        return refusal

    def move(self, connection: Member, state: State) -> None:
        """Starts the time limit of a state, or restarts that of the same one."""
        if self._members[connection.state].pop(connection, None) is not None:
            self._place(connection, state)

    def leave(self, connection: Member) -> None:
        if self._members[connection.state].pop(connection, None) is None:
            return
        self._count -= 1
        if connection.address is None:
            return
        same = self._by_address.get(connection.address, {})
        same.pop(connection, None)
        if not same:
            self._by_address.pop(connection.address, None)

    def refuse_all(self) -> None:
        """From now on every new connection is rejected."""
        self._stopping = True

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _make_room(self, address: str | None) -> Refusal | None:
        same = self._by_address.get(address, {}) if address is not None else {}
        if len(same) >= self.limits.max_connections_per_address:
            oldest = next((item for item in same if item.state in _SILENT), None)
            if oldest is None:
                self.on_limit("address_busy")
                return too_busy(f"All {len(same)} connections of this address are in use.")
            oldest.evict()
        if self._count >= self.limits.max_connections:
            oldest = self._oldest()
            if oldest is None:
                self.on_limit("too_busy")
                return too_busy(f"All {self._count} connections of this server are in use.")
            oldest.evict()
        return None

    def _oldest(self) -> Member | None:
        for states in _REPLACEABLE:
            fronts = [front for state in states if (front := next(iter(self._members[state].items()), None))]
            if fronts:
                return min(fronts, key=lambda front: front[1])[0]
        return None

    def _place(self, connection: Member, state: State) -> None:
        now_s = self._loop.time()
        connection.state = state
        self._members[state][connection] = now_s
        end_s = now_s + self._timeouts_s[state]
        if end_s < self._timer_at_s:
            self._wake_at(end_s)

    def _wake_at(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_s = at_s
        self._timer = self._loop.call_at(at_s, self._expire)

    def _expire(self) -> None:
        self._timer_at_s = math.inf
        now_s = self._loop.time()
        for members, timeout_s in zip(self._members, self._timeouts_s, strict=True):
            # Those of one state have one time limit, so they expire in the order in which they entered it.
            due = []
            for connection, since in members.items():
                if since + timeout_s > now_s:
                    break
                due.append(connection)
            for connection in due:
                if connection in members:
                    connection.expire()
            end_s = next(iter(members.values()), math.inf) + timeout_s
            if end_s < self._timer_at_s:
                self._wake_at(end_s)
