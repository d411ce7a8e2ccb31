"""Where servers and commands come from: one process that has loaded all of Nicobar forks each of them, since to load
it takes longer than most of them live. They become children of the harness itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from asyncio.subprocess import PIPE
from asyncio.subprocess import Process as Subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec

from chaos.plan import QUICK_VARIABLE, Birth

TESTS = Path(__file__).parents[1]
# prctl(2): makes a process the parent of those below it whose own parent is gone.
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Makes orphans below this process its children. Linux only."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


class Process:
    """A child that this process did not start itself. `returncode` is as asyncio has it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._handle = os.pidfd_open(pid)
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._handle, self._reap)

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing if it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        found = os.waitid(os.P_PIDFD, self._handle, os.WEXITED)
        assert found is not None
        self.returncode = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        os.close(self._handle)
        self._ended.set()


class Nursery:
    """Made by `nursery`."""

    def __init__(self, process: Subprocess) -> None:
        self._process = process
        self._one_at_a_time = asyncio.Lock()

    async def bear(self, birth: Birth) -> Process:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._one_at_a_time:
            self._process.stdin.write(msgspec.json.encode(birth) + b"\n")
            return Process(int(await self._process.stdout.readline()))


@contextlib.asynccontextmanager
async def nursery(environment: Mapping[str, str], log: Path, *, quick: bool) -> AsyncIterator[Nursery]:
    """All processes of the nursery have what this environment preloads."""
    own = {"PYTHONPATH": str(TESTS)} | ({QUICK_VARIABLE: "1"} if quick else {})
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "chaos.server",
            env={**environment, **own},
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
        )
    try:
        yield Nursery(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
