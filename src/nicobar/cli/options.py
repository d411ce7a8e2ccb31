"""What the commands share: settings from flags, times, the event loop, and a line of the audit log."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import uvloop

from nicobar.clock import Clock
from nicobar.errors import UserError
from nicobar.observe import set_up_logs
from nicobar.settings import SECRETS, LogFormat, Settings, description, read_origins, read_settings
from nicobar.store import Audited

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 24 * 3_600_000}
_SPAN = re.compile(r"(\d{1,6})([smhd])")

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def setting_options(*names: str) -> Callable[[F], F]:
    """Flags of these settings, of all where none is named, and `--settings`; click hands all of them on as keyword
    arguments. The settings themselves check the values, wherever they come from.
    """
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}

    def add(command: F) -> F:
        for name in reversed(names or tuple(name for name in fields if name not in SECRETS)):
            field = fields[name]
            help_text = f"{description(field)} [default: {field.default or 'empty'}]"
            command = click.option(f"--{name.replace('_', '-')}", name, default=None, help=help_text)(command)
        file_help = "A TOML file of settings; flags and NICOBAR_* variables come before it."
        return click.option("--settings", "settings_file", type=click.Path(path_type=Path), help=file_help)(command)

    return add


def new_installation_option(command: F) -> F:
    """`--new-installation`, for the commands that an installation may begin with."""
    return click.option(
        "--new-installation",
        is_flag=True,
        help="Create a database where there is a key without one. Never replaces a database or a key.",
    )(command)


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


def moment(text: str, now_ms: int, *, ahead: bool = False) -> int:
    """Unix milliseconds of a time, or of so long ago or `ahead`. Raises UserError."""
    span = _SPAN.fullmatch(text)
    if span:
        span_ms = int(span[1]) * _UNITS_MS[span[2]]
        return now_ms + span_ms if ahead else now_ms - span_ms
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        where = "from now" if ahead else "ago"
        raise UserError(
            "time_invalid",
            f"{text!r} is no time.",
            f"Write 2026-11-24T08:00:00Z, or 30m, 6h, 2d for so long {where}.",
        ) from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def shown(at_ms: int) -> str:
    """A time as the commands print it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    return uvloop.run(work)


def said(clock: Clock, action: str, app_id: str | None, subject: str, detail: str) -> Audited:
    """A line of the audit log for what was done at the command line."""
    return Audited(
        at_ms=clock.now_ms(), actor="command line", action=action, app_id=app_id, subject=subject, detail=detail
    )
