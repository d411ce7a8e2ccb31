"""Keeps child processes, hands them jobs, and holds the clock on each job by killing the child."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec

from nicobar.errors import SandboxError
from nicobar.sandbox import Bounds, Broken, Failure, Job, Result
from nicobar.sandbox.wire import LENGTH_BYTES, Batch, Reply, frame, frame_length, read

SLICE_JOBS = 16
SLICE_BYTES = 4 * 1024 * 1024
START_MS = 15_000
MAX_STARTS = 3


@dataclass(slots=True)
class _Slice:
    """A few jobs of one caller, and where their results go."""

    jobs: Sequence[Job]
    done: asyncio.Future[list[Result]]


class SandboxPool:
    """A `Sandbox` of `children` processes. `on_kill` is told why a child was ended.

    A caller has at most as many slices in line as there are children, so that a large one does not hold up a small
    one, and what waits is bounded by the number of callers.
    """

    def __init__(
        self, *, children: int = 2, bounds: Bounds | None = None, on_kill: Callable[[str], None] | None = None
    ) -> None:
        self._count = children
        self._bounds = bounds or Bounds()
        self._on_kill = on_kill or (lambda _reason: None)
        self._waiting: asyncio.Queue[_Slice] = asyncio.Queue()
        self._keepers: list[asyncio.Task[None]] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        for number in range(self._count):
            keeper = _Keeper(self._bounds, self._on_kill)
            self._keepers.append(asyncio.create_task(keeper.run(self._waiting), name=f"sandbox {number}"))

    async def close(self) -> None:
        """Ends the children. Jobs that are still running are lost to their callers."""
        self._closed = True
        for task in self._keepers:
            task.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        while not self._waiting.empty():
            self._waiting.get_nowait().done.cancel()

    async def run(self, jobs: Sequence[Job]) -> list[Result]:
        """Raises SandboxError when no child can be started."""
        if self._closed or not self._keepers:
            raise SandboxError("sandbox_closed", "The sandbox is not running.", "Start it before giving it work.")
        places = asyncio.Semaphore(self._count)

        async def hand_in(part: Sequence[Job]) -> list[Result]:
            async with places:
                done: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
                self._waiting.put_nowait(_Slice(part, done))
                return await done

        parts = await asyncio.gather(*(hand_in(part) for part in _slices(jobs)))
        return [result for part in parts for result in part]


def _slices(jobs: Sequence[Job]) -> list[Sequence[Job]]:
    slices: list[Sequence[Job]] = []
    start = size_bytes = 0
    for index, job in enumerate(jobs):
        own_bytes = len(job.body)
        if index > start and (index - start >= SLICE_JOBS or size_bytes + own_bytes > SLICE_BYTES):
            slices.append(jobs[start:index])
            start, size_bytes = index, 0
        size_bytes += own_bytes
    if len(jobs) > start:
        slices.append(jobs[start:])
    return slices


class _Keeper:
    """One place for a child; a child that had to be ended is replaced for the next jobs."""

    def __init__(self, bounds: Bounds, on_kill: Callable[[str], None]) -> None:
        self._bounds = bounds
        self._on_kill = on_kill
        self._child: Process | None = None

    async def run(self, waiting: asyncio.Queue[_Slice]) -> None:
        try:
            # The first child starts now, not with the first event.
            with contextlib.suppress(SandboxError):
                await self._alive()
            while True:
                part = await waiting.get()
                if part.done.cancelled():
                    continue
                try:
                    results = await self._work(part.jobs)
                except SandboxError as error:
                    if not part.done.done():
                        part.done.set_exception(error)
                else:
                    if not part.done.done():
                        part.done.set_result(results)
        finally:
            await self._end()

    async def _work(self, jobs: Sequence[Job]) -> list[Result]:
        results: list[Result] = []
        while len(results) < len(jobs):
            child = await self._alive()
            try:
                await self._some(child, jobs[len(results) :], results)
            except TimeoutError:
                await self._kill("timed_out")
                reason = f"The handler ran longer than {self._bounds.wall_ms} ms and had to be ended from outside."
                results.append(Broken(failure=Failure.TIMED_OUT, reason=reason, may_pass=True))
            except (OSError, EOFError, ValueError, msgspec.DecodeError):
                await self._kill("crashed")
                reason = "The process that ran the handler ended; the other events were run by another one."
                results.append(Broken(failure=Failure.CRASHED, reason=reason, may_pass=True))
        return results

    async def _some(self, child: Process, jobs: Sequence[Job], results: list[Result]) -> None:
        """Adds one result after the other; raises where the child does not give the next one."""
        codes = {job.code_id: job.code for job in jobs}
        bare = tuple(msgspec.structs.replace(job, code="") for job in jobs)
        request = frame(Batch(bounds=self._bounds, codes=codes, jobs=bare))
        if child.stdin is None:
            raise EOFError
        child.stdin.write(request)
        for _ in jobs:
            async with asyncio.timeout(self._bounds.wall_ms / 1000):
                await child.stdin.drain()
                reply = await _receive(child)
            if reply.result is None:
                raise ValueError("a second greeting")
            results.append(reply.result)

    async def _alive(self) -> Process:
        if self._child is not None and self._child.returncode is None:
            return self._child
        for _ in range(MAX_STARTS):
            try:
                self._child = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-I",
                    "-m",
                    "nicobar.sandbox.child",
                    stdin=PIPE,
                    stdout=PIPE,
                    stderr=DEVNULL,
                    env={"TZ": "UTC", "LC_ALL": "C.UTF-8"},
                )
                async with asyncio.timeout(START_MS / 1000):
                    await _receive(self._child)
            except (OSError, EOFError, ValueError, TimeoutError, msgspec.DecodeError):
                await self._end()
            else:
                return self._child
        raise SandboxError(
            "sandbox_unavailable",
            f"The process that runs handlers could not be started, {MAX_STARTS} times in a row.",
            "Run `nicobar doctor`; check the machine's memory and process limits.",
        )

    async def _kill(self, reason: str) -> None:
        self._on_kill(reason)
        await self._end()

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        if child.stdin is not None:
            child.stdin.close()
        await child.wait()


async def _receive(child: Process) -> Reply:
    if child.stdout is None:
        raise EOFError
    head = await child.stdout.readexactly(LENGTH_BYTES)
    return read(await child.stdout.readexactly(frame_length(head)), Reply)
