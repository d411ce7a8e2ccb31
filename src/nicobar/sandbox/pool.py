"""Gives jobs to child processes, and enforces each job's time limit by killing the child."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Self

import msgspec

from nicobar.errors import SandboxError
from nicobar.reasons import reason
from nicobar.sandbox import Bounds, Broken, Failure, Job, Run
from nicobar.sandbox.children import DEATHS, WALL_FAILED, Child, Children
from nicobar.sandbox.replies import InvalidReply, judge, max_reply_bytes
from nicobar.sandbox.turns import QUICK_SLICE_US, Slice, Turns
from nicobar.sandbox.wire import Batch, Reply, frame

# Idle children, each with the compiled code of its application, beside those that run.
MAX_IDLE_CHILDREN = 8
LOOK_MS = 50
_NUMBER_BITS = 62


class _Request:
    """The jobs of one caller, who waits for all results."""

    def __init__(self, count: int) -> None:
        self._results: list[Run | None] = [None] * count
        self._left = count
        self.done: asyncio.Future[list[Run]] = asyncio.get_running_loop().create_future()

    def settle(self, index: int, result: Run) -> None:
        self._results[index] = result
        self._left -= 1
        if self._left == 0 and not self.done.done():
            self.done.set_result([result for result in self._results if result is not None])

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class _Item:
    """One job of a request."""

    __slots__ = ("_index", "job", "request")

    def __init__(self, request: _Request, index: int, job: Job) -> None:
        self.request = request
        self._index = index
        self.job = job

    @property
    def is_wanted(self) -> bool:
        return not self.request.done.done()

    def settle(self, result: Run) -> None:
        self.request.settle(self._index, result)

    def fail(self, error: Exception) -> None:
        self.request.fail(error)


class SandboxPool:
    """A `Sandbox` that runs up to `children` slices at a time (see `turns.py`), each in a process of its application.
    `walled`: with the second isolation layer, on systems that have it. `on_kill` gets the reason why a child was
    killed.
    """

    def __init__(
        self,
        *,
        children: int = 2,
        bounds: Bounds | None = None,
        walled: bool = True,
        on_kill: Callable[[str], None] | None = None,
    ) -> None:
        self._turns: Turns[_Item] = Turns(children)
        self._bounds = bounds or Bounds()
        self._on_kill = on_kill or (lambda _reason: None)
        self._children = Children(walled=walled)
        self._idle: OrderedDict[Child, None] = OrderedDict()
        self._requests: set[_Request] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._is_open = False
        self._warming: asyncio.Task[None] | None = None
        self._failure: SandboxError | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Returns at once: the first child starts now, not with the first event."""
        self._is_open = True
        self._warming = self._begin(self._warm_up())

    @property
    def is_walled(self) -> bool:
        """Whether children have the second isolation layer."""
        return self._children.is_walled

    async def check_wall(self) -> None:
        """Raises SandboxError if the second isolation layer cannot be used here."""
        if self._warming is not None:
            await asyncio.wait([self._warming])
        if self._failure is not None and self._failure.code == WALL_FAILED:
            raise self._failure

    async def close(self) -> None:
        """Stops the children. Running jobs are lost."""
        self._is_open = False
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for request in self._requests:
            request.fail(_closed())
        self._idle.clear()
        await self._children.close()

    async def run(self, jobs: Sequence[Job]) -> list[Run]:
        """Raises SandboxError if no child can be started."""
        if not self._is_open:
            raise _closed()
        if not jobs:
            return []
        request = _Request(len(jobs))
        for index, job in enumerate(jobs):
            self._turns.add(_Item(request, index, job))
        self._requests.add(request)
        try:
            self._fill()
            return await request.done
        finally:
            self._requests.discard(request)

    def _fill(self) -> None:
        """Starts what the free places allow."""
        while self._is_open and (part := self._turns.next()) is not None:
            self._begin(self._work_off(part))

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="sandbox")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _warm_up(self) -> None:
        try:
            self._give_back(await self._children.start(""))
        except SandboxError as error:  # callers get their own
            self._failure = error

    async def _work_off(self, part: Slice[_Item]) -> None:
        left = deque(part.items)
        try:
            await self._run_in_child(part, left)
        except Exception as error:  # noqa: BLE001 - the callers get the error; other slices go on
            for item in left:
                item.fail(error)
        else:
            self._turns.put_back(left)
        finally:
            self._turns.ended(part)
            self._fill()

    async def _run_in_child(self, part: Slice[_Item], left: deque[_Item]) -> None:
        """Settles the events of the slice and removes them from `left`; the rest is left if the child has to end."""
        child = await self._child(part.app_id)
        run = _Run(child, self._bounds, is_compiled=child.has_run(part.code_id))
        look = None if part.is_known_slow else partial(self._turns.is_waited_for, part)
        try:
            async with run.interrupted_if(look):
                for number in await run.send([item.job for item in left]):
                    result = await run.receive(number, left[0].job)
                    left.popleft().settle(result)
            self._learn(part, run.mean_us, is_compiled=run.is_compiled)
            self._give_back(child)
        except Interrupted:
            # Its code now counts as slow. An event has no effects, so it can be run again.
            self._learn(part, max(run.mean_us, run.since_reply_us))
            await self._children.end(child)
        except TimeoutError:
            self._learn(part, self._bounds.cpu_ms * 1_000)
            left.popleft().settle(await self._timed_out(child))
        except (*DEATHS, InvalidReply) as error:
            self._learn(part, self._bounds.cpu_ms * 1_000)
            # Another cause or the previous event may have ended the child: the event is run again alone.
            result = await self._used_up(child, error) or await self._alone(left[0].job)
            left.popleft().settle(result)
        except BaseException:
            # It is unknown how much the child has read.
            self._on_kill("crashed")
            await self._children.end(child)
            raise

    async def _alone(self, job: Job) -> Run:
        """Retries an event whose process ended in a new process. It fails if that one ends too."""
        child = await self._children.start(job.app_id)
        run = _Run(child, self._bounds)
        try:
            (number,) = await run.send([job])
            result = await run.receive(number, job)
        except TimeoutError:
            return await self._timed_out(child)
        except DEATHS as error:
            why = reason(
                "crashed", "The process that ran the handler crashed twice, the second time with this event alone."
            )
            used_up = await self._used_up(child, error)
            if child.is_lost:  # not because of the event
                raise _starter_ended() from error
            return used_up or Broken(failure=Failure.CRASHED, reason=why)
        except InvalidReply as error:
            why = reason(
                "reply_invalid",
                "The process that ran the handler sent an invalid reply twice: %(error)s. The replies "
                "were discarded.",
                error=str(error),
            )
            return await self._used_up(child, error) or Broken(failure=Failure.BAD_RESULT, reason=why)
        self._give_back(child)
        return result

    async def _used_up(self, child: Child, error: Exception) -> Broken | None:
        """Stops the child; returns the failure if the kernel stopped it first, for its CPU time."""
        is_dead = isinstance(error, DEATHS)
        status = await (self._children.exit_status(child) if is_dead else self._children.end(child))
        if status != -signal.SIGPROF:
            self._on_kill("crashed")
            return None
        self._on_kill("timed_out")
        why = reason(
            "cpu_time",
            "The handler used more than %(cpu_ms)s ms of CPU time and was stopped. Check its regular expressions.",
            cpu_ms=self._bounds.cpu_ms,
        )
        return Broken(failure=Failure.TIMED_OUT, reason=why)

    async def _timed_out(self, child: Child) -> Broken:
        self._on_kill("timed_out")
        await self._children.end(child)
        why = reason(
            "ended_from_outside",
            "The handler did not finish within %(wall_ms)s ms and was stopped.",
            wall_ms=self._bounds.wall_ms,
        )
        return Broken(failure=Failure.TIMED_OUT, reason=why, may_pass=True)

    def _learn(self, part: Slice[_Item], us: float, *, is_compiled: bool = True) -> None:
        self._turns.paces.learn(part.app_id, part.code_id, us, is_compiled=is_compiled)

    async def _child(self, app_id: str) -> Child:
        """An idle child of the application, or a new one. Raises SandboxError."""
        for child in [child for child in reversed(self._idle) if child.app_id == app_id]:
            del self._idle[child]
            if child.is_alive:
                return child
            await self._children.end(child)
        return await self._children.start(app_id)

    def _give_back(self, child: Child) -> None:
        """Keeps the child for its application's next slice; the one that has been idle longest ends."""
        self._idle[child] = None
        if len(self._idle) > MAX_IDLE_CHILDREN and self._is_open:
            longest, _ = self._idle.popitem(last=False)
            self._begin(self._end(longest))

    async def _end(self, child: Child) -> None:
        await self._children.end(child)


class Interrupted(Exception):
    """A slice took too long while others waited."""


class _Run:
    """An exchange of jobs and replies with a child. Unless the code `is_compiled`, the first event includes that, and
    does not count once there is another.
    """

    def __init__(self, child: Child, bounds: Bounds, *, is_compiled: bool = True) -> None:
        self._child = child
        self._bounds = bounds
        self.is_compiled = is_compiled
        self._began_us = self._started_us = self._reply_us = child.cpu_us()
        self._replies = 0
        self._timer: asyncio.TimerHandle | None = None
        self._interrupted = False

    @property
    def mean_us(self) -> float:
        """The CPU time of an event."""
        return (self._reply_us - self._started_us) / max(1, self._replies)

    @property
    def since_reply_us(self) -> float:
        return max(0, self._child.cpu_us() - self._reply_us)

    async def send(self, jobs: Sequence[Job]) -> range:
        """Returns the numbers of the replies: unpredictable, so that a reply that was sent too early or twice matches
        no job.
        """
        codes = {job.code_id: job.code for job in jobs}
        bare = tuple(msgspec.structs.replace(job, code="") for job in jobs)
        first_number = secrets.randbits(_NUMBER_BITS)
        batch = Batch(bounds=self._bounds, first_number=first_number, codes=codes, jobs=bare)
        self._child.writer.write(frame(batch))
        return range(first_number, first_number + len(jobs))

    async def receive(self, number: int, job: Job) -> Run:
        """The result of a job, whose reply has this number. Raises TimeoutError, one of DEATHS, or InvalidReply."""
        async with asyncio.timeout(self._bounds.wall_ms / 1000):
            await self._child.writer.drain()
            reply = await self._child.receive(Reply, max_reply_bytes(self._bounds))
        if self._replies and not self.is_compiled:
            self.is_compiled, self._started_us, self._replies = True, self._reply_us, 0
        self._reply_us = self._child.cpu_us()
        self._replies += 1
        return judge(reply, number, self._bounds, has_ledger=job.ledger is not None)

    @asynccontextmanager
    async def interrupted_if(self, is_awaited: Callable[[], bool] | None) -> AsyncIterator[None]:
        """Raises Interrupted if the exchange has used the CPU time of a slice, and more, while others wait."""
        loop = asyncio.get_running_loop()

        def look() -> None:
            is_long = self._child.cpu_us() - self._began_us > QUICK_SLICE_US
            if is_long and is_awaited is not None and is_awaited():
                self._interrupted = True
                self._child.writer.transport.abort()
            else:
                self._timer = loop.call_later(LOOK_MS / 1_000, look)

        if is_awaited is not None:
            self._timer = loop.call_later(LOOK_MS / 1_000, look)
        try:
            yield
            if self._interrupted:  # after the last reply had arrived
                raise Interrupted
        except DEATHS as error:
            if self._interrupted:
                raise Interrupted from error
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()


def _starter_ended() -> SandboxError:
    return SandboxError(
        "sandbox_unavailable",
        "The sandbox process ended while handlers ran.",
        "Run `nicobar doctor`, and check the machine's memory and process limits.",
    )


def _closed() -> SandboxError:
    return SandboxError("sandbox_closed", "The sandbox is not running.", "Start it before running handlers.")
