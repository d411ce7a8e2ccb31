"""`/api/v1/health`."""

from __future__ import annotations

from nicobar.web.api.auth import Needs
from nicobar.web.operations import get


@get("/api/v1/health", id="v1.health.get", tags=["Health"], summary="Health", status=204, needs=Needs.NOTHING)
async def health() -> None:
    """The API answers. Whether events are taken and delivered, `/readyz` says."""


@get("/api/v1/health/ping", documented=False, status=204, needs=Needs.NOTHING)
async def ping() -> None:
    """The same under the name that the public Svix API's open server has."""


OPERATIONS = (health, ping)
