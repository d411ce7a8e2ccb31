"""What the commands share: settings from flags, and the event loop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click
import uvloop

from nicobar.observe import set_up_logs
from nicobar.settings import LogFormat, Settings, read_settings

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def setting_options(*names: str) -> Callable[[F], F]:
    """Flags of these settings, and `--settings`; click hands all of them on as keyword arguments."""

    def add(command: F) -> F:
        for name in reversed(names):
            command = click.option(f"--{name.replace('_', '-')}", name, default=None)(command)
        return click.option("--settings", "settings_file", type=click.Path(path_type=Path), default=None)(command)

    return add


def settings_of(flags: dict[str, Any]) -> Settings:
    """Raises SettingsError."""
    return read_settings(
        {key: value for key, value in flags.items() if key != "settings_file"}, file=flags["settings_file"]
    )


def start_logs(settings: Settings) -> None:
    as_json = settings.log_format is LogFormat.JSON or (
        settings.log_format is LogFormat.AUTO and not sys.stderr.isatty()
    )
    set_up_logs(json=as_json, level=settings.log_level.value)


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    return uvloop.run(work)
