"""The owner of the dashboard: the link that sets the password, once."""

from __future__ import annotations

from nicobar.crypto import hash_password, hash_token, new_url_token
from nicobar.errors import UserError
from nicobar.ids import IdFactory
from nicobar.store import People, User, UserRole

OWNER = "owner"
LINK_MS = 24 * 3_600_000
MIN_PASSWORD_CHARS = 10
MAX_PASSWORD_CHARS = 1_000
SETUP_PATH = "/setup/"


async def offer_link(people: People, now_ms: int) -> str:
    """The path of a link that sets the owner's password within a day; the one before it ends. Only its hash is
    kept.
    """
    token = new_url_token()
    await people.offer_setup(hash_token(token), expires_at_ms=now_ms + LINK_MS)
    return SETUP_PATH + token


def check_password(password: str, again: str) -> None:
    """Raises UserError for one that will not do."""
    if len(password) < MIN_PASSWORD_CHARS:
        raise UserError("password_short", f"The password has fewer than {MIN_PASSWORD_CHARS} characters.")
    if len(password) > MAX_PASSWORD_CHARS:
        raise UserError("password_long", f"The password has more than {MAX_PASSWORD_CHARS} characters.")
    if password != again:
        raise UserError("password_differs", "The two passwords differ.")


def make_owner(ids: IdFactory, password: str, now_ms: int) -> User:
    """The owner with this password. Takes some 50 ms."""
    return User(
        id=ids.new("usr"),
        name=OWNER,
        role=UserRole.OWNER,
        password_hash=hash_password(password),
        created_at_ms=now_ms,
    )
