"""`/api/v1/health`."""

from __future__ import annotations

from nicobar.web.api.auth import Needs
from nicobar.web.operations import get


@get("/api/v1/health", id="v1.health.get", tags=["Health"], summary="Check health", status=204, needs=Needs.NOTHING)
async def health() -> None:
    """Returns 204 if the API is up. Use `/readyz` to check that events are accepted and delivered."""


@get("/api/v1/health/ping", documented=False, status=204, needs=Needs.NOTHING)
async def ping() -> None:
    """The path of this check in the Svix open-source server."""


OPERATIONS = (health, ping)
