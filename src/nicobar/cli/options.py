"""Shared by the commands: settings from flags, checked values, times, the event loop, an open database."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import click
import msgspec
import uvloop

from nicobar.addresses import MAX_PORT
from nicobar.clock import Clock, SystemClock, unix_ms, utc_time
from nicobar.crypto import Vault
from nicobar.database import open_store
from nicobar.errors import UserError
from nicobar.ids import IdFactory
from nicobar.logs import set_up_logs
from nicobar.model import Endpoint
from nicobar.pipeline.carried_settings import read_snapshot
from nicobar.pipeline.configuration import follow_key
from nicobar.sandbox.pool import SandboxPool
from nicobar.setting_sources import read_origins, read_settings
from nicobar.settings import SECRETS, Layers, LogFormat, Settings, description
from nicobar.store import Snapshot, Store
from nicobar.store.location import locate
from nicobar.use_cases.edit import Actor, Edit
from nicobar.use_cases.endpoints import named_endpoint

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 24 * 3_600_000}
_SPAN = re.compile(r"(\d{1,6})([smhd])")

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Integer(click.ParamType[int]):
    """A number from `least` to `most`."""

    name = "number"

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        # click's own signature.
        try:
            number = int(value)
        except ValueError:
            raise _invalid(param, ctx, "must be an integer", value) from None
        if number < self._least:
            raise _invalid(param, ctx, f"must be at least {self._least}", value)
        if number > self._most:
            raise _invalid(param, ctx, f"must be at most {self._most}", value)
        return number


class OneOf(click.Choice[str]):
    """One of these texts."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            raise _invalid(param, ctx, f"must be one of {', '.join(self.choices)}", value) from None


PORT = Integer(0, MAX_PORT)


def _invalid(param: click.Parameter | None, ctx: click.Context | None, need: str, value: object) -> click.UsageError:
    name = param.opts[-1] if param is not None else "value"
    return click.UsageError(f"Invalid {name}: {need}. Got {value!r}.", ctx)


def plural(count: int, noun: str) -> str:
    """A number of things: `1 message`, `2 deliveries`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{count} {noun}s"


def setting_options(*names: str, helps: Mapping[str, str] = MappingProxyType({})) -> Callable[[F], F]:
    """Flags for these settings (all by default) and `--settings`; click passes them on as keyword arguments. The
    settings check the values, whatever their origin. `helps` replaces descriptions that do not fit the command.
    """
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}

    def add(command: F) -> F:
        for name in reversed(names or tuple(name for name in fields if name not in SECRETS)):
            field = fields[name]
            says = helps.get(name) or description(field)
            help_text = f"{says} [default: {field.default}]" if field.default else says
            command = click.option(f"--{name.replace('_', '-')}", name, default=None, help=help_text)(command)
        file_help = "TOML file with settings. Flags and NICOBAR_* environment variables override it."
        return click.option("--settings", "settings_file", type=click.Path(path_type=Path), help=file_help)(command)

    return add


def new_installation_option(command: F) -> F:
    """`--new-installation`, for the commands that may create a database."""
    return click.option(
        "--new-installation",
        is_flag=True,
        help="Create a database for an existing key. Never replaces a database or a key.",
    )(command)


def settings_of(flags: dict[str, Any]) -> Settings:
    """Raises SettingsError."""
    return read_settings(
        {key: value for key, value in flags.items() if key != "settings_file"}, file=flags["settings_file"]
    )


def origins_of(flags: dict[str, Any]) -> dict[str, str]:
    """The origin of each setting that is not the default. Raises SettingsError."""
    return read_origins(
        {key: value for key, value in flags.items() if key != "settings_file"}, file=flags["settings_file"]
    )


def sandbox_of(settings: Settings) -> SandboxPool:
    """The sandbox of a command."""
    return SandboxPool(children=1, walled=settings.sandbox is Layers.SYSTEM)


def start_logs(settings: Settings) -> None:
    as_json = settings.log_format is LogFormat.JSON or (
        settings.log_format is LogFormat.AUTO and not sys.stderr.isatty()
    )
    set_up_logs(json=as_json, level=settings.log_level.value)


def moment(text: str, now_ms: int, *, ahead: bool = False) -> int:
    """A time in Unix milliseconds, or one relative to now, in the past or `ahead`. Raises UserError."""
    span = _SPAN.fullmatch(text)
    if span:
        span_ms = int(span[1]) * _UNITS_MS[span[2]]
        return now_ms + span_ms if ahead else now_ms - span_ms
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        where = "from now" if ahead else "before now"
        raise UserError(
            "time_invalid",
            f"Invalid time {text!r}.",
            f"Use a time such as 2026-11-24T08:00:00Z, or a duration {where} such as 30m, 6h or 2d.",
        ) from error
    return unix_ms(at)


def shown(at_ms: int) -> str:
    """A time as the commands print it."""
    return utc_time(at_ms).strftime("%Y-%m-%d %H:%M:%SZ")


def confirm(question: str) -> None:
    """Raises UserError without a terminal, click.Abort for a no."""
    if not sys.stdin.isatty():
        raise UserError("not_asked", "Confirmation needed, but there is no terminal.", "Pass --yes.")
    click.confirm(question, abort=True)


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    return uvloop.run(work)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The actor of changes by a command, as the audit log shows it."""

    name: str = "command line"


COMMAND_LINE = CommandLine()


@dataclass(frozen=True, slots=True)
class CommandServices:
    """An open database and what operations need. `snapshot` is the configuration at that time."""

    store: Store
    vault: Vault
    clock: Clock
    ids: IdFactory
    settings: Settings
    snapshot: Snapshot

    def endpoint(self, name: str) -> Endpoint:
        """Raises UserError unless exactly one endpoint has this name, id or uid."""
        return named_endpoint(self.snapshot.endpoints, name)

    def endpoint_name(self, endpoint_id: str) -> str:
        return next(
            (endpoint.name for endpoint in self.snapshot.endpoints if endpoint.id == endpoint_id), endpoint_id
        )

    def wake(self, endpoint_seqs: Sequence[int]) -> None:
        """Does nothing: the worker finds new work within a second."""

    @asynccontextmanager
    async def edit(self, actor: Actor) -> AsyncIterator[Edit]:
        """Reads the configuration again to change it."""
        snapshot = await read_snapshot(self.store)
        follow_key(self.vault, snapshot)
        yield Edit(self, actor, snapshot, self.store.snapshot)


@asynccontextmanager
async def open_services(
    settings: Settings, *, create: bool = False, quiet: bool = False, new_installation: bool = False
) -> AsyncIterator[CommandServices]:
    """Opens the database. With `create`, creates a missing one and, unless `quiet`, prints that on stderr. Raises
    StoreUnusable.
    """
    clock = SystemClock()
    location = locate(settings.database)
    is_new = create and not quiet and not await asyncio.to_thread(location.exists)
    try:
        async with open_store(settings, clock, create=create, new_installation=new_installation) as (store, vault):
            yield CommandServices(
                store=store,
                vault=vault,
                clock=clock,
                ids=IdFactory(clock.now_ms),
                settings=settings,
                snapshot=await read_snapshot(store),
            )
    finally:
        if is_new and await asyncio.to_thread(location.exists):
            click.echo(f"Created database: {location.name}", err=True)
