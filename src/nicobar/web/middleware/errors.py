"""Renders every error as a response, in the format of the application."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException

from nicobar.errors import NicobarError, Refusal
from nicobar.logs import log
from nicobar.web.asgi import App, GoneError, Message, Receive, Send
from nicobar.web.operations import ROUTE_PATH, Response, send_response
from nicobar.web.query_names import shortened

# Renders an error for the client of this request.
Render = Callable[[Message, NicobarError], Response[Any]]
# The error for a request without a route, by status: 404 or 405.
NoRoute = Callable[[Message, int], Refusal]
# The statuses of requests whose body is not read completely.
_UNREAD = frozenset({408, 413})


def _no_route(scope: Message, status: int) -> Refusal:
    method, path = scope["method"], shortened(scope["path"])
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{path} does not support {method}."
        return Refusal(status, "method_not_allowed", detail, "The Allow header lists the supported methods.")
    return Refusal(status, "not_found", f"No such path: {path}.", "See docs/reference/ for all paths.")


class Errors:
    """Sends a response for an error of the application. `no_route` creates the error for an unknown route."""

    def __init__(self, app: App, render: Render, *, no_route: NoRoute = _no_route) -> None:
        self._app = app
        self._render = render
        self._no_route = no_route

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except GoneError:
            return
        except Exception as error:
            if started:
                raise
            await send_response(send, self._response(scope, error), 500)

    def _response(self, scope: Message, error: Exception) -> Response[Any]:
        headers = {}
        unexpected = None
        match error:
            case NicobarError():
                shown = error
            case HTTPException():
                shown = self._no_route(scope, error.status_code)
                headers = dict(error.headers or {})
            case _:
                unexpected = error
                shown = NicobarError("internal", "Internal error.", "See the log of the server.")
        response = self._render(scope, shown)
        if response.status is None or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # Failures of the server are logged for the operator.
            path = scope.get(ROUTE_PATH, "")
            log.error("request failed", path=path, code=shown.code, detail=shown.detail, exc_info=unexpected)
        if response.status in _UNREAD:
            headers["connection"] = "close"
        if isinstance(shown, Refusal) and shown.retry_after_s is not None:
            headers["retry-after"] = str(shown.retry_after_s)
        return Response(
            response.content,
            status=response.status,
            headers={**response.headers, **headers},
            media_type=response.media_type,
            cookies=response.cookies,
        )
