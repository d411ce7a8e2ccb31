"""`/api/v1/auth`: links to the dashboard for one application, and (ours) the tokens of the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from nicobar.audit import AuditAction
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
from nicobar.web.api.shapes import Moment, Page, Shape, TokenId, Unsupported, moment, unix_ms
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
    """A link for how long (`expiry`, in seconds). With `application` the application is made where there is none."""

    expiry: Annotated[int, Meta(ge=MIN_PORTAL_S, le=PORTAL_S)] | None = PORTAL_S
    read_only: bool | None = None
    session_id: SessionId | None = None
    application: ApplicationIn | None = None
    capabilities: Unsupported = None
    feature_flags: Unsupported = None


class AppPortalAccessOut(Shape):
    """A link to the dashboard and its token, both limited to one application."""

    url: str
    token: str


class ApplicationTokenExpireIn(Shape):
    """Which links end: those of the sessions, or all; after `expiry` seconds, or at once."""

    expiry: Annotated[int, Meta(ge=0, le=MAX_LATER_S)] | None = None
    session_ids: Annotated[list[SessionId], Meta(max_length=1_000)] = []


class TokenIn(Shape):
    """What a token is made of. `appId` goes with the scopes of one application."""

    name: TokenName
    scope: Scope = Scope.ADMIN
    app_id: Annotated[str, Meta(min_length=1, max_length=MAX_KEY_CHARS)] | None = None
    expires_at: Moment | None = None


class MessageTokenIn(Shape):
    """A token's name, and for how long it is taken (`expiry`, in seconds); for good without."""

    name: TokenName
    expiry: Annotated[int, Meta(ge=1, le=MAX_EXPIRY_S)] | None = None


class MessageTokenOut(Shape):
    """A token that makes messages in one application; `token` is shown this once."""

    id: TokenId
    token: str
    name: str
    created_at: Moment
    expires_at: Moment | None
    scopes: list[Scope]


class TokenOut(Shape):
    """A token, without what makes it one."""

    id: TokenId
    name: str
    scope: Scope
    app_id: str | None
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None


class NewTokenOut(Shape):
    """A token that was just made; `token` is shown this once."""

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
    summary="Get App Portal Access",
    status=200,
    needs=Needs.BACKEND,
)
async def app_portal_access(
    *, app_id: AppKey, data: AppPortalAccessIn, services: Services, caller: Caller
) -> AppPortalAccessOut:
    """Creates a link to the dashboard that shows one application. Valid for a week unless `expiry` says otherwise."""
    return await _portal_access(services, caller, app_id, data)


@post(
    "/api/v1/auth/dashboard-access/{app_id}",
    id="v1.authentication.dashboard-access",
    tags=TAGS,
    summary="Get Dashboard Access",
    status=200,
    needs=Needs.BACKEND,
)
async def dashboard_access(*, app_id: AppKey, services: Services, caller: Caller) -> AppPortalAccessOut:
    """The same as `app-portal-access` without options, under the name that clients before 2.0 use."""
    return await _portal_access(services, caller, app_id, AppPortalAccessIn())


async def _portal_access(
    services: Services, caller: Caller, app_id: str, data: AppPortalAccessIn
) -> AppPortalAccessOut:
    async def change(edit: Edit) -> str:
        application, made = _application(edit, caller, app_id, data)
        link, secret = tokens.new_portal_link(
            services,
            application.id,
            expires_at_ms=services.clock.now_ms() + (data.expiry or PORTAL_S) * 1000,
            read_only=bool(data.read_only),
            session_id=data.session_id,
        )
        changes: list[Change] = [PutApplication(application=application)] if made else []
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
        raise not_found("application")
    check_new_uid(key, "path.app_id")
    wanted = data.application
    if wanted.uid not in {None, key}:
        raise Invalid("body.application.uid", "It is not the uid of the path.", "Leave it out.")
    made = make_application(
        ids=edit.services.ids,
        now_ms=edit.services.clock.now_ms(),
        name=wanted.name,
        uid=key,
        metadata=wanted.metadata or {},
    )
    return made, True


@post(
    "/api/v1/auth/app/{app_id}/expire-all",
    id="v1.authentication.expire-all",
    tags=TAGS,
    summary="Expire All",
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
    """Ends the links to the dashboard of an application."""
    until_ms = services.clock.now_ms() + (data.expiry or 0) * 1000
    application = application_of(await services.snapshot(), caller, app_id)
    await tokens.expire_portal_links(
        services, caller, application.id, until_ms=until_ms, session_ids=data.session_ids
    )


@post(
    "/api/v1/auth/logout",
    id="v1.authentication.logout",
    tags=TAGS,
    summary="Logout",
    status=204,
    needs=Needs.SELF,
)
async def logout(*, services: Services, caller: Caller) -> None:
    """Ends the link to the dashboard whose token this is. Other tokens are revoked, not logged out."""
    if not caller.token.portal:
        raise forbidden()
    await tokens.end_portal_link(services, caller, caller.token)


@post(
    "/api/v1/auth/app/{app_id}/create-message-token",
    id="v1.authentication.create-message-token",
    tags=TAGS,
    summary="Create Message Token",
    status=200,
    needs=Needs.BACKEND,
)
async def create_message_token(
    *, app_id: AppKey, data: MessageTokenIn, services: Services, caller: Caller
) -> MessageTokenOut:
    """Makes a token that may make messages in this application, and nothing else."""
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


@get(TOKENS, id="nicobar.token.list", tags=TAGS, summary="List Tokens")
async def list_tokens(
    *, services: Services, limit: Limit = DEFAULT_LIMIT, iterator: Iterator = None, order: Order = None
) -> Page[TokenOut]:
    """The tokens of the API, the newest first unless asked otherwise; those of links to the dashboard are not among
    them.
    """
    return page_of_all(
        [token for token in await services.store.tokens() if not token.portal],
        iterator=iterator,
        limit=limit,
        order=order or Ordering.DESCENDING,
        key=lambda token: token.id,
        shape=shown,
    )


@post(TOKENS, id="nicobar.token.create", tags=TAGS, summary="Create Token")
async def create_token(*, data: TokenIn, services: Services, caller: Caller) -> NewTokenOut:
    """Makes a token of the API."""
    if (data.app_id is None) is not (data.scope in WIDE_SCOPES):
        raise Invalid("body.appId", "It goes with the scopes of one application.", "Name one, or another scope.")
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
    summary="Revoke Token",
    status=200,
    responses=DELETED,
)
async def revoke_token(
    *,
    token_id: Annotated[str, Meta(description="The token's id.", max_length=MAX_KEY_CHARS)],
    services: Services,
    caller: Caller,
    dry_run: DryRun = False,
) -> Response[DryRunOut | None]:
    """Revokes a token permanently."""
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
