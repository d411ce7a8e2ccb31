"""`nicobar serve`, `nicobar migrate`."""

from __future__ import annotations

import gc
from typing import Any

import click

from nicobar.cli.options import (
    new_installation_option,
    origins_of,
    run_loop,
    setting_options,
    settings_of,
    start_logs,
)
from nicobar.clock import SystemClock
from nicobar.database import prepare_database
from nicobar.logs import log
from nicobar.runtime import Runtime
from nicobar.runtime import serve as run_server
from nicobar.store.location import locate


@click.command()
@new_installation_option
@setting_options()
def serve(*, new_installation: bool, **flags: Any) -> None:
    """Receive and deliver webhooks until stopped."""
    settings = settings_of(flags)
    start_logs(settings)

    def started(runtime: Runtime) -> None:
        # What is there now stays. Looking through all of it for garbage again and again takes a sixth of the CPU.
        gc.collect()
        gc.freeze()
        address = runtime.server.url if runtime.server else None
        log.info("running", role=settings.role.value, url=address, database=locate(settings.database).name)
        if runtime.setup_url:
            # A warning, so that most log levels include it.
            log.warning("open this link within 24 hours to set the dashboard password", url=runtime.setup_url)

    run_loop(run_server(settings, started, origins_of(flags), new_installation=new_installation))


@click.command()
@new_installation_option
@setting_options("data_dir", "database_url")
def migrate(*, new_installation: bool, **flags: Any) -> None:
    """Apply pending database migrations."""
    now_ms = SystemClock().now_ms()
    _, migrated = prepare_database(settings_of(flags), now_ms, new_installation=new_installation)
    click.echo("\n".join(f"applied {name}" for name in migrated.names) or "The database is up to date.")
