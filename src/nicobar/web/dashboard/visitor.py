"""Who looks at a page, in which language and with which form."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote

from litestar.di import NamedDependency
from litestar.types import Scope

from nicobar.model import Record, Token
from nicobar.model import Scope as TokenScope
from nicobar.store import User, UserRole

VISITOR = "nicobar.visitor"  # where the visitor stands in an ASGI scope
SESSION = "nicobar_session"
ANONYMOUS = "nicobar_form"
LANGUAGE = "nicobar_language"
THEME = "nicobar_theme"
THEMES = ("auto", "light", "dark")
TOKEN_FIELD = "form_token"  # noqa: S105 - a field's name
TOKEN_HEADER = "x-form-token"  # noqa: S105 - a header's name
SESSION_MS = 14 * 24 * 3_600_000
CHOICE_S = 365 * 24 * 3_600


class Visitor(Record):
    """A `user`, or who came by a `link` to one application, or neither. `secret` is the cookie that the form token is
    made from: the session's, or that of somebody not signed in.
    `base_url` is where the browser reached this process, `address` where it asks from; `form` holds the fields of a
    POST, the last of each name, `every` all of them.
    """

    user: User | None
    secret: str
    language: str
    theme: str
    base_url: str
    secure: bool
    address: str
    path: str
    form: dict[str, str] = {}
    every: dict[str, tuple[str, ...]] = {}
    link: Token | None = None

    @property
    def name(self) -> str:
        """As the audit log shows it."""
        if self.link is not None:
            return f"link {self.link.session_id or self.link.id}"
        return f"user {self.user.name}" if self.user else "nobody"

    @property
    def is_in(self) -> bool:
        """Whether anything but the pages for signing in is shown."""
        return self.user is not None or self.link is not None

    @property
    def app_id(self) -> str | None:
        """The one application that there is for this visitor."""
        return self.link.app_id if self.link else None

    @property
    def sees_alerts(self) -> bool:
        """Alerts are the operator's: a link to one application shows none."""
        return self.link is None

    @property
    def may_change(self) -> bool:
        if self.link is not None:
            return self.link.scope is TokenScope.APPLICATION
        return self.user is not None and self.user.role in {UserRole.OWNER, UserRole.EDITOR}

    @property
    def may_manage(self) -> bool:
        """Users, tokens, and what else concerns the whole installation."""
        return self.user is not None and self.user.role is UserRole.OWNER

    @property
    def form_token(self) -> str:
        return form_token(self.secret)


# What handlers may ask for.
GivenVisitor = NamedDependency[Visitor]


def form_token(secret: str) -> str:
    """What every form carries: only a page of ours, shown to this browser, can know it."""
    return hmac.new(secret.encode("utf-8", "surrogatepass"), b"nicobar form", hashlib.sha256).hexdigest()


def current_visitor(scope: Scope) -> Visitor:
    """For handlers: whose request it is."""
    visitor = scope.get(VISITOR)
    if not isinstance(visitor, Visitor):  # the middleware lets nobody in without one
        raise TypeError(VISITOR)
    return visitor


def cookie(name: str, value: str, *, secure: bool, max_age_s: int | None = None) -> str:
    """A Set-Cookie header that scripts cannot read and other sites' forms do not send."""
    parts = [f"{name}={quote(value, safe='')}", "Path=/", "HttpOnly", "SameSite=Lax"]
    if max_age_s is not None:
        parts.append(f"Max-Age={max_age_s}")
    if secure:
        parts.append("Secure")
    return "; ".join(parts)
