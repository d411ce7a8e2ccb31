"""`nicobar apply`, `export`, `password-link`, `resume`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from nicobar.admin.catalogue import named_endpoint
from nicobar.admin.files import Plan, Planner, read_document, write_document
from nicobar.admin.people import offer_link
from nicobar.admin.services import again_if_moved
from nicobar.cli.options import new_installation_option, run_loop, said, setting_options, settings_of
from nicobar.clock import SystemClock
from nicobar.connectors.transport import HttpTransport
from nicobar.crypto import Vault
from nicobar.errors import NicobarError
from nicobar.ids import IdFactory
from nicobar.model import Endpoint
from nicobar.pipeline.configuration import open_endpoint
from nicobar.runtime import open_store
from nicobar.sandbox.pool import SandboxPool
from nicobar.settings import Settings
from nicobar.store import BasedOn, PauseEndpoint

CHECK_TIMEOUT_MS = 5_000


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--prune", is_flag=True, help="Remove sources and endpoints that the file does not have.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@new_installation_option
@setting_options("data_dir", "database_url", "allowed_addresses")
def apply(*, file: Path, prune: bool, dry_run: bool, new_installation: bool, **flags: Any) -> None:
    """Make the configuration what FILE says. All of it or nothing; twice is the same as once."""
    settings = settings_of(flags)
    run_loop(_apply(settings, file, prune=prune, dry_run=dry_run, new_installation=new_installation))


async def _apply(settings: Settings, file: Path, *, prune: bool, dry_run: bool, new_installation: bool) -> None:
    document = read_document(file)
    clock = SystemClock()
    async with (
        open_store(settings, clock, new_installation=new_installation) as (store, vault),
        SandboxPool(children=1) as sandbox,
    ):

        @again_if_moved
        async def carry_out() -> Plan:
            known = await store.snapshot()
            planner = Planner(
                snapshot=known,
                vault=vault,
                ids=IdFactory(clock.now_ms),
                sandbox=sandbox,
                folder=file.parent,
                environment=os.environ,
                now_ms=clock.now_ms(),
                allowed=settings.allowed,
            )
            plan = await planner.plan(document, prune=prune)
            if plan.changes and not dry_run:
                await store.change([BasedOn(version=known.version), *plan.changes])
            return plan

        plan = await carry_out()
        for sentence in plan.sentences:
            click.echo(f"{'would be: ' if dry_run else ''}{sentence}")
        for name in plan.unlisted:
            click.echo(f"{name}: not in the file, kept (--prune removes it)")
        if not plan.changes:
            click.echo("Nothing to change.")
        snapshot = await store.snapshot()
        if not dry_run:
            wanted = {entry.name for entry in document.endpoints if not entry.disabled}
            await _check_credentials(settings, vault, [one for one in snapshot.endpoints if one.name in wanted])
        for source in snapshot.sources:
            click.echo(f"source {source.name}: http://{settings.host}:{settings.port}/in/{source.token}")


async def _check_credentials(settings: Settings, vault: Vault, endpoints: Sequence[Endpoint]) -> None:
    """Says for each endpoint whether its destination knows it. The file is applied all the same: a destination that
    is not there today may be there tomorrow.
    """
    async with HttpTransport(allowed=settings.allowed, timeout_ms=CHECK_TIMEOUT_MS) as transport:
        for endpoint in endpoints:
            try:
                checkup = await open_endpoint(vault, endpoint).destination.check_credentials(transport)
            except NicobarError as error:
                click.echo(f"▲ endpoint {endpoint.name}: {error}")
            else:
                click.echo(f"{'●' if checkup.ok else '▲'} endpoint {endpoint.name}: {checkup.detail}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("nicobar.toml"))
@click.option("--force", is_flag=True, help="Write over files that are there.")
@setting_options("data_dir", "database_url")
def export(*, file: Path, force: bool, **flags: Any) -> None:
    """Write the configuration to FILE (nicobar.toml) and its handlers beside it."""
    settings = settings_of(flags)

    async def run() -> list[Path]:
        async with open_store(settings, SystemClock()) as (store, _):
            return write_document(await store.snapshot(), file, force=force)

    for path in run_loop(run()):
        click.echo(f"wrote {path}")


@click.command("password-link")
@new_installation_option
@setting_options("data_dir", "database_url", "host", "port", "public_url")
def password_link(*, new_installation: bool, **flags: Any) -> None:
    """Print a link that sets the dashboard's password, once and within a day; sessions end with the old one."""
    settings = settings_of(flags)
    clock = SystemClock()

    async def run() -> str:
        async with open_store(settings, clock, new_installation=new_installation) as (store, _):
            return await offer_link(store, clock.now_ms())

    click.echo((settings.public_url.rstrip("/") or f"http://{settings.host}:{settings.port}") + run_loop(run()))


@click.command()
@click.argument("endpoint")
@setting_options("data_dir", "database_url")
def resume(*, endpoint: str, **flags: Any) -> None:
    """Resume an ENDPOINT (its name, id or uid) that is paused or on hold."""
    settings = settings_of(flags)
    clock = SystemClock()

    async def run() -> None:
        async with open_store(settings, clock) as (store, _):
            found = named_endpoint((await store.snapshot()).endpoints, endpoint)
            resumed = PauseEndpoint(endpoint_id=found.id, reason=None)
            await store.change([resumed, said(clock, "endpoint.resume", found.app_id, found.id, "")])

    run_loop(run())
    click.echo(f"{endpoint} sends again.")
