"""`nicobar resume` and `nicobar enable`: start sending to an endpoint again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from shlex import quote
from typing import Any

import click

from nicobar.cli.options import COMMAND_LINE, open_services, run_loop, setting_options, settings_of
from nicobar.use_cases import endpoints
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.endpoints import named_endpoint


@click.command()
@click.argument("endpoint")
@setting_options("data_dir", "database_url")
def resume(*, endpoint: str, **flags: Any) -> None:
    """Resume a paused ENDPOINT, or one on hold. ENDPOINT is a name, id or uid."""

    async def change(edit: Edit) -> str:
        found = named_endpoint(edit.snapshot.endpoints, endpoint)
        if await endpoints.resume(edit, found):
            return f"Endpoint {found.name} resumed."
        return f"Endpoint {found.name} is not paused. Nothing changed."

    click.echo(run_loop(_edit(flags, change)))


@click.command()
@click.argument("endpoint")
@setting_options("data_dir", "database_url")
def enable(*, endpoint: str, **flags: Any) -> None:
    """Enable a disabled ENDPOINT. ENDPOINT is a name, id or uid."""

    async def change(edit: Edit) -> str:
        found = named_endpoint(edit.snapshot.endpoints, endpoint)
        enabled = await endpoints.enable(edit, found)
        done = f"Endpoint {found.name} {'enabled' if enabled else 'is already enabled. Nothing changed'}."
        if found.paused_reason is None:
            return done
        return f"{done} It is still paused: {found.paused_reason}. Resume it: nicobar resume {quote(found.name)}"

    click.echo(run_loop(_edit(flags, change)))


async def _edit(flags: dict[str, Any], change: Callable[[Edit], Awaitable[str]]) -> str:
    async with open_services(settings_of(flags)) as it:
        return await edited(it, COMMAND_LINE, change)
