"""The tokens of the API, some of which are links to the dashboard: how they are made, what they are good
for, and their end.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

import msgspec

from nicobar.crypto import hash_token, new_token
from nicobar.errors import ConfigurationError
from nicobar.ids import IdFactory
from nicobar.model import Scope, Token
from nicobar.store import Access, PutToken
from nicobar.use_cases.edit import Actor
from nicobar.use_cases.services import Services
from nicobar.use_cases.token_uses import TokenUses


def usable(tokens: Iterable[Token]) -> list[Token]:
    """Those that people have and can end: no links to the dashboard, and none that was revoked."""
    return [token for token in tokens if token.revoked_at_ms is None and not token.portal]


def make_token(
    tokens: Iterable[Token],
    *,
    ids: IdFactory,
    now_ms: int,
    name: str,
    scope: Scope,
    app_id: str | None,
    expires_at_ms: int | None,
) -> tuple[Token, str]:
    """A token beside these, and what is shown of it once. Raises ConfigurationError for a name that is taken in the
    application, or among those of all applications.
    """
    if any((item.app_id, item.name) == (app_id, name) for item in usable(tokens)):
        raise ConfigurationError(
            "conflict", f"There is a token {name!r} already.", "Choose another name, or revoke that one."
        )
    secret = new_token()
    made = Token(
        id=ids.new("tok"),
        name=name,
        sha256=hash_token(secret),
        created_at_ms=now_ms,
        scope=scope,
        app_id=app_id,
        expires_at_ms=expires_at_ms,
    )
    return made, secret


async def live_token(access: Access, uses: TokenUses, secret: str, now_ms: int) -> Token | None:
    """The token that this secret is, where it is not expired or revoked. Notes that it was used."""
    sha256 = hash_token(secret)
    # The look-up is by the hash: its time says nothing about a token.
    token = await access.token(sha256)
    if token is None or not hmac.compare_digest(token.sha256, sha256):
        return None
    if token.revoked_at_ms is not None or (token.expires_at_ms is not None and token.expires_at_ms <= now_ms):
        return None
    uses.note(access, token, now_ms)
    return token


async def end_token(services: Services, actor: Actor, token_id: str) -> bool:
    """Ends a token for good; False where there is none. Whoever calls it holds `changing` and is
    `again_if_moved`.
    """
    await services.snapshot()  # what is decided here is decided on this version
    known = next((token for token in await services.store.tokens() if token.id == token_id), None)
    if known is None:
        return False
    if known.revoked_at_ms is None:
        revoked = msgspec.structs.replace(known, revoked_at_ms=services.clock.now_ms())
        change = PutToken(token=revoked)
        await services.change(actor, "token.revoke", known.id, change, app_id=known.app_id, detail=known.name)
    return True


async def end_link(services: Services, actor: Actor, link: Token) -> None:
    """Ends a link to the dashboard, in all browsers."""
    ended = msgspec.structs.replace(link, revoked_at_ms=services.clock.now_ms())
    await services.change(actor, "portal.logout", ended.id, PutToken(token=ended), app_id=ended.app_id)
