"""Starts and ends the child processes, through the starter process. A child serves one application only."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from nicobar.errors import SandboxError
from nicobar.sandbox import wall
from nicobar.sandbox.replies import InvalidReply
from nicobar.sandbox.starter import COMMAND, ENDED, KILL, START, START_WALLED
from nicobar.sandbox.wire import LENGTH_BYTES, MAX_CONTEXTS, MAX_GREETING_BYTES, Greeting, frame_length, read

START_MS = 60_000
MAX_STARTS = 3
EXIT_MS = 5_000
STARTER = (sys.executable, "-I", "-m", "nicobar.sandbox.starter")
ENVIRONMENT = {"TZ": "UTC", "LC_ALL": "C.UTF-8"}
WALL_FAILED = "sandbox_filter_failed"
# The errors when a child ends before its reply is complete.
DEATHS = (OSError, EOFError)
# Linux: the clock of all of a process's CPU time, as clock_getcpuclockid(3) makes it.
_CPU_CLOCK_BITS = 3
_CPU_CLOCK_KIND = 2

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Child:
    """A process that runs handlers of one application."""

    app_id: str
    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    # The exit status, negative for a signal; None if the starter ended first.
    ended: asyncio.Future[int | None]
    pid: int = 0
    # The codes that it has run, the latest last: it keeps as many compiled.
    codes: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def has_run(self, code_id: str) -> bool:
        """Whether it has run this code before, and so has it compiled. From now on it has."""
        has_run = code_id in self.codes
        self.codes[code_id] = None
        self.codes.move_to_end(code_id)
        if len(self.codes) > MAX_CONTEXTS:
            self.codes.popitem(last=False)
        return has_run

    @property
    def is_alive(self) -> bool:
        return not self.ended.done()

    @property
    def is_lost(self) -> bool:
        """Whether it ended because the starter did."""
        return self.ended.done() and self.ended.result() is None

    def cpu_us(self) -> int:
        """The CPU time used so far, by the kernel's count; on other systems than Linux, all time."""
        if sys.platform != "linux":
            return time.perf_counter_ns() // 1_000
        try:
            return time.clock_gettime_ns(~self.pid << _CPU_CLOCK_BITS | _CPU_CLOCK_KIND) // 1_000
        except OSError:  # it has ended
            return 0

    async def receive(self, kind: type[T], max_bytes: int) -> T:
        """The next frame; its length is checked before the content is read. Raises InvalidReply."""
        head = await self.reader.readexactly(LENGTH_BYTES)
        try:
            length_bytes = frame_length(head, max_bytes)
        except ValueError as error:
            raise InvalidReply(str(error)) from error
        content = await self.reader.readexactly(length_bytes)
        try:
            return read(content, kind)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise InvalidReply("an unreadable frame") from error


@dataclass(eq=False, slots=True)
class _Starter:
    """The running starter process, and the children that it has not reported as ended, by number."""

    process: Process
    control: socket.socket
    children: dict[int, asyncio.Future[int | None]] = field(default_factory=dict)
    following: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        """Learns which children have ended, until the starter itself has."""
        loop = asyncio.get_running_loop()
        try:
            while report := await _exactly(loop, self.control, ENDED.size):
                number, status = ENDED.unpack(report)
                self._ended(number, status)
        finally:
            for number in list(self.children):
                self._ended(number, None)

    def _ended(self, number: int, status: int | None) -> None:
        ended = self.children.pop(number, None)
        if ended is not None and not ended.done():
            ended.set_result(status)

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None and self.following is not None and not self.following.done()


class Children:
    """Starts children and ends them. Restarts the starter process if it has ended."""

    def __init__(self, *, walled: bool) -> None:
        self.is_walled = walled and wall.is_available()
        self._starter: _Starter | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._connected: set[Child] = set()

    async def start(self, app_id: str) -> Child:
        """Raises SandboxError."""
        for _ in range(MAX_STARTS):
            starter = None
            try:
                async with asyncio.timeout(START_MS / 1000):
                    starter = await self._running_starter()
                    return await self._start(starter, app_id)
            except (*DEATHS, InvalidReply, TimeoutError):
                # Another call may have replaced it already.
                if starter is not None and starter is self._starter:
                    await self._end_starter()
        raise SandboxError(
            "sandbox_unavailable",
            "The sandbox process failed to start %(starts)s times in a row.",
            "Run `nicobar doctor`, and check the machine's memory and process limits.",
            starts=MAX_STARTS,
        )

    async def _running_starter(self) -> _Starter:
        async with self._starting:
            starter = self._starter
            if starter is None or not starter.is_alive:
                await self._end_starter()
                starter = await self._start_starter()
            return starter

    async def _start(self, starter: _Starter, app_id: str) -> Child:
        number, ended = next(self._numbers), asyncio.get_running_loop().create_future()
        starter.children[number] = ended
        ours, theirs = _connection()
        try:
            with theirs:
                command = COMMAND.pack(START_WALLED if self.is_walled else START, number)
                socket.send_fds(starter.control, [command], [theirs.fileno()])
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            self._kill(number)
            raise
        child = Child(app_id, number, reader, writer, ended)
        try:
            greeting = await child.receive(Greeting, MAX_GREETING_BYTES)
        except BaseException:
            writer.transport.abort()
            self._kill(number)
            raise
        if greeting.failure:
            await self.end(child)
            raise SandboxError(
                WALL_FAILED,
                "The system call filter around handlers cannot be used: %(error)s.",
                "Run Nicobar on x86-64 or aarch64, where seccomp is allowed. To isolate handlers by the JavaScript "
                "engine only, set NICOBAR_SANDBOX=engine.",
                error=greeting.failure,
            )
        child.pid = greeting.pid
        self._connected.add(child)
        return child

    async def _start_starter(self) -> _Starter:
        """A cancellation waits for the process, so that it can be ended: uvloop would leave it running."""
        ours, theirs = _connection()
        with theirs:
            creating = asyncio.ensure_future(
                asyncio.create_subprocess_exec(
                    *STARTER, stdin=theirs.fileno(), stdout=DEVNULL, stderr=DEVNULL, env=ENVIRONMENT
                )
            )
            try:
                process = await asyncio.shield(creating)
            except asyncio.CancelledError:
                with contextlib.suppress(OSError):
                    self._starter = _Starter(await creating, ours)
                raise
            except BaseException:
                ours.close()
                raise
        starter = self._starter = _Starter(process, ours)
        starter.following = asyncio.create_task(starter.follow(), name="sandbox children")
        return starter

    async def end(self, child: Child) -> int | None:
        """Kills the child if it has not ended; returns its exit status. What it has written is dropped."""
        if child.is_alive:
            self._kill(child.number)
        self._disconnect(child)
        try:
            async with asyncio.timeout(EXIT_MS / 1000):
                return await asyncio.shield(child.ended)
        except TimeoutError:  # the starter hangs, or was stopped
            await self._end_starter()
            return None

    async def exit_status(self, child: Child) -> int | None:
        """The exit status of a child that closed its connection; killing one that is about to end would change it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EXIT_MS / 1000):
                await asyncio.shield(child.ended)
        return await self.end(child)

    def _kill(self, number: int) -> None:
        if self._starter is not None:
            # A starter that does not read its commands is ended after a while, by `end`.
            with contextlib.suppress(OSError):
                self._starter.control.send(COMMAND.pack(KILL, number))

    def _disconnect(self, child: Child) -> None:
        self._connected.discard(child)
        child.writer.transport.abort()

    async def close(self) -> None:
        """Ends all children."""
        for child in list(self._connected):
            self._disconnect(child)
        await self._end_starter()

    async def _end_starter(self) -> None:
        starter, self._starter = self._starter, None
        if starter is None:
            return
        if starter.following is not None:
            starter.following.cancel()
            await asyncio.wait([starter.following])
        # At the end of its commands, the starter ends its children, waits for them, and ends.
        starter.control.close()
        try:
            async with asyncio.timeout(EXIT_MS / 1000):
                await starter.process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                starter.process.send_signal(signal.SIGKILL)
            await starter.process.wait()


def _connection() -> tuple[socket.socket, socket.socket]:
    """The parent's end, for the event loop, and the other's."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    return ours, theirs


async def _exactly(loop: asyncio.AbstractEventLoop, connection: socket.socket, size_bytes: int) -> bytes:
    """Empty if the connection has ended."""
    content = b""
    while len(content) < size_bytes:
        part = await loop.sock_recv(connection, size_bytes - len(content))
        if not part:
            return b""
        content += part
    return content
