"""The tokens of the API, some of which are links to the dashboard: what they are good for, and their end."""

from __future__ import annotations

import hmac

import msgspec

from nicobar.admin.services import Actor, Services
from nicobar.crypto import hash_token
from nicobar.model import Token
from nicobar.store import Access, PutToken

TOUCH_MS = 60_000


async def live_token(access: Access, secret: str, now_ms: int) -> Token | None:
    """The token that this secret is, where it is not expired or revoked. Says that it was used."""
    sha256 = hash_token(secret)
    # The look-up is by the hash: its time says nothing about a token.
    token = await access.token(sha256)
    if token is None or not hmac.compare_digest(token.sha256, sha256):
        return None
    if token.revoked_at_ms is not None or (token.expires_at_ms is not None and token.expires_at_ms <= now_ms):
        return None
    if token.last_used_at_ms is None or now_ms - token.last_used_at_ms >= TOUCH_MS:
        await access.touch_token(token.id, at_ms=now_ms)
    return token


async def end_link(services: Services, actor: Actor, link: Token) -> None:
    """Ends a link to the dashboard, in all browsers."""
    ended = msgspec.structs.replace(link, revoked_at_ms=services.clock.now_ms())
    await services.change(actor, "portal.logout", ended.id, PutToken(token=ended), app_id=ended.app_id)
