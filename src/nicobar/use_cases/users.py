"""The users of the dashboard: invited by a link that sets a password, once; changed and removed."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from nicobar.audit import AuditAction
from nicobar.crypto import hash_password, hash_token, new_url_token
from nicobar.errors import Refusal, UserError
from nicobar.ids import IdFactory
from nicobar.model import PasswordLink, User, UserRole
from nicobar.settings import Settings, Switch
from nicobar.store import Catalogue, EndSessions, PutLink, RemoveLink, RemoveUser, SetPassword, SetRole, Users
from nicobar.use_cases.edit import Actor, Edit, OperationServices, audit_line, edited
from nicobar.use_cases.passwords import PasswordWork, check_password

OWNER = "owner"  # the name of the first user
LINK_MS = 24 * 3_600_000
MAX_NAME_CHARS = 64
SETUP_PATH = "/setup/"


def new_link(name: str, role: UserRole, now_ms: int) -> tuple[PasswordLink, str]:
    """A link that sets a user's password within a day, and its path, of which only the hash is kept."""
    token = new_url_token()
    link = PasswordLink(
        name=name, sha256=hash_token(token), role=role, created_at_ms=now_ms, expires_at_ms=now_ms + LINK_MS
    )
    return link, SETUP_PATH + token


async def offer_setup_link(catalogue: Catalogue, now_ms: int) -> str:
    """The path of a link that sets the owner's password, for a process that starts without one; the link before it
    ends.
    """
    link, path = new_link(OWNER, UserRole.OWNER, now_ms)
    await catalogue.change([PutLink(link=link)])
    return path


async def offer_owner_link(services: OperationServices, actor: Actor) -> str:
    """The same on request, for an owner who may have a password already."""

    async def change(edit: Edit) -> str:
        owner = await services.store.user(OWNER)
        subject = owner.id if owner else OWNER
        link, path = new_link(OWNER, UserRole.OWNER, services.clock.now_ms())
        action = AuditAction.USER_OFFER_PASSWORD
        await edit.commit(action, subject, PutLink(link=link), app_id=None, detail=OWNER)
        return path

    return await edited(services, actor, change)


def check_passwords(settings: Settings) -> None:
    """Raises Refusal 403 where users do not sign in with passwords."""
    if settings.password_sign_in is Switch.OFF:
        raise Refusal(
            403,
            "password_sign_in_off",
            "Sign-in with passwords is off.",
            "Sign in with the provider. To turn passwords on, change password_sign_in.",
        )


async def usable_link(services: OperationServices, token: str) -> PasswordLink | None:
    """The link with this secret. Where passwords are off, only the owner's: the operator's way back."""
    link = await services.store.link(hash_token(token), now_ms=services.clock.now_ms())
    is_off = services.settings.password_sign_in is Switch.OFF
    return None if link is None or (is_off and link.name != OWNER) else link


async def invite_user(services: OperationServices, actor: Actor, name: str, role: UserRole) -> str:
    """The path of a link by which a new user sets a password. Raises UserError, and Refusal 403 without passwords."""
    check_passwords(services.settings)
    check_name(name)

    async def change(edit: Edit) -> str:
        if await services.store.user(name) is not None:
            raise UserError("user_exists", "A user named %(name)s already exists.", "Choose another name.", name=name)
        link, path = new_link(name, role, services.clock.now_ms())
        await edit.commit(AuditAction.USER_INVITE, name, PutLink(link=link), app_id=None, detail=role.value)
        return path

    return await edited(services, actor, change)


async def withdraw_link(services: OperationServices, actor: Actor, name: str) -> None:
    """Ends the link of a user name. Raises Refusal 404."""

    async def change(edit: Edit) -> None:
        links = await services.store.links(now_ms=services.clock.now_ms())
        if all(link.name != name for link in links):
            raise Refusal(
                404, "not_found", "No link for %(name)s found.", "It may have been used or withdrawn.", name=name
            )
        await edit.commit(AuditAction.USER_WITHDRAW_LINK, name, RemoveLink(name=name), app_id=None)

    await edited(services, actor, change)


async def offer_password(services: OperationServices, actor: Actor, user_id: str) -> tuple[User, str]:
    """A user who has lost their password, and the path of a link that sets a new one. Raises Refusal 404, and 403
    without passwords.
    """
    check_passwords(services.settings)

    async def change(edit: Edit) -> tuple[User, str]:
        user = await find_user(services.store, user_id)
        link, path = new_link(user.name, user.role, services.clock.now_ms())
        action = AuditAction.USER_OFFER_PASSWORD
        await edit.commit(action, user.id, PutLink(link=link), app_id=None, detail=user.name)
        return user, path

    return await edited(services, actor, change)


async def set_role(services: OperationServices, actor: Actor, user_id: str, role: UserRole) -> None:
    """Gives a user another role, from their next request on. Raises Refusal 404, and UserError for the last owner."""

    async def change(edit: Edit) -> None:
        user = await find_user(services.store, user_id)
        detail = f"{user.name}: {role.value}"
        put = SetRole(user_id=user.id, role=role)
        await edit.commit(AuditAction.USER_SET_ROLE, user.id, put, app_id=None, detail=detail)

    await edited(services, actor, change)


async def remove_user(services: OperationServices, actor: Actor, user_id: str) -> None:
    """Deletes a user, whose sessions end. Raises Refusal 404, and UserError for the last owner."""

    async def change(edit: Edit) -> None:
        user = await find_user(services.store, user_id)
        removal = RemoveUser(user_id=user.id)
        await edit.commit(AuditAction.USER_REMOVE, user.id, removal, app_id=None, detail=user.name)

    await edited(services, actor, change)


async def set_password(
    services: OperationServices, actor: Actor, user: User, password: str, again: str, *, work: PasswordWork
) -> User:
    """Gives a user a new password and ends their sessions; returns the user. Raises UserError for a password that is
    not allowed.
    """

    def hashed() -> str:
        check_password(password, again, user.name)
        return hash_password(password)

    put = SetPassword(user_id=user.id, password_hash=await work.run(hashed))

    async def change(edit: Edit) -> None:
        ended = EndSessions(user_id=user.id)
        await edit.commit(AuditAction.USER_SET_PASSWORD, user.id, put, ended, app_id=None, detail=user.name)

    await edited(services, actor, change)
    return msgspec.structs.replace(user, password_hash=put.password_hash)


async def end_sessions(services: OperationServices, actor: Actor, user: User) -> None:
    """Signs a user out everywhere."""

    async def change(edit: Edit) -> None:
        ended = EndSessions(user_id=user.id)
        await edit.commit(AuditAction.USER_END_SESSIONS, user.id, ended, app_id=None, detail=user.name)

    await edited(services, actor, change)


async def set_up_user(
    services: OperationServices, link: PasswordLink, password: str, again: str, *, work: PasswordWork
) -> tuple[User, bool] | None:
    """Sets the password of a link's user, who may be new; returns the user, and whether they are. None where the link
    has expired or was used. Raises UserError for a password that is not allowed.
    """
    now_ms = services.clock.now_ms()

    def make() -> User:
        check_password(password, again, link.name)
        return make_user(services.ids, link, password, now_ms)

    made = await work.run(make)
    user = await services.store.user(link.name)
    action = AuditAction.USER_SET_PASSWORD if user else AuditAction.USER_CREATE
    subject = user.id if user else made.id
    line = audit_line(services, NamedActor(f"user {link.name}"), action, subject, app_id=None, detail=link.name)
    if not await services.store.set_up(link.sha256, made, line, now_ms=now_ms):
        return None
    return await services.store.user(link.name) or made, user is None


class NamedActor(NamedTuple):
    """An actor with only a name."""

    name: str


async def find_user(people: Users, user_id: str) -> User:
    """Raises Refusal 404."""
    for user in await people.users():
        if user.id == user_id:
            return user
    raise Refusal(404, "not_found", "User %(id)s not found.", "The user may have been deleted.", id=user_id)


def check_name(name: str) -> None:
    """Raises UserError for a name that is not allowed."""
    if not 1 < len(name) <= MAX_NAME_CHARS or not name.isprintable() or name != name.strip():
        raise UserError(
            "user_name_invalid",
            "Invalid user name: must have 2 to %(max_name_chars)s characters.",
            "Use no spaces at the start or end.",
            max_name_chars=MAX_NAME_CHARS,
        )


def make_user(ids: IdFactory, link: PasswordLink, password: str, now_ms: int) -> User:
    """The user that a link is for, with this password. Needs about 50 ms."""
    return User(
        id=ids.new("usr"),
        name=link.name,
        role=link.role,
        password_hash=hash_password(password),
        created_at_ms=now_ms,
    )
