"""`nicobar resume` and `nicobar enable`: start sending to an endpoint again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from shlex import quote
from typing import Any

import click

from nicobar.cli.options import COMMAND_LINE, open_services, run_loop, setting_options, settings_of
from nicobar.errors import UserError
from nicobar.use_cases import endpoints
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.endpoints import named_endpoint
from nicobar.use_cases.restore import Resumed, resume_all


@click.command()
@click.argument("endpoint", required=False)
@click.option("--all", "every", is_flag=True, help="Resume all endpoints on hold, also those held by a restore.")
@setting_options("data_dir", "database_url")
def resume(*, endpoint: str | None, every: bool, **flags: Any) -> None:
    """Resume a paused ENDPOINT, or one on hold. ENDPOINT is a name, id or uid. With --all, endpoints that a user has
    paused stay paused.
    """
    if (endpoint is None) != every:
        raise UserError("resume_what", "No endpoint given.", "Name an endpoint, or use --all.")

    async def change(edit: Edit) -> str:
        if endpoint is None:
            return _resumed(await resume_all(edit))
        found = named_endpoint(edit.snapshot.endpoints, endpoint)
        if await endpoints.resume(edit, found):
            return f"Endpoint {found.name} resumed."
        return f"Endpoint {found.name} is neither paused nor on hold. Nothing changed."

    click.echo(run_loop(_edit(flags, change)))


def _resumed(done: Resumed) -> str:
    lines = [f"Endpoint {name} resumed." for name in done.names] or ["No endpoint is on hold. Nothing changed."]
    lines += [
        f"Endpoint {endpoint.name} stays paused: {endpoint.paused_reason}. Resume it: "
        f"nicobar resume {quote(endpoint.name)}"
        for endpoint in done.still_paused
    ]
    return "\n".join(lines)


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
        stopped = f"It is still {'on hold' if found.on_hold else 'paused'}: {found.paused_reason}."
        return f"{done} {stopped} Resume it: nicobar resume {quote(found.name)}"

    click.echo(run_loop(_edit(flags, change)))


async def _edit(flags: dict[str, Any], change: Callable[[Edit], Awaitable[str]]) -> str:
    async with open_services(settings_of(flags)) as it:
        return await edited(it, COMMAND_LINE, change)
