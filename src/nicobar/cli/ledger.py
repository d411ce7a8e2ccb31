"""`nicobar ledger …`: what is remembered of customers, subscriptions and payments."""

from __future__ import annotations

from typing import Any

import click

from nicobar.cli.options import open_services, plural, run_loop, setting_options, settings_of
from nicobar.pipeline.configuration import Configuration
from nicobar.pipeline.ledger import Ledger


@click.group()
def ledger() -> None:
    """What Nicobar remembers of customers, subscriptions and payments."""


@ledger.command()
@setting_options("data_dir", "database_url")
def rebuild(**flags: Any) -> None:
    """Read all stored messages again, and remember what they say of customers. Only adds to what is known."""

    async def run() -> int:
        async with open_services(settings_of(flags)) as it:
            configuration = Configuration(it.store, it.vault, it.clock)
            await configuration.refresh()
            work = Ledger(store=it.store, configuration=configuration, clock=it.clock)
            at = await it.store.begin_rebuild()
            while (step := await work.step()) is not None:
                at = step
            return at.messages

    click.echo(f"● {plural(run_loop(run()), 'message')} read.")
