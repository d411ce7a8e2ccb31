"""Rows of operations as Starlette's routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from starlette.exceptions import HTTPException
from starlette.routing import Route, Router

from nicobar.web.asgi import App, Message, Receive, Send
from nicobar.web.operations import ROUTE_PATH, Operation, Response, send_response

# Answers a request of one operation.
Call = Callable[[Operation, Message], Awaitable[Response[Any]]]


class Prefixed:
    """An ASGI application for the paths that start with one of `prefixes`, and another one for all others."""

    def __init__(self, prefixes: tuple[str, ...], app: App, others: App) -> None:
        self._prefixes = prefixes
        self._app = app
        self._others = others

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        is_own = scope["type"] == "http" and scope["path"].startswith(self._prefixes)
        await (self._app if is_own else self._others)(scope, receive, send)


@dataclass(frozen=True, slots=True)
class _Path:
    """The operations of one path by their methods, as an ASGI application."""

    operations: dict[str, Operation]
    call: Call

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the middleware reads bodies
        operation = self.operations.get(scope["method"])
        if operation is None:
            raise HTTPException(405, "Method Not Allowed", {"allow": ", ".join(self.operations)})
        scope[ROUTE_PATH] = operation.path
        await send_response(send, await self.call(operation, scope), operation.status)


class Routes:
    """An ASGI application that answers each operation by `call`, and OPTIONS for each path, to a caller with what
    `options_need` says. A slash at the end of a path means nothing. Raises starlette's HTTPException, 404 or 405, for
    an unknown path or method.
    """

    def __init__(self, operations: Sequence[Operation], call: Call, *, options_need: StrEnum | None = None) -> None:
        by_path: dict[str, dict[str, Operation]] = {}
        for operation in operations:
            by_path.setdefault(operation.path, {})[operation.method] = operation
        routes: dict[int | None, list[Route]] = {None: []}
        for path in sorted(by_path, key=_precedence):
            by_method = {"OPTIONS": _options(path, by_path[path], options_need), **by_path[path]}
            slashes = None if ":path}" in path else path.count("/")
            routes.setdefault(slashes, []).append(Route(path, _Path(dict(sorted(by_method.items())), call)))
        self._others = Router(routes.pop(None), redirect_slashes=False, default=_not_found)
        # A router asks its routes one after the other; by the number of slashes there are a tenth as many.
        self._by_slashes = {
            slashes: Router(found, redirect_slashes=False, default=self._others) for slashes, found in routes.items()
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        app: App = self._others
        if scope["type"] == "http":
            if scope["path"].endswith("/"):
                scope["path"] = scope["path"].rstrip("/") or "/"
            app = self._by_slashes.get(scope["path"].count("/"), self._others)
        await app(scope, receive, send)


def _precedence(path: str) -> list[tuple[bool, str]]:
    """A path precedes those that have a parameter where it has a name."""
    return [(segment.startswith("{"), segment) for segment in path.split("/")]


def _options(path: str, operations: dict[str, Operation], needs: StrEnum | None) -> Operation:
    allow = ", ".join(sorted({"OPTIONS", *operations}))

    async def options() -> Response[None]:
        return Response(None, headers={"allow": allow})

    return Operation("OPTIONS", path, options, needs=needs, status=204, documented=False)


async def _not_found(scope: Message, receive: Receive, send: Send) -> None:  # noqa: ARG001 - an ASGI application
    if scope["type"] == "http":
        raise HTTPException(404)
