"""Requests with an `idempotency-key`: the same key and the same request give the answer that was given, for 12 h."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from nicobar.crypto import Vault
from nicobar.errors import Refusal, StoreUnusable
from nicobar.store import Access

KEEP_MS = 12 * 3_600_000
MAX_KEY_CHARS = 256
MAX_KEPT_BYTES = 1024 * 1024


class Key(NamedTuple):
    """Where an answer is kept: whose, under which key, and the hash of what was asked."""

    token_id: str
    key: str
    request: str


class GivenAnswer(NamedTuple):
    """An answer that was given before."""

    status: int
    body: bytes


def key_of(token_id: str, key: str, *, method: str, path: str, query: bytes, body: bytes) -> Key:
    """Raises Refusal for a key that is too long."""
    if len(key) > MAX_KEY_CHARS:
        raise Refusal(
            400,
            "idempotency_key_invalid",
            f"The idempotency-key has more than {MAX_KEY_CHARS} characters.",
            "Cut it.",
        )
    digest = hashlib.sha256()
    for part in (method.encode(), path.encode("utf-8", "surrogatepass"), query, body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return Key(token_id, key, digest.hexdigest())


def _purpose(key: Key) -> str:
    return f"answer/{key.token_id}/{key.request}"


async def begin(access: Access, vault: Vault, key: Key, now_ms: int) -> GivenAnswer | None:
    """The answer that was given to this request, None for a first one. Raises Refusal 409 for another request under
    the same key, and while the first one is not finished.
    """
    kept = await access.begin_answer(key.token_id, key.key, key.request, now_ms=now_ms, before_ms=now_ms - KEEP_MS)
    if kept is None:
        return None
    if kept.request != key.request:
        raise Refusal(
            409,
            "idempotency_key_reused",
            "This idempotency-key was sent with another request.",
            "Send each request under a key of its own.",
        )
    try:
        body = vault.unseal(kept.body, _purpose(key)) if kept.status else b""
    except StoreUnusable:  # sealed with a key that is lost
        kept = msgspec.structs.replace(kept, status=0)
    if not kept.status:
        raise Refusal(
            409,
            "idempotency_unfinished",
            "The first request with this idempotency-key has no answer yet.",
            "Look whether it had its effect, then send it under a new key.",
        )
    return GivenAnswer(kept.status, body)


async def finish(access: Access, vault: Vault, key: Key, status: int, body: bytes) -> None:
    """Keeps the answer to a request that was done, sealed, as it may show a token. One that was refused had no effect
    and may be made again.
    """
    if status in range(200, 300) and len(body) <= MAX_KEPT_BYTES:
        sealed = vault.seal(body, _purpose(key))
        await access.keep_answer(key.token_id, key.key, status=status, body=sealed)
    else:
        await access.drop_answer(key.token_id, key.key)
