"""Limits wrong passwords per address, over all processes."""

from __future__ import annotations

import hashlib

from nicobar.errors import Refusal
from nicobar.model import Record
from nicobar.store import Access

MAX_WRONG = 5
PERIOD_MS = 60_000


class LoginAttempt(Record):
    """A password that is about to be compared. It counts as wrong until it is forgiven. `slots` are those that were
    used for this user name from this address.
    """

    owner: str
    slots: tuple[str, ...]


async def count_attempt(access: Access, address: str, user_name: str, now_ms: int) -> LoginAttempt:
    """Counts an attempt before its password is compared: MAX_WRONG in PERIOD_MS for an address, whatever the user
    name. Raises Refusal 429.

    Each attempt uses one of MAX_WRONG slots, which are kept like the answers to idempotent requests.
    """
    owner = f"login/{hashlib.sha256(address.encode('utf-8', 'surrogatepass')).hexdigest()}"
    name_hash = hashlib.sha256(user_name.encode("utf-8", "surrogatepass")).hexdigest()
    own: list[str] = []
    oldest_ms = now_ms
    for slot in map(str, range(MAX_WRONG)):
        taken = await access.begin_answer(
            owner, slot, f"{now_ms}/{name_hash}", now_ms=now_ms, before_ms=now_ms - PERIOD_MS + 1
        )
        if taken is None:
            return LoginAttempt(owner=owner, slots=(*own, slot))
        at_ms, _, of_name = taken.request.partition("/")
        oldest_ms = min(oldest_ms, int(at_ms))
        if of_name == name_hash:
            own.append(slot)
    wait_s = max(1, (oldest_ms + PERIOD_MS - now_ms + 999) // 1000)
    raise Refusal(
        429,
        "too_many_logins",
        "Too many wrong passwords: %(max_wrong)s within a minute.",
        "Try again in %(wait_s)s s.",
        retry_after_s=wait_s,
        max_wrong=MAX_WRONG,
        wait_s=wait_s,
    )


async def forgive(access: Access, attempt: LoginAttempt) -> None:
    """Clears the wrong passwords of that user name only. Otherwise a user could sign in with their own password to
    keep guessing another one.
    """
    for slot in attempt.slots:
        await access.drop_answer(attempt.owner, slot)
