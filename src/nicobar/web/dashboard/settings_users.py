"""`/settings/users`: who may sign in, and as what. An owner invites by a link that sets a password, once."""

from __future__ import annotations

from nicobar.errors import NicobarError, UserError
from nicobar.model import User, UserRole
from nicobar.store import PutLink, RemoveLink, RemoveUser, SetRole
from nicobar.use_cases.users import check_name, new_link
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, not_found
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post


@get("/settings/users", needs=Needs.USER)
async def show_all(context: Context, visitor: Visitor) -> Response[bytes]:
    """Everybody, and the links that are open."""
    return await _page(context, visitor)


@post("/settings/users/invite", status=201, needs=Needs.OWNER)
async def invite(context: Context, visitor: Visitor) -> Response[bytes]:
    """Makes a link for somebody new; it is shown this once, so the page is the answer."""
    name = visitor.form.get("name", "").strip()
    try:
        role = _role(visitor)
        check_name(name)
        if await context.services.store.user(name) is not None:
            raise UserError("user_exists", "Another user has this name.", "Choose another one.")  # noqa: TRY301 - the form says so
    except UserError as problem:
        return await _page(context, visitor, name=name, problem=problem)
    link, path = new_link(name, role, context.now_ms())
    await context.services.change(visitor, "user.invite", name, PutLink(link=link), app_id=None, detail=role.value)
    return await _page(context, visitor, made=visitor.base_url + path, made_for=name)


@post("/settings/users/withdraw", status=303, needs=Needs.OWNER)
async def withdraw(context: Context, visitor: Visitor) -> Response[bytes]:
    """Ends a link."""
    name = visitor.form.get("name", "")
    if all(link.name != name for link in await context.services.store.links(now_ms=context.now_ms())):
        raise not_found("link")
    await context.services.change(visitor, "user.withdraw-link", name, RemoveLink(name=name), app_id=None)
    return redirect("/settings/users")


@post("/settings/users/{user_id}/link", status=201, needs=Needs.OWNER)
async def offer_password(user_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Makes a link for somebody who has lost their password; it is shown this once."""
    async with context.services.changing:
        known = await _user(context, user_id)
        link, path = new_link(known.name, known.role, context.now_ms())
        await context.services.change(
            visitor, "user.offer-password", known.id, PutLink(link=link), app_id=None, detail=known.name
        )
    return await _page(context, visitor, made=visitor.base_url + path, made_for=known.name)


@post("/settings/users/{user_id}/role", status=303, needs=Needs.OWNER)
async def set_role(user_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Gives somebody another role, from their next page on."""
    known = await _user(context, user_id)
    try:
        role = _role(visitor)
        changed = SetRole(user_id=known.id, role=role)
        await context.services.change(
            visitor, "user.set-role", known.id, changed, app_id=None, detail=f"{known.name}: {role.value}"
        )
    except UserError as problem:
        return await _page(context, visitor, problem=problem)
    return redirect("/settings/users")


@get("/settings/users/{user_id}/remove", needs=Needs.OWNER)
async def ask_remove(user_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Says what removing means, and asks."""
    return page(visitor, "user_remove.html", known=await _user(context, user_id))


@post("/settings/users/{user_id}/remove", status=303, needs=Needs.OWNER)
async def remove(user_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Takes somebody out, who is signed out everywhere."""
    known = await _user(context, user_id)
    try:
        removed = RemoveUser(user_id=known.id)
        await context.services.change(visitor, "user.remove", known.id, removed, app_id=None, detail=known.name)
    except UserError as problem:
        return await _page(context, visitor, problem=problem)
    return redirect("/settings/users")


async def _user(context: Context, user_id: str) -> User:
    for user in await context.services.store.users():
        if user.id == user_id:
            return user
    raise not_found("user")


def _role(visitor: Visitor) -> UserRole:
    try:
        return UserRole(visitor.form.get("role", ""))
    except ValueError as error:
        raise UserError("role_unknown", "There is no such role.", "Choose one of the list.") from error


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
    users = await context.services.store.users()
    return page(
        visitor,
        "settings_users.html",
        status=422 if problem else 201 if made else 200,
        users=users,
        links=await context.services.store.links(now_ms=now_ms),
        names={user.name for user in users},
        roles=list(UserRole),
        made=made,
        made_for=made_for,
        name=name,
        problem=problem,
        now_ms=now_ms,
    )


OPERATIONS = (show_all, invite, withdraw, offer_password, set_role, ask_remove, remove)
