"""`/api/v1/health`."""

from __future__ import annotations

from litestar import get


@get("/api/v1/health", operation_id="v1.health.get", tags=["Health"], summary="Health", status_code=204)
async def health() -> None:
    """The API answers. Whether events are taken and delivered, `/readyz` says."""


@get("/api/v1/health/ping", include_in_schema=False, status_code=204)
async def ping() -> None:
    """The same under the name that the public Svix API's open server has."""


HANDLERS = (health, ping)
