"""`/settings` and `/settings/account`: change your password, sign out everywhere."""

from __future__ import annotations

from nicobar.errors import Refusal, UserError
from nicobar.model import User
from nicobar.settings import Switch
from nicobar.use_cases.passwords import MIN_PASSWORD_CHARS
from nicobar.use_cases.sign_in import user_with_password
from nicobar.use_cases.users import check_passwords, end_sessions, set_password
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context
from nicobar.web.dashboard.language import noop
from nicobar.web.dashboard.pages import page, reason_text, redirect, translate
from nicobar.web.dashboard.sign_in import signed_in, signed_out
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

_WRONG = noop("The current password is incorrect.")


@get("/settings", needs=Needs.USER)
async def settings() -> Response[bytes]:
    """Redirects to the first settings page."""
    return redirect("/settings/account")


@get("/settings/account", needs=Needs.USER)
async def show(
    *,
    context: Context,
    visitor: Visitor,
    changed: bool = False,
) -> Response[bytes]:
    """The signed-in user; `changed` after a password change."""
    return _page(context, visitor, changed=changed)


@post("/settings/account/password", status=303, needs=Needs.USER)
async def change_password(context: Context, visitor: Visitor) -> Response[bytes]:
    """Changes the password if the current one is correct. Ends all other sessions."""
    user = _user(visitor)
    present = visitor.form.get("present", "")
    check_passwords(context.services.settings)
    try:
        found = await user_with_password(
            context.services, user.name, present, address=visitor.address, browser=visitor.browser
        )
    except Refusal as refusal:
        return _page(context, visitor, problem=reason_text(visitor, refusal.reason), status=refusal.status)
    if found is None:
        return _page(context, visitor, problem=translate(visitor, _WRONG), status=422)
    password, again = visitor.form.get("password", ""), visitor.form.get("again", "")
    try:
        user = await set_password(context.services, visitor, user, password, again, work=context.services.passwords)
    except UserError as error:
        return _page(context, visitor, problem=reason_text(visitor, error.reason), status=422)
    return await signed_in(context, visitor, user, "/settings/account?changed=1")


@post("/settings/account/sign-out", status=303, needs=Needs.USER)
async def sign_out_everywhere(context: Context, visitor: Visitor) -> Response[bytes]:
    """Ends all sessions, including this one."""
    user = _user(visitor)
    await end_sessions(context.services, visitor, user)
    return signed_out(visitor)


def _user(visitor: Visitor) -> User:
    if visitor.user is None:  # the middleware lets no other visitor in
        raise TypeError(visitor)
    return visitor.user


def _page(
    context: Context, visitor: Visitor, *, problem: str = "", status: int = 200, changed: bool = False
) -> Response[bytes]:
    with_password = context.services.settings.password_sign_in is Switch.ON and bool(_user(visitor).password_hash)
    return page(
        visitor,
        "settings_account.html",
        status=status,
        problem=problem,
        min_chars=MIN_PASSWORD_CHARS,
        changed=changed,
        with_password=with_password,
    )


OPERATIONS = (settings, show, change_password, sign_out_everywhere)
