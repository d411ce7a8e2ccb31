"""Connections of the HTTP server and their limits. uvicorn's protocol class has no deadline for a header, no limit
for its size and none per address; this subclass adds them on the callbacks of the parser.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
import msgspec
from uvicorn import Config
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from nicobar.errors import Refusal
from nicobar.web.asgi import ABORT, CONNECTION
from nicobar.web.connection_pool import Pool, State, address_key, too_busy

MAX_PIPELINED_REQUESTS = 16
# "GET ", a path, " HTTP/1.1" and the end of the line.
_REQUEST_LINE_EXTRA_BYTES = 15
# A name, a value, ": " and the end of the line.
_HEADER_EXTRA_BYTES = 4
# A body in chunks of one byte has six for each: its length, itself and two ends of a line.
_MAX_BYTES_PER_BODY_BYTE = 8
_EVICTED = too_busy("The server closed this unfinished request to serve newer ones.")


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
        # Nothing more is written.
        self.ended = False
        self._pool = pool
        self._limits = pool.limits
        self._max_headers = pool.limits.max_headers
        self._inner: asyncio.Transport = None  # type: ignore[assignment] # as uvicorn's own, until there is one
        # Nothing more is parsed.
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
        # Only data that arrives in large pieces can be a complete header over the limit, so the rest is not measured.
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
            # uvicorn notifies only the newest request, which may be queued after this one.
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
            # The rest belongs to another protocol, or is a body that the parser mistook for one.
            self._deaf = True
            self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self._reject(self._refusal or _malformed("Invalid HTTP request."))
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
            self._stop(too_busy(f"More than {MAX_PIPELINED_REQUESTS} requests are queued on this connection."))
        if self.parser.should_upgrade() and any(
            name in {b"content-length", b"transfer-encoding"} and value != b"0" for name, value in self.headers
        ):
            # The parser skips the body of such a request.
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
                    f"The request headers did not arrive within {timeout_ms} ms.",
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
            f"The request has more than {limits.max_headers} headers, or its request line and headers exceed "
            f"{limits.max_header_bytes} bytes.",
            "Send fewer or shorter headers.",
        )

    @property
    def _has_begun(self) -> bool:
        """Part of a header has arrived."""
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
            # It is queued after others, and will not run.
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
        """Answers without an application, in the shape of all errors."""
        body = msgspec.json.encode({"code": refusal.code, "detail": f"{refusal.detail} {refusal.fix}".strip()})
        retry = f"retry-after: {refusal.retry_after_s}\r\n" if refusal.retry_after_s is not None else ""
        head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n{retry}connection: close\r\n\r\n"
        self._inner.write(STATUS_LINE[refusal.status] + head.encode() + body)
        self.finish(linger=linger)


def _malformed(detail: str) -> Refusal:
    return Refusal(400, "request_invalid", detail, "Send a valid HTTP/1.1 request.")
