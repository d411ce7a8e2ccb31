"""What the commands share: settings from flags, and the event loop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import uvloop

from nicobar.observe import set_up_logs
from nicobar.settings import LogFormat, Settings, description, read_origins, read_settings

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def setting_options(*names: str) -> Callable[[F], F]:
    """Flags of these settings, of all where none is named, and `--settings`; click hands all of them on as keyword
    arguments. The settings themselves check the values, wherever they come from.
    """
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}

    def add(command: F) -> F:
        for name in reversed(names or tuple(fields)):
            field = fields[name]
            help_text = f"{description(field)} [default: {field.default or 'empty'}]"
            command = click.option(f"--{name.replace('_', '-')}", name, default=None, help=help_text)(command)
        file_help = "A TOML file of settings; flags and NICOBAR_* variables come before it."
        return click.option("--settings", "settings_file", type=click.Path(path_type=Path), help=file_help)(command)

    return add


def settings_of(flags: dict[str, Any]) -> Settings:
    """Raises SettingsError."""
    return read_settings(
        {key: value for key, value in flags.items() if key != "settings_file"}, file=flags["settings_file"]
    )


def origins_of(flags: dict[str, Any]) -> dict[str, str]:
    """Where the settings come from that are not the default. Raises SettingsError."""
    return read_origins(
        {key: value for key, value in flags.items() if key != "settings_file"}, file=flags["settings_file"]
    )


def start_logs(settings: Settings) -> None:
    as_json = settings.log_format is LogFormat.JSON or (
        settings.log_format is LogFormat.AUTO and not sys.stderr.isatty()
    )
    set_up_logs(json=as_json, level=settings.log_level.value)


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    return uvloop.run(work)
