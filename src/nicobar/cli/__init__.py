"""The command line. An error is one line with the fix, and exit code 1."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from nicobar import __version__
from nicobar.errors import NicobarError

# The module of each command. It is imported when the command is used: all of them take seconds.
MODULES = {
    "serve": "serve",
    "emulator": "emulator",
    "demo": "demo",
    "trigger": "trigger",
    "recipe": "recipe",
    "transform": "transform",
    "apply": "config_file",
    "export": "config_file",
    "token": "tokens",
    "password-link": "users",
    "resume": "endpoints",
    "enable": "endpoints",
    "identify": "identity",
    "merge": "merges",
    "ledger": "ledger",
    "replay": "replay",
    "expunge": "replay",
    "doctor": "doctor",
    "rotate-key": "rotate_key",
    "migrate": "serve",
    "backup": "backup",
    "restore": "backup",
    "compact": "backup",
    "copy": "copy",
}


class Commands(click.Group):
    """Imports a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in MODULES:
            return None
        module = import_module(f"nicobar.cli.{MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def load_commands(self) -> dict[str, click.Command]:
        """All commands by name."""
        ctx = click.Context(self)
        return {name: command for name in MODULES if (command := self.get_command(ctx, name)) is not None}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nicobar")
def group() -> None:
    """Deliver payment webhooks to Customer.io in order and through outages, so that each event counts once."""


def main() -> None:
    try:
        group(standalone_mode=True)
    except NicobarError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
