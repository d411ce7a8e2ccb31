"""`/api/v1/auth`: dashboard links for one application, and (an addition to the Svix API) API tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from nicobar.audit import AuditAction
from nicobar.clock import unix_ms
from nicobar.ids import is_id
from nicobar.model import Application, Scope, Token
from nicobar.store import Change, PutApplication, PutToken
from nicobar.use_cases import tokens
from nicobar.use_cases.applications import make_application
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.services import Services
from nicobar.use_cases.tokens import MAX_TOKEN_NAME_CHARS, WIDE_SCOPES, TokenSpec
from nicobar.web.api.applications import ApplicationIn
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.deletion_preview import DELETED, DryRun, DryRunOut, done, would
from nicobar.web.api.errors import Invalid, forbidden, not_found
from nicobar.web.api.lookups import MAX_KEY_CHARS, AppKey, application_of, check_new_uid, find
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, Order, Ordering, page_of_all
from nicobar.web.api.shapes import Moment, Page, Shape, TokenId, Unsupported, moment
from nicobar.web.operations import Response, delete, get, post

TAGS = ["Authentication"]
PORTAL_S = 7 * 86_400
MIN_PORTAL_S = 3_600
MAX_LATER_S = 3 * 86_400
MAX_EXPIRY_S = 100 * 366 * 86_400
TOKENS = "/api/v1/auth/token"

SessionId = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9@_\-]+$", min_length=1, max_length=64)]
TokenName = Annotated[str, Meta(min_length=1, max_length=MAX_TOKEN_NAME_CHARS, examples=["backend"])]


class AppPortalAccessIn(Shape):
    """The dashboard link to create. `expiry` is in seconds. Defaults to 604800 (7 days), the maximum. With
    `application`, the application is created if it does not exist.
    """

    expiry: Annotated[int, Meta(ge=MIN_PORTAL_S, le=PORTAL_S)] | None = PORTAL_S
    read_only: bool | None = None
    session_id: SessionId | None = None
    application: ApplicationIn | None = None
    capabilities: Unsupported = None
    feature_flags: Unsupported = None


class AppPortalAccessOut(Shape):
    """A dashboard link and its token, both limited to one application."""

    url: str
    token: str


class ApplicationTokenExpireIn(Shape):
    """The dashboard links to expire. `sessionIds` defaults to all. `expiry` is a delay in seconds. Defaults to 0."""

    expiry: Annotated[int, Meta(ge=0, le=MAX_LATER_S)] | None = None
    session_ids: Annotated[list[SessionId], Meta(max_length=1_000)] = []


class TokenIn(Shape):
    """The API token to create. `appId` is required for scopes of one application. `expiresAt` defaults to never."""

    name: TokenName
    scope: Scope = Scope.ADMIN
    app_id: Annotated[str, Meta(min_length=1, max_length=MAX_KEY_CHARS)] | None = None
    expires_at: Moment | None = None


class MessageTokenIn(Shape):
    """The token to create. `expiry` is in seconds. Defaults to never."""

    name: TokenName
    expiry: Annotated[int, Meta(ge=1, le=MAX_EXPIRY_S)] | None = None


class MessageTokenOut(Shape):
    """A token that can create messages in one application. `token` is returned only once."""

    id: TokenId
    token: str
    name: str
    created_at: Moment
    expires_at: Moment | None
    scopes: list[Scope]


class TokenOut(Shape):
    """An API token, without its secret."""

    id: TokenId
    name: str
    scope: Scope
    app_id: str | None
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None


class NewTokenOut(Shape):
    """A new API token. `token` is returned only once."""

    id: TokenId
    token: str


def shown(token: Token) -> TokenOut:
    return TokenOut(
        id=token.id,
        name=token.name,
        scope=token.scope,
        app_id=token.app_id,
        created_at=moment(token.created_at_ms),
        expires_at=_moment(token.expires_at_ms),
        revoked_at=_moment(token.revoked_at_ms),
        last_used_at=_moment(token.last_used_at_ms),
    )


def _moment(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else moment(at_ms)


@post(
    "/api/v1/auth/app-portal-access/{app_id}",
    id="v1.authentication.app-portal-access",
    tags=TAGS,
    summary="Create dashboard link",
    status=200,
    needs=Needs.BACKEND,
)
async def app_portal_access(
    *, app_id: AppKey, data: AppPortalAccessIn, services: Services, caller: Caller
) -> AppPortalAccessOut:
    """Creates a link to the dashboard of one application. The link expires after 7 days by default."""
    return await _portal_access(services, caller, app_id, data)


@post(
    "/api/v1/auth/dashboard-access/{app_id}",
    id="v1.authentication.dashboard-access",
    tags=TAGS,
    summary="Create dashboard link (older clients)",
    status=200,
    needs=Needs.BACKEND,
)
async def dashboard_access(*, app_id: AppKey, services: Services, caller: Caller) -> AppPortalAccessOut:
    """Same as `app-portal-access` without options. For clients before 2.0."""
    return await _portal_access(services, caller, app_id, AppPortalAccessIn())


async def _portal_access(
    services: Services, caller: Caller, app_id: str, data: AppPortalAccessIn
) -> AppPortalAccessOut:
    async def change(edit: Edit) -> str:
        application, is_new = _application(edit, caller, app_id, data)
        link, secret = tokens.new_portal_link(
            services,
            application.id,
            expires_at_ms=services.clock.now_ms() + (data.expiry or PORTAL_S) * 1000,
            read_only=bool(data.read_only),
            session_id=data.session_id,
        )
        changes: list[Change] = [PutApplication(application=application)] if is_new else []
        await edit.commit(
            AuditAction.PORTAL_CREATE, application.id, *changes, PutToken(token=link), app_id=application.id
        )
        return secret

    secret = await edited(services, caller, change)
    return AppPortalAccessOut(url=f"{services.public_url}/app-portal#key={secret}", token=secret)


def _application(edit: Edit, caller: Caller, key: str, data: AppPortalAccessIn) -> tuple[Application, bool]:
    applications = edit.snapshot.applications
    if find(applications, key) is not None or data.application is None or caller.app_id is not None:
        return application_of(edit.snapshot, caller, key), False
    if is_id(key, "app"):
        raise not_found("application", key)
    check_new_uid(key, "path.app_id")
    wanted = data.application
    if wanted.uid not in {None, key}:
        raise Invalid(
            "body.application.uid",
            f'application.uid is "{wanted.uid}", but the path has "{key}".',
            "Omit application.uid.",
        )
    new = make_application(
        ids=edit.services.ids,
        now_ms=edit.services.clock.now_ms(),
        name=wanted.name,
        uid=key,
        metadata=wanted.metadata or {},
    )
    return new, True


@post(
    "/api/v1/auth/app/{app_id}/expire-all",
    id="v1.authentication.expire-all",
    tags=TAGS,
    summary="Expire dashboard links",
    status=204,
    needs=Needs.BACKEND,
)
async def expire_all(
    *,
    app_id: AppKey,
    data: ApplicationTokenExpireIn,
    services: Services,
    caller: Caller,
) -> None:
    """Expires dashboard links of an application."""
    until_ms = services.clock.now_ms() + (data.expiry or 0) * 1000
    application = application_of(await services.snapshot(), caller, app_id)
    await tokens.expire_portal_links(
        services, caller, application.id, until_ms=until_ms, session_ids=data.session_ids
    )


@post(
    "/api/v1/auth/logout",
    id="v1.authentication.logout",
    tags=TAGS,
    summary="Expire current dashboard link",
    status=204,
    needs=Needs.SELF,
)
async def logout(*, services: Services, caller: Caller) -> None:
    """Expires the dashboard link whose token is sent. API tokens are rejected (403): revoke them instead."""
    if not caller.token.portal:
        raise forbidden(
            "This token does not belong to a dashboard link.",
            "Revoke an API token with DELETE /api/v1/auth/token/{token_id}.",
        )
    await tokens.end_portal_link(services, caller, caller.token)


@post(
    "/api/v1/auth/app/{app_id}/create-message-token",
    id="v1.authentication.create-message-token",
    tags=TAGS,
    summary="Create message token",
    status=200,
    needs=Needs.BACKEND,
)
async def create_message_token(
    *, app_id: AppKey, data: MessageTokenIn, services: Services, caller: Caller
) -> MessageTokenOut:
    """Creates a token that can only create messages in this application."""
    application = application_of(await services.snapshot(), caller, app_id)
    expires_at_ms = None if data.expiry is None else services.clock.now_ms() + data.expiry * 1000
    scope = Scope.APPLICATION_MESSAGES
    spec = TokenSpec(name=data.name, scope=scope, app_id=application.id, expires_at_ms=expires_at_ms)
    token, secret = await tokens.create_token(services, caller, spec)
    return MessageTokenOut(
        id=token.id,
        token=secret,
        name=token.name,
        created_at=moment(token.created_at_ms),
        expires_at=_moment(token.expires_at_ms),
        scopes=[token.scope],
    )


@get(TOKENS, id="nicobar.token.list", tags=TAGS, summary="List API tokens")
async def list_tokens(
    *, services: Services, limit: Limit = DEFAULT_LIMIT, iterator: Iterator = None, order: Order = None
) -> Page[TokenOut]:
    """Lists API tokens, newest first by default. Tokens of dashboard links are not listed."""
    return page_of_all(
        [token for token in await services.store.tokens() if not token.portal],
        iterator=iterator,
        limit=limit,
        order=order or Ordering.DESCENDING,
        key=lambda token: token.id,
        shape=shown,
    )


@post(TOKENS, id="nicobar.token.create", tags=TAGS, summary="Create API token")
async def create_token(*, data: TokenIn, services: Services, caller: Caller) -> NewTokenOut:
    """Creates an API token."""
    if (data.app_id is None) is not (data.scope in WIDE_SCOPES):
        if data.app_id is None:
            raise Invalid(
                "body.appId", f"The scope {data.scope} requires appId.", "Send the application's ID or uid."
            )
        raise Invalid("body.appId", f"The scope {data.scope} does not support appId.", "Omit it or change the scope.")
    app_id = None
    if data.app_id is not None:
        app_id = application_of(await services.snapshot(), caller, data.app_id).id
    expires_at_ms = None if data.expires_at is None else unix_ms(data.expires_at)
    spec = TokenSpec(name=data.name, scope=data.scope, app_id=app_id, expires_at_ms=expires_at_ms)
    token, secret = await tokens.create_token(services, caller, spec)
    return NewTokenOut(id=token.id, token=secret)


@delete(
    f"{TOKENS}/{{token_id}}",
    id="nicobar.token.revoke",
    tags=TAGS,
    summary="Revoke API token",
    status=200,
    responses=DELETED,
)
async def revoke_token(
    *,
    token_id: Annotated[str, Meta(description="The token's ID.", max_length=MAX_KEY_CHARS)],
    services: Services,
    caller: Caller,
    dry_run: DryRun = False,
) -> Response[DryRunOut | None]:
    """Revokes an API token permanently."""
    if dry_run:
        await tokens.find_token(services.store, token_id)
        return would()
    await tokens.revoke_token(services, caller, token_id)
    return done()


OPERATIONS = (
    app_portal_access,
    dashboard_access,
    expire_all,
    logout,
    create_message_token,
    list_tokens,
    create_token,
    revoke_token,
)
