"""`nicobar backup`, `nicobar restore`, `nicobar compact`: the database as a file."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Any

import click
import msgspec

from nicobar.cli.options import COMMAND_LINE, open_services, plural, run_loop, setting_options, settings_of, shown
from nicobar.clock import SystemClock
from nicobar.database import make_data_dir
from nicobar.errors import StoreUnusable, UserError
from nicobar.pipeline.leases import BEAT_MS
from nicobar.settings import Settings
from nicobar.store.backup import BackupFile
from nicobar.store.backup_keys import KeyPlace, check_keys_of, key_beside, key_for_restore, save_keys
from nicobar.store.location import Location, locate
from nicobar.use_cases.edit import edited
from nicobar.use_cases.restore import Held, Restored, check_no_worker, hold_restored

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option(
    "--with-key", is_flag=True, help="Also save the key, as FILE.key. Both files together reveal the secrets."
)
@setting_options("data_dir", "database_url")
def backup(*, file: Path, force: bool, with_key: bool, **flags: Any) -> None:
    """Copy a SQLite database to FILE while Nicobar runs, and check the copy. For PostgreSQL, use pg_dump."""
    settings = settings_of(flags)
    location = _existing(settings)
    place = KeyPlace(path=settings.key_path, setting=settings.secret_key)
    target = key_beside(file)
    if with_key and not force and target.exists():
        raise UserError(
            "file_exists", f"{target} already exists.", "Choose another file, or replace it with --force."
        )
    made = location.back_up(file, force=force, now_ms=SystemClock().now_ms())
    keys = check_keys_of(place, made)
    click.echo(
        f"● {file}: {plural(made.messages, 'message')}, {plural(made.endpoints, 'endpoint')}, "
        f"{made.size_bytes / 1_000_000:,.1f} MB, no damage found.\n"
        f"Installation {made.installation_id or 'unknown'}, key {made.key_id or 'unknown'}."
    )
    if not made.is_noted:
        click.echo("▲ The backup is not in the database's list of backups. Note it: deleted data stays in it.")
    if not keys:
        raise UserError(
            "backup_without_key",
            f"The backup is complete, but its key {made.key_id or ''} is not in {place.name}.",
            "Find that key and keep it. Without it, the stored secrets cannot be read.",
        )
    if with_key:
        save_keys(keys, target)
        click.echo(f"● {target}: the key.")
    else:
        click.echo(
            f"The key is not included. Without it, the stored secrets cannot be read. Keep a copy of {place.name}."
        )


@click.command()
@click.argument("file", type=_FILE, required=False)
@click.option("--force", is_flag=True, help="Rename and keep an existing database, then restore.")
@setting_options("data_dir", "database_url")
def restore(*, file: Path | None, force: bool, **flags: Any) -> None:
    """Replace a SQLite database by the backup FILE while Nicobar is stopped. Without FILE, prepare a database that
    another tool has restored, such as pg_restore or Litestream. Then all endpoints are on hold: nothing is sent until
    `nicobar resume --all`.
    """
    settings = settings_of(flags)
    if file is None:
        _existing(settings)
        click.echo("\n".join(_lines(run_loop(_hold(settings, is_prepared=False)))))
        return
    location = locate(settings.database)
    if location.directory is not None:
        make_data_dir(settings.data_dir)
        make_data_dir(location.directory)
    with location.restoring(file, force=force, now_ms=SystemClock().now_ms()) as prepared:
        place = KeyPlace(path=settings.key_path, setting=settings.secret_key)
        with key_for_restore(place, prepared.backup) as has_new_key:
            copy = msgspec.structs.replace(settings, database_url=prepared.url)
            restored = run_loop(_hold(copy, is_prepared=True))
    click.echo("\n".join([*_placed(location, prepared.backup, prepared.aside), *_lines(restored)]))
    if has_new_key:
        click.echo(f"The key comes from {key_beside(file)} and is now in {place.path}.")


@click.command()
@setting_options("data_dir", "database_url")
def compact(**flags: Any) -> None:
    """Rewrite a SQLite database without its unused space while Nicobar is stopped. Needs free disk space for the new
    file. From then on the file gets smaller automatically after data is deleted.
    """
    location = _existing(settings_of(flags))
    done = location.compact()
    before, after = done.before_bytes / 1_000_000, done.after_bytes / 1_000_000
    click.echo(f"● {location.name}: {before:,.1f} MB before, {after:,.1f} MB now.")


def _existing(settings: Settings) -> Location:
    location = locate(settings.database)
    if location.directory is not None and not location.exists():
        raise StoreUnusable(
            "no_database",
            f"No Nicobar database at {location.name}.",
            "Run this where `nicobar serve` runs, or pass its directory with --data-dir.",
        )
    return location


async def _hold(settings: Settings, *, is_prepared: bool) -> Restored:
    location = locate(settings.database)
    if not is_prepared:
        await asyncio.to_thread(location.check_unused)
    async with open_services(settings) as it:
        if location.directory is None:
            await check_no_worker(it.store, it.clock, wait_ms=BEAT_MS + BEAT_MS // 2)
        return await edited(it, COMMAND_LINE, hold_restored)


def _placed(location: Location, backup: BackupFile, aside: Path | None) -> list[str]:
    taken = "" if backup.taken_at_ms is None else f", a backup of {shown(backup.taken_at_ms)}"
    lines = [f"Restored {location.name} from {backup.path}{taken}: {plural(backup.messages, 'message')}."]
    if aside is not None:
        lines.append(f"The previous database is kept: {aside}")
    return lines


def _lines(restored: Restored) -> list[str]:
    lines = ["All endpoints are on hold. Nothing is sent until you resume. Then this is sent:"]
    lines += [_held_line(held) for held in restored.held]
    if not restored.held:
        lines.append("○ No endpoints.")
    lines.append(
        "Deliveries that succeeded after the backup are repeated with the same ids; destinations ignore known ids."
    )
    if restored.newest_event_ms is None:
        lines.append("The backup has no events.")
    else:
        lines.append(
            f"The newest event was accepted at {shown(restored.newest_event_ms)}. Ask your senders to redeliver all "
            "later events: their ids stay the same, and those that were sent already count once."
        )
    lines.append("Start Nicobar, let the senders redeliver, then run: nicobar resume --all")
    return lines


def _held_line(held: Held) -> str:
    name = shlex.quote(held.name)
    if not held.waiting or held.oldest_ms is None:
        return f"○ {name}: no deliveries waiting."
    return f"◔ {name}: {plural(held.waiting, 'delivery')} waiting, the oldest since {shown(held.oldest_ms)}."
