"""The visitor of a page: who it is, in which language, and with which form."""

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
LANGUAGE = "nicobar_language"
THEME = "nicobar_theme"
THEMES = ("auto", "light", "dark")
SESSION_MS = 14 * 24 * 3_600_000
CHOICE_S = 365 * 24 * 3_600
MAX_FIELDS = 1_000
FORM_TYPE = "application/x-www-form-urlencoded"
_VISITOR = "nicobar.visitor"  # where the visitor is in an ASGI scope


class Visitor(Record):
    """A `user`, or somebody with a `link` to one application, or neither. `session` is the cookie of either.
    `base_url` is where the browser reached this process, `address` is the browser's; `form` has the fields of a POST,
    the last of each name, `every` all of them.
    """

    user: User | None
    session: str
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


def keep_visitor(scope: Message, visitor: Visitor) -> None:
    """In the scope of their request."""
    scope[_VISITOR] = visitor


def visitor_of(scope: Message) -> Visitor | None:
    """None where a request failed before its visitor was identified, and for static files."""
    visitor: Visitor | None = scope.get(_VISITOR)
    return visitor


def current_visitor(scope: Message) -> Visitor:
    visitor = visitor_of(scope)
    if visitor is None:  # only static files come without one
        raise TypeError(_VISITOR)
    return visitor


def with_form(visitor: Visitor, scope: Message) -> Visitor:
    """The visitor with the form that the request carries, if any. Raises Refusal 400 for one with too many fields."""
    if headers_of(scope).get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        return visitor
    text = body_of(scope).decode("utf-8", "replace")
    try:
        every = parse_qs(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise Refusal(
            400, "request_invalid", f"The form has more than {MAX_FIELDS} fields.", "Send fewer fields."
        ) from error
    return msgspec.structs.replace(
        visitor,
        form={name: values[-1] for name, values in every.items()},
        every={name: tuple(values) for name, values in every.items()},
    )


def cookie(name: str, value: str, *, secure: bool, max_age_s: int | None = None) -> str:
    """A Set-Cookie header that scripts cannot read and other sites' forms do not send."""
    parts = [f"{name}={quote(value, safe='')}", "Path=/", "HttpOnly", "SameSite=Lax"]
    if max_age_s is not None:
        parts.append(f"Max-Age={max_age_s}")
    if secure:
        parts.append("Secure")
    return "; ".join(parts)
