"""`/healthz`, `/readyz`, `/metrics`: the operator's probes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import UNSET, UnsetType

from nicobar.metrics import Metrics
from nicobar.model import Record
from nicobar.pipeline.readiness import Part, Readiness
from nicobar.web.api.errors import render
from nicobar.web.api.request_checks import check_values
from nicobar.web.asgi import App, Message
from nicobar.web.middleware.errors import Errors
from nicobar.web.operations import Operation, Response, get
from nicobar.web.parameters import read_query
from nicobar.web.providers import Handlers
from nicobar.web.query_names import given_values
from nicobar.web.routing import Routes


class ReadyOut(Record):
    """The response of `/readyz`: 200 with the `status` ready, or 503 with `code` and `detail` like every error."""

    status: str
    role: str
    parts: tuple[Part, ...]
    code: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET


def create_ops(metrics: Metrics, readiness: Readiness, refresh: Callable[[], Awaitable[None]]) -> App:
    """`refresh` updates the gauges."""

    @get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @get("/readyz")
    async def readyz(*, delivery: bool = False) -> Response[ReadyOut]:
        """The process works. With `delivery=1`, problems that prevent delivery count as well."""
        report = await readiness.report(delivery=delivery)
        failed = [part for part in report.parts if part.name in report.failed]
        out = ReadyOut(
            status="not_ready" if failed else "ready",
            role=report.role.value,
            parts=report.parts,
            code="not_ready" if failed else UNSET,
            detail=" ".join(f"{part.name}: {part.detail}" for part in failed) if failed else UNSET,
        )
        return Response(out, status=503 if failed else 200)

    @get("/metrics")
    async def show_metrics() -> Response[bytes]:
        """Metrics in the text format of Prometheus."""
        await refresh()
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    operations = (healthz, readyz, show_metrics)
    handlers: Handlers[None] = Handlers(operations, {})

    async def call(operation: Operation, scope: Message) -> Response[Any]:
        # Probes may add parameters of their own.
        arguments, wrong = read_query(handlers.signature(operation).query, given_values(scope["query_string"]))
        check_values(wrong)
        return await handlers.call(operation, None, arguments)

    return Errors(Routes(operations, call), render)
