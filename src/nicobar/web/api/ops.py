"""`/healthz`, `/readyz`, `/metrics`: the operator's probes."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from msgspec import UNSET, UnsetType

from nicobar.errors import Refusal
from nicobar.metrics import Metrics
from nicobar.model import Record
from nicobar.pipeline.readiness import Part, Readiness
from nicobar.web.api.errors import render
from nicobar.web.api.request_checks import check_values
from nicobar.web.asgi import App, Message, headers_of
from nicobar.web.middleware.errors import Errors
from nicobar.web.operations import Operation, Response, get
from nicobar.web.parameters import read_query
from nicobar.web.providers import Handlers
from nicobar.web.query_names import given_values
from nicobar.web.routing import Routes

LOCALHOST = "localhost"
# What proxies add to a request.
_FORWARDED = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"})


class ReadyOut(Record):
    """The response of `/readyz`: 200 with the `status` ready, or 503 with `code` and `detail` like every error."""

    status: str
    role: str
    parts: tuple[Part, ...]
    code: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET


def create_ops(
    metrics: Metrics, readiness: Readiness, refresh: Callable[[], Awaitable[None]], *, metrics_token: str
) -> App:
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
        if operation is show_metrics:
            check_metrics_reader(scope, metrics_token)
        # Probes may add parameters of their own.
        arguments, wrong = read_query(handlers.signature(operation).query, given_values(scope["query_string"]))
        check_values(wrong)
        return await handlers.call(operation, None, arguments)

    return Errors(Routes(operations, call), render)


def check_metrics_reader(scope: Message, token: str) -> None:
    """The metrics name sources and endpoints. Without a token they are for requests from this machine: those that a
    proxy forwards come from elsewhere. Raises Refusal 401.
    """
    headers = headers_of(scope)
    if token:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
            return
        fix = "Send the header Authorization: Bearer TOKEN with the value of the setting metrics_token."
    else:
        client: tuple[str, int] | None = scope.get("client")
        is_local = client is not None and _is_loopback(client[0]) and _is_loopback(_host_name(headers))
        if is_local and _FORWARDED.isdisjoint(headers):
            return
        fix = "Ask at http://127.0.0.1 on the same machine, or set metrics_token and send it as a bearer token."
    raise Refusal(401, "authentication_failed", "The metrics are not public.", fix)


def _host_name(headers: Mapping[str, str]) -> str:
    """The host of the request's address; a proxy may pass on its own."""
    try:
        return urlsplit(f"//{headers.get('host', LOCALHOST)}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name == LOCALHOST:
        return True
    try:
        ip = ip_address(name)
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
