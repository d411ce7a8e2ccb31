"""Requests that another site's page sends with a visitor's cookies are rejected: browsers say where a request comes
from in `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/), older ones in `Origin`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from nicobar.errors import Refusal
from nicobar.web.asgi import App, Message, Receive, Send, headers_of

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# The same site, and addresses that are typed or opened from a bookmark.
_OWN = frozenset({"same-origin", "none"})
# Browsers omit these.
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class CrossSite:
    """Rejects unsafe requests of other sites with 403. `public_url` is the address behind a proxy, if any; requests
    without cookies have no user's rights and are accepted without an origin, unless the application `needs_origin`:
    a form of another site could sign a visitor in.
    """

    def __init__(self, app: App, public_url: str, *, needs_origin: bool = False) -> None:
        self._app = app
        self._needs_origin = needs_origin
        self._public_origin = _origin(public_url) if public_url else None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
            self._check(scope)
        await self._app(scope, receive, send)

    def _check(self, scope: Message) -> None:
        """Raises Refusal 403."""
        headers = headers_of(scope)
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            allowed = site in _OWN
        elif origin is not None:
            # A reverse proxy may terminate TLS, so only the host is compared.
            scheme, host = _origin(origin)
            allowed = bool(host) and (host == headers.get("host") or (scheme, host) == self._public_origin)
        else:
            allowed = not self._needs_origin and "cookie" not in headers
        if not allowed:
            raise Refusal(
                403,
                "cross_site",
                "This form was not sent from a page of this server.",
                "Open the page again and send the form there. Behind a proxy, set public_url to the address in the "
                "browser.",
            )


def _origin(url: str) -> tuple[str, str]:
    """The scheme, and the host with its port as browsers write it; empty for an invalid URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc.lower().removesuffix(_DEFAULT_PORTS.get(parts.scheme, ""))
