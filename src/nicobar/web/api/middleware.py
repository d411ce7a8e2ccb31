"""In front of the API: who asks, how often, how much, and whether it was answered before."""

from __future__ import annotations

from collections import OrderedDict

from nicobar.clock import Clock
from nicobar.crypto import Vault
from nicobar.errors import NicobarError, Refusal
from nicobar.store import Access
from nicobar.use_cases.token_uses import TokenUses
from nicobar.web.api.auth import CALLER, caller_of
from nicobar.web.api.errors import answer_to, encoded
from nicobar.web.api.idempotency import GivenAnswer, Key, begin, finish, key_of
from nicobar.web.asgi import App, GoneError, Message, Receive, Send, body_again, headers_of, read_body, send_body

PREFIXES = ("/api/v1/", "/ingest/api/v1/")
# What anybody may ask; the rest needs a token.
OPEN = frozenset(
    {"/api/v1/health", "/api/v1/health/", "/api/v1/health/ping", "/api/v1/openapi.json", "/api/v1/reference"}
)
MAX_CALLERS = 10_000
BURST_S = 2
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class ApiMiddleware:
    """Lets requests to the API in, with their whole body; everything else passes by it."""

    def __init__(
        self,
        behind: App,
        access: Access,
        token_uses: TokenUses,
        vault: Vault,
        clock: Clock,
        *,
        max_body_bytes: int,
        body_timeout_ms: int,
        max_requests_per_s: int,
    ) -> None:
        self._behind = behind
        self._access = access
        self._token_uses = token_uses
        self._vault = vault
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._body_timeout_ms = body_timeout_ms
        self._rates = Rates(max_requests_per_s)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIXES):
            await self._behind(scope, receive, send)
            return
        try:
            await self._let_in(scope, receive, send)
        except GoneError:
            return
        except NicobarError as error:
            await _refuse(send, error)

    async def _let_in(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        if scope["path"] not in OPEN:
            caller = await caller_of(headers, self._access, self._token_uses, self._clock.now_ms())
            self._rates.take(caller.token.id, self._clock.steady_ms())
            scope[CALLER] = caller
        body = await read_body(headers, receive, max_bytes=self._max_body_bytes, timeout_ms=self._body_timeout_ms)
        # An operation whose fields are all optional needs no body; any other says which field is missing.
        is_empty = scope["method"] in _WITH_BODY and not body.strip()
        receive_again = body_again(b"{}" if is_empty else body, receive)
        key = headers.get("idempotency-key", "")
        if scope["method"] != "POST" or not key or CALLER not in scope:
            await self._behind(scope, receive_again, send)
            return
        await self._once(
            key_of(
                scope[CALLER].token.id,
                key,
                method=scope["method"],
                path=scope["path"],
                query=scope["query_string"],
                body=body,
            ),
            scope,
            receive_again,
            send,
        )

    async def _once(self, key: Key, scope: Message, receive: Receive, send: Send) -> None:
        given = await begin(self._access, self._vault, key, self._clock.now_ms())
        if given is None:
            answer = _Answer()
            try:
                await self._behind(scope, receive, answer.take)
            finally:
                # Before it goes out: a caller that has the answer can rely on it being kept.
                await finish(self._access, self._vault, key, answer.status, answer.body)
            await answer.send(send)
        else:
            await _again(send, given)


class Rates:
    """A bucket of requests for each token: `max_per_s` flow in a second, and `BURST_S` seconds' worth fit in it."""

    def __init__(self, max_per_s: int) -> None:
        self._max_per_s = max_per_s
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, token_id: str, now_ms: int) -> None:
        """Raises Refusal 429 where nothing is left."""
        full = float(self._max_per_s * BURST_S)
        left, at_ms = self._left.pop(token_id, (full, now_ms))
        left = min(full, left + (now_ms - at_ms) / 1000 * self._max_per_s)
        self._left[token_id] = (max(0.0, left - 1), now_ms) if left >= 1 else (left, now_ms)
        if len(self._left) > MAX_CALLERS:
            self._left.popitem(last=False)
        if left < 1:
            raise Refusal(
                429,
                "too_many_requests",
                f"This token has made more than {self._max_per_s} requests a second.",
                "Wait as long as Retry-After says, or raise the setting max_api_requests_per_s.",
                retry_after_s=1,
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


async def _again(send: Send, given: GivenAnswer) -> None:
    headers = [(b"idempotency-replayed", b"true")]
    if given.body:
        headers.append((b"content-type", b"application/json"))
    if given.status == 204:  # noqa: PLR2004 - the status without a body
        await send({"type": "http.response.start", "status": given.status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
    else:
        await send_body(send, given.status, given.body, headers)


async def _refuse(send: Send, error: NicobarError) -> None:
    status, body, more = answer_to(error)
    headers = [(b"content-type", b"application/json"), *((n.encode(), v.encode()) for n, v in more.items())]
    if status == 401:  # noqa: PLR2004 - the status that asks for this header
        headers.append((b"www-authenticate", b"Bearer"))
    if status in {408, 413}:
        # The rest of the body will not be read.
        headers.append((b"connection", b"close"))
    await send_body(send, status, encoded(body), headers)
