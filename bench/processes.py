"""Starts, measures and stops the processes of a run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from nicobar.model import Record

# The command beside the interpreter that runs this.
NICOBAR = str(Path(sys.executable).with_name("nicobar"))
START_S = 30
STOP_S = 30
REPORT_S = 150
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Cost(Record):
    """What a process and its descendants have used: CPU seconds since they started, and memory now (PSS: shared pages
    are divided among those that share them).
    """

    cpu_s: float
    memory_mib: float


def cost(pid: int) -> Cost:
    """Of the process and all of its descendants. Needs Linux."""
    cpu_s = memory_kib = 0.0
    for member in _family(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # The name may hold spaces; utime, stime, cutime and cstime are fields 14 to 17 (man 5 proc).
            fields = Path(f"/proc/{member}/stat").read_text("utf-8").rpartition(")")[2].split()
            cpu_s += sum(int(ticks) for ticks in fields[11:15]) / _TICKS_PER_S
            rollup = Path(f"/proc/{member}/smaps_rollup").read_text("utf-8")
            memory_kib += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return Cost(cpu_s=cpu_s, memory_mib=memory_kib / 1024)


def _family(pid: int) -> list[int]:
    found = [pid]
    for member in found:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += [int(child) for child in children.read_text("utf-8").split()]
    return found


class Talking:
    """A process that obeys lines and answers each with a line."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def ask(self, line: str) -> str:
        """Its answer. Raises RuntimeError when it ended instead, TimeoutError when it does not answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()
        return await self.read()

    async def read(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(REPORT_S):
            line = (await self._process.stdout.readline()).decode().strip()
        if not line:
            raise RuntimeError(f"The process {self._process.pid} ended early with {await self._process.wait()}.")
        return line


@contextlib.asynccontextmanager
async def talking(module: str, *args: str) -> AsyncIterator[Talking]:
    """A Python module as a process, until the block ends."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *args, stdin=PIPE, stdout=PIPE)
    try:
        yield Talking(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await _ended(process)


@contextlib.asynccontextmanager
async def serving(
    port: int, data_dir: Path, environment: Mapping[str, str], *args: str, nicobar: Sequence[str] = (NICOBAR,)
) -> AsyncIterator[int]:
    """`nicobar serve` until the block ends, with default settings but the log level. Yields its process id."""
    command = ["serve", "--port", str(port), "--data-dir", str(data_dir), "--log-level", "warning"]
    with (data_dir / "serve.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *nicobar, *command, *args, stdin=DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment}
        )
    try:
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await _ended(process)


async def _ended(process: Process) -> None:
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
