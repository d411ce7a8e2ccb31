"""`nicobar copy`: an installation moves to another database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from nicobar.cli.options import setting_options, settings_of
from nicobar.clock import Clock, SystemClock
from nicobar.database import prepare_database
from nicobar.errors import StoreUnusable, UserError
from nicobar.settings import Settings
from nicobar.store.location import Location, locate
from nicobar.use_cases.copy import Copier, End, Phase, Progress, cancel_switch

TELL_MS = 5_000
_SQLITE_NAME = "nicobar.db"
_HEADINGS = {
    Phase.COPYING: "Copying. The old database stays in use.",
    Phase.DRAINING: "Switching. The old database accepts no events: senders get 503 and retry.",
    Phase.COMPLETING: "Copying the rest and comparing everything.",
}


class _Printer:
    """Prints a line for each table, and for one that takes long every few seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told_at_ms = clock.steady_ms()

    def begin(self, phase: Phase) -> None:
        click.echo(_HEADINGS[phase])

    def copied(self, progress: Progress, *, is_complete: bool) -> None:
        if not is_complete and not (progress.rows and self._is_time()):
            return
        if progress.rows or progress.written or progress.checksum:
            mark = "●" if is_complete else "…"
            checksum = f", checksum {progress.checksum}" if progress.checksum else ""
            click.echo(f"{mark} {progress.table}: {progress.rows} rows, {progress.written} written{checksum}")

    def wait(self, under_way: int) -> None:
        if self._is_time():
            click.echo(f"… deliveries being sent: {under_way}")

    def _is_time(self) -> bool:
        now_ms = self._clock.steady_ms()
        if now_ms - self._told_at_ms < TELL_MS:
            return False
        self._told_at_ms = now_ms
        return True


@click.command("copy")
@click.option(
    "--from",
    "source",
    help="Database to copy: a URL, a SQLite file or a data directory. Defaults to nicobar.db in data_dir.",
)
@click.option("--to", "database_url", help="Database to copy to, as a URL. Defaults to the setting database_url.")
@click.option("--switch", is_flag=True, help="Stop the old database, copy the rest, verify, and mark it as moved.")
@click.option("--cancel", is_flag=True, help="End an interrupted switch. The old database is in use again.")
@setting_options("data_dir")
def copy(*, source: str | None, switch: bool, cancel: bool, **flags: Any) -> None:
    """Copy everything to another, empty database, while Nicobar runs. Repeat it at any time: only differences are
    copied. With --switch, Nicobar then continues on the new database.
    """
    if switch and cancel:
        raise UserError("options_exclusive", "--switch and --cancel exclude each other.", "Use one of them.")
    settings = settings_of(_with_directory(source, flags))
    clock = SystemClock()
    source_url = _url(source or str(settings.data_dir))
    own = msgspec.structs.replace(settings, database_url=source_url, database_listen_url="")
    old = _prepared_source(own, clock)
    if cancel:
        with _end(old) as end:
            cancel_switch(end)
        click.echo(f"Canceled. {old.name} is in use again.")
        return
    if not settings.database_url:
        raise UserError("target_missing", "No database to copy to.", "Pass --to with its URL.")
    new = locate(settings.database, settings.direct_database)
    new.migrate(None, clock.now_ms())
    with _end(old) as source_end, _end(new) as target_end:
        copier = Copier(source_end, target_end, clock=clock, sleep_ms=_sleep, listener=_Printer(clock))
        if not switch:
            copier.copy()
            click.echo("Copied. The old database is still in use. To switch, run the command with --switch.")
            return
        copier.switch()
    click.echo(
        f"Switched. {old.name} accepts nothing more, and Nicobar does not start with it.\n"
        f"Start every process with the URL of {new.name} as database_url, and with the same key."
    )


@contextmanager
def _end(location: Location) -> Iterator[End]:
    contents = location.contents()
    try:
        yield End(name=location.name, contents=contents)
    finally:
        contents.close()


def _sleep(wait_ms: int) -> None:
    time.sleep(wait_ms / 1000)


def _prepared_source(settings: Settings, clock: Clock) -> Location:
    """Up to date, and opened by its key."""
    location = locate(settings.database)
    if not location.exists():
        raise StoreUnusable("no_database", f"No Nicobar database at {location.name}.", "Correct --from.")
    try:
        prepare_database(settings, clock.now_ms(), new_installation=False)
    except StoreUnusable as error:
        # A switch that was killed after its last step is completed; any other run reports where the data is.
        if error.code != "database_moved":
            raise
    return location


def _with_directory(source: str | None, flags: dict[str, Any]) -> dict[str, Any]:
    """The key of a file is beside it, unless a data directory is given."""
    if source is None or "://" in source or flags["data_dir"] is not None:
        return flags
    path = Path(source)
    return flags | {"data_dir": str(path if path.is_dir() else path.parent)}


def _url(source: str) -> str:
    if "://" in source:
        return source
    path = Path(source)
    return f"sqlite:///{path / _SQLITE_NAME if path.is_dir() else path}"
