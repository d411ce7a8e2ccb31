"""`python -m chaos.destinations COUNT`: so many emulators of Customer.io in one process, until it is told to stop.
Prints a line with their addresses once they listen.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import click

from nicobar.emulator.app import create_app
from nicobar.emulator.state import State
from nicobar.web.serving import Server

TESTS = Path(__file__).parents[1]


@asynccontextmanager
async def destinations(count: int, directory: Path) -> AsyncIterator[list[str]]:
    """The addresses of so many running emulators."""
    with (directory / "destinations.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "chaos.destinations",
            str(count),
            env={"PYTHONPATH": str(TESTS)},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=log,
        )
    try:
        assert process.stdout is not None
        found = re.findall(r"http://\S+", (await process.stdout.readline()).decode())
        if len(found) != count:
            raise click.ClickException("The emulators did not start.")
        yield found
    finally:
        process.terminate()
        await process.wait()


async def _serve(count: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with AsyncExitStack() as stack:
        servers = [await Server.start(create_app(State()), "127.0.0.1", 0) for _ in range(count)]
        for server in servers:
            stack.push_async_callback(server.stop)
        click.echo(" ".join(server.url for server in servers))
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
