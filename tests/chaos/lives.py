"""Server processes: started with a plan, watched until they die, then cleaned up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chaos.nursery import Nursery, Process
from chaos.plan import Birth, Plan, Point, Wiring
from chaos.takeovers import Sending
from support.patience import PATIENCE_MS, PATIENCE_S

LOOK_S = 0.01
# proc(5): the parent and the session in what follows a process's name.
PARENT, _SESSION = 1, 3


_CANCELED = b'CancelledError"}'


@dataclass(frozen=True, slots=True)
class Files:
    """Where a server notes where it died, its requests, and its log."""

    note: Path
    requests: Path
    log: Path


class Life:
    """One server. It leads a session of its own, by which the processes that it started are known."""

    def __init__(self, nursery: Nursery, birth: Birth, number: int, port: int, files: Files) -> None:
        self.number = number
        self.url = f"http://127.0.0.1:{port}"
        self._nursery = nursery
        self._birth = birth
        self._port = port
        self._files = files
        self._process: Process | None = None

    @classmethod
    def planned(
        cls,
        nursery: Nursery,
        flags: Sequence[str],
        environment: Mapping[str, str],
        *,
        port: int,
        directory: Path,
        number: int,
        clock: Path | None = None,
        no_sandbox: bool = False,
    ) -> Life:
        """To be started by `go`."""
        files = Files(*(directory / f"server-{number:03}.{name}" for name in ("note", "requests", "log")))
        wiring = Wiring(
            plan=None,
            note=str(files.note),
            requests=str(files.requests),
            clock=None if clock is None else str(clock),
            no_sandbox=no_sandbox,
        )
        birth = Birth(
            arguments=("serve", f"--port={port}", *flags),
            environment=dict(environment),
            out=os.devnull,
            errors=str(files.log),
            server=wiring,
        )
        return cls(nursery, birth, number, port, files)

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    @property
    def dead(self) -> bool:
        return self.process.returncode is not None

    async def go(self, plan: Plan | None) -> None:
        assert self._birth.server is not None
        server = msgspec.structs.replace(self._birth.server, plan=plan)
        self._process = await self._nursery.bear(msgspec.structs.replace(self._birth, server=server))

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
            self.process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    def children(self) -> list[int]:
        """The process that it started, and those that this one did, which run handlers."""
        starters = list(processes(PARENT, self.process.pid))
        return [*starters, *(pid for starter in starters for pid in processes(PARENT, starter))]

    async def stop(self) -> None:
        """In order, as an operator would."""
        self.process.send_signal(signal.SIGTERM)
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
        """The lines of its log that nothing outside of it explains. A request that the shutdown cancels is logged as
        an exception.
        """
        if not self._files.log.exists():
            return []
        return [
            f"{self._files.log.name}: {line.decode()[:1_000]}"
            for line in _whole_lines(self._files.log)
            if line.startswith(b"Traceback") or (b'"exception"' in line and not line.endswith(_CANCELED))
        ]

    def overtaken(self) -> list[tuple[str, str]]:
        """The deliveries that it took out of their customer's order, by endpoint and message, from its log."""
        if not self._files.log.exists():
            return []
        lines = [line for line in _whole_lines(self._files.log) if b'"event": "delivery overtaken"' in line]
        return [(entry["endpoint_id"], entry["message_id"]) for entry in map(msgspec.json.decode, lines)]

    def bury_orphans(self) -> int:
        """Waits for what the dead server had started; ends what lives on, and returns how many those were."""
        survivors = 0
        if self._process is None:
            return 0
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
