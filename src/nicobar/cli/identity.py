"""`nicobar identify`: what identifies people at the destination of an endpoint."""

from __future__ import annotations

from typing import Any

import click

from nicobar.cli.options import (
    COMMAND_LINE,
    OneOf,
    confirm,
    open_services,
    plural,
    run_loop,
    setting_options,
    settings_of,
)
from nicobar.model import Endpoint
from nicobar.people import Fallback, Person, outline, rule_of
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.endpoints import named_endpoint
from nicobar.use_cases.identity import IdentityChange, examine, rule_for
from nicobar.use_cases.identity import identify as set_identity
from nicobar.use_cases.identity_preview import Resolved

STAYS = (
    "Waiting deliveries keep their order and will use the new identifier. Event ids do not change. The people under "
    "the previous identifier stay at the destination, with their attributes and history."
)


@click.command()
@click.argument("endpoint")
@click.option("--by", "identify_by", help="metadata.KEY, email or customer_id. Without it, show the current one.")
@click.option(
    "--fallback",
    type=OneOf([fallback.value for fallback in Fallback]),
    default=Fallback.EMAIL.value,
    show_default=True,
    help="For customers without KEY in the metadata: identify them by email, or send nothing.",
)
@click.option("--dry-run", is_flag=True, help="Only show how the latest customers would be identified.")
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
@setting_options("data_dir", "database_url")
def identify(
    *, endpoint: str, identify_by: str | None, fallback: str, dry_run: bool, yes: bool, **flags: Any
) -> None:
    """Set what identifies people at the destination of ENDPOINT, a name, id or uid. Shows how the latest customers
    were and will be identified.
    """

    async def run() -> None:
        async with open_services(settings_of(flags)) as it:
            found = it.endpoint(endpoint)
            rule = None if identify_by is None else rule_for(identify_by, fallback)
            for line in _identified(found, await examine(it, it.snapshot, found, rule or rule_of(found.settings))):
                click.echo(line)
            if rule is None or dry_run:
                return
            if not yes:
                confirm("Change it?")

            async def change(edit: Edit) -> None:
                await set_identity(edit, named_endpoint(edit.snapshot.endpoints, found.id), rule)

            await edited(it, COMMAND_LINE, change)
        click.echo(f"People at {found.name} are identified by {outline(rule)}.")

    run_loop(run())


def _identified(endpoint: Endpoint, change: IdentityChange) -> list[str]:
    """The change, or the current setting if there is none, and what it means for the latest customers."""
    before, after = outline(change.before), outline(change.after)
    if before == after:
        lines = [f"Endpoint {endpoint.name}: {after}."]
        return lines + [f"{item.key}: {_person(item.after)}" for item in change.preview.customers]
    lines = [f"Endpoint {endpoint.name}: {before} -> {after}."]
    lines += [
        f"{item.key}: {_person(item.before)} -> {_person(item.after) if item.changes else 'unchanged'}"
        for item in change.preview.customers
    ]
    waiting = plural(change.waiting, "waiting delivery")
    return [*lines, f"▲ {waiting}. {STAYS}"]


def _person(resolved: Resolved | None) -> str:
    if isinstance(resolved, Person):
        return f"{resolved.kind} {resolved.value}"
    return "set by the transformation" if resolved is None else f"no identity: {resolved.reason.detail()}"
