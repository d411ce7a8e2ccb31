"""Signing in by password, and the browsers that a user has signed in with before.

Such a browser has a cookie that only this installation can make. Its wrong passwords count for themselves, so that
an attacker cannot keep a user out:
https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets

import msgspec

from nicobar.crypto import Vault
from nicobar.errors import Refusal, StoreUnusable
from nicobar.model import Record, User
from nicobar.use_cases.login_limit import count_attempt, forgive, withdraw
from nicobar.use_cases.services import Services

BROWSER_MS = 365 * 24 * 3_600_000
MAX_COOKIE_CHARS = 1_000
# Compared with the password if there is no such user, so that the response time reveals nothing.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$bm9ib2R5bm9ib2R5bm9ib2R5$OVTDK5GKR2SRlEzOuN1hLHnXOpHkXvVnzcUzgBNxLX0"


class _Browser(Record):
    """What a browser's cookie holds, sealed. A new password makes it void."""

    id: str
    password: str
    expires_at_ms: int


async def user_with_password(
    services: Services, name: str, password: str, *, address: str, browser: str
) -> User | None:
    """The user, if the password is right. `browser` is the cookie of `new_browser`, if any. Raises Refusal 429 after
    too many wrong passwords, 503 while too many others are compared.
    """
    store, now_ms = services.store, services.clock.now_ms()
    user = await store.user(name)
    browser_id = None if user is None else known_browser_id(services.vault, user, browser, now_ms)
    attempt = await count_attempt(store, address=address, user_name=name, now_ms=now_ms, browser_id=browser_id)
    try:
        right = await services.passwords.matches(password, (user.password_hash if user else "") or _NOBODY)
    except Refusal:
        await withdraw(store, attempt)
        raise
    if user is None or not user.password_hash or not right:
        return None
    await forgive(store, attempt)
    return user


def new_browser(vault: Vault, user: User, now_ms: int) -> str:
    """The cookie of a browser in which the user has signed in."""
    browser = _Browser(
        id=secrets.token_urlsafe(16), password=_mark(user.password_hash), expires_at_ms=now_ms + BROWSER_MS
    )
    return base64.urlsafe_b64encode(vault.seal(msgspec.json.encode(browser), _purpose(user))).decode()


def known_browser_id(vault: Vault, user: User, cookie: str, now_ms: int) -> str | None:
    """The id of a browser in which this user has signed in; None for any other cookie."""
    if not cookie or len(cookie) > MAX_COOKIE_CHARS:
        return None
    try:
        sealed = base64.urlsafe_b64decode(cookie)
        browser = msgspec.json.decode(vault.unseal(sealed, _purpose(user)), type=_Browser)
    except (binascii.Error, ValueError, StoreUnusable):
        return None
    is_valid = browser.password == _mark(user.password_hash) and now_ms < browser.expires_at_ms
    return browser.id if is_valid else None


def _purpose(user: User) -> str:
    return f"browser/{user.id}"


def _mark(password_hash: str) -> str:
    return hashlib.sha256(password_hash.encode()).hexdigest()[:16]
