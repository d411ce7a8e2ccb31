"""Manages child processes, gives them jobs, and enforces each job's time limit by killing the child."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from nicobar.errors import SandboxError
from nicobar.reasons import reason
from nicobar.sandbox import Bounds, Broken, Failure, Job, Result
from nicobar.sandbox.replies import InvalidReply, judge, max_reply_bytes
from nicobar.sandbox.wire import LENGTH_BYTES, MAX_GREETING_BYTES, Batch, Greeting, Reply, frame, frame_length, read

# Callers take turns by slices. Each child delays a caller by at most this long, or by one event of another caller.
SLICE_MS = 100
SLICE_JOBS = 16
# Code that takes longer than this per event never uses all children, if there is more than one.
HEAVY_US = 20_000
SLICE_BYTES = 4 * 1024 * 1024
START_MS = 60_000
MAX_STARTS = 3
EXIT_MS = 5_000
MAX_PACES = 1_000
CHILD = (sys.executable, "-I", "-m", "nicobar.sandbox.child")
_DROPPED_BYTES = 65_536
_NUMBER_BITS = 62
# The errors when a child ends before its reply is complete.
_DEATHS = (OSError, EOFError)

T = TypeVar("T")


@dataclass(slots=True)
class _Slice:
    """A few jobs of one caller, and the future for their results."""

    jobs: Sequence[Job]
    done: asyncio.Future[list[Result]]


class SandboxPool:
    """A `Sandbox` of `children` processes. `on_kill` gets the reason why a child was killed.

    A caller has at most as many slices queued as there are children, and a slice of slow code has fewer events, so
    that neither a large page nor a slow handler delays the others; the queue is bounded by the number of callers.
    Slow code never occupies all children.
    """

    def __init__(
        self, *, children: int = 2, bounds: Bounds | None = None, on_kill: Callable[[str], None] | None = None
    ) -> None:
        self._count = children
        self._bounds = bounds or Bounds()
        self._on_kill = on_kill or (lambda _reason: None)
        self._waiting: asyncio.Queue[_Slice] = asyncio.Queue()
        self._keepers: list[asyncio.Task[None]] = []
        self._paces = _Paces()
        self._heavy_places = asyncio.Semaphore(max(1, children - 1))
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
        """Stops the children. Running jobs are lost."""
        self._closed = True
        for task in self._keepers:
            task.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        while not self._waiting.empty():
            self._waiting.get_nowait().done.cancel()

    async def run(self, jobs: Sequence[Job]) -> list[Result]:
        """Raises SandboxError if no child can be started."""
        if self._closed or not self._keepers:
            raise SandboxError("sandbox_closed", "The sandbox is not running.", "Start it before running handlers.")
        places = asyncio.Semaphore(self._count)
        handed_in: list[asyncio.Task[list[Result]]] = []
        given = 0
        while given < len(jobs):
            await places.acquire()
            if any(task.done() and task.exception() for task in handed_in):
                break
            part = _slice(jobs, given, self._paces.get(jobs[given].code_id))
            given += len(part)
            heavy = (self._paces.get(part[0].code_id) or 0) > HEAVY_US
            task = asyncio.create_task(self._hand_in_heavy(part) if heavy else self._hand_in(part))
            task.add_done_callback(lambda _task: places.release())
            handed_in.append(task)
        parts = await asyncio.gather(*handed_in)
        return [result for part in parts for result in part]

    async def _hand_in_heavy(self, part: Sequence[Job]) -> list[Result]:
        async with self._heavy_places:
            return await self._hand_in(part)

    async def _hand_in(self, part: Sequence[Job]) -> list[Result]:
        done: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Slice(part, done))
        results = await done
        self._paces.learn(part[0].code_id, [self._took_us(result) for result in results])
        return results

    def _took_us(self, result: Result) -> int:
        """The duration of a run; the maximum for a run that was stopped from outside."""
        killed = isinstance(result, Broken) and result.failure is Failure.TIMED_OUT
        return self._bounds.cpu_ms * 1_000 if killed else result.duration_us


class _Paces:
    """How long one event takes, by code; unknown for new code."""

    def __init__(self) -> None:
        self._us: OrderedDict[str, float] = OrderedDict()

    def get(self, code_id: str) -> float | None:
        return self._us.get(code_id)

    def learn(self, code_id: str, took_us: Sequence[int]) -> None:
        mean = sum(took_us) / len(took_us)
        pace_us = self._us.get(code_id, mean)
        # A slower pace counts at once, a faster one after a few slices.
        self._us[code_id] = max(mean, (3 * pace_us + mean) / 4)
        self._us.move_to_end(code_id)
        if len(self._us) > MAX_PACES:
            self._us.popitem(last=False)


def _slice(jobs: Sequence[Job], start: int, pace_us: float | None) -> Sequence[Job]:
    """The next few jobs of one code: about as many as take `SLICE_MS`, one if the pace is unknown."""
    most = 1 if pace_us is None else max(1, min(SLICE_JOBS, int(SLICE_MS * 1_000 / max(pace_us, 1))))
    size_bytes = 0
    for index in range(start, min(len(jobs), start + most)):
        size_bytes += len(jobs[index].body)
        if index > start and (size_bytes > SLICE_BYTES or jobs[index].code_id != jobs[start].code_id):
            return jobs[start:index]
    return jobs[start : start + most]


class _Keeper:
    """One child process, which is replaced after it was killed."""

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
                except Exception as error:  # noqa: BLE001 - the caller gets the error; a keeper that ends stops all jobs
                    if not isinstance(error, SandboxError):
                        await self._kill("crashed")  # it is unknown how much the child has read
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
            try:
                await self._some(jobs[len(results) :], results)
            except TimeoutError:
                results.append(await self._timed_out())
            except (*_DEATHS, InvalidReply) as error:
                # Another cause or the previous event may have ended the child: the event is retried alone.
                results.append(await self._used_up(error) or await self._alone(jobs[len(results)]))
        return results

    async def _alone(self, job: Job) -> Result:
        """Retries an event whose process ended in a new process. It fails if that one ends too."""
        results: list[Result] = []
        try:
            await self._some([job], results)
        except TimeoutError:
            return await self._timed_out()
        except _DEATHS as error:
            why = reason(
                "crashed", "The process that ran the handler crashed twice, the second time with this event alone."
            )
            return await self._used_up(error) or Broken(failure=Failure.CRASHED, reason=why)
        except InvalidReply as error:
            why = reason(
                "reply_invalid",
                "The process that ran the handler sent an invalid reply twice: %(error)s. The replies "
                "were discarded.",
                error=str(error),
            )
            return await self._used_up(error) or Broken(failure=Failure.BAD_RESULT, reason=why)
        return results[0]

    async def _used_up(self, error: Exception) -> Broken | None:
        """Stops the child; returns the failure if the kernel stopped it first, for its CPU time."""
        if self._child is not None and isinstance(error, _DEATHS):
            # Killing a process that has just ended loses its exit status.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EXIT_MS / 1000):
                    await self._child.wait()
        if await self._end() != -signal.SIGPROF:
            self._on_kill("crashed")
            return None
        self._on_kill("timed_out")
        why = reason(
            "cpu_time",
            "The handler used more than %(cpu_ms)s ms of CPU time and was stopped. Check its regular expressions.",
            cpu_ms=self._bounds.cpu_ms,
        )
        return Broken(failure=Failure.TIMED_OUT, reason=why)

    async def _timed_out(self) -> Broken:
        await self._kill("timed_out")
        why = reason(
            "ended_from_outside",
            "The handler did not finish within %(wall_ms)s ms and was stopped.",
            wall_ms=self._bounds.wall_ms,
        )
        return Broken(failure=Failure.TIMED_OUT, reason=why, may_pass=True)

    async def _some(self, jobs: Sequence[Job], results: list[Result]) -> None:
        """Appends the results one by one; raises if the child does not send the next one."""
        child = await self._alive()
        codes = {job.code_id: job.code for job in jobs}
        bare = tuple(msgspec.structs.replace(job, code="") for job in jobs)
        # Unpredictable: a reply that was sent too early or twice matches no job.
        first_number = secrets.randbits(_NUMBER_BITS)
        request = frame(Batch(bounds=self._bounds, first_number=first_number, codes=codes, jobs=bare))
        if child.stdin is None:
            raise EOFError
        child.stdin.write(request)
        for number in range(first_number, first_number + len(jobs)):
            async with asyncio.timeout(self._bounds.wall_ms / 1000):
                await child.stdin.drain()
                reply = await _receive(child, Reply, max_reply_bytes(self._bounds))
            results.append(judge(reply, number, self._bounds))

    async def _alive(self) -> Process:
        if self._child is not None and self._child.returncode is None:
            return self._child
        for _ in range(MAX_STARTS):
            try:
                child = await self._start()
                async with asyncio.timeout(START_MS / 1000):
                    await _receive(child, Greeting, MAX_GREETING_BYTES)
            except (*_DEATHS, InvalidReply, TimeoutError):
                await self._end()
            else:
                return child
        raise SandboxError(
            "sandbox_unavailable",
            "The sandbox process failed to start %(starts)s times in a row.",
            "Run `nicobar doctor`, and check the machine's memory and process limits.",
            starts=MAX_STARTS,
        )

    async def _start(self) -> Process:
        """A cancellation waits for the process, so that it can be killed: uvloop would leave it running."""
        creating = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *CHILD, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={"TZ": "UTC", "LC_ALL": "C.UTF-8"}
            )
        )
        try:
            self._child = await asyncio.shield(creating)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                self._child = await creating
            raise
        return self._child

    async def _kill(self, reason: str) -> None:
        self._on_kill(reason)
        await self._end()

    async def _end(self) -> int | None:
        """Stops the child; returns its exit status."""
        child, self._child = self._child, None
        return None if child is None else await end(child)


async def end(child: Process) -> int:
    """Kills the process; returns its exit status. What it has written is read and dropped: the event loop waits for
    the end of its output, and does not see it while the reader has paused because too much was not read.
    """
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
    if child.stdin is not None:
        child.stdin.close()
    while child.stdout is not None and await child.stdout.read(_DROPPED_BYTES):
        pass
    return await child.wait()


async def _receive(child: Process, kind: type[T], max_bytes: int) -> T:
    """The child's next frame; its length is checked before the content is read. Raises InvalidReply."""
    if child.stdout is None:
        raise EOFError
    head = await child.stdout.readexactly(LENGTH_BYTES)
    try:
        length_bytes = frame_length(head, max_bytes)
    except ValueError as error:
        raise InvalidReply(str(error)) from error
    content = await child.stdout.readexactly(length_bytes)
    try:
        return read(content, kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidReply("an unreadable frame") from error
