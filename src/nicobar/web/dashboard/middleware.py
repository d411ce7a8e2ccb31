"""In front of the pages: who asks, whether a form is one of ours, and what browsers may do with what they get."""

from __future__ import annotations

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote, unquote, urlsplit

from nicobar.clock import Clock
from nicobar.crypto import hash_token
from nicobar.errors import NicobarError, Refusal, StoreError
from nicobar.observe import log
from nicobar.store import Store
from nicobar.use_cases.token_uses import TokenUses
from nicobar.use_cases.tokens import live_token
from nicobar.web.asgi import App, GoneError, Message, Receive, Send, body_again, headers_of, read_body, send_body
from nicobar.web.dashboard.language import DEFAULT, catalogue, choose
from nicobar.web.dashboard.visitor import (
    ANONYMOUS,
    LANGUAGE,
    SESSION,
    THEME,
    THEMES,
    TOKEN_FIELD,
    TOKEN_HEADER,
    VISITOR,
    Visitor,
    cookie,
)

PATHS = (
    *("/webhooks", "/login", "/logout", "/setup", "/preferences", "/static", "/app-portal"),
    *("/logs", "/customers", "/failures", "/queue", "/catalogue", "/sources", "/settings", "/keys"),
)
# What somebody may see who is not signed in.
OPEN = ("/login", "/setup", "/preferences", "/static", "/app-portal")
MAX_FORM_BYTES = 2 * 1024 * 1024
MAX_FIELDS = 1_000
FORM_TYPE = "application/x-www-form-urlencoded"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_READING = frozenset({"GET", "HEAD"})


class DashboardMiddleware:
    """Lets requests for pages in, each with its visitor; everything else goes to the application beside it."""

    def __init__(
        self,
        pages: App,
        beside: App,
        store: Store,
        token_uses: TokenUses,
        clock: Clock,
        *,
        public_url: str,
        body_timeout_ms: int,
    ) -> None:
        self._pages = pages
        self._beside = beside
        self._store = store
        self._token_uses = token_uses
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._body_timeout_ms = body_timeout_ms

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_ours(scope["path"]):
            await self._beside(scope, receive, send)
            return
        try:
            await self._let_in(scope, receive, send)
        except GoneError:
            return
        except NicobarError as error:
            visitor = scope.get(VISITOR)
            await _refuse(send, error, visitor.language if isinstance(visitor, Visitor) else DEFAULT)

    async def _let_in(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        if _within(scope["path"], "/static"):
            await self._pages(scope, receive, _protected(send, ()))
            return
        cookies = _cookies(headers.get("cookie", ""))
        session = cookies.get(SESSION, "")
        user = link = None
        if session:
            now_ms = self._clock.now_ms()
            user = await self._store.session_user(hash_token(session), now_ms=now_ms)
            # Who came by a link holds its key itself: what ends the link ends this too.
            token = None if user else await live_token(self._store, self._token_uses, session, now_ms)
            link = token if token and token.portal else None
        secret = session if user or link else cookies.get(ANONYMOUS, "")
        secure = scope["scheme"] == "https" or self._public_url.startswith("https://")
        fresh = []
        if not secret:
            secret = secrets.token_urlsafe(24)
            fresh.append(cookie(ANONYMOUS, secret, secure=secure))
        visitor = Visitor(
            user=user,
            link=link,
            secret=secret,
            language=choose(cookies.get(LANGUAGE, ""), headers.get("accept-language", "")),
            theme=cookies[THEME] if cookies.get(THEME) in THEMES else THEMES[0],
            base_url=self._public_url or f"{scope['scheme']}://{headers.get('host', '')}",
            secure=secure,
            address=str((scope.get("client") or ("",))[0]),
            path=scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""),
        )
        scope[VISITOR] = visitor
        answer = _protected(send, fresh)
        if not visitor.is_in and not any(_within(scope["path"], path) for path in OPEN):
            await _sign_in_first(scope, visitor, answer)
            return
        if scope["method"] not in _READING:
            body = await read_body(headers, receive, max_bytes=MAX_FORM_BYTES, timeout_ms=self._body_timeout_ms)
            scope[VISITOR] = _with_form(visitor, headers, body)
            receive = body_again(body, receive)
        await self._pages(scope, receive, answer)


def _is_ours(path: str) -> bool:
    return path == "/" or any(_within(path, candidate) for candidate in PATHS)


def _within(path: str, start: str) -> bool:
    return path == start or path.startswith(start + "/")


def _cookies(header: str) -> dict[str, str]:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(header)
    except CookieError:
        return {}
    return {name: unquote(one.value) for name, one in jar.items()}


async def _sign_in_first(scope: Message, visitor: Visitor, send: Send) -> None:
    """Nothing is done for a form of somebody who is not signed in: after signing in they find the page again."""
    wanted = visitor.path if scope["method"] in _READING else urlsplit(visitor.path).path
    location = "/login" if wanted == "/" else f"/login?next={quote(wanted, safe='')}"
    await send_body(send, 303, b"", [(b"location", location.encode())])


def _with_form(visitor: Visitor, headers: dict[str, str], body: bytes) -> Visitor:
    """Raises Refusal 403 for a form that no page of ours sent."""
    every: dict[str, list[str]] = {}
    if headers.get("content-type", "").partition(";")[0].strip().lower() == FORM_TYPE:
        try:
            every = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError as error:
            raise Refusal(400, "request_invalid", "The form has too many fields.", "Send fewer.") from error
    given = headers.get(TOKEN_HEADER) or (every.get(TOKEN_FIELD) or [""])[-1]
    if not hmac.compare_digest(given.encode("utf-8", "replace"), visitor.form_token.encode()):
        raise Refusal(
            403,
            "form_expired",
            "This form is not one that this page sent you now.",
            "Go back, reload the page and send it again.",
        )
    return Visitor(
        **{name: getattr(visitor, name) for name in Visitor.__struct_fields__ if name not in {"form", "every"}},
        form={name: values[-1] for name, values in every.items()},
        every={name: tuple(values) for name, values in every.items()},
    )


def _protected(send: Send, cookies: list[str] | tuple[()]) -> Send:
    """Says with every answer what the browser may do with it."""

    async def protected(message: Message) -> None:
        if message["type"] == "http.response.start":
            more = [(b"set-cookie", cooky.encode()) for cooky in cookies]
            names = {name.lower() for name, _ in message["headers"]}
            if b"cache-control" not in names:
                more.append((b"cache-control", b"no-store"))
            message["headers"] = [*message["headers"], *_HEADERS, *more]
        await send(message)

    return protected


async def _refuse(send: Send, error: NicobarError, language: str) -> None:
    status = error.status if isinstance(error, Refusal) else 503
    if isinstance(error, StoreError):
        log.error("page not shown", code=error.code, detail=error.detail)
    translate = catalogue(language).gettext
    text = f"{error.reason.detail(translate)}\n{error.reason.fix(translate)}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if status in {408, 413}:
        # The rest of the body will not be read.
        headers.append((b"connection", b"close"))
    await send_body(_protected(send, ()), status, text, headers)
