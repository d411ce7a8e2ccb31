"""The limits of the HTTP server, from the settings."""

from __future__ import annotations

from collections.abc import Callable

from nicobar.settings import Settings
from nicobar.web.admission import Share
from nicobar.web.connection_pool import Limits
from nicobar.web.ingress import PREFIX, token_of

# Probes are few and cheap. Each kind has its own, since one that waits for the database may wait long.
MAX_PROBES = 16
# Of the bodies of all events in memory, and of the API and the dashboard: at least this, or so many of the largest.
MIN_BODY_BYTES = 64 * 1024 * 1024
MIN_BODIES = 8


def server_limits(settings: Settings) -> Limits:
    return Limits(
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        max_header_bytes=settings.max_header_bytes,
        max_headers=settings.max_headers,
        header_timeout_ms=settings.header_timeout_ms,
        trusted_networks=settings.trusted_networks,
    )


def request_shares(settings: Settings, source_id: Callable[[str], str]) -> tuple[Share, ...]:
    """Neither events nor the API and the dashboard can use up the places of the others, or those of the probes, and
    no source those of the other sources. `source_id` finds the source of a token; unknown tokens count together.
    """
    others = settings.max_concurrent_requests // 4
    return (
        Share(
            prefix=PREFIX,
            max_requests=settings.max_concurrent_requests - others,
            max_body_bytes=max(MIN_BODY_BYTES, MIN_BODIES * settings.max_body_bytes),
            group=lambda path: source_id(token_of(path)),
        ),
        Share(prefix="/healthz", max_requests=MAX_PROBES),
        Share(prefix="/readyz", max_requests=MAX_PROBES),
        Share(
            prefix="",
            max_requests=others,
            max_body_bytes=max(MIN_BODY_BYTES, MIN_BODIES * settings.max_api_body_bytes),
        ),
    )
