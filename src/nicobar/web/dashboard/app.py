"""The pages as one application, beside everything else over HTTP."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Any

from nicobar.errors import NicobarError, Refusal, SandboxError, StoreError, StoreMoved, UserError
from nicobar.use_cases.services import Services
from nicobar.web.asgi import App, Message, Receive, Send
from nicobar.web.dashboard import (
    attempt,
    code_editor,
    customers,
    endpoint_deliveries,
    endpoint_inspection,
    endpoint_new,
    endpoint_people,
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
    people_merges,
    portal,
    preferences,
    provider_sign_in,
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
from nicobar.web.dashboard.authorization import Needs, check_access
from nicobar.web.dashboard.context import Context, FinishedDraft, not_found
from nicobar.web.dashboard.filters import invalid_value, unknown_name
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.sessions import Sessions, first_segment
from nicobar.web.dashboard.visitor import Visitor, current_visitor, visitor_of, with_form
from nicobar.web.middleware.auth import Authentication
from nicobar.web.middleware.body import Body
from nicobar.web.middleware.cross_site import CrossSite
from nicobar.web.middleware.errors import Errors
from nicobar.web.middleware.response_headers import ResponseHeaders
from nicobar.web.operations import Operation, Response
from nicobar.web.parameters import Signature, read_path, read_query
from nicobar.web.providers import Handlers, Provider
from nicobar.web.query_names import given_names, given_values
from nicobar.web.routing import Routes

MAX_FORM_BYTES = 2 * 1024 * 1024
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_SECURITY_HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
# Browsers reach the host only over HTTPS for a year after each visit. Other hosts of its domain may have none.
_HSTS = {"strict-transport-security": "max-age=31536000"}
# A page or a group of pages per line.
OPERATIONS: tuple[Operation, ...] = (
    *overview.OPERATIONS,
    *sign_in.OPERATIONS,
    *provider_sign_in.OPERATIONS,
    *portal.OPERATIONS,
    *preferences.OPERATIONS,
    *endpoints.OPERATIONS,
    *endpoint_settings.OPERATIONS,
    *endpoint_new.OPERATIONS,
    *endpoint_people.OPERATIONS,
    *code_editor.OPERATIONS,
    *endpoint_test.OPERATIONS,
    *endpoint_inspection.OPERATIONS,
    *endpoint_transformation.OPERATIONS,
    *endpoint_replays.OPERATIONS,
    *people_merges.OPERATIONS,
    *event_types.OPERATIONS,
    *attempt.OPERATIONS,
    *logs.OPERATIONS,
    *messages.OPERATIONS,
    *failures.OPERATIONS,
    *endpoint_deliveries.OPERATIONS,
    *customers.OPERATIONS,
    *queue.OPERATIONS,
    *sources.OPERATIONS,
    *settings_account.OPERATIONS,
    *settings_users.OPERATIONS,
    *settings_tokens.OPERATIONS,
    *settings_alerts.OPERATIONS,
    *settings_retention.OPERATIONS,
    *settings_audit.OPERATIONS,
    *settings_about.OPERATIONS,
    *shortcuts.OPERATIONS,
)
# First path segments of all pages, and of those that need no signing in.
_PLACES = frozenset(first_segment(operation.path) for operation in OPERATIONS)
OPEN_PLACES = frozenset(first_segment(row.path) for row in OPERATIONS if row.needs is Needs.NOTHING)


def create_dashboard(services: Services, beside: App) -> App:
    """The pages. Requests for other paths go to `beside`."""
    settings = services.settings
    app: App = _Pages(services).routes
    app = Body(app, max_bytes=MAX_FORM_BYTES, timeout_ms=settings.body_timeout_ms)
    app = CrossSite(app, settings.public_url, needs_origin=True)
    app = Authentication(app, Sessions(services, OPEN_PLACES).identify)
    app = Errors(app, _render, no_route=_no_page)
    always = _SECURITY_HEADERS | (_HSTS if settings.is_https else {})
    pages = ResponseHeaders(app, always=always, unless_set={"cache-control": "no-store"})

    async def dashboard(scope: Message, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and first_segment(scope["path"]) in _PLACES
        await (pages if is_page else beside)(scope, receive, send)

    return dashboard


class _Pages:
    """Handles the operations of the pages."""

    def __init__(self, services: Services) -> None:
        context = Context(services=services)

        async def supply_context(scope: Message) -> Context:
            return replace(context, app_id=current_visitor(scope).app_id)

        async def supply_visitor(scope: Message) -> Visitor:
            return with_form(current_visitor(scope), scope)

        self._handlers: Handlers[Message] = Handlers(
            OPERATIONS, {"context": Provider(supply_context), "visitor": Provider(supply_visitor)}
        )
        self.routes = Routes(OPERATIONS, self._call, options_need=Needs.NOTHING)

    async def _call(self, operation: Operation, scope: Message) -> Response[Any]:
        if operation.needs is not Needs.NOTHING:
            check_access(current_visitor(scope), operation)
        arguments = _read(self._handlers.signature(operation), scope)
        return await self._handlers.call(operation, scope, arguments)


def _read(signature: Signature, scope: Message) -> dict[str, object]:
    """The arguments from the query. Unknown names are rejected: a list that ignored an unknown filter would show
    everything. Pages without parameters have nothing to filter. Raises Refusal 422.
    """
    names = signature.query_names
    for name in given_names(scope["query_string"]):
        if names and name not in names:
            raise unknown_name(name, names)
    in_path, wrong = read_path(signature.path, scope["path_params"])
    in_query, more = read_query(signature.query, given_values(scope["query_string"]))
    invalid = [*wrong, *more]
    if invalid:
        raise invalid_value(invalid[0].name, invalid[0].reason)
    return {**in_path, **in_query}


def _render(scope: Message, error: NicobarError) -> Response[Any]:
    """The error page; plain text if the visitor was not identified."""
    if isinstance(error, FinishedDraft):
        return redirect(error.location)
    match error:
        case Refusal():
            status = error.status
        case UserError():
            status = 422
        case StoreMoved():
            status = 409
        case StoreError() | SandboxError():
            status = 503
        case _:
            status = 500
    visitor = visitor_of(scope)
    if visitor is None:
        return Response(f"{error.detail}\n{error.fix}\n", status=status, media_type="text/plain; charset=utf-8")
    return page(visitor, "error.html", status=status, reason=error.reason, error_status=status)


def _no_page(scope: Message, status: int) -> Refusal:
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return Refusal(
            405,
            "method_not_allowed",
            "%(method)s requests are not supported on this page.",
            "Open it in a browser.",
            method=scope["method"],
        )
    return not_found("page")
