"""The pages as one application, beside everything else over HTTP."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from litestar import Litestar, Request, Response
from litestar.di import Provide
from litestar.enums import ParamType
from litestar.exceptions import HTTPException
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Scope

from nicobar.errors import NicobarError, Refusal, UserError
from nicobar.observe import log
from nicobar.use_cases.services import Services
from nicobar.web.asgi import App
from nicobar.web.dashboard import (
    attempt,
    code_editor,
    customers,
    endpoint_deliveries,
    endpoint_new,
    endpoint_replays,
    endpoint_settings,
    endpoint_test,
    endpoint_transformation,
    endpoints,
    event_types,
    failures,
    logs,
    messages,
    overview,
    portal,
    preferences,
    queue,
    settings_about,
    settings_account,
    settings_alerts,
    settings_audit,
    settings_retention,
    settings_tokens,
    settings_users,
    shortcuts,
    sign_in,
    sources,
)
from nicobar.web.dashboard.authorization import allowed
from nicobar.web.dashboard.context import Context
from nicobar.web.dashboard.filters import unknown_name
from nicobar.web.dashboard.login_limit import LoginLimit
from nicobar.web.dashboard.middleware import MAX_FORM_BYTES, DashboardMiddleware
from nicobar.web.dashboard.pages import page
from nicobar.web.dashboard.visitor import VISITOR, Visitor, current_visitor
from nicobar.web.query_names import given_names

# Litestar's request knows its user, its token and its state; there are none here.
Asked = Request[Any, Any, Any]


# A page or a group of pages a line.
HANDLERS = (
    *overview.HANDLERS,
    *sign_in.HANDLERS,
    *portal.HANDLERS,
    *preferences.HANDLERS,
    *endpoints.HANDLERS,
    *endpoint_settings.HANDLERS,
    *endpoint_new.HANDLERS,
    *code_editor.HANDLERS,
    *endpoint_test.HANDLERS,
    *endpoint_transformation.HANDLERS,
    *endpoint_replays.HANDLERS,
    *event_types.HANDLERS,
    *attempt.HANDLERS,
    *logs.HANDLERS,
    *messages.HANDLERS,
    *failures.HANDLERS,
    *endpoint_deliveries.HANDLERS,
    *customers.HANDLERS,
    *queue.HANDLERS,
    *sources.HANDLERS,
    *settings_account.HANDLERS,
    *settings_users.HANDLERS,
    *settings_tokens.HANDLERS,
    *settings_alerts.HANDLERS,
    *settings_retention.HANDLERS,
    *settings_audit.HANDLERS,
    *settings_about.HANDLERS,
    *shortcuts.HANDLERS,
)


def create_dashboard(services: Services, beside: App) -> App:
    """The pages; what is none of theirs goes `beside`."""
    context = Context(services=services, limit=LoginLimit())

    def given_context(scope: Scope) -> Context:
        return replace(context, app_id=current_visitor(scope).app_id)

    pages = Litestar(
        list(HANDLERS),
        dependencies={
            "context": Provide(given_context, sync_to_thread=False),
            "visitor": Provide(current_visitor, sync_to_thread=False),
        },
        guards=[allowed],
        before_request=_check_names,
        openapi_config=None,
        logging_config=None,
        exception_handlers={NicobarError: _said, HTTPException: _http_error, Exception: _surprise},
        request_max_body_size=MAX_FORM_BYTES,
    )
    return DashboardMiddleware(
        pages,  # type: ignore[arg-type] # Litestar's own, narrower ASGI types
        beside,
        services.store,
        services.token_uses,
        services.clock,
        public_url=services.settings.public_url,
        body_timeout_ms=services.settings.body_timeout_ms,
    )


def _check_names(request: Asked) -> None:
    """Without this, a list would ignore a filter that it does not have and show everything. Pages without parameters
    have nothing to filter. Raises Refusal 422.
    """
    known = _query_names(request.route_handler, tuple(request.path_params))
    for name in given_names(request.scope["query_string"]):
        if known and name not in known:
            raise unknown_name(name, known)


@cache
def _query_names(handler: BaseRouteHandler, path_names: tuple[str, ...]) -> frozenset[str]:
    model = handler.create_kwargs_model(path_parameters=dict.fromkeys(path_names))  # type: ignore[arg-type] # it reads the names only
    return frozenset(item.field_alias for item in model.expected_query_params if item.param_type is ParamType.QUERY)


def _said(request: Asked, error: NicobarError) -> Response[Any]:
    status = error.status if isinstance(error, Refusal) else 422 if isinstance(error, UserError) else 503
    return _error_page(request, status, error.code, error.detail, error.fix)


def _http_error(request: Asked, error: HTTPException) -> Response[Any]:
    return _error_page(request, error.status_code, "request_invalid", error.detail, "")


def _surprise(request: Asked, error: Exception) -> Response[Any]:
    log.error("page failed", path=request.url.path, exc_info=error)
    return _error_page(request, 500, "internal", "Something went wrong here. The log says what.", "")


def _error_page(request: Asked, status: int, code: str, detail: str, fix: str) -> Response[Any]:
    visitor = request.scope.get(VISITOR)
    if not isinstance(visitor, Visitor):
        return Response(detail, status_code=status, media_type="text/plain")
    return page(visitor, "error.html", status=status, code=code, detail=detail, fix=fix, error_status=status)
