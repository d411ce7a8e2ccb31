"""Makes tokens of the API, at the command line and over the API."""

from __future__ import annotations

from collections.abc import Iterable

from nicobar.crypto import hash_token, new_token
from nicobar.errors import ConfigurationError
from nicobar.ids import IdFactory
from nicobar.model import Scope, Token


def usable(tokens: Iterable[Token]) -> list[Token]:
    """Those that people have and can end: no links to the dashboard, and none that was revoked."""
    return [one for one in tokens if one.revoked_at_ms is None and not one.portal]


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
    if any((one.app_id, one.name) == (app_id, name) for one in usable(tokens)):
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
