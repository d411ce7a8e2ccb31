"""`/settings/users`: users and their roles. Owners invite users by a link that sets a password once."""

from __future__ import annotations

from nicobar.errors import NicobarError, UserError
from nicobar.model import UserRole
from nicobar.settings import Switch
from nicobar.use_cases import users
from nicobar.use_cases.users import find_user, invite_user, remove_user, withdraw_link
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post


@get("/settings/users", needs=Needs.USER)
async def show_all(context: Context, visitor: Visitor) -> Response[bytes]:
    """All users and pending links."""
    return await _page(context, visitor)


@post("/settings/users/invite", status=201, needs=Needs.OWNER)
async def invite(context: Context, visitor: Visitor) -> Response[bytes]:
    """Creates an invite link. It is shown once, in the response."""
    name = visitor.form.get("name", "").strip()
    try:
        role = _role(visitor)
        path = await invite_user(context.services, visitor, name, role)
    except UserError as problem:
        return await _page(context, visitor, name=name, problem=problem)
    return await _page(context, visitor, made=context.services.public_url + path, made_for=name)


@post("/settings/users/withdraw", status=303, needs=Needs.OWNER)
async def withdraw(context: Context, visitor: Visitor) -> Response[bytes]:
    """Revokes a link."""
    await withdraw_link(context.services, visitor, visitor.form.get("name", ""))
    return redirect("/settings/users")


@post("/settings/users/{user_id}/link", status=201, needs=Needs.OWNER)
async def offer_password(user_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Creates a password link for a user. It is shown once."""
    user, path = await users.offer_password(context.services, visitor, user_id)
    return await _page(context, visitor, made=context.services.public_url + path, made_for=user.name)


@post("/settings/users/{user_id}/role", status=303, needs=Needs.OWNER)
async def set_role(user_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Changes a user's role, effective with their next request."""
    try:
        await users.set_role(context.services, visitor, user_id, _role(visitor))
    except UserError as problem:
        return await _page(context, visitor, problem=problem)
    return redirect("/settings/users")


@get("/settings/users/{user_id}/remove", needs=Needs.OWNER)
async def ask_remove(user_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Explains the removal and asks for confirmation."""
    return page(visitor, "user_remove.html", user=await find_user(context.services.store, user_id))


@post("/settings/users/{user_id}/remove", status=303, needs=Needs.OWNER)
async def remove(user_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Removes a user and ends all their sessions."""
    try:
        await remove_user(context.services, visitor, user_id)
    except UserError as problem:
        return await _page(context, visitor, problem=problem)
    return redirect("/settings/users")


def _role(visitor: Visitor) -> UserRole:
    try:
        return UserRole(visitor.form.get("role", ""))
    except ValueError as error:
        raise UserError("role_unknown", "Unknown role.", "Choose one from the list.") from error


async def _page(
    context: Context,
    visitor: Visitor,
    *,
    made: str = "",
    made_for: str = "",
    name: str = "",
    problem: NicobarError | None = None,
) -> Response[bytes]:
    now_ms = context.now_ms()
    stored_users = await context.services.store.users()
    return page(
        visitor,
        "settings_users.html",
        status=422 if problem else 201 if made else 200,
        users=stored_users,
        links=await context.services.store.links(now_ms=now_ms),
        names={user.name for user in stored_users},
        roles=list(UserRole),
        made=made,
        made_for=made_for,
        name=name,
        problem=problem,
        linked_ids=await _linked_ids(context),
        with_password=context.services.settings.password_sign_in is Switch.ON,
        now_ms=now_ms,
    )


async def _linked_ids(context: Context) -> set[str]:
    """The users who sign in with the provider: their role is set there."""
    provider = context.services.provider
    if provider is None:
        return set()
    return {item.user_id for item in await context.services.store.identities(provider.settings.issuer)}


OPERATIONS = (show_all, invite, withdraw, offer_password, set_role, ask_remove, remove)
