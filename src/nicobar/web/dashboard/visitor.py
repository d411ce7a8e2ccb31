"""The visitor of a page: identity, language and submitted form."""

from __future__ import annotations

from urllib.parse import parse_qs, quote

import msgspec

from nicobar.errors import Refusal
from nicobar.model import Record, Token
from nicobar.model import Scope as TokenScope
from nicobar.store import User, UserRole
from nicobar.web.asgi import Message, headers_of
from nicobar.web.middleware.body import body_of

SESSION = "nicobar_session"
BROWSER = "nicobar_browser"
LANGUAGE = "nicobar_language"
THEME = "nicobar_theme"
ATTEMPT = "nicobar_sign_in"
THEMES = ("auto", "light", "dark")
SESSION_MS = 14 * 24 * 3_600_000
CHOICE_S = 365 * 24 * 3_600
MAX_FIELDS = 1_000
FORM_TYPE = "application/x-www-form-urlencoded"
_VISITOR = "nicobar.visitor"  # where the visitor is in an ASGI scope


class Visitor(Record):
    """A `user`, a visitor with a `link` to one application, or neither. `session` is the cookie of either,
    `browser` that of a browser in which a user has signed in before. `address` is what requests of the browser's IP
    address are counted under. `form` has the last value of each field of a POST, `every` has all of them. `attempt`
    is a sealed sign-in attempt.
    """

    user: User | None
    session: str
    browser: str
    language: str
    theme: str
    secure: bool
    address: str
    path: str
    form: dict[str, str] = {}
    every: dict[str, tuple[str, ...]] = {}
    attempt: str = ""
    link: Token | None = None

    @property
    def name(self) -> str:
        """The name in the audit log."""
        if self.link is not None:
            return f"link {self.link.session_id or self.link.id}"
        return f"user {self.user.name}" if self.user else "nobody"

    @property
    def is_in(self) -> bool:
        """Whether the visitor is signed in."""
        return self.user is not None or self.link is not None

    @property
    def app_id(self) -> str | None:
        """The only application that this visitor can see."""
        return self.link.app_id if self.link else None

    @property
    def sees_alerts(self) -> bool:
        """Alerts are for operators: visitors with a link do not see them."""
        return self.link is None

    @property
    def may_change(self) -> bool:
        if self.link is not None:
            return self.link.scope is TokenScope.APPLICATION
        return self.user is not None and self.user.role in {UserRole.OWNER, UserRole.EDITOR}

    @property
    def may_run(self) -> bool:
        """Whether the visitor may run handlers, which changes nothing."""
        return self.user is not None or self.may_change

    @property
    def may_manage(self) -> bool:
        """Whether the visitor may manage users, tokens and the installation."""
        return self.user is not None and self.user.role is UserRole.OWNER


def keep_visitor(scope: Message, visitor: Visitor) -> None:
    """Stores the visitor in the request's scope."""
    scope[_VISITOR] = visitor


def visitor_of(scope: Message) -> Visitor | None:
    """None for static files, and if the request failed before its visitor was identified."""
    visitor: Visitor | None = scope.get(_VISITOR)
    return visitor


def current_visitor(scope: Message) -> Visitor:
    visitor = visitor_of(scope)
    if visitor is None:  # only static files come without one
        raise TypeError(_VISITOR)
    return visitor


def with_form(visitor: Visitor, scope: Message) -> Visitor:
    """The visitor with the request's form, if any. Raises Refusal 400 for a form with too many fields."""
    if headers_of(scope).get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        return visitor
    every = form_fields(body_of(scope).decode("utf-8", "replace"))
    return msgspec.structs.replace(visitor, form={name: values[-1] for name, values in every.items()}, every=every)


def form_fields(text: str) -> dict[str, tuple[str, ...]]:
    """All values of each field of a form, in a body or a query. Raises Refusal 400 for too many."""
    try:
        found = parse_qs(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise Refusal(
            400,
            "request_invalid",
            "The form has more than %(max_fields)s fields.",
            "Send fewer fields.",
            max_fields=MAX_FIELDS,
        ) from error
    return {name: tuple(values) for name, values in found.items()}


def cookie(name: str, value: str, *, secure: bool, max_age_s: int | None = None) -> str:
    """A Set-Cookie header with HttpOnly and SameSite."""
    parts = [f"{name}={quote(value, safe='')}", "Path=/", "HttpOnly", "SameSite=Lax"]
    if max_age_s is not None:
        parts.append(f"Max-Age={max_age_s}")
    if secure:
        parts.append("Secure")
    return "; ".join(parts)
