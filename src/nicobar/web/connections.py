"""Connections of the HTTP server and their limits. uvicorn's protocol class has no deadline for a header, no limit
for its size and none per address; this subclass adds them on the callbacks of the parser.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any

import httptools
import msgspec
from uvicorn import Config
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from nicobar.errors import Refusal
from nicobar.model import Record
from nicobar.web.asgi import ABORT, CONNECTION

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
OnLimit = Callable[[str], None]

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.1"), ipaddress.ip_network("::1"))
RETRY_AFTER_S = 1
MAX_PIPELINED_REQUESTS = 16
# "GET ", a path, " HTTP/1.1" and the end of the line.
_REQUEST_LINE_EXTRA_BYTES = 15
# A name, a value, ": " and the end of the line.
_HEADER_EXTRA_BYTES = 4
# A body in chunks of one byte has six for each: its length, itself and two ends of a line.
_MAX_BYTES_PER_BODY_BYTE = 8
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
    # Proxies: what they say of their clients is believed, and only their clients are bounded by address.
    trusted_networks: tuple[Network, ...] = LOOPBACK


class State(IntEnum):
    """What a connection waits for. Numbers, since they are looked up twice a request."""

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


_EVICTED = too_busy("The server closed this unfinished request to serve newer ones.")


def address_key(address: str, trusted: Iterable[Network]) -> str | None:
    """What an address is counted under; None for a trusted one. Of IPv6 the network of one customer counts."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        # What a proxy forwards may be any text.
        return address
    plain = (ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None) or ip
    if any(ip in network or plain in network for network in trusted):
        return None
    ip = plain
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((ip.packed, _IPV6_CUSTOMER_BITS), strict=False))
    return str(ip)


class Pool:
    """All connections of a server, by state and by age. It has the clock of their deadlines, and decides which one is
    closed for a new one.
    """

    def __init__(self, limits: Limits, on_limit: OnLimit) -> None:
        self.limits = limits
        self.on_limit = on_limit
        self._loop = asyncio.get_running_loop()
        # By state; since when each is in it.
        self._members: list[dict[Connection, float]] = [{} for _ in State]
        self._by_address: dict[str, dict[Connection, None]] = {}
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = math.inf
        self._timeouts_s = [math.inf for _ in State]
        self._timeouts_s[State.HEADER] = limits.header_timeout_ms / 1000
        self._timeouts_s[State.IDLE] = limits.idle_timeout_ms / 1000
        self._timeouts_s[State.DISCARDING] = limits.discard_timeout_ms / 1000
        self._timeouts_s[State.SENDING] = limits.send_timeout_ms / 1000

    def __len__(self) -> int:
        return self._count

    def enter(self, connection: Connection) -> Refusal | None:
        """Adds a new connection, which may replace another one. A Refusal is what it has to be told instead."""
        refusal = self._make_room(connection.address)
        if refusal is None and connection.address is not None:
            self._by_address.setdefault(connection.address, {})[connection] = None
        self._count += 1
        self._place(connection, State.HEADER)
        return refusal

    def move(self, connection: Connection, state: State) -> None:
        """Starts the time of a state; of the same one anew."""
        if self._members[connection.state].pop(connection, None) is not None:
            self._place(connection, state)

    def leave(self, connection: Connection) -> None:
        if self._members[connection.state].pop(connection, None) is None:
            return
        self._count -= 1
        if connection.address is None:
            return
        same = self._by_address.get(connection.address, {})
        same.pop(connection, None)
        if not same:
            self._by_address.pop(connection.address, None)

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
                return too_busy(f"This address has {len(same)} connections, and all of them are in use.")
            oldest.evict()
        if self._count >= self.limits.max_connections:
            oldest = self._oldest()
            if oldest is None:
                self.on_limit("too_busy")
                return too_busy(f"All {self._count} connections of this server are in use.")
            oldest.evict()
        return None

    def _oldest(self) -> Connection | None:
        for states in _REPLACEABLE:
            fronts = [front for state in states if (front := next(iter(self._members[state].items()), None))]
            if fronts:
                return min(fronts, key=lambda front: front[1])[0]
        return None

    def _place(self, connection: Connection, state: State) -> None:
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
            # Those of one state have one time limit, so they end in the order in which they came.
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


class _Wire(asyncio.Transport):
    """A transport as uvicorn's protocol and its requests see it: closing it is the connection's decision."""

    def __init__(self, inner: asyncio.Transport, connection: Connection) -> None:
        super().__init__()
        self._inner = inner
        self._connection = connection
        self.write = inner.write  # type: ignore[method-assign] # one call less for each write

    def close(self) -> None:
        self._connection.finish()

    def abort(self) -> None:
        self._inner.abort()

    def is_closing(self) -> bool:
        return self._connection.ended or self._inner.is_closing()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        if not self._inner.is_closing():
            self._inner.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        # asyncio's own signature.
        return self._inner.get_extra_info(name, default)


class _Rejected(Exception):
    """Stops the parser within one of its callbacks."""


class Connection(HttpToolsProtocol):
    """One connection. Its requests find it in their scope's `extensions`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        pool: Pool,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.state = State.HEADER
        self.address: str | None = None
        # Nothing is written any more.
        self.ended = False
        self._pool = pool
        self._limits = pool.limits
        self._max_headers = pool.limits.max_headers
        self._inner: asyncio.Transport = None  # type: ignore[assignment] # as uvicorn's own, until there is one
        # Nothing that arrives is parsed any more.
        self._deaf = False
        self._in_header = False
        self._in_body = False
        self._was_used = False
        self._refusal: Refusal | None = None
        # The request that the application works on, or that it worked on last.
        self._running: RequestResponseCycle | None = None
        self._trailers_count = 0
        # The parser keeps the start of an unfinished header or trailer, and skips chunk extensions; it calls back for
        # neither. So they are what arrived beyond the latest header, body and end of a request.
        self._progressed = False
        self._body_bytes = 0
        self._unfinished_bytes = 0
        # Only what is read in large pieces can be a complete header beyond the limit, so the others are not measured.
        self._may_be_too_large = False
        self._unsent_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's own
        self._inner = transport
        super().connection_made(_Wire(transport, self))
        if self.client is not None:
            self.address = address_key(self.client[0], self._limits.trusted_networks)
        refusal = self._pool.enter(self)
        if refusal is not None:
            self._answer(refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = self._deaf = True
        self._pool.leave(self)
        super().connection_lost(exc)
        running = self._running
        if running is not None and running is not self.cycle and not running.response_complete:
            # uvicorn tells only the newest request, which may wait behind this one.
            running.disconnected = True
            running.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        if self._unfinished_bytes + len(data) > self._limits.max_header_bytes:
            self._may_be_too_large = True
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # What follows belongs to another protocol, or is a body that the parser took for that.
            self._deaf = True
            self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self._reject(self._refusal or _malformed("Invalid HTTP request received."))
            return
        if self._progressed:
            self._unfinished_bytes = 0
        else:
            more_bytes = len(data) - self._body_bytes * _MAX_BYTES_PER_BODY_BYTE
            self._unfinished_bytes = max(0, self._unfinished_bytes + more_bytes)
        self._progressed = False
        self._body_bytes = 0
        if not self._in_header:
            self._may_be_too_large = False
        if self._unfinished_bytes > self._limits.max_header_bytes:
            self._reject(self._too_large())
        else:
            self._settle()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._was_used = self._in_header = True
        self._trailers_count = 0
        self.scope["extensions"] = {ABORT: self._inner.abort, CONNECTION: self}  # type: ignore[dict-item] # extensions may be anything

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            # Trailers are dropped: among the headers they could replace a value that was checked already.
            self._trailers_count += 1
            if len(self.headers) + self._trailers_count > self._max_headers:
                self._stop(self._too_large())
            return
        if len(self.headers) >= self._max_headers:
            self._stop(self._too_large())
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._may_be_too_large and self._header_size_bytes() > self._limits.max_header_bytes:
            self._stop(self._too_large())
        if len(self.pipeline) >= MAX_PIPELINED_REQUESTS:
            self._stop(too_busy(f"More than {MAX_PIPELINED_REQUESTS} requests wait on this connection."))
        if self.parser.should_upgrade() and any(
            name in {b"content-length", b"transfer-encoding"} and value != b"0" for name, value in self.headers
        ):
            # The parser leaves out the body of such a request.
            self._stop(_malformed("A request with a body cannot upgrade the connection."))
        super().on_headers_complete()
        self._progressed = self._in_body = True
        self._in_header = False

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._progressed = True
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._settle()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._settle()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._settle()

    def shutdown(self) -> None:
        if self.ended:
            self._inner.close()
        elif self._running is None or self._running.response_complete:
            self.finish(linger=False)
        else:
            super().shutdown()

    def evict(self) -> None:
        """Makes room at once, whatever the client does."""
        self._pool.leave(self)
        unanswered = self.state is State.BODY or (self.state is State.HEADER and self._has_begun)
        if self.ended or self.state is State.SENDING or self._inner.get_write_buffer_size():
            self._pool.on_limit("evicted")
            self._inner.abort()
            return
        if unanswered:
            self._reject(_EVICTED, "evicted", linger=False)
        else:
            self._pool.on_limit("evicted")
            self._close()
        # The pool no longer watches it.
        self.loop.call_later(self._limits.discard_timeout_ms / 1000, self._inner.abort)

    def expire(self) -> None:
        """The time limit of its state has passed."""
        if self.state is State.SENDING:
            left_bytes = self._inner.get_write_buffer_size()
            if self._unsent_bytes - left_bytes >= self._limits.min_send_bytes:
                self._move(State.SENDING)
                return
            self._pool.on_limit("response_unread")
            self._pool.leave(self)
            self._inner.abort()
        elif self.state is State.HEADER and self._has_begun:
            timeout_ms = self._limits.header_timeout_ms
            self._reject(
                Refusal(
                    408,
                    "header_too_slow",
                    f"The header of the request did not arrive within {timeout_ms} ms.",
                    "Retry over a faster connection.",
                ),
                linger=False,
            )
        else:
            if self.state is State.HEADER:
                self._pool.on_limit("header_too_slow")
            self._close()

    def finish(self, *, linger: bool | None = None) -> None:
        """Closes the connection once everything written is sent. To `linger` is to read and drop further bytes until
        the client closes; by default, if the body of the request is incomplete.
        """
        if self.ended:
            return
        self.ended = self._deaf = True
        lingers = self._in_body if linger is None else linger
        if lingers and self._inner.can_write_eof() and not self._inner.is_closing():
            self.flow.resume_reading()
            self._inner.write_eof()
            self._move(State.DISCARDING)
        else:
            self._close()

    def _close(self) -> None:
        self.ended = self._deaf = True
        self._inner.close()
        self._move(State.SENDING)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _unsupported_upgrade_warning(self) -> None:
        """Logs nothing: uvicorn's two lines per request would have no bound."""

    def _header_size_bytes(self) -> int:
        headers = sum(len(name) + len(value) + _HEADER_EXTRA_BYTES for name, value in self.headers)
        return _REQUEST_LINE_EXTRA_BYTES + len(self.url) + headers

    def _stop(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise _Rejected

    def _too_large(self) -> Refusal:
        limits = self._limits
        return Refusal(
            431,
            "headers_too_large",
            f"The request has more than {limits.max_headers} headers, or more than {limits.max_header_bytes} bytes "
            "of request line and headers.",
            "Send fewer or shorter headers.",
        )

    @property
    def _has_begun(self) -> bool:
        """Part of a header is there."""
        return self._in_header or self._unfinished_bytes > 0

    def _settle(self) -> None:
        """Finds the state of a connection that is not closing."""
        if self.ended:
            return
        running = self._running
        answered = running is None or running.response_complete
        if self.flow.write_paused:
            state = State.SENDING
        elif self._in_body and running is self.cycle:
            state = State.DISCARDING if answered else State.BODY
        elif not answered:
            # Also while a request behind the running one is incomplete: its body has a deadline once it runs.
            state = State.BUSY
        elif self._has_begun or not self._was_used:
            state = State.HEADER
        else:
            state = State.IDLE
        if state is not self.state:
            self._move(state)

    def _move(self, state: State) -> None:
        if state is State.SENDING:
            self._unsent_bytes = self._inner.get_write_buffer_size()
        self._pool.move(self, state)

    def _reject(self, refusal: Refusal, reason: str | None = None, *, linger: bool = True) -> None:
        """Ends the connection over a request. Requests before it are answered first."""
        self._pool.on_limit(reason or refusal.code)
        self._deaf = True
        running = self._running
        if running is None or running.response_complete:
            if self._in_body:
                # The rest of a request that is answered.
                self.finish(linger=linger)
            else:
                self._answer(refusal, linger=linger)
        elif not self._in_body:
            self._end_after_answers(running)
        elif running is not self.cycle:
            # It waits behind others, and will not run.
            self.pipeline.popleft()
            self._in_body = False
            self._end_after_answers(running)
        elif running.response_started:
            self._inner.abort()
        else:
            running.disconnected = True
            running.message_event.set()
            self._answer(refusal, linger=linger)

    def _end_after_answers(self, running: RequestResponseCycle) -> None:
        # uvicorn appends on the left.
        last = self.pipeline[0][0] if self.pipeline else running
        last.keep_alive = False

    def _answer(self, refusal: Refusal, *, linger: bool = True) -> None:
        """Answers for no application, in the one shape of errors."""
        body = msgspec.json.encode({"code": refusal.code, "detail": f"{refusal.detail} {refusal.fix}".strip()})
        retry = f"retry-after: {refusal.retry_after_s}\r\n" if refusal.retry_after_s is not None else ""
        head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n{retry}connection: close\r\n\r\n"
        self._inner.write(STATUS_LINE[refusal.status] + head.encode() + body)
        self.finish(linger=linger)


def _malformed(detail: str) -> Refusal:
    return Refusal(400, "request_invalid", detail, "Send HTTP/1.1.")
