"""`/setup/{token}`, `/login`, `/logout`: set a password once by a link, then sign in with it."""

from __future__ import annotations

import secrets

from nicobar.crypto import hash_token
from nicobar.errors import Refusal, UserError
from nicobar.model import PasswordLink, User
from nicobar.use_cases.passwords import MIN_PASSWORD_CHARS
from nicobar.use_cases.sign_in import BROWSER_MS, new_browser, user_with_password
from nicobar.use_cases.tokens import end_portal_link
from nicobar.use_cases.users import OWNER, set_up_user
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context
from nicobar.web.dashboard.language import noop
from nicobar.web.dashboard.pages import page, reason_text, redirect, translate
from nicobar.web.dashboard.visitor import BROWSER, SESSION, SESSION_MS, Visitor, cookie
from nicobar.web.operations import Response, get, post

_WRONG = noop("Incorrect password.")
_WRONG_EITHER = noop("Incorrect username or password.")


@get("/setup/{token}", needs=Needs.NOTHING)
async def setup(token: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The form for the password of the link's user."""
    link = await context.services.store.link(hash_token(token), now_ms=context.now_ms())
    return _setup_page(visitor, link)


@post("/setup/{token}", status=200, needs=Needs.NOTHING)
async def set_up(token: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Sets the password of the link's user, creates the user if needed, and signs in."""
    store = context.services.store
    now_ms = context.now_ms()
    link = await store.link(hash_token(token), now_ms=now_ms)
    if link is None:
        return _setup_page(visitor, None)
    password, again = visitor.form.get("password", ""), visitor.form.get("again", "")
    try:
        done = await set_up_user(context.services, link, password, again, work=context.services.passwords)
    except UserError as error:
        return _setup_page(visitor, link, problem=reason_text(visitor, error.reason))
    if done is None:
        return _setup_page(visitor, None)
    user, is_new = done
    # A new installation starts with its first endpoint.
    is_first = is_new and user.name == OWNER
    return await signed_in(context, visitor, user, "/webhooks" if is_first else "/")


def _setup_page(visitor: Visitor, link: PasswordLink | None, *, problem: str = "") -> Response[bytes]:
    status = 404 if link is None else 422 if problem else 200
    return page(
        visitor,
        "setup.html",
        status=status,
        link=link,
        is_first=link is not None and link.name == OWNER,
        problem=problem,
        min_chars=MIN_PASSWORD_CHARS,
    )


@get("/login", needs=Needs.NOTHING)
async def login(context: Context, visitor: Visitor, next: str = "/") -> Response[bytes]:  # noqa: A002 - its name in the address
    """The sign-in form."""
    if visitor.is_in:
        return redirect(_local(next))
    users = await context.services.store.users()
    return _login_page(visitor, users, wanted=_local(next))


@post("/login", status=200, needs=Needs.NOTHING)
async def sign_in(context: Context, visitor: Visitor) -> Response[bytes]:
    """Signs in with the correct password."""
    wanted = _local(visitor.form.get("next", "/"))
    name = visitor.form.get("username", OWNER).strip()
    password = visitor.form.get("password", "")
    users = await context.services.store.users()
    try:
        user = await user_with_password(
            context.services, name, password, address=visitor.address, browser=visitor.browser
        )
    except Refusal as refusal:
        return _login_page(visitor, users, wanted=wanted, name=name, refusal=refusal)
    if user is None:
        problem = _WRONG if is_alone(users) else _WRONG_EITHER
        return _login_page(visitor, users, wanted=wanted, name=name, problem=problem)
    return await signed_in(context, visitor, user, wanted)


def is_alone(users: list[User]) -> bool:
    """Whether the owner is the only user, so that no username is needed."""
    return [user.name for user in users] == [OWNER]


def _login_page(
    visitor: Visitor,
    users: list[User],
    *,
    wanted: str,
    name: str = "",
    problem: str = "",
    refusal: Refusal | None = None,
) -> Response[bytes]:
    return page(
        visitor,
        "login.html",
        status=refusal.status if refusal else 422 if problem else 200,
        headers={"retry-after": str(refusal.retry_after_s)} if refusal else None,
        wanted=wanted,
        name=name,
        problem=reason_text(visitor, refusal.reason) if refusal else translate(visitor, problem) if problem else "",
        has_users=bool(users),
        is_alone=is_alone(users),
    )


async def signed_in(context: Context, visitor: Visitor, user: User, location: str) -> Response[bytes]:
    """Starts a session in this browser."""
    session = secrets.token_urlsafe(32)
    now_ms = context.now_ms()
    await context.services.store.add_session(
        hash_token(session), user.id, now_ms=now_ms, expires_at_ms=now_ms + SESSION_MS
    )
    browser = new_browser(context.services.vault, user, now_ms)
    return redirect(
        location,
        cookie(SESSION, session, secure=visitor.secure, max_age_s=SESSION_MS // 1000),
        cookie(BROWSER, browser, secure=visitor.secure, max_age_s=BROWSER_MS // 1000),
    )


@post("/logout", status=303, needs=Needs.NOTHING)
async def logout(context: Context, visitor: Visitor) -> Response[bytes]:
    """Signs out. For a visitor with a link, this ends the link."""
    if visitor.link is not None:
        await end_portal_link(context.services, visitor, visitor.link)
    await context.services.store.remove_session(hash_token(visitor.session))
    return signed_out(visitor)


def signed_out(visitor: Visitor) -> Response[bytes]:
    return redirect("/login", cookie(SESSION, "", secure=visitor.secure, max_age_s=0))


def _local(location: str) -> str:
    """A page of this server: browsers read `//host` and a backslash as another host."""
    is_local = location.startswith("/") and not location.startswith("//") and location.isprintable()
    return location if is_local and "\\" not in location else "/"


OPERATIONS = (setup, set_up, login, sign_in, logout)
