"""`/setup/{token}`, `/login`, `/logout`: set a password once by a link, then sign in with it."""

from __future__ import annotations

import secrets
from dataclasses import replace

import msgspec

from nicobar.crypto import hash_token
from nicobar.errors import NicobarError, Refusal, UserError
from nicobar.model import PasswordLink, User
from nicobar.settings import Switch
from nicobar.use_cases.passwords import MIN_PASSWORD_CHARS
from nicobar.use_cases.sign_in import BROWSER_MS, new_browser, user_with_password
from nicobar.use_cases.tokens import end_portal_link
from nicobar.use_cases.users import OWNER, check_passwords, set_up_user, usable_link
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
    link = await usable_link(context.services, token)
    return _setup_page(visitor, link)


@post("/setup/{token}", status=200, needs=Needs.NOTHING)
async def set_up(token: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Sets the password of the link's user, creates the user if needed, and signs in."""
    link = await usable_link(context.services, token)
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
        return redirect(local_page(next))
    return await _login_page(context, visitor, wanted=local_page(next))


@post("/login", status=200, needs=Needs.NOTHING)
async def sign_in(context: Context, visitor: Visitor) -> Response[bytes]:
    """Signs in with the correct password."""
    wanted = local_page(visitor.form.get("next", "/"))
    name = visitor.form.get("username", OWNER).strip()
    password = visitor.form.get("password", "")
    check_passwords(context.services.settings)
    try:
        user = await user_with_password(
            context.services, name, password, address=visitor.address, browser=visitor.browser
        )
    except Refusal as refusal:
        problem = reason_text(visitor, refusal.reason)
        return await _login_page(context, visitor, wanted=wanted, name=name, problem=problem, refusal=refusal)
    if user is None:
        problem = translate(visitor, _WRONG if is_alone(await context.services.store.users()) else _WRONG_EITHER)
        return await _login_page(context, visitor, wanted=wanted, name=name, problem=problem)
    return await signed_in(context, visitor, user, wanted)


def is_alone(users: list[User]) -> bool:
    """Whether the owner is the only user, so that no username is needed."""
    return [user.name for user in users] == [OWNER]


async def failed_sign_in(
    context: Context, visitor: Visitor, failure: NicobarError, wanted: str, *cookies: str
) -> Response[bytes]:
    """The sign-in form with the reason why signing in with the provider failed."""
    refusal = failure if isinstance(failure, Refusal) else None
    # The callback's address has a code, and cannot be opened again.
    visitor = msgspec.structs.replace(visitor, path="/login")
    shown = await _login_page(context, visitor, wanted=wanted, failure=failure, refusal=refusal)
    return replace(shown, status=refusal.status if refusal else 422, cookies=cookies)


async def _login_page(
    context: Context,
    visitor: Visitor,
    *,
    wanted: str,
    name: str = "",
    problem: str = "",
    failure: NicobarError | None = None,
    refusal: Refusal | None = None,
) -> Response[bytes]:
    users = await context.services.store.users()
    provider = context.services.provider
    wait_s = refusal.retry_after_s if refusal else None
    return page(
        visitor,
        "login.html",
        status=refusal.status if refusal else 422 if problem else 200,
        headers=None if wait_s is None else {"retry-after": str(wait_s)},
        failure=failure,
        provider_name=provider.settings.provider_name if provider else "",
        with_password=context.services.settings.password_sign_in is Switch.ON,
        wanted=wanted,
        name=name,
        problem=problem,
        has_users=bool(users),
        is_alone=is_alone(users),
    )


async def signed_in(
    context: Context, visitor: Visitor, user: User, location: str, *, lasting_ms: int = SESSION_MS
) -> Response[bytes]:
    """Starts a session in this browser."""
    session = secrets.token_urlsafe(32)
    now_ms = context.now_ms()
    await context.services.store.add_session(
        hash_token(session), user.id, now_ms=now_ms, expires_at_ms=now_ms + lasting_ms
    )
    cookies = [cookie(SESSION, session, secure=visitor.secure, max_age_s=lasting_ms // 1000)]
    if user.password_hash:
        browser = new_browser(context.services.vault, user, now_ms)
        cookies.append(cookie(BROWSER, browser, secure=visitor.secure, max_age_s=BROWSER_MS // 1000))
    return redirect(location, *cookies)


@post("/logout", status=303, needs=Needs.NOTHING)
async def logout(context: Context, visitor: Visitor) -> Response[bytes]:
    """Signs out. For a visitor with a link, this ends the link."""
    if visitor.link is not None:
        await end_portal_link(context.services, visitor, visitor.link)
    await context.services.store.remove_session(hash_token(visitor.session))
    return signed_out(visitor)


def signed_out(visitor: Visitor) -> Response[bytes]:
    return redirect("/login", cookie(SESSION, "", secure=visitor.secure, max_age_s=0))


def local_page(location: str) -> str:
    """A page of this server: browsers read `//host` and a backslash as another host."""
    is_local = location.startswith("/") and not location.startswith("//") and location.isprintable()
    return location if is_local and "\\" not in location else "/"


OPERATIONS = (setup, set_up, login, sign_in, logout)
