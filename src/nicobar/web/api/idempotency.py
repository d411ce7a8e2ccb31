"""Requests with an `idempotency-key`: the same key and the same request give the answer that was given, for 12 h."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from nicobar.clock import Clock
from nicobar.crypto import Vault
from nicobar.errors import Refusal, StoreUnusable
from nicobar.store import Access
from nicobar.web.api.auth import caller_in
from nicobar.web.asgi import App, Message, Receive, Send, headers_of, send_body
from nicobar.web.middleware.body import body_of

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


class Idempotency:
    """Repeats the answer to a POST whose key was given before, without asking the application again."""

    def __init__(self, app: App, access: Access, vault: Vault, clock: Clock) -> None:
        self._app = app
        self._access = access
        self._vault = vault
        self._clock = clock

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        key = _key_in(scope) if scope["type"] == "http" else None
        if key is None:
            await self._app(scope, receive, send)
            return
        given = await begin(self._access, self._vault, key, self._clock.now_ms())
        if given is not None:
            await _send_again(send, given)
            return
        answer = _Answer()
        try:
            await self._app(scope, receive, answer.take)
        finally:
            # Before it goes out: a caller that has the answer can rely on it being kept.
            await finish(self._access, self._vault, key, answer.status, answer.body)
        await answer.send(send)


def _key_in(scope: Message) -> Key | None:
    """Raises Refusal for a key that is too long."""
    key = headers_of(scope).get("idempotency-key", "")
    caller = caller_in(scope)
    if scope["method"] != "POST" or not key or caller is None:
        return None
    return key_of(
        caller.token.id,
        key,
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"],
        body=body_of(scope),
    )


class _Answer:
    """An answer on its way out, held until it is kept."""

    def __init__(self) -> None:
        self.status = 500
        self.body = b""
        self._start: Message = {}

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    async def send(self, send: Send) -> None:
        await send(self._start)
        await send({"type": "http.response.body", "body": self.body})


async def _send_again(send: Send, given: GivenAnswer) -> None:
    headers = [(b"idempotency-replayed", b"true")]
    if given.body:
        headers.append((b"content-type", b"application/json"))
    if given.status == 204:  # noqa: PLR2004 - the status without a body
        await send({"type": "http.response.start", "status": given.status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
    else:
        await send_body(send, given.status, given.body, headers)
