"""`/api/v1/auth`: links to the dashboard for one application, and (ours) the tokens of the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from nicobar.crypto import hash_token, new_token
from nicobar.ids import is_id
from nicobar.model import Application, Scope, Token
from nicobar.store import PutApplication, PutToken
from nicobar.use_cases.catalogue import make_application
from nicobar.use_cases.services import Services, again_if_moved
from nicobar.use_cases.tokens import end_link, end_token, make_token
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
TokenName = Annotated[str, Meta(min_length=1, max_length=256, examples=["backend"])]


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
@again_if_moved
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
@again_if_moved
async def dashboard_access(*, app_id: AppKey, services: Services, caller: Caller) -> AppPortalAccessOut:
    """The same as `app-portal-access` without options, under the name that clients before 2.0 use."""
    return await _portal_access(services, caller, app_id, AppPortalAccessIn())


async def _portal_access(
    services: Services, caller: Caller, app_id: str, data: AppPortalAccessIn
) -> AppPortalAccessOut:
    async with services.changing:
        application, made = await _application(services, caller, app_id, data)
        now_ms = services.clock.now_ms()
        secret = new_token()
        token = Token(
            id=services.ids.new("tok"),
            name="dashboard",
            sha256=hash_token(secret),
            created_at_ms=now_ms,
            scope=Scope.APPLICATION_READ_ONLY if data.read_only else Scope.APPLICATION,
            app_id=application.id,
            expires_at_ms=now_ms + (data.expiry or PORTAL_S) * 1000,
            portal=True,
            session_id=data.session_id,
        )
        changes = [PutApplication(application=application)] if made else []
        await services.change(
            caller, "portal.create", application.id, *changes, PutToken(token=token), app_id=application.id
        )
    return AppPortalAccessOut(url=f"{services.public_url}/app-portal#key={secret}", token=secret)


async def _application(
    services: Services, caller: Caller, key: str, data: AppPortalAccessIn
) -> tuple[Application, bool]:
    snapshot = await services.snapshot()
    if find(snapshot.applications, key) is not None or data.application is None or caller.app_id is not None:
        return application_of(snapshot, caller, key), False
    if is_id(key, "app"):
        raise not_found("application")
    check_new_uid(key, "path.app_id")
    wanted = data.application
    if wanted.uid not in {None, key}:
        raise Invalid("body.application.uid", "It is not the uid of the path.", "Leave it out.")
    made = make_application(
        ids=services.ids, now_ms=services.clock.now_ms(), name=wanted.name, uid=key, metadata=wanted.metadata or {}
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
@again_if_moved
async def expire_all(
    *,
    app_id: AppKey,
    data: ApplicationTokenExpireIn,
    services: Services,
    caller: Caller,
) -> None:
    """Ends the links to the dashboard of an application."""
    until_ms = services.clock.now_ms() + (data.expiry or 0) * 1000
    async with services.changing:
        application = application_of(await services.snapshot(), caller, app_id)
        ending = [
            PutToken(token=msgspec.structs.replace(token, expires_at_ms=until_ms))
            for token in await services.store.tokens()
            if token.portal
            and token.app_id == application.id
            and (not data.session_ids or token.session_id in data.session_ids)
            and (token.expires_at_ms is None or token.expires_at_ms > until_ms)
        ]
        if ending:
            detail = f"{len(ending)} links"
            await services.change(
                caller, "portal.expire", application.id, *ending, app_id=application.id, detail=detail
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
    await end_link(services, caller, caller.token)


@post(
    "/api/v1/auth/app/{app_id}/create-message-token",
    id="v1.authentication.create-message-token",
    tags=TAGS,
    summary="Create Message Token",
    status=200,
    needs=Needs.BACKEND,
)
@again_if_moved
async def create_message_token(
    *, app_id: AppKey, data: MessageTokenIn, services: Services, caller: Caller
) -> MessageTokenOut:
    """Makes a token that may make messages in this application, and nothing else."""
    async with services.changing:
        application = application_of(await services.snapshot(), caller, app_id)
        now_ms = services.clock.now_ms()
        token, secret = make_token(
            await services.store.tokens(),
            ids=services.ids,
            now_ms=now_ms,
            name=data.name,
            scope=Scope.APPLICATION_MESSAGES,
            app_id=application.id,
            expires_at_ms=None if data.expiry is None else now_ms + data.expiry * 1000,
        )
        await services.change(
            caller, "token.create", token.id, PutToken(token=token), app_id=application.id, detail=token.name
        )
    return MessageTokenOut(
        id=token.id,
        token=secret,
        name=token.name,
        created_at=moment(now_ms),
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
@again_if_moved
async def create_token(*, data: TokenIn, services: Services, caller: Caller) -> NewTokenOut:
    """Makes a token of the API."""
    limited = data.scope not in {Scope.ADMIN, Scope.READ_ONLY}
    if limited is (data.app_id is None):
        raise Invalid("body.appId", "It goes with the scopes of one application.", "Name one, or another scope.")
    async with services.changing:
        snapshot = await services.snapshot()
        app_id = None if data.app_id is None else application_of(snapshot, caller, data.app_id).id
        token, secret = make_token(
            await services.store.tokens(),
            ids=services.ids,
            now_ms=services.clock.now_ms(),
            name=data.name,
            scope=data.scope,
            app_id=app_id,
            expires_at_ms=None if data.expires_at is None else unix_ms(data.expires_at),
        )
        await services.change(
            caller, "token.create", token.id, PutToken(token=token), app_id=app_id, detail=token.name
        )
    return NewTokenOut(id=token.id, token=secret)


@delete(
    f"{TOKENS}/{{token_id}}",
    id="nicobar.token.revoke",
    tags=TAGS,
    summary="Revoke Token",
    status=200,
    responses=DELETED,
)
@again_if_moved
async def revoke_token(
    *,
    token_id: Annotated[str, Meta(description="The token's id.", max_length=MAX_KEY_CHARS)],
    services: Services,
    caller: Caller,
    dry_run: DryRun = False,
) -> Response[DryRunOut | None]:
    """Revokes a token permanently."""
    async with services.changing:
        if dry_run:
            if all(token.id != token_id for token in await services.store.tokens()):
                raise not_found("token")
            return would()
        if not await end_token(services, caller, token_id):
            raise not_found("token")
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
