"""`/healthz`, `/readyz`, `/metrics`: what whoever runs Nicobar asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from nicobar.errors import NicobarError
from nicobar.observe import Metrics


def create_ops(
    metrics: Metrics, ready: Callable[[], Awaitable[None]], refresh: Callable[[], Awaitable[None]]
) -> tuple[HTTPRouteHandler, ...]:
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

    return healthz, readyz, show_metrics
