"""The API and the operator's probes, as one application behind the ingress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nicobar.use_cases.services import Services
from nicobar.web.api import (
    alert_targets,
    applications,
    attempted_messages,
    attempts,
    audit,
    connectors,
    customer_ledgers,
    customers,
    deliveries,
    endpoint_checks,
    endpoint_examples,
    endpoint_headers,
    endpoint_identity,
    endpoint_inspection,
    endpoint_merges,
    endpoint_queue,
    endpoint_replays,
    endpoint_secrets,
    endpoints,
    event_types,
    failures,
    health,
    message_dry_runs,
    message_payloads,
    messages,
    overview,
    rejected_requests,
    retry_schedules,
    sources,
    statistics,
    tasks,
    tokens,
    transformations,
    usage,
)
from nicobar.web.api.auth import CALLER, Needs, caller_in, caller_of, check_access, unauthenticated
from nicobar.web.api.errors import render
from nicobar.web.api.idempotency import Idempotency
from nicobar.web.api.lookups import PROVIDERS, ApiRequest
from nicobar.web.api.openapi import create_document
from nicobar.web.api.request_checks import read_request
from nicobar.web.asgi import App, Message, headers_of
from nicobar.web.middleware.auth import Authentication
from nicobar.web.middleware.body import Body, body_of
from nicobar.web.middleware.errors import Errors
from nicobar.web.middleware.rate_limit import RateLimit
from nicobar.web.operations import Operation, Response
from nicobar.web.providers import Handlers
from nicobar.web.routing import Prefixed, Routes

PREFIXES = ("/api/v1/", "/ingest/api/v1/")
# A noun per line.
OPERATIONS: tuple[Operation, ...] = (
    *health.OPERATIONS,
    *applications.OPERATIONS,
    *endpoints.OPERATIONS,
    *endpoint_secrets.OPERATIONS,
    *endpoint_headers.OPERATIONS,
    *endpoint_identity.OPERATIONS,
    *transformations.OPERATIONS,
    *endpoint_replays.OPERATIONS,
    *endpoint_queue.OPERATIONS,
    *endpoint_checks.OPERATIONS,
    *endpoint_inspection.OPERATIONS,
    *endpoint_merges.OPERATIONS,
    *connectors.OPERATIONS,
    *event_types.OPERATIONS,
    *retry_schedules.OPERATIONS,
    *endpoint_examples.OPERATIONS,
    *attempted_messages.OPERATIONS,
    *sources.OPERATIONS,
    *tokens.OPERATIONS,
    *messages.OPERATIONS,
    *message_payloads.OPERATIONS,
    *attempts.OPERATIONS,
    *deliveries.OPERATIONS,
    *statistics.OPERATIONS,
    *usage.OPERATIONS,
    *overview.OPERATIONS,
    *tasks.OPERATIONS,
    *rejected_requests.OPERATIONS,
    *customers.OPERATIONS,
    *customer_ledgers.OPERATIONS,
    *failures.OPERATIONS,
    *message_dry_runs.OPERATIONS,
    *audit.OPERATIONS,
    *alert_targets.OPERATIONS,
)
_SERVED = (*create_document(OPERATIONS), *OPERATIONS)
_OPEN_PATHS = frozenset(operation.path for operation in _SERVED if operation.needs is Needs.NOTHING)


def create_app(services: Services, ops: App) -> App:
    """Serves the API, and passes all other paths to `ops`."""
    settings = services.settings
    app: App = _Api(services).routes
    app = Idempotency(app, services.store, services.vault, services.clock)
    app = Body(
        app,
        max_bytes=settings.max_api_body_bytes,
        timeout_ms=settings.body_timeout_ms,
        setting="max_api_body_bytes",
    )
    app = RateLimit(app, services.request_limit, services.clock, _token_id)
    app = Authentication(app, _Tokens(services).identify)
    return Prefixed(PREFIXES, Errors(app, render), ops)


class _Tokens:
    """Identifies callers by their tokens."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def identify(self, scope: Message, headers: Mapping[str, str]) -> None:
        """Raises Refusal 401, also for unknown paths."""
        if scope["path"].rstrip("/") not in _OPEN_PATHS:
            services = self._services
            now_ms = services.clock.now_ms()
            scope[CALLER] = await caller_of(headers, services.store, services.token_uses, now_ms)


def _token_id(scope: Message) -> str | None:
    caller = caller_in(scope)
    return None if caller is None else caller.token.id


class _Api:
    """Calls the handlers of the API's operations."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._handlers = Handlers(_SERVED, PROVIDERS)
        self.routes = Routes(_SERVED, self._call, options_need=Needs.ANY_READER)

    async def _call(self, operation: Operation, scope: Message) -> Response[Any]:
        caller = caller_in(scope)
        if caller is not None:
            check_access(caller, operation)
        elif operation.needs is not Needs.NOTHING and operation.method != "OPTIONS":
            raise unauthenticated()
        request = ApiRequest(
            services=self._services,
            caller=caller,
            path=scope["path_params"],
            headers=headers_of(scope),
            body=body_of(scope),
        )
        arguments = read_request(
            self._handlers.signature(operation),
            path=scope["path_params"],
            query_string=scope["query_string"],
            body=request.body,
        )
        return await self._handlers.call(operation, request, arguments)
