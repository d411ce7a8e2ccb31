"""`/settings/tokens`: API tokens."""

from __future__ import annotations

from nicobar.errors import NicobarError, UserError
from nicobar.model import Scope
from nicobar.use_cases.tokens import WIDE_SCOPES, TokenSpec, create_token, find_token, revoke_token
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, not_found
from nicobar.web.dashboard.language import noop
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

DAY_MS = 24 * 3_600_000
# Token lifetimes in days; 0 never expires.
DAYS = (90, 30, 365, 0)
SCOPES = {
    Scope.ADMIN: noop("Full access"),
    Scope.READ_ONLY: noop("Read-only access to everything"),
    Scope.APPLICATION: noop("Full access to one application"),
    Scope.APPLICATION_READ_ONLY: noop("Read-only access to one application"),
}


@get("/settings/tokens", needs=Needs.USER)
async def show_all(context: Context, visitor: Visitor) -> Response[bytes]:
    """The tokens, newest first, without those of dashboard links."""
    return await _page(context, visitor)


@post("/settings/tokens", status=201, needs=Needs.OWNER)
async def create(context: Context, visitor: Visitor) -> Response[bytes]:
    """Creates a token. It is shown once, in the response."""
    name = " ".join(visitor.form.get("name", "").split())
    chosen = visitor.form.get("days", "")
    days = int(chosen) if chosen in {str(day) for day in DAYS} else DAYS[0]
    expires_at_ms = context.now_ms() + days * DAY_MS if days else None
    try:
        scope, app_id = await _scope(context, visitor)
        spec = TokenSpec(name=name, scope=scope, app_id=app_id, expires_at_ms=expires_at_ms)
        _, secret = await create_token(context.services, visitor, spec)
    except UserError as problem:
        return await _page(context, visitor, name=name, problem=problem)
    return await _page(context, visitor, made=secret, made_name=name)


@get("/settings/tokens/{token_id}/revoke", needs=Needs.OWNER)
async def ask_revoke(token_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Explains the revocation and asks for confirmation."""
    token = await find_token(context.services.store, token_id)
    if token.portal:
        raise not_found("token")
    return page(visitor, "token_revoke.html", token=token)


@post("/settings/tokens/{token_id}/revoke", status=303, needs=Needs.OWNER)
async def revoke(token_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Revokes a token permanently."""
    await revoke_token(context.services, visitor, token_id)
    return redirect("/settings/tokens")


async def _scope(context: Context, visitor: Visitor) -> tuple[Scope, str | None]:
    """The scope from the form; an application follows after `:`."""
    text, _, app_id = visitor.form.get("scope", "").partition(":")
    app_ids = {application.id for application in (await context.snapshot()).applications}
    scope = next((scope for scope in SCOPES if scope == text), None)
    if scope is None or (app_id != "" if scope in WIDE_SCOPES else app_id not in app_ids):
        raise UserError("scope_unknown", "Unknown scope.", "Choose one from the list.")
    return scope, app_id or None


async def _page(
    context: Context,
    visitor: Visitor,
    *,
    made: str = "",
    made_name: str = "",
    name: str = "",
    problem: NicobarError | None = None,
) -> Response[bytes]:
    tokens = [token for token in await context.services.store.tokens() if not token.portal]
    applications = (await context.snapshot()).applications
    return page(
        visitor,
        "settings_tokens.html",
        status=422 if problem else 201 if made else 200,
        tokens=sorted(tokens, key=lambda token: (token.revoked_at_ms is not None, -token.created_at_ms)),
        applications=applications,
        app_names={application.id: application.name or application.uid for application in applications},
        scopes=SCOPES,
        wide=WIDE_SCOPES,
        days=DAYS,
        made=made,
        made_name=made_name,
        name=name,
        problem=problem,
        now_ms=context.now_ms(),
    )


OPERATIONS = (show_all, create, ask_revoke, revoke)
