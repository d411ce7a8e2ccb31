"""Limits wrong passwords over all processes: per address and per user, or per browser that signed in before."""

from __future__ import annotations

import hashlib

from nicobar.errors import Refusal
from nicobar.model import Record
from nicobar.reasons import Reason, reason
from nicobar.store import Access
from nicobar.store.access import KeptAnswer

MINUTE_MS = 60_000
_CODE = "too_many_logins"


class Allowance(Record):
    """At most `max_wrong` wrong passwords in `period_ms`. `why` has the texts of a refusal."""

    kind: str
    max_wrong: int
    period_ms: int
    why: Reason


PER_ADDRESS = Allowance(
    kind="login",
    max_wrong=5,
    period_ms=MINUTE_MS,
    why=reason(
        _CODE,
        "Too many failed sign-ins from this address: %(max_wrong)s within %(minutes)s min.",
        "Try again in %(wait_s)s s.",
    ),
)
# From all addresses together. An attacker can use this up, so a browser in which the user has signed
# in has an allowance of its own.
PER_USER = Allowance(
    kind="login-user",
    max_wrong=20,
    period_ms=15 * MINUTE_MS,
    why=reason(
        _CODE,
        "Too many wrong passwords for this user: %(max_wrong)s within %(minutes)s min.",
        "Try again in %(wait_s)s s, or sign in with a browser in which you have signed in before.",
    ),
)
PER_BROWSER = Allowance(
    kind="login-browser",
    max_wrong=5,
    period_ms=MINUTE_MS,
    why=reason(
        _CODE,
        "Too many wrong passwords in this browser: %(max_wrong)s within %(minutes)s min.",
        "Try again in %(wait_s)s s.",
    ),
)


class LoginAttempt(Record):
    """A password that is about to be compared. It counts as wrong until it is forgiven. `slots` are those that a
    right password releases, with their owners, `used` those of this attempt alone.
    """

    slots: tuple[tuple[str, str], ...]
    used: tuple[tuple[str, str], ...]


async def count_at_provider(access: Access, *, address: str, now_ms: int) -> LoginAttempt:
    """Counts a sign-in with a provider, for which the browsers of an address cause requests. Raises Refusal 429."""
    slots = await _take(access, PER_ADDRESS, _hash(address), _hash(""), now_ms)
    return LoginAttempt(slots=slots, used=slots[-1:])


async def count_attempt(
    access: Access, *, address: str, user_name: str, now_ms: int, browser_id: str | None = None
) -> LoginAttempt:
    """Counts an attempt before its password is compared, so that parallel attempts do not get around the limit.
    `browser_id` is that of a browser in which this user has signed in before. Raises Refusal 429.
    """
    name_hash = _hash(user_name)
    if browser_id is not None:
        slots = await _take(access, PER_BROWSER, browser_id, name_hash, now_ms)
        return LoginAttempt(slots=slots, used=slots[-1:])
    slots = await _take(access, PER_ADDRESS, _hash(address), name_hash, now_ms)
    # Only the attempt itself is forgiven: who signs in often must not make room for a user who guesses.
    (*_, used) = await _take(access, PER_USER, name_hash, name_hash, now_ms)
    return LoginAttempt(slots=(*slots, used), used=(slots[-1], used))


async def forgive(access: Access, attempt: LoginAttempt) -> None:
    """Clears the wrong passwords of that user name only. Otherwise a user could sign in with their own password to
    keep guessing another one.
    """
    await _drop(access, attempt.slots)


async def withdraw(access: Access, attempt: LoginAttempt) -> None:
    """Clears this attempt, whose password was not compared, and none of the wrong passwords before it."""
    await _drop(access, attempt.used)


async def _drop(access: Access, slots: tuple[tuple[str, str], ...]) -> None:
    for owner, slot in slots:
        await access.drop_answer(owner, slot)


async def _take(
    access: Access, allowance: Allowance, subject: str, name_hash: str, now_ms: int
) -> tuple[tuple[str, str], ...]:
    """Uses one of the subject's slots, which are kept like the answers to idempotent requests. Returns those that
    were used for this user name, this one last. Raises Refusal 429.
    """
    owner = f"{allowance.kind}/{subject}"
    own: list[tuple[str, str]] = []
    oldest_ms = now_ms
    used, before_ms = f"{now_ms}/{name_hash}", now_ms - allowance.period_ms + 1
    for slot in map(str, range(allowance.max_wrong)):
        taken = await access.begin_answer(owner, slot, used, now_ms=now_ms, before_ms=before_ms)
        if taken is not None and _used_at_ms(taken) > now_ms + allowance.period_ms:
            # The clock was ahead then: the limit must not last until it is that late.
            await access.drop_answer(owner, slot)
            taken = await access.begin_answer(owner, slot, used, now_ms=now_ms, before_ms=before_ms)
        if taken is None:
            return (*own, (owner, slot))
        oldest_ms = min(oldest_ms, _used_at_ms(taken))
        if taken.request.partition("/")[2] == name_hash:
            own.append((owner, slot))
    wait_s = max(1, (oldest_ms + allowance.period_ms - now_ms + 999) // 1000)
    raise Refusal(
        429,
        _CODE,
        allowance.why.template,
        allowance.why.fix_template,
        retry_after_s=wait_s,
        max_wrong=allowance.max_wrong,
        minutes=allowance.period_ms // MINUTE_MS,
        wait_s=wait_s,
    )


def _used_at_ms(taken: KeptAnswer) -> int:
    return int(taken.request.partition("/")[0])


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
