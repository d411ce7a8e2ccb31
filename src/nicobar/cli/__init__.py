"""The command line. An error is one line with the fix, and exit code 1."""

from __future__ import annotations

import sys

import click

from nicobar import __version__
from nicobar.cli.backup import backup, compact, restore
from nicobar.cli.config_file import apply, export
from nicobar.cli.copy import copy
from nicobar.cli.demo import demo
from nicobar.cli.doctor import doctor
from nicobar.cli.endpoints import enable, resume
from nicobar.cli.recipe import recipe
from nicobar.cli.replay import expunge, replay
from nicobar.cli.serve import emulator, migrate, serve
from nicobar.cli.tokens import token
from nicobar.cli.transform import transform
from nicobar.cli.trigger import trigger
from nicobar.cli.users import password_link
from nicobar.errors import NicobarError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nicobar")
def group() -> None:
    """Deliver payment webhooks to Customer.io in order and through outages, so that each event counts once."""


for command in (
    serve,
    emulator,
    demo,
    trigger,
    recipe,
    transform,
    apply,
    export,
    token,
    password_link,
    resume,
    enable,
    replay,
    expunge,
    doctor,
    migrate,
    backup,
    restore,
    compact,
    copy,
):
    group.add_command(command)


def main() -> None:
    try:
        group(standalone_mode=True)
    except NicobarError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
