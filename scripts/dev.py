"""`make dev`: `nicobar serve` and `nicobar emulator` on loopback, restarted when a file of the package changes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click

import nicobar

POLL_MS = 500
NICOBAR = str(Path(sys.executable).with_name("nicobar"))
EMULATOR = "127.0.0.1:8081"
COMMANDS = (
    (NICOBAR, "emulator", "--port", "8081", "--campaigns", "journeys", "--nicobar-url", "http://127.0.0.1:8080"),
    (NICOBAR, "serve", "--host", "127.0.0.1", "--allowed-addresses", EMULATOR, "--shutdown-ms", "2000"),
)


async def run(commands: Sequence[Sequence[str]], watched: Path) -> None:
    """Runs the commands until the task is canceled. A command that exits, such as with a syntax error, is started
    again at the next change.
    """
    while True:
        before = modified_at_ns(watched)
        async with contextlib.AsyncExitStack() as stack:
            for command in commands:
                stack.push_async_callback(_stop, await asyncio.create_subprocess_exec(*command))
            while modified_at_ns(watched) == before:  # noqa: ASYNC110 - no file system event without a package
                await asyncio.sleep(POLL_MS / 1000)
        click.echo("Source changed. Restarting.")


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    await process.wait()


def modified_at_ns(directory: Path) -> dict[Path, int]:
    """When each file was last changed."""
    found = {}
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile, as editors do
            if path.is_file() and "__pycache__" not in path.parts:
                found[path] = path.stat().st_mtime_ns
    return found


async def main() -> None:
    task = asyncio.create_task(run(COMMANDS, Path(nicobar.__file__).parent))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    asyncio.run(main())
