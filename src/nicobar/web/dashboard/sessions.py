"""Identifies visitors by their cookies."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, unquote, urlsplit

from nicobar.crypto import hash_token
from nicobar.model import Token
from nicobar.store import User
from nicobar.use_cases.services import Services
from nicobar.use_cases.tokens import live_token
from nicobar.web.asgi import Message
from nicobar.web.connection_pool import counted_address
from nicobar.web.dashboard.language import choose
from nicobar.web.dashboard.pages import redirect
from nicobar.web.dashboard.visitor import ATTEMPT, BROWSER, LANGUAGE, SESSION, THEME, THEMES, Visitor, keep_visitor
from nicobar.web.middleware.cross_site import SAFE_METHODS
from nicobar.web.operations import Response

_STATIC = "static"


class Sessions:
    """Identifies visitors. Without signing in, only `open_places` can be opened; these are first path segments."""

    def __init__(self, services: Services, open_places: Collection[str]) -> None:
        self._services = services
        self._open_places = open_places

    async def identify(self, scope: Message, headers: Mapping[str, str]) -> Response[bytes] | None:
        """Stores the visitor in the scope, except for static files. Returns the sign-in URL for visitors who must
        sign in first.
        """
        place = first_segment(scope["path"])
        if place == _STATIC:
            return None
        visitor = await self._visitor(scope, headers)
        keep_visitor(scope, visitor)
        if visitor.is_in or place in self._open_places:
            return None
        return _sign_in_first(scope, visitor)

    async def _visitor(self, scope: Message, headers: Mapping[str, str]) -> Visitor:
        cookies = _cookies(headers.get("cookie", ""))
        session = cookies.get(SESSION, "")
        user, link = await self._who(session) if session else (None, None)
        query = scope["query_string"].decode("latin-1")
        return Visitor(
            user=user,
            link=link,
            session=session if user or link else "",
            browser=cookies.get(BROWSER, ""),
            language=choose(cookies.get(LANGUAGE, ""), headers.get("accept-language", "")),
            theme=cookies[THEME] if cookies.get(THEME) in THEMES else THEMES[0],
            secure=scope["scheme"] == "https" or self._services.settings.is_https,
            address=counted_address(str((scope.get("client") or ("",))[0])),
            attempt=cookies.get(ATTEMPT, ""),
            path=scope["path"] + (f"?{query}" if query else ""),
        )

    async def _who(self, session: str) -> tuple[User | None, Token | None]:
        """The user of a session. The session of a visitor with a link is its key, so revoking the link ends the
        session.
        """
        services = self._services
        now_ms = services.clock.now_ms()
        user = await services.store.session_user(hash_token(session), now_ms=now_ms)
        token = None if user else await live_token(services.store, services.token_uses, session, now_ms)
        return user, token if token and token.portal else None


def first_segment(path: str) -> str:
    """`webhooks` for `/webhooks/new`, empty for `/`."""
    return path.lstrip("/").partition("/")[0]


def _cookies(header: str) -> dict[str, str]:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(header)
    except CookieError:
        return {}
    return {name: unquote(morsel.value) for name, morsel in jar.items()}


def _sign_in_first(scope: Message, visitor: Visitor) -> Response[bytes]:
    """A form of a signed-out visitor has no effect; after signing in, they return to its page."""
    wanted = visitor.path if scope["method"] in SAFE_METHODS else urlsplit(visitor.path).path
    return redirect("/login" if wanted == "/" else f"/login?next={quote(wanted, safe='')}")
