"""The demo's processes over one PostgreSQL server: two that receive and two that deliver."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import msgspec

from nicobar.cli.postgres_server import PostgresServer, until_eof
from nicobar.errors import UserError
from nicobar.setting_sources import ENVIRONMENT_PREFIX
from nicobar.settings import Role, Settings

ROLES = (Role.WEB, Role.WEB, Role.WORKER, Role.WORKER)
# What a worker logs once an attempt is stored.
_ENDED = frozenset({"delivered", "retry scheduled", "failed", "canceled"})


class _Line(msgspec.Struct):
    """What is read of a line of a process's log."""

    event: str = ""
    url: str | None = None
    attempt_id: str | None = None
    detail: str | None = None


@contextmanager
def own_postgres() -> Iterator[str]:
    """The URL of an empty database on a server that ends with the block."""
    # Not below another directory: the server may run as another user, who could not reach it.
    directory = Path(tempfile.mkdtemp(prefix="nicobar-pg-"))
    try:
        server = PostgresServer(directory)
        try:
            yield server.url("postgres")
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def processes(settings: Settings, ended: Callable[[str, str], None]) -> AsyncIterator[list[str]]:
    """Runs `nicobar serve` with these settings in one process for each role. Gives the URLs of those that receive;
    `ended` gets the name of the worker and the id of each attempt.
    """
    async with AsyncExitStack() as stack:
        running = []
        for number, role in enumerate(ROLES):
            # A worker listens only where it is told a port.
            port = (settings.port if number == 0 else 0) if role is Role.WEB else Settings().port
            name = f"{role.value} {1 + ROLES[:number].count(role)}"
            own = msgspec.structs.replace(settings, role=role, port=port)
            running.append(await stack.enter_async_context(_process(name, own, ended)))
        urls = await asyncio.gather(*running)
        yield [url for url in urls if url]


@asynccontextmanager
async def _process(
    name: str, settings: Settings, ended: Callable[[str, str], None]
) -> AsyncIterator[asyncio.Future[str]]:
    """The URL of the process, once it runs: empty for a worker."""
    command = [sys.executable, "-m", "nicobar", "serve"]
    process = await asyncio.create_subprocess_exec(
        *until_eof(command, "TERM"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(settings),
        start_new_session=True,
    )
    running: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reader = asyncio.create_task(_follow(name, process, running, ended))
    try:
        yield running
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
        await reader
        with contextlib.suppress(UserError, asyncio.CancelledError):
            running.result()


async def _follow(
    name: str, process: asyncio.subprocess.Process, running: asyncio.Future[str], ended: Callable[[str, str], None]
) -> None:
    detail = ""
    while process.stderr is not None and (text := await process.stderr.readline()):
        try:
            line = msgspec.json.decode(text, type=_Line)
        except msgspec.DecodeError:
            detail = text.decode(errors="replace").strip()
            continue
        if line.event == "running" and not running.done():
            running.set_result(line.url or "")
        elif line.event in _ENDED and line.attempt_id is not None:
            ended(name, line.attempt_id)
    if not running.done():
        running.set_exception(UserError("demo_failed", f"Process {name} did not start: {detail}", "Run it again."))


def _environment(settings: Settings) -> dict[str, str]:
    """Every setting that is not the default, as its variable, and no other of this process's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
    for field in msgspec.structs.fields(Settings):
        value = getattr(settings, field.name)
        if value != field.default:
            kept[f"{ENVIRONMENT_PREFIX}{field.name.upper()}"] = str(value)
    return kept
