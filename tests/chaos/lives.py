"""Server processes: started ahead, released with a plan, watched until they die, then cleaned up."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import select
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from chaos.plan import NOTE_VARIABLE, Plan, Point
from support.patience import PATIENCE_MS, PATIENCE_S

TESTS = Path(__file__).parents[1]
LOOK_S = 0.01
# prctl(2): makes a process the parent of those below it whose own parent is gone.
_PR_SET_CHILD_SUBREAPER = 36


class Life:
    """One server, made by `load`: everything is imported, nothing is opened."""

    def __init__(self, process: Process, port: int, note: Path) -> None:
        self.process = process
        self._port = port
        self._note = note

    @classmethod
    async def load(
        cls, flags: Sequence[str], environment: Mapping[str, str], *, port: int, note: Path, log: int
    ) -> Life:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "chaos.server",
            "serve",
            f"--port={port}",
            *flags,
            env={**environment, "PYTHONPATH": str(TESTS), NOTE_VARIABLE: str(note)},
            stdin=PIPE,
            stdout=PIPE,
            stderr=log,
        )
        return cls(process, port, note)

    @property
    def dead(self) -> bool:
        return self.process.returncode is not None

    async def go(self, plan: Plan | None) -> None:
        """Lets it start, once it has loaded."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            await self.process.stdout.readline()
        self.process.stdin.write(msgspec.json.encode(plan) + b"\n")

    async def listening(self) -> None:
        """Returns when it listens or is dead."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.dead and not await self._listens():
                await asyncio.sleep(LOOK_S)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        return True

    async def dies_within(self, limit_s: float) -> bool:
        try:
            async with asyncio.timeout(limit_s):
                await self.process.wait()
        except TimeoutError:
            return False
        return True

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """In order, as an operator would."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        if not await self.dies_within(PATIENCE_S):
            await self.kill()

    def died_at(self) -> Point | None:
        """The point that the server noted before it killed itself."""
        if not self._note.exists():
            return None
        return msgspec.json.decode(self._note.read_bytes(), type=Point)


def adopt_orphans() -> None:
    """Makes orphans of dead servers children of this process. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def bury_orphans(own: set[int]) -> int:
    """Waits for the children that are none of `own`; ends those that live on, and returns how many those were."""
    survivors = 0
    for pid in _children() - own:
        handle = os.pidfd_open(pid)
        try:
            if not _ends(handle):
                survivors += 1
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.waitid(os.P_PIDFD, handle, os.WEXITED)
        finally:
            os.close(handle)
    return survivors


def _children() -> set[int]:
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        # A thread may end while we look.
        with contextlib.suppress(OSError):
            found |= set(map(int, path.read_text().split()))
    return found


def _ends(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(PATIENCE_MS))
