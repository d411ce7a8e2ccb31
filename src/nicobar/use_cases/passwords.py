"""The passwords of users: which are allowed, and their slow hash, few at a time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

from nicobar.crypto import hash_password, is_password
from nicobar.errors import Refusal, UserError

MIN_PASSWORD_CHARS = 10
MAX_PASSWORD_CHARS = 1_000
# zxcvbn's scale is from 0 to 4; below 2 it takes under a million guesses.
MIN_SCORE = 2
# Who guesses tries these first, with something appended: what is beside them must be long enough. Words of a username
# that are shorter stand in many passwords.
_PRODUCT = "nicobar"
MIN_KNOWN_CHARS = 4
MIN_OWN_CHARS = 8
# As much as zxcvbn judges; its time grows with the length.
MAX_JUDGED_CHARS = 72
# Each hash takes 64 MiB and some 50 ms of a core: so many at a time, and so many that wait for them.
MAX_HASHES = 2
MAX_WAITING_HASHES = 20
BUSY_RETRY_AFTER_S = 1

T = TypeVar("T")


def check_password(password: str, again: str, user_name: str) -> None:
    """Raises UserError for a password that is not allowed. Takes some 10 ms, the first time 200."""
    if len(password) < MIN_PASSWORD_CHARS:
        raise UserError(
            "password_short",
            "The password is too short: use at least %(min_password_chars)s characters.",
            min_password_chars=MIN_PASSWORD_CHARS,
        )
    if len(password) > MAX_PASSWORD_CHARS:
        raise UserError(
            "password_long",
            "The password is too long: use at most %(max_password_chars)s characters.",
            max_password_chars=MAX_PASSWORD_CHARS,
        )
    if password != again:
        raise UserError("password_differs", "The two passwords do not match.")
    # Its lists take 14 MB and 200 ms, in the few processes that need them.
    from zxcvbn import zxcvbn  # noqa: PLC0415

    score = zxcvbn(password[:MAX_JUDGED_CHARS], user_inputs=[user_name, _PRODUCT])["score"]
    if score < MIN_SCORE or _is_variant(password, user_name):
        raise UserError(
            "password_common",
            "The password is easy to guess: it is common, a pattern, or contains the username.",
            "Use several unrelated words, or a password manager.",
        )


def _is_variant(password: str, user_name: str) -> bool:
    """Whether it is little more than the username, which may be an email, or the name of the product."""
    words = {_PRODUCT, *re.split(r"[\W_]+", user_name.casefold())}
    rest = password.casefold()
    for word in sorted(words, key=len, reverse=True):
        if len(word) >= MIN_KNOWN_CHARS:
            rest = rest.replace(word, "")
    return rest != password.casefold() and len(rest) < MIN_OWN_CHARS


class PasswordWork:
    """Hashes and compares passwords without using up memory and threads. Raises Refusal 503 when too many wait."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(MAX_HASHES)
        self._waiting_count = 0

    async def matches(self, password: str, kept: str) -> bool:
        return await self.run(lambda: is_password(password, kept))

    async def hashed(self, password: str) -> str:
        return await self.run(lambda: hash_password(password))

    async def run(self, work: Callable[[], T]) -> T:
        """Runs what hashes once, in a thread."""
        if self._waiting_count >= MAX_WAITING_HASHES:
            raise Refusal(
                503,
                "too_busy",
                "Too many users are signing in at the same time.",
                "Retry after %(wait_s)s s.",
                retry_after_s=BUSY_RETRY_AFTER_S,
                wait_s=BUSY_RETRY_AFTER_S,
            )
        self._waiting_count += 1
        try:
            async with self._free:
                return await asyncio.to_thread(work)
        finally:
            self._waiting_count -= 1
