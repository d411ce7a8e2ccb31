"""Who signs in to the dashboard: links that set a password, once, and what a password has to be."""

from __future__ import annotations

from nicobar.crypto import hash_password, hash_token, new_url_token
from nicobar.errors import UserError
from nicobar.ids import IdFactory
from nicobar.model import PasswordLink, User, UserRole
from nicobar.store import Catalogue, PutLink

OWNER = "owner"  # the name of the first one
LINK_MS = 24 * 3_600_000
MIN_PASSWORD_CHARS = 10
MAX_PASSWORD_CHARS = 1_000
MAX_NAME_CHARS = 64
SETUP_PATH = "/setup/"


def new_link(name: str, role: UserRole, now_ms: int) -> tuple[PasswordLink, str]:
    """A link that sets somebody's password within a day, and its path, of which only the hash is kept."""
    token = new_url_token()
    link = PasswordLink(
        name=name, sha256=hash_token(token), role=role, created_at_ms=now_ms, expires_at_ms=now_ms + LINK_MS
    )
    return link, SETUP_PATH + token


async def offer_link(catalogue: Catalogue, now_ms: int) -> str:
    """The path of a link that sets the owner's password; the one before it ends."""
    link, path = new_link(OWNER, UserRole.OWNER, now_ms)
    await catalogue.change([PutLink(link=link)])
    return path


def check_name(name: str) -> None:
    """Raises UserError for what is no name to sign in with."""
    if not 1 < len(name) <= MAX_NAME_CHARS or not name.isprintable() or name != name.strip():
        raise UserError("user_name_invalid", f"A user name has 2 to {MAX_NAME_CHARS} characters.")


def check_password(password: str, again: str) -> None:
    """Raises UserError for one that will not do."""
    if len(password) < MIN_PASSWORD_CHARS:
        raise UserError("password_short", f"The password has fewer than {MIN_PASSWORD_CHARS} characters.")
    if len(password) > MAX_PASSWORD_CHARS:
        raise UserError("password_long", f"The password has more than {MAX_PASSWORD_CHARS} characters.")
    if password != again:
        raise UserError("password_differs", "The two passwords differ.")


def make_user(ids: IdFactory, link: PasswordLink, password: str, now_ms: int) -> User:
    """The user that a link is for, with this password. Takes some 50 ms."""
    return User(
        id=ids.new("usr"),
        name=link.name,
        role=link.role,
        password_hash=hash_password(password),
        created_at_ms=now_ms,
    )
