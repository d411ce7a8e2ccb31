"""Serves an ASGI application inside a running event loop, and gives Litestar's own errors the one shape."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from litestar import Request, Response
from litestar.exceptions import HTTPException
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nicobar.asgi import ABORT
from nicobar.errors import UserError

KEEP_ALIVE_S = 30
BACKLOG = 2048


class _Abortable(HttpToolsProtocol):
    """Hands applications a way to reset the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item] # extensions may be anything

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP is answered in the shape of every other error."""
        body = msgspec.json.encode({"code": "request_invalid", "detail": f"{msg} Send HTTP/1.1."})
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class _Quiet(uvicorn.Server):
    """uvicorn takes the process's signals; here they belong to whoever runs the loop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """A listening server. Made by `start`."""

    def __init__(
        self, server: _Quiet, task: asyncio.Task[None], listening: socket.socket, host: str, scheme: str
    ) -> None:
        self._server = server
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
        max_connections: int = 1_000,
        shutdown_s: int = 5,
        certificate: Path | None = None,
    ) -> Server:
        """Listens, then serves. `app` is any ASGI application; with a `certificate` (a PEM file with its key) over
        TLS. Raises UserError when the address cannot be had.
        """
        listening = _listen(host, port)
        config = uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            server_header=False,
            limit_concurrency=max_connections,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=shutdown_s,
            lifespan="on",
            loop="none",
            http=_Abortable,
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
            raise UserError("server_failed", f"The server on {host}:{port} did not start.", "The log says why.")
        return cls(server, task, listening, host, "https" if certificate else "http")

    async def stop(self) -> None:
        """Takes no new connections, finishes what is being answered within the bound, then ends."""
        self._server.should_exit = True
        await self._task
        self._socket.close()

    @property
    def alive(self) -> bool:
        return not self._task.done()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise UserError(
            "host_unknown", f"There is no address {host}:{port}.", "Name another one with --host."
        ) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    except OSError as error:
        listening.close()
        raise UserError(
            "port_taken", f"Cannot listen on {host}:{port}: {error.strerror}.", "Name another port with --port."
        ) from error
    return listening


def error_reply(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, str]]:
    """The one shape of errors; Litestar's request has types of its user and state that are none of ours."""
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "request_invalid")
    detail = f"{request.method} {request.url.path}: {error.detail}. The addresses are in the reference, docs/."
    return Response({"code": code, "detail": detail}, status_code=error.status_code)
