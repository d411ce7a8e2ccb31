"""`/healthz`, `/readyz`, `/metrics`: what whoever runs Nicobar asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Litestar, Request, Response, get
from litestar.exceptions import HTTPException

from nicobar.errors import NicobarError
from nicobar.observe import Metrics


def create_ops(
    metrics: Metrics, ready: Callable[[], Awaitable[None]], refresh: Callable[[], Awaitable[None]]
) -> Litestar:
    """`ready` raises NicobarError while events cannot be taken or delivered; `refresh` updates the gauges."""

    @get("/healthz", sync_to_thread=False)
    def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @get("/readyz")
    async def readyz() -> Response[dict[str, str]]:
        """Events are taken and delivered."""
        try:
            await ready()
        except NicobarError as error:
            return Response({"code": error.code, "detail": str(error)}, status_code=503)
        return Response({"status": "ready"})

    @get("/metrics")
    async def show_metrics() -> Response[bytes]:
        """Prometheus's text format."""
        await refresh()
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return Litestar(
        [healthz, readyz, show_metrics],
        openapi_config=None,
        logging_config=None,
        exception_handlers={HTTPException: _as_error},
    )


def _as_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, str]]:
    """The one shape of errors; Litestar's request has types of its user and state that are none of ours."""
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "request_invalid")
    detail = f"{request.method} {request.url.path}: {error.detail}. The addresses are in the reference, docs/."
    return Response({"code": code, "detail": detail}, status_code=error.status_code)
