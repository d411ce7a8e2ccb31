"""API tokens, including dashboard links: created, looked up, revoked."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable

import msgspec

from nicobar.audit import AuditAction
from nicobar.crypto import hash_token, new_token
from nicobar.errors import ConfigurationError, Refusal, UserError
from nicobar.model import Record, Scope, Token
from nicobar.store import Access, Change, PutToken
from nicobar.use_cases.edit import Actor, Edit, OperationServices, edited
from nicobar.use_cases.token_uses import TokenUses

MAX_TOKEN_NAME_CHARS = 256
# The scopes that are for all applications.
WIDE_SCOPES = (Scope.ADMIN, Scope.READ_ONLY)


class TokenSpec(Record):
    """`app_id` is set for the scopes of one application. Without `expires_at_ms` it never expires."""

    name: str
    scope: Scope
    app_id: str | None = None
    expires_at_ms: int | None = None


def active(tokens: Iterable[Token]) -> list[Token]:
    """Those that can be revoked: no links to the dashboard, and none that was revoked."""
    return [token for token in tokens if token.revoked_at_ms is None and not token.portal]


async def create_token(services: OperationServices, actor: Actor, spec: TokenSpec) -> tuple[Token, str]:
    """Creates a token. Returns its secret too, which is stored nowhere. Raises UserError, ConfigurationError
    `conflict` for a name that an active token of the application, or of all applications, has, and Refusal 404 for an
    application that does not exist.
    """
    if not 0 < len(spec.name) <= MAX_TOKEN_NAME_CHARS:
        raise UserError(
            "name_invalid",
            "Invalid name: must have 1 to %(max_token_name_chars)s characters.",
            "Choose another name.",
            max_token_name_chars=MAX_TOKEN_NAME_CHARS,
        )
    if (spec.app_id is None) is not (spec.scope in WIDE_SCOPES):
        raise UserError(
            "scope_invalid",
            "Scope %(scope)s does not match the application.",
            "Choose an application for the scopes of one application, and none for the other scopes.",
            scope=spec.scope.value,
        )
    secret = new_token()

    async def change(edit: Edit) -> Token:
        now_ms = services.clock.now_ms()
        if spec.expires_at_ms is not None and spec.expires_at_ms <= now_ms:
            raise UserError("time_invalid", "The expiry is in the past.", "Choose a time in the future.")
        if spec.app_id is not None and all(entry.id != spec.app_id for entry in edit.snapshot.applications):
            raise Refusal(404, "not_found", "Application %(id)s not found.", "Check its id.", id=spec.app_id)
        tokens = active(await services.store.tokens())
        if any((token.app_id, token.name) == (spec.app_id, spec.name) for token in tokens):
            raise ConfigurationError(
                "conflict",
                "A token named %(name)s already exists.",
                "Choose another name, or revoke that token.",
                name=repr(spec.name),
            )
        token = Token(
            id=services.ids.new("tok"),
            name=spec.name,
            sha256=hash_token(secret),
            created_at_ms=now_ms,
            scope=spec.scope,
            app_id=spec.app_id,
            expires_at_ms=spec.expires_at_ms,
        )
        action = AuditAction.TOKEN_CREATE
        await edit.commit(action, token.id, PutToken(token=token), app_id=token.app_id, detail=token.name)
        return token

    return await edited(services, actor, change), secret


async def revoke_token(services: OperationServices, actor: Actor, token_id: str) -> Token:
    """Revokes a token permanently; a revoked one does not change. Raises Refusal 404."""

    async def change(edit: Edit) -> Token:
        token = await find_token(services.store, token_id)
        if token.revoked_at_ms is not None:
            return token
        revoked = msgspec.structs.replace(token, revoked_at_ms=services.clock.now_ms())
        action = AuditAction.TOKEN_REVOKE
        await edit.commit(action, token.id, PutToken(token=revoked), app_id=token.app_id, detail=token.name)
        return revoked

    return await edited(services, actor, change)


async def find_token(access: Access, token_id: str) -> Token:
    """Raises Refusal 404."""
    for token in await access.tokens():
        if token.id == token_id:
            return token
    raise Refusal(404, "not_found", "Token %(id)s not found.", "Check its id.", id=token_id)


async def live_token(access: Access, uses: TokenUses, secret: str, now_ms: int) -> Token | None:
    """The token with this secret, where it is not expired or revoked. Notes that it was used."""
    sha256 = hash_token(secret)
    # The lookup is by hash, so its time reveals nothing about a token.
    token = await access.token(sha256)
    if token is None or not hmac.compare_digest(token.sha256, sha256):
        return None
    if token.revoked_at_ms is not None or (token.expires_at_ms is not None and token.expires_at_ms <= now_ms):
        return None
    uses.note(access, token, now_ms)
    return token


def new_portal_link(
    services: OperationServices, app_id: str, *, expires_at_ms: int, read_only: bool, session_id: str | None
) -> tuple[Token, str]:
    """A link to the dashboard of one application, and its secret."""
    secret = new_token()
    link = Token(
        id=services.ids.new("tok"),
        name="dashboard",
        sha256=hash_token(secret),
        created_at_ms=services.clock.now_ms(),
        scope=Scope.APPLICATION_READ_ONLY if read_only else Scope.APPLICATION,
        app_id=app_id,
        expires_at_ms=expires_at_ms,
        portal=True,
        session_id=session_id,
    )
    return link, secret


async def expire_portal_links(
    services: OperationServices, actor: Actor, app_id: str, *, until_ms: int, session_ids: Collection[str] = ()
) -> None:
    """Lets the links to an application's dashboard, or those of these sessions, expire at that time."""

    async def change(edit: Edit) -> None:
        expiring: list[Change] = [
            PutToken(token=msgspec.structs.replace(token, expires_at_ms=until_ms))
            for token in await services.store.tokens()
            if token.portal
            and token.app_id == app_id
            and (not session_ids or token.session_id in session_ids)
            and (token.expires_at_ms is None or token.expires_at_ms > until_ms)
        ]
        if expiring:
            detail = f"{len(expiring)} links"
            await edit.commit(AuditAction.PORTAL_EXPIRE, app_id, *expiring, app_id=app_id, detail=detail)

    await edited(services, actor, change)


async def end_portal_link(services: OperationServices, actor: Actor, link: Token) -> None:
    """Ends a link to the dashboard, in all browsers."""

    async def change(edit: Edit) -> None:
        ended = PutToken(token=msgspec.structs.replace(link, revoked_at_ms=services.clock.now_ms()))
        await edit.commit(AuditAction.PORTAL_LOGOUT, link.id, ended, app_id=link.app_id)

    await edited(services, actor, change)
