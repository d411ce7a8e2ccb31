"""`nicobar apply` and `nicobar export`: the configuration as a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import msgspec

from nicobar.cli.options import (
    CommandLine,
    CommandServices,
    new_installation_option,
    open_services,
    run_loop,
    sandbox_of,
    setting_options,
    settings_of,
)
from nicobar.connectors.registry import connector
from nicobar.connectors.transport import HttpTransport
from nicobar.crypto import Vault
from nicobar.errors import NicobarError
from nicobar.model import Endpoint
from nicobar.pipeline.carried_settings import read_snapshot
from nicobar.pipeline.configuration import open_endpoint
from nicobar.sandbox import Sandbox
from nicobar.settings import Settings
from nicobar.sources.registry import source_kind
from nicobar.store import Snapshot
from nicobar.store.location import locate
from nicobar.use_cases.applications import default_application
from nicobar.use_cases.config_file import ACTOR, Document, EndpointEntry, Plan, Planner, read_document
from nicobar.use_cases.config_file_export import write_document
from nicobar.use_cases.dry_run import dry_target, run_samples
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.sample_events import application_samples, samples_of

CHECK_TIMEOUT_MS = 5_000


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--prune", is_flag=True, help="Delete sources, endpoints and alert targets that are not in FILE.")
@click.option("--dry-run", is_flag=True, help="Show the changes without making them.")
@new_installation_option
@setting_options("data_dir", "database_url", "allowed_addresses", "host", "port", "public_url")
def apply(*, file: Path, prune: bool, dry_run: bool, new_installation: bool, **flags: Any) -> None:
    """Apply the configuration in FILE. On an error, nothing is changed and the exit code is 1. Applying it again
    changes nothing. A ▲ needs a fix, but the file is applied and the exit code is 0: for a check, run doctor.
    """
    settings = settings_of(flags)
    run_loop(_apply(settings, file, prune=prune, dry_run=dry_run, new_installation=new_installation))


async def _apply(settings: Settings, file: Path, *, prune: bool, dry_run: bool, new_installation: bool) -> None:
    document = read_document(file)
    async with sandbox_of(settings) as sandbox:
        location = locate(settings.database)
        if await asyncio.to_thread(location.exists):
            async with open_services(settings) as it:
                await _carry_out(it, sandbox, settings, document, file.parent, prune=prune, dry_run=dry_run)
            return
        if dry_run:
            click.echo(f"planned: create database {location.name}")
        # An invalid file must not leave a new database behind, so it is planned on a temporary one first.
        with TemporaryDirectory(prefix="nicobar-plan-") as directory:
            planned = Settings(data_dir=Path(directory), allowed_addresses=settings.allowed_addresses)
            async with open_services(planned, create=True, quiet=True) as it:
                if dry_run:
                    await _carry_out(it, sandbox, settings, document, file.parent, prune=prune, dry_run=True)
                    return
                await _plan(it, it.snapshot, sandbox, document, file.parent, prune=prune)
        async with open_services(settings, create=True, new_installation=new_installation) as it:
            await _carry_out(it, sandbox, settings, document, file.parent, prune=prune, dry_run=False)


async def _plan(
    it: CommandServices, snapshot: Snapshot, sandbox: Sandbox, document: Document, folder: Path, *, prune: bool
) -> Plan:
    planner = Planner(it, snapshot, sandbox=sandbox, folder=folder, environment=os.environ)
    return await planner.plan(document, prune=prune)


async def _carry_out(
    it: CommandServices,
    sandbox: Sandbox,
    settings: Settings,
    document: Document,
    folder: Path,
    *,
    prune: bool,
    dry_run: bool,
) -> None:
    async def change(edit: Edit) -> Plan:
        plan = await _plan(it, edit.snapshot, sandbox, document, folder, prune=prune)
        if not dry_run:
            await edit.commit_acts(plan.acts)
        return plan

    plan = await edited(it, CommandLine(ACTOR), change)
    for sentence in plan.sentences:
        click.echo(f"{'planned: ' if dry_run else ''}{sentence}")
    for note in plan.notes:
        click.echo(f"▲ {note}")
    for name in plan.unlisted:
        click.echo(f"{name}: not in the file, kept (--prune deletes it)")
    if not plan.acts:
        click.echo("No changes.")
    snapshot = _of_default_application(await read_snapshot(it.store))
    await _print_coverage(it, sandbox, document, folder, snapshot)
    if not dry_run:
        wanted = {entry.name for entry in document.endpoints if not entry.disabled}
        await _check_credentials(
            settings, it.vault, [endpoint for endpoint in snapshot.endpoints if endpoint.name in wanted]
        )
    address = settings.public_url.rstrip("/") or f"http://{settings.host}:{settings.port}"
    for source in snapshot.sources:
        click.echo(f"source {source.name}: {address}/in/{source.token}")


def _of_default_application(snapshot: Snapshot) -> Snapshot:
    """The part of the configuration that belongs to the default application."""
    app_id = default_application(snapshot).id
    return msgspec.structs.replace(
        snapshot,
        sources=tuple(source for source in snapshot.sources if source.app_id == app_id),
        endpoints=tuple(endpoint for endpoint in snapshot.endpoints if endpoint.app_id == app_id),
    )


async def _print_coverage(
    it: CommandServices, sandbox: Sandbox, document: Document, folder: Path, snapshot: Snapshot
) -> None:
    """Prints for each endpoint of the file which event types its handler sends something for."""
    transformations = {endpoint.name: endpoint.transformation for endpoint in snapshot.endpoints}
    samples = application_samples(snapshot, default_application(snapshot).id)
    if document.sources:  # not stored yet in a dry run
        kinds = {entry.kind: source_kind(entry.kind) for entry in document.sources}
        samples = samples_of(*kinds.values(), added=snapshot.event_types)
    for entry in document.endpoints:
        kept = transformations.get(entry.name)
        code = (folder / entry.handler).read_text("utf-8") if entry.handler else kept.code if kept else ""
        if not code:
            if connector(entry.connector).has_contract:
                click.echo(f"▲ endpoint {entry.name}: no handler, so nothing is sent. Add a handler and apply again.")
            continue
        at = dry_target(
            entry.connector, code, _variables(entry), settings=entry.settings, event_types=entry.event_types
        )
        found = await run_samples(sandbox, at, samples, it.clock.now_ms(), it.clock.steady_ms)
        mark = "▲ " if found.coverage.is_silent else ""
        click.echo(f"{mark}endpoint {entry.name}: {found.coverage.summary} {found.coverage.warning}".rstrip())


def _variables(entry: EndpointEntry) -> dict[str, str]:
    """All variables of an entry. Nothing of what its handler does with them is printed."""
    return {
        name: value if isinstance(value, str) else os.environ.get(value.env, "")
        for name, value in entry.variables.items()
    }


async def _check_credentials(settings: Settings, vault: Vault, endpoints: Sequence[Endpoint]) -> None:
    """Prints for each endpoint whether its destination accepts its credentials. The file is applied either way: a
    destination that is down now may be up tomorrow.
    """
    async with HttpTransport(
        allowed=settings.allowed, proxy=settings.proxy, timeout_ms=CHECK_TIMEOUT_MS
    ) as transport:
        for endpoint in endpoints:
            try:
                checkup = await open_endpoint(vault, endpoint).destination.check_credentials(transport)
            except NicobarError as error:
                click.echo(f"▲ endpoint {endpoint.name}: {error}")
            else:
                click.echo(f"{'●' if checkup.ok else '▲'} endpoint {endpoint.name}: {checkup.reason}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("nicobar.toml"))
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@setting_options("data_dir", "database_url")
def export(*, file: Path, force: bool, **flags: Any) -> None:
    """Write the configuration to FILE. Defaults to nicobar.toml; handlers are written next to it."""
    settings = settings_of(flags)

    async def run() -> list[Path]:
        async with open_services(settings) as it:
            return write_document(it.vault, it.snapshot, file, force=force)

    for path in run_loop(run()):
        click.echo(f"wrote {path}")
