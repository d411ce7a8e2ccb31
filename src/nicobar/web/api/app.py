"""The API and what whoever runs Nicobar asks, as one application that stands behind the ingress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, Response, Router, route
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler

from nicobar.use_cases.services import Services
from nicobar.web.api import (
    applications,
    attempts,
    audit,
    connectors,
    customers,
    endpoint_checks,
    endpoint_examples,
    endpoint_headers,
    endpoint_queue,
    endpoint_replays,
    endpoint_secrets,
    endpoints,
    event_types,
    failures,
    health,
    message_dry_runs,
    messages,
    rejected_requests,
    sources,
    statistics,
    tasks,
    tokens,
    transformations,
)
from nicobar.web.api.auth import Needs, allowed
from nicobar.web.api.checks import check_request
from nicobar.web.api.document import create_document
from nicobar.web.api.errors import HANDLERS
from nicobar.web.api.lookups import DEPENDENCIES
from nicobar.web.api.middleware import ApiMiddleware
from nicobar.web.asgi import App

OPEN_HANDLERS: tuple[HTTPRouteHandler, ...] = (*health.HANDLERS,)
# A noun a line.
API_HANDLERS: tuple[HTTPRouteHandler, ...] = (
    *applications.HANDLERS,
    *endpoints.HANDLERS,
    *endpoint_secrets.HANDLERS,
    *endpoint_headers.HANDLERS,
    *transformations.HANDLERS,
    *endpoint_replays.HANDLERS,
    *endpoint_queue.HANDLERS,
    *endpoint_checks.HANDLERS,
    *connectors.HANDLERS,
    *event_types.HANDLERS,
    *endpoint_examples.HANDLERS,
    *sources.HANDLERS,
    *tokens.HANDLERS,
    *messages.HANDLERS,
    *attempts.HANDLERS,
    *statistics.HANDLERS,
    *tasks.HANDLERS,
    *rejected_requests.HANDLERS,
    *customers.HANDLERS,
    *failures.HANDLERS,
    *message_dry_runs.HANDLERS,
    *audit.HANDLERS,
)


def create_app(services: Services, ops: Sequence[Any]) -> App:
    """Everything over HTTP but the ingress. `ops` are the handlers of `create_ops`."""
    settings = services.settings
    app = Litestar(
        [
            *ops,
            Router(
                "/",
                route_handlers=[*OPEN_HANDLERS, *create_document((*OPEN_HANDLERS, *API_HANDLERS))],
                before_request=check_request,
            ),
            Router(
                "/",
                # Theirs come first: Litestar makes one of its own for a path that has none yet.
                route_handlers=[*_options(API_HANDLERS), *API_HANDLERS],
                guards=[allowed],
                before_request=check_request,
                dependencies={**DEPENDENCIES, "services": Provide(lambda: services, sync_to_thread=False)},
            ),
        ],
        openapi_config=None,
        logging_config=None,
        exception_handlers=HANDLERS,
        # The middleware has read and bounded the body by then.
        request_max_body_size=settings.max_api_body_bytes,
    )
    return ApiMiddleware(
        app,  # type: ignore[arg-type] # Litestar's own, narrower ASGI types
        services.store,
        services.token_uses,
        services.vault,
        services.clock,
        max_body_bytes=settings.max_api_body_bytes,
        body_timeout_ms=settings.body_timeout_ms,
        max_requests_per_s=settings.max_api_requests_per_s,
    )


def _options(handlers: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """An answer to OPTIONS for each path. Litestar's own names the methods of the first handler of a path only."""
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    return [_option(path, ", ".join(sorted(known))) for path, known in methods.items()]


def _option(path: str, allow: str) -> HTTPRouteHandler:
    @route(path, http_method="OPTIONS", include_in_schema=False, status_code=204, opt={"needs": Needs.ANY_READER})
    async def options() -> Response[None]:
        return Response(None, headers={"allow": allow})

    return options
