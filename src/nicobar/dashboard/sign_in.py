"""`/setup/{token}`, `/login`, `/logout`: the owner's password, once, and with it from then on."""

from __future__ import annotations

import asyncio
import secrets

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from nicobar.admin.owner import MIN_PASSWORD_CHARS, OWNER, check_password, make_owner
from nicobar.admin.tokens import end_link
from nicobar.crypto import hash_token, is_password
from nicobar.dashboard.desk import Desk, GivenDesk
from nicobar.dashboard.language import noop
from nicobar.dashboard.pages import page, redirect, translate, with_cookie
from nicobar.dashboard.rights import OPEN
from nicobar.dashboard.visitor import SESSION, SESSION_MS, GivenVisitor, Visitor, cookie
from nicobar.errors import Refusal, UserError
from nicobar.store import User

_WRONG = noop("That is not the password.")
_PROBLEMS = {
    "password_short": noop("The password is too short."),
    "password_long": noop("The password is too long."),
    "password_differs": noop("The two passwords differ."),
}
# What a wrong password is compared with while there is no owner, so that the time says nothing.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$bm9ib2R5bm9ib2R5bm9ib2R5$OVTDK5GKR2SRlEzOuN1hLHnXOpHkXvVnzcUzgBNxLX0"


@get("/setup/{token:str}", opt=OPEN)
async def setup(token: FromPath[str], desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """Asks for the owner's password."""
    good = await desk.services.store.is_setup(hash_token(token), now_ms=desk.now_ms())
    return _setup_page(visitor, good=good, problem="")


@post("/setup/{token:str}", status_code=200, opt=OPEN)
async def set_up(token: FromPath[str], desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """Keeps the owner's password and signs in."""
    store = desk.services.store
    if not await store.is_setup(hash_token(token), now_ms=desk.now_ms()):
        return _setup_page(visitor, good=False, problem="")
    password = visitor.form.get("password", "")
    try:
        check_password(password, visitor.form.get("again", ""))
    except UserError as error:
        return _setup_page(visitor, good=True, problem=translate(visitor, _PROBLEMS[error.code]))
    owner = await asyncio.to_thread(make_owner, desk.services.ids, password, desk.now_ms())
    if not await store.set_up(hash_token(token), owner, now_ms=desk.now_ms()):
        return _setup_page(visitor, good=False, problem="")
    kept = await store.user(OWNER)
    return await _signed_in(desk, visitor, kept or owner, "/")


def _setup_page(visitor: Visitor, *, good: bool, problem: str) -> Response[bytes]:
    status = 404 if not good else 422 if problem else 200
    return page(visitor, "setup.html", status=status, good=good, problem=problem, min_chars=MIN_PASSWORD_CHARS)


@get("/login", opt=OPEN)
async def login(desk: GivenDesk, visitor: GivenVisitor, next: FromQuery[str] = "/") -> Response[bytes]:  # noqa: A002 - its name in the address
    """Asks who it is."""
    if visitor.is_in:
        return redirect(_local(next))
    owner = await desk.services.store.user(OWNER)
    return page(visitor, "login.html", wanted=_local(next), problem="", has_owner=owner is not None)


@post("/login", status_code=200, opt=OPEN)
async def sign_in(desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """Signs in with the right password."""
    wanted = _local(visitor.form.get("next", "/"))
    now_ms = desk.now_ms()
    try:
        desk.limit.check(visitor.address, now_ms)
    except Refusal as refusal:
        problem = translate(visitor, noop("Too many wrong passwords. Wait a minute, then try again."))
        headers = {"retry-after": str(refusal.retry_after_s)}
        return page(
            visitor, "login.html", status=429, headers=headers, wanted=wanted, problem=problem, has_owner=True
        )
    # Counted before it is compared: many tries at once are not more tries.
    desk.limit.wrong(visitor.address, now_ms)
    owner = await desk.services.store.user(OWNER)
    kept = owner.password_hash if owner else _NOBODY
    right = await asyncio.to_thread(is_password, visitor.form.get("password", ""), kept)
    if owner is None or not right:
        problem = translate(visitor, _WRONG)
        return page(visitor, "login.html", status=422, wanted=wanted, problem=problem, has_owner=owner is not None)
    desk.limit.right(visitor.address)
    return await _signed_in(desk, visitor, owner, wanted)


async def _signed_in(desk: Desk, visitor: Visitor, user: User, location: str) -> Response[bytes]:
    session = secrets.token_urlsafe(32)
    now_ms = desk.now_ms()
    await desk.services.store.add_session(
        hash_token(session), user.id, now_ms=now_ms, expires_at_ms=now_ms + SESSION_MS
    )
    return with_cookie(visitor, location, SESSION, session, max_age_s=SESSION_MS // 1000)


@post("/logout", status_code=303, opt=OPEN)
async def logout(desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """Signs out. A link to one application ends with it."""
    if visitor.link is not None:
        await end_link(desk.services, visitor, visitor.link)
    await desk.services.store.remove_session(hash_token(visitor.secret))
    return redirect("/login", cookie(SESSION, "", secure=visitor.secure, max_age_s=0))


def _local(location: str) -> str:
    """A page of ours: a browser reads `//host` and a backslash as another one's address."""
    is_local = location.startswith("/") and not location.startswith("//") and location.isprintable()
    return location if is_local and "\\" not in location else "/"


HANDLERS = (setup, set_up, login, sign_in, logout)
