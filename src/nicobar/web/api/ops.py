"""`/healthz`, `/readyz`, `/metrics`: what whoever runs Nicobar asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from litestar import Litestar, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery
from msgspec import UNSET, UnsetType

from nicobar.model import Record
from nicobar.observe import Metrics
from nicobar.pipeline.readiness import Part, Readiness
from nicobar.web.api.errors import HANDLERS


class ReadyOut(Record):
    """What `/readyz` answers: 200 with `status` ready, else 503 with `code` and `detail` as every error has them."""

    status: str
    role: str
    parts: tuple[Part, ...]
    code: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET


def create_ops(
    metrics: Metrics, readiness: Readiness, refresh: Callable[[], Awaitable[None]]
) -> tuple[HTTPRouteHandler, ...]:
    """`refresh` updates the gauges."""

    @get("/healthz", sync_to_thread=False)
    def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @get("/readyz")
    async def readyz(*, delivery: FromQuery[bool] = False) -> Response[bytes]:
        """The process does its work; with `delivery=1`, what keeps events from being delivered counts too."""
        report = await readiness.report(delivery=delivery)
        failed = [part for part in report.parts if part.name in report.failed]
        out = ReadyOut(
            status="not_ready" if failed else "ready",
            role=report.role.value,
            parts=report.parts,
            code="not_ready" if failed else UNSET,
            detail=" ".join(f"{part.name}: {part.detail}" for part in failed) if failed else UNSET,
        )
        return Response(msgspec.json.encode(out), media_type="application/json", status_code=503 if failed else 200)

    @get("/metrics")
    async def show_metrics() -> Response[bytes]:
        """Prometheus's text format."""
        await refresh()
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return healthz, readyz, show_metrics


def create_ops_app(ops: Sequence[HTTPRouteHandler]) -> Litestar:
    """These alone, for a process that serves nothing else."""
    return Litestar(ops, openapi_config=None, logging_config=None, exception_handlers=HANDLERS)
