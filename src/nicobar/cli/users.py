"""`nicobar password-link`: access to the dashboard for the owner."""

from __future__ import annotations

from typing import Any

import click

from nicobar.cli.options import (
    COMMAND_LINE,
    new_installation_option,
    open_services,
    run_loop,
    setting_options,
    settings_of,
)
from nicobar.use_cases.users import offer_owner_link


@click.command("password-link")
@new_installation_option
@setting_options("data_dir", "database_url", "host", "port", "public_url")
def password_link(*, new_installation: bool, **flags: Any) -> None:
    """Print a link that sets the owner's dashboard password. It works once, within 24 hours. Setting the password
    ends all sessions of the owner.
    """
    settings = settings_of(flags)

    async def run() -> str:
        async with open_services(settings, create=True, new_installation=new_installation) as it:
            return await offer_owner_link(it, COMMAND_LINE)

    click.echo((settings.public_url.rstrip("/") or f"http://{settings.host}:{settings.port}") + run_loop(run()))
