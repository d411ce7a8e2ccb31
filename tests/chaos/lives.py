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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chaos.plan import NOTE_VARIABLE, REQUESTS_VARIABLE, Plan, Point
from chaos.takeovers import Sending
from support.patience import PATIENCE_MS, PATIENCE_S

TESTS = Path(__file__).parents[1]
LOOK_S = 0.01
# prctl(2): makes a process the parent of those below it whose own parent is gone.
_PR_SET_CHILD_SUBREAPER = 36
# proc(5): the parent and the session in what follows a process's name.
PARENT, _SESSION = 1, 3


@dataclass(frozen=True, slots=True)
class Files:
    """Where a server notes where it died, its requests, and its log."""

    note: Path
    requests: Path
    log: Path


class Life:
    """One server, made by `load`: everything is imported, nothing is opened. It leads a session of its own, by which
    the processes that it started are known.
    """

    def __init__(self, process: Process, number: int, port: int, files: Files) -> None:
        self.process = process
        self.number = number
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._files = files

    @classmethod
    async def load(
        cls,
        flags: Sequence[str],
        environment: Mapping[str, str],
        *,
        port: int,
        directory: Path,
        number: int,
    ) -> Life:
        files = Files(*(directory / f"server-{number:03}.{name}" for name in ("note", "requests", "log")))
        own = {"PYTHONPATH": str(TESTS), NOTE_VARIABLE: str(files.note), REQUESTS_VARIABLE: str(files.requests)}
        with files.log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "chaos.server",
                "serve",
                f"--port={port}",
                *flags,
                env={**environment, **own},
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                start_new_session=True,
            )
        return cls(process, number, port, files)

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

    async def freeze(self, duration_s: float) -> None:
        self.process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(duration_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    def children(self) -> list[int]:
        """The processes that it started: they run handlers."""
        return list(processes(PARENT, self.process.pid))

    async def stop(self) -> None:
        """In order, as an operator would."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        if not await self.dies_within(PATIENCE_S):
            await self.kill()

    def died_at(self) -> Point | None:
        """The point that the server noted before it killed itself."""
        if not self._files.note.exists():
            return None
        return msgspec.json.decode(self._files.note.read_bytes(), type=Point)

    def sendings(self) -> list[Sending]:
        """The requests that it noted, the oldest first."""
        if not self._files.requests.exists():
            return []
        return [msgspec.json.decode(line, type=Sending) for line in _whole_lines(self._files.requests)]

    def internal_errors(self) -> list[str]:
        """The lines of its log that nothing outside of it explains."""
        return [
            f"{self._files.log.name}: {line.decode()[:1_000]}"
            for line in _whole_lines(self._files.log)
            if line.startswith(b"Traceback") or b'"exception"' in line
        ]

    def bury_orphans(self) -> int:
        """Waits for what the dead server had started; ends what lives on, and returns how many those were."""
        survivors = 0
        for pid in processes(_SESSION, self.process.pid):
            handle = os.pidfd_open(pid)
            try:
                if not _ends(handle):
                    survivors += 1
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                os.waitid(os.P_PIDFD, handle, os.WEXITED)
            finally:
                os.close(handle)
        return survivors


def adopt_orphans() -> None:
    """Makes orphans of dead servers children of this process. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _whole_lines(path: Path) -> list[bytes]:
    """A kill may have cut the last one."""
    return path.read_bytes().rpartition(b"\n")[0].splitlines()


def processes(place: int, number: int) -> Iterator[int]:
    """Those whose statistics have this number in this place."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        # A process may end while we look.
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[place]) == number:
                yield int(path.parent.name)


def _ends(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(PATIENCE_MS))
