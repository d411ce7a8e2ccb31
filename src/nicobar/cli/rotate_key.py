"""`nicobar rotate-key`: stored secrets get another key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nicobar.cli.options import COMMAND_LINE, open_services, plural, run_loop, setting_options, settings_of
from nicobar.crypto import MAX_KEYS, Vault, new_key
from nicobar.errors import UserError
from nicobar.settings import Settings
from nicobar.store.backup_keys import save_keys
from nicobar.store.installation import read_key_file
from nicobar.use_cases.key_rotation import Rotation
from nicobar.use_cases.key_rotation import rotate_key as rotate

# The most purposes that a line names.
MAX_NAMED = 5


@click.command("rotate-key")
@click.option(
    "--add-key", is_flag=True, help="Only add a new random key to secret.key. Restart all processes afterwards."
)
@setting_options("data_dir", "database_url")
def rotate_key(*, add_key: bool, **flags: Any) -> None:
    """Encrypt all stored secrets with the last key of NICOBAR_SECRET_KEY or secret.key, while Nicobar runs. Then the
    other keys can be removed. It can be repeated at any time.
    """
    settings = settings_of(flags)
    if add_key:
        _add_key(settings)
        return
    rotation = run_loop(_rotate(settings))
    click.echo("\n".join(_lines(settings, rotation)))


async def _rotate(settings: Settings) -> Rotation:
    async with open_services(settings) as it:
        return await rotate(it, COMMAND_LINE, _print_step)


def _print_step(done: int, left: int) -> None:
    click.echo(f"… {plural(done, 'value')} encrypted again, {left} left")


def _lines(settings: Settings, rotation: Rotation) -> list[str]:
    lines = [f"● All stored secrets are encrypted with the key {rotation.key_id}; {rotation.resealed} were changed."]
    if rotation.unreadable:
        named = ", ".join(rotation.unreadable[:MAX_NAMED])
        more = len(rotation.unreadable) - MAX_NAMED
        others = f" and {more} more" if more > 0 else ""
        lines.append(f"▲ Not changed, as no key opens them: {named}{others}. Enter these secrets again.")
    where = "NICOBAR_SECRET_KEY" if settings.secret_key else str(settings.key_path)
    unused = ", ".join(rotation.unused_key_ids)
    lines.append(
        f"Nothing is left with {unused}. Remove it from {where} and restart all processes. Keep it with the backups "
        "that were created before: they need it."
    )
    return lines


def _add_key(settings: Settings) -> None:
    path: Path = settings.key_path
    if settings.secret_key:
        raise UserError(
            "key_in_setting",
            "The keys are in the setting secret_key, which this command cannot change.",
            "Add 64 random hexadecimal digits (`openssl rand -hex 32`) to it, after the current key and a comma.",
        )
    keys = read_key_file(path)
    if not keys:
        raise UserError("key_missing", f"There is no key file {path}.", "Run this where `nicobar serve` runs.")
    if len(keys) >= MAX_KEYS:
        raise UserError(
            "too_many_keys", f"{path} has {len(keys)} keys already.", "Run `nicobar rotate-key`, and remove old keys."
        )
    added = new_key()
    save_keys([*keys, added], path, like=path)
    click.echo(
        f"● {path}: added the key {Vault(added).key_id}. Save the file, restart all processes, and run "
        "`nicobar rotate-key`."
    )
