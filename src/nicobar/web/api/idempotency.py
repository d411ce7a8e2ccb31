"""Requests with an `idempotency-key`: repeating a request returns the stored response, for 12 hours."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from nicobar.clock import Clock
from nicobar.crypto import Vault
from nicobar.errors import Refusal, StoreUnusable
from nicobar.store import Access
from nicobar.use_cases.sealed_answers import answer_purpose
from nicobar.web.api.auth import caller_in
from nicobar.web.asgi import App, Message, Receive, Send, headers_of, send_body
from nicobar.web.middleware.body import body_of

KEEP_MS = 12 * 3_600_000
MAX_KEY_CHARS = 256
MAX_KEPT_BYTES = 1024 * 1024


class Key(NamedTuple):
    """Where a response is stored: the token, the idempotency key, and the hash of the request."""

    token_id: str
    key: str
    request: str


class GivenAnswer(NamedTuple):
    """A stored response."""

    status: int
    body: bytes


def key_of(token_id: str, key: str, *, method: str, path: str, query: bytes, body: bytes) -> Key:
    """Raises Refusal 400 for a key that is too long."""
    if len(key) > MAX_KEY_CHARS:
        raise Refusal(
            400,
            "idempotency_key_invalid",
            f"The idempotency-key has {len(key)} characters. The maximum is {MAX_KEY_CHARS}.",
            "Use a shorter key.",
        )
    digest = hashlib.sha256()
    for part in (method.encode(), path.encode("utf-8", "surrogatepass"), query, body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return Key(token_id, key, digest.hexdigest())


def _purpose(key: Key) -> str:
    return answer_purpose(key.token_id, key.key, key.request)


async def begin(access: Access, vault: Vault, key: Key, now_ms: int) -> GivenAnswer | None:
    """The stored response to this request, None for a first request. Raises Refusal 409 for a different request with
    the same key, and while the first request is unfinished.
    """
    kept = await access.begin_answer(key.token_id, key.key, key.request, now_ms=now_ms, before_ms=now_ms - KEEP_MS)
    if kept is None:
        return None
    if kept.request != key.request:
        raise Refusal(
            409,
            "idempotency_key_reused",
            f'The idempotency-key "{key.key}" was already used for a different request.',
            "Use a new key for each request.",
        )
    try:
        body = vault.unseal(kept.body, _purpose(key)) if kept.status else b""
    except StoreUnusable:  # sealed with a lost key
        kept = msgspec.structs.replace(kept, status=0)
    if not kept.status:
        raise Refusal(
            409,
            "idempotency_unfinished",
            f'The first request with the idempotency-key "{key.key}" is still running or was interrupted.',
            "Check whether it took effect before you send it with a new key.",
        )
    return GivenAnswer(kept.status, body)


async def finish(access: Access, vault: Vault, key: Key, status: int, body: bytes) -> None:
    """Stores the response to a successful request, sealed because it may contain a token. A rejected request had no
    effect and can be repeated with the same key.
    """
    if status in range(200, 300) and len(body) <= MAX_KEPT_BYTES:
        sealed = vault.seal(body, _purpose(key))
        await access.keep_answer(key.token_id, key.key, status=status, body=sealed)
    else:
        await access.drop_answer(key.token_id, key.key)


class Idempotency:
    """Returns the stored response to a repeated POST, without calling the application again."""

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
        # A request whose response could not be stored must have no effect.
        self._vault.check_seals()
        given = await begin(self._access, self._vault, key, self._clock.now_ms())
        if given is not None:
            await _replay(send, given)
            return
        answer = _Answer()
        try:
            await self._app(scope, receive, answer.receive)
        finally:
            # Stored before it is sent, so that a caller that has the response can rely on it.
            await finish(self._access, self._vault, key, answer.status, answer.body)
        await answer.send(send)


def _key_in(scope: Message) -> Key | None:
    """Raises Refusal 400 for a key that is too long."""
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
    """A response, buffered until it is stored."""

    def __init__(self) -> None:
        self.status = 500
        self.body = b""
        self._start: Message = {}

    async def receive(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    async def send(self, send: Send) -> None:
        await send(self._start)
        await send({"type": "http.response.body", "body": self.body})


async def _replay(send: Send, given: GivenAnswer) -> None:
    headers = [(b"idempotency-replayed", b"true")]
    if given.body:
        headers.append((b"content-type", b"application/json"))
    if given.status == 204:  # noqa: PLR2004 - the status without a body
        await send({"type": "http.response.start", "status": given.status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
    else:
        await send_body(send, given.status, given.body, headers)
