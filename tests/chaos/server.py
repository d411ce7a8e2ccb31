"""`python -m chaos.server`: loads Nicobar, then starts a process for each line of its standard input: the command
`nicobar`, or a server that kills itself with SIGKILL as planned. Answers with the number of each process.

Just before the end the point is noted in a file, so that only deaths that happened are counted; requests are noted in
another one, so that it is known who delivers where. The parts are the real ones; each seam is wrapped from outside.

The waits that a run cannot afford are shortened: `SHORTENED` is the one place for them. Retries come after 50 to
300 ms in place of 5 s to 10 h, and there are many of them, so that no delivery is given up while faults are on; a
breaker that opened finds out after 50 to 300 ms in place of 10 s to 5 min. What a clock that was set makes wait too
long waits for 1 s in place of a day.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import click
import msgspec

from chaos.clocks import Reader
from chaos.plan import QUICK_VARIABLE, Birth, Moment, Plan, Point, Wiring
from chaos.takeovers import Sending

# Constants by module, in an order in which a module comes before those that import from it. An unknown name is an
# error, so that the table stays correct.
SHORTENED: Mapping[str, Mapping[str, object]] = {
    "nicobar.pipeline.retry": {"RETRY_AFTER_MS": (50, 100, 200, *[300] * 500)},
    "nicobar.pipeline.breaker": {"FIRST_PROBE_MS": 50, "MAX_PROBE_MS": 300},
    "nicobar.pipeline.deliver": {"SANDBOX_AGAIN_MS": 100},
    "nicobar.pipeline.recorder": {"RECORD_AGAIN_MS": 100},
    "nicobar.pipeline.lane": {"AFTER_ERROR_MS": 100},
    "nicobar.pipeline.sender": {"SET_ASIDE_MS": 300},
    "nicobar.pipeline.worker": {"MAX_WAIT_MS": 1_000},
}
# Where several processes deliver: how long it takes until another one takes over, and what waits for that.
SHORTENED_TOO: Mapping[str, Mapping[str, object]] = {
    "nicobar.connectors.transport": {"TIMEOUT_MS": 2_000},
    "nicobar.pipeline.leases": {"BEAT_MS": 400, "DEAD_MS": 1_600, "MAX_UNCONFIRMED_MS": 1_000, "LEFT_MS": 2_500},
}
# How long a call is let run before a death in its midst. What is held takes longer than what is slow.
DURING_S = {Moment.DURING: 0.001, Moment.HELD: 1.0}

# Which of the store's promises the work in hand belongs to.
_promise: ContextVar[str] = ContextVar("promise", default="")


class Fuse:
    """Counts how often its plan's point was passed, and burns through at the last time."""

    def __init__(self, plan: Plan | None, note: Path) -> None:
        self._plan = plan
        self._note = note
        self._passed = 0

    def watches(self, stage: str, moment: Moment) -> bool:
        return self._plan is not None and self._plan.point == Point(stage=stage, moment=moment)

    def passes(self, stage: str, moment: Moment) -> None:
        if self._plan is None or not self.watches(stage, moment):
            return
        self._passed += 1
        if self._passed >= self._plan.time:
            self._note.write_bytes(msgspec.json.encode(self._plan.point))
            os.kill(os.getpid(), signal.SIGKILL)


def shorten(*, quick: bool) -> None:
    """Raises AttributeError for an unknown constant."""
    for module_name, values in (*SHORTENED.items(), *(SHORTENED_TOO.items() if quick else ())):
        module = importlib.import_module(module_name)
        for name, value in values.items():
            getattr(module, name)
            setattr(module, name, value)


def wrap(fuse: Fuse, requests: Path) -> None:
    """Puts the fuse at every stage, and notes the requests."""
    from nicobar.connectors.customerio import CustomerIoDestination  # noqa: PLC0415
    from nicobar.connectors.transport import HttpTransport  # noqa: PLC0415
    from nicobar.sandbox.pool import SandboxPool  # noqa: PLC0415
    from nicobar.sources.dodo import DodoPayments  # noqa: PLC0415
    from nicobar.store.tables.store import TableStore  # noqa: PLC0415
    from nicobar.web import ingress  # noqa: PLC0415 - after `shorten`, which has to come before every import

    _wrap_call(fuse, ingress, "read_body", "receive")
    _wrap_call(fuse, DodoPayments, "verify", "verify")
    _wrap_call(fuse, SandboxPool, "run", "transform")
    _wrap_call(fuse, CustomerIoDestination, "prepare", "check")
    _wrap_call(fuse, CustomerIoDestination, "pack", "batch")
    _note_requests(HttpTransport, requests)
    _wrap_call(fuse, HttpTransport, "send", "send")
    for method, stage in (("append", "store"), ("claim", "claim"), ("record", "record")):
        _name_promise(TableStore, method, stage)
    _wrap_group_commits(fuse)
    if any("postgresql://" in argument for argument in sys.argv):
        _wrap_transactions(fuse)


def _wrap_call(fuse: Fuse, owner: Any, name: str, stage: str) -> None:
    original = getattr(owner, name)

    async def later(*args: Any, **kwargs: Any) -> Any:
        fuse.passes(stage, Moment.BEFORE)
        for moment, duration_s in DURING_S.items():
            if fuse.watches(stage, moment):
                task = asyncio.ensure_future(original(*args, **kwargs))
                await asyncio.wait([task], timeout=duration_s)
                if not task.done():
                    fuse.passes(stage, moment)
                return await task
        result = await original(*args, **kwargs)
        fuse.passes(stage, Moment.AFTER)
        return result

    def at_once(*args: Any, **kwargs: Any) -> Any:
        fuse.passes(stage, Moment.BEFORE)
        result = original(*args, **kwargs)
        fuse.passes(stage, Moment.AFTER)
        return result

    setattr(owner, name, later if asyncio.iscoroutinefunction(original) else at_once)


def _note_requests(transport: Any, path: Path) -> None:
    """Notes each request, and each one that was accepted."""
    original = transport.send
    notes = path.open("ab", buffering=0)

    def note(url: str, *, accepted: bool) -> None:
        to = "/".join(url.split("/", 3)[:3])
        sending = Sending(at_ns=time.monotonic_ns(), to=to, accepted=accepted)
        # While no file may grow, nothing is noted.
        with contextlib.suppress(OSError):
            notes.write(msgspec.json.encode(sending) + b"\n")

    async def noted(self: Any, request: Any) -> Any:
        note(request.url, accepted=False)
        answer = await original(self, request)
        if getattr(answer, "status", None) == 200:
            note(request.url, accepted=True)
        return answer

    transport.send = noted


def _name_promise(store: type, method: str, stage: str) -> None:
    original = getattr(store, method)

    async def named(*args: Any, **kwargs: Any) -> Any:
        token = _promise.set(stage)
        try:
            return await original(*args, **kwargs)
        finally:
            _promise.reset(token)

    setattr(store, method, named)


def _wrap_group_commits(fuse: Fuse) -> None:
    """Records in the writer which promises its next commit keeps, and can kill before and after it."""
    from nicobar.store import group_commit  # noqa: PLC0415 - as above

    make = group_commit.GroupCommit.__init__
    promises: set[str] = set()

    class NotedCall(group_commit._Call):
        """Records its promise when it has a result."""

        def __init__(self, *args: Any) -> None:
            self.stage = _promise.get()
            super().__init__(*args)

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            # A claim that finds nothing and a webhook that comes again change nothing.
            if name == "result" and self.stage and value and not getattr(value, "duplicate", False):
                promises.add(self.stage)

    def made(self: Any, writer: Any, **kwargs: Any) -> None:
        make(self, _Watched(writer, promises, fuse), **kwargs)

    group_commit.GroupCommit.__init__ = made
    group_commit._Call = NotedCall


class _Watched:
    """A `Writer` around another one."""

    def __init__(self, writer: Any, promises: set[str], fuse: Fuse) -> None:
        self._writer = writer
        self._promises = promises
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def begin(self) -> None:
        self._promises.clear()
        self._writer.begin()

    def commit(self) -> None:
        for stage in self._promises:
            self._fuse.passes(stage, Moment.BEFORE)
        self._writer.commit()
        for stage in self._promises:
            self._fuse.passes(stage, Moment.AFTER)


def _wrap_transactions(fuse: Fuse) -> None:
    """The same for transactions that PostgreSQL has for itself: each is one thread's, from its begin to its end."""
    from nicobar.store.postgres import connection, database  # noqa: PLC0415 - as above

    kept = threading.local()
    execute = connection.Connection.execute

    def noting(stage: str, original: Any) -> Any:
        def noted(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            kept.promise = stage if result else ""
            return result

        return noted

    def watched(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        promise = getattr(kept, "promise", "")
        if query != "COMMIT" or not promise:
            return execute(self, query, *args, **kwargs)
        fuse.passes(promise, Moment.BEFORE)
        result = execute(self, query, *args, **kwargs)
        fuse.passes(promise, Moment.AFTER)
        return result

    for name in ("claim", "record"):
        setattr(database, name, noting(name, getattr(database, name)))
    connection.Connection.execute = watched


def _set_clock(path: Path) -> None:
    """The machine's clock is wrong by what the file says."""
    from nicobar.clock import SystemClock  # noqa: PLC0415 - as above

    right, reader = SystemClock.now_ms, Reader(path)

    def now_ms(self: SystemClock) -> int:
        return right(self) + reader.ahead_ms()

    setattr(SystemClock, "now_ms", now_ms)  # noqa: B010 - a method is not assigned to


def _take_away_sandbox() -> None:
    from nicobar.sandbox import children  # noqa: PLC0415 - as above

    children.STARTER = ("/nonexistent/starter",)


def _bear(birth: Birth) -> int | None:
    """The number of the new process, None in the process itself. It has no parent, and leads a session of its own."""
    answer, question = os.pipe()
    between = os.fork()
    if between == 0:
        pid = os.fork()
        if pid:
            os.write(question, str(pid).encode())
            os._exit(0)
        os.setsid()
        os.close(answer)
        os.close(question)
        for number, path, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, birth.out, os.O_WRONLY | os.O_CREAT),
            (2, birth.errors, os.O_WRONLY | os.O_CREAT),
        ):
            os.dup2(os.open(path, flags, 0o600), number)
        os.environ.clear()
        os.environ.update(birth.environment)
        sys.argv = ["nicobar", *birth.arguments]
        return None
    os.close(question)
    pid = int(os.read(answer, 20))
    os.close(answer)
    os.waitpid(between, 0)
    return pid


def _wire(server: Wiring) -> None:
    wrap(Fuse(server.plan, Path(server.note)), Path(server.requests))
    if server.clock is not None:
        _set_clock(Path(server.clock))
    if server.no_sandbox:
        _take_away_sandbox()


def main() -> None:
    shorten(quick=QUICK_VARIABLE in os.environ)
    from nicobar.cli import group  # noqa: PLC0415 - after `shorten`
    from nicobar.cli import main as nicobar  # noqa: PLC0415

    group.load_commands()  # once, for all servers

    for line in sys.stdin.buffer:
        birth = msgspec.json.decode(line, type=Birth)
        pid = _bear(birth)
        if pid is None:
            if birth.server is not None:
                _wire(birth.server)
            nicobar()
            return
        click.echo(pid)


if __name__ == "__main__":
    main()
