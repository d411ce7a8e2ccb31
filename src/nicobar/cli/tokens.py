"""`nicobar token`: API tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import click

from nicobar.cli.options import (
    COMMAND_LINE,
    CommandServices,
    moment,
    new_installation_option,
    open_services,
    run_loop,
    setting_options,
    settings_of,
    shown,
)
from nicobar.errors import UserError
from nicobar.model import Application, Scope, Token
from nicobar.use_cases.tokens import TokenSpec, active, create_token, revoke_token

_SCOPES = {
    (False, False): Scope.ADMIN,
    (False, True): Scope.READ_ONLY,
    (True, False): Scope.APPLICATION,
    (True, True): Scope.APPLICATION_READ_ONLY,
}


@click.group()
def token() -> None:
    """Manage API tokens."""


@token.command("create")
@click.argument("name")
@click.option("--app", "app_uid", help="Limit access to this application (uid or id).")
@click.option("--read-only", is_flag=True, help="Allow only reading, and no secrets.")
@click.option("--expires", help="Expiry: an ISO 8601 time or a duration such as 12h or 90d. [default: never]")
@new_installation_option
@setting_options("data_dir", "database_url")
def create(
    *, name: str, app_uid: str | None, read_only: bool, expires: str | None, new_installation: bool, **flags: Any
) -> None:
    """Create an API token and print it once. It has full access unless options limit it."""

    async def create_and_print(it: CommandServices) -> str:
        expires_at_ms = None if expires is None else moment(expires, it.clock.now_ms(), ahead=True)
        app_id = None if app_uid is None else _application(it.snapshot.applications, app_uid).id
        scope = _SCOPES[app_uid is not None, read_only]
        spec = TokenSpec(name=name, scope=scope, app_id=app_id, expires_at_ms=expires_at_ms)
        _, secret = await create_token(it, COMMAND_LINE, spec)
        return secret

    click.echo(_with_services(flags, create_and_print, create=True, new_installation=new_installation))


@token.command("list")
@setting_options("data_dir", "database_url")
def list_tokens(**flags: Any) -> None:
    """List tokens with their scope, expiry and last use."""

    async def read(it: CommandServices) -> str:
        names = {application.id: application.uid for application in it.snapshot.applications}
        tokens = [token for token in await it.store.tokens() if not token.portal]
        return "\n".join(_line(token, names, it.clock.now_ms()) for token in tokens)

    click.echo(_with_services(flags, read) or "No tokens yet.")


@token.command()
@click.argument("name")
@setting_options("data_dir", "database_url")
def revoke(*, name: str, **flags: Any) -> None:
    """Permanently revoke the token NAME (name or id)."""

    async def end(it: CommandServices) -> str:
        tokens = active(await it.store.tokens())
        named = [token for token in tokens if name in {token.id, token.name}]
        if len(named) > 1:
            ids = ", ".join(item.id for item in named)
            raise UserError("token_ambiguous", f"Several tokens are named {name!r}.", f"Use an id instead: {ids}.")
        found = named[0] if named else None
        if found is None:
            names = ", ".join(token.name for token in tokens) or "none"
            raise UserError("token_unknown", f"No active token named {name!r}.", f"Active tokens: {names}.")
        await revoke_token(it, COMMAND_LINE, found.id)
        return f"Token {found.name} revoked."

    click.echo(_with_services(flags, end))


def _with_services(
    flags: dict[str, Any],
    work: Callable[[CommandServices], Awaitable[str]],
    *,
    create: bool = False,
    new_installation: bool = False,
) -> str:
    async def run() -> str:
        async with open_services(settings_of(flags), create=create, new_installation=new_installation) as it:
            return await work(it)

    return run_loop(run())


def _application(applications: Sequence[Application], name: str) -> Application:
    found = next((application for application in applications if name in {application.id, application.uid}), None)
    if found is None:
        names = ", ".join(application.uid for application in applications)
        raise UserError("app_unknown", f"Application {name!r} not found.", f"Applications: {names}.")
    return found


def _line(token: Token, names: dict[str, str], now_ms: int) -> str:
    expired = token.expires_at_ms is not None and token.expires_at_ms <= now_ms
    if token.revoked_at_ms is not None:
        end = f"revoked {shown(token.revoked_at_ms)}"
    elif token.expires_at_ms is not None:
        end = f"{'expired' if expired else 'expires'} {shown(token.expires_at_ms)}"
    else:
        end = "never expires"
    where = "" if token.app_id is None else f" in {names.get(token.app_id, token.app_id)}"
    used = "never used" if token.last_used_at_ms is None else f"last used {shown(token.last_used_at_ms)}"
    mark = "○" if expired or token.revoked_at_ms is not None else "●"
    created = f"created {shown(token.created_at_ms)}"
    return f"{mark} {token.id}  {token.name}  {token.scope.value}{where}  {created}  {used}  {end}"
