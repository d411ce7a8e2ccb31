"""Runs in a process that `starter.py` forked: handlers of one application. Reads batches, writes one reply per job.
The only place that knows the engine. The handler's result is forwarded as the engine wrote it: only the parent
decodes it.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import time
from collections import OrderedDict
from collections.abc import Mapping
from importlib.resources import files

import msgspec
import quickjs

from nicobar.currencies import ALL_DECIMALS
from nicobar.sandbox import Bounds, Job, wall
from nicobar.sandbox.wire import (
    LENGTH_BYTES,
    MAX_CONTEXTS,
    MAX_VALUE_CHARS,
    MAX_WARNING_CHARS,
    MAX_WARNINGS,
    Batch,
    Greeting,
    Kind,
    Reply,
    frame,
    frame_length,
    read,
)

# After this many events, a context's memory is measured, which walks the whole heap.
LOOK_AT_MEMORY_EVENTS = 64
MAX_KEPT_BYTES = 8 * 1024 * 1024
STACK_BYTES = 1024 * 1024
ADDRESS_SPACE_BYTES = 2 * 1024 * 1024 * 1024
# The only open descriptor.
CONNECTION = 0
MAX_READ_BYTES = 1024 * 1024
# Promises are not supported, but a handler may use a few.
MAX_PENDING_JOBS = 1_000
# The engine's message for code that it stopped.
_INTERRUPTED = "interrupted"

_PRELUDE = files("nicobar.sandbox").joinpath("prelude.js").read_text("utf-8")
# Stack traces call all code `<input>`; the prelude's line numbers start beyond those of any handler.
_PRELUDE_LINE = Bounds().code_chars + 10_000
_AT = re.compile(r"<input>:(\d+)")


class _Failed(msgspec.Struct):
    code: str
    values: dict[str, str | int] = {}
    stack: str = ""


class _Answer(msgspec.Struct):
    """The first line that the prelude's function returns; the calls follow, as JSON."""

    console: tuple[str, ...]
    clean: bool
    kind: Kind = Kind.BROKEN
    failure: _Failed | None = None
    warnings: tuple[tuple[str, str], ...] = ()
    used: bool = False


class _Context:
    """One compiled version of a handler. Not reusable once `spoiled`."""

    def __init__(self, code: str, bounds: Bounds) -> None:
        _check_syntax(code, bounds)
        self.code = code
        self._engine = quickjs.Context()
        self._engine.set_memory_limit(bounds.memory_bytes)
        self._engine.set_max_stack_size(STACK_BYTES)
        self._engine.set_time_limit(bounds.run_ms / 1000)
        prelude = _function(self._engine.eval("\n" * _PRELUDE_LINE + _PRELUDE))
        # Called for each event, so that each has its own bindings; on the first line, so that line numbers match.
        factory = _function(
            self._engine.eval("(() => {" + code + "\n;return typeof handler === 'undefined' ? undefined : handler})")
        )
        attach = _function(prelude(msgspec.json.encode(ALL_DECIMALS).decode()))
        self._run = _function(attach(factory))
        self._events = 0
        self.spoiled = False

    def run(self, job: Job, bounds: Bounds, number: int) -> Reply:
        started_ns = time.perf_counter_ns()
        started_cpu_ns = time.process_time_ns()
        # Until the event is known to have left no state.
        self.spoiled = True
        try:
            ledger = None if job.ledger is None else job.ledger.decode("utf-8")
            head, _, calls = str(self._run(_input(job, bounds), job.body.decode("utf-8"), ledger)).partition("\n")
            answer = msgspec.json.decode(head, type=_Answer)
        except quickjs.JSException as error:
            return _ended(number, error, self._read_console(), _since_us(started_ns))
        try:
            self._finish_jobs(bounds, started_cpu_ns)
        except quickjs.JSException as error:
            return _ended(number, error, answer.console, _since_us(started_ns))
        self._events += 1
        if self._events % LOOK_AT_MEMORY_EVENTS == 0 and not self.spoiled:
            self._engine.gc()
            self.spoiled = self._engine.memory()["malloc_size"] > MAX_KEPT_BYTES
        code = answer.failure.code if answer.failure else None
        self.spoiled |= not answer.clean or code in {"stack_overflow", "out_of_memory"}
        return _reply(number, answer, calls, bounds, _since_us(started_ns))

    def _finish_jobs(self, bounds: Bounds, started_cpu_ns: int) -> None:
        """Runs pending jobs (promises, async functions), so that code that never ends is always found: by its number
        of jobs, since a chain that also exhausts the memory could fail before or after its time limit. The result is
        complete and does not change. A context in which a job ran is not reused. Raises JSException.
        """
        ran = 0
        while self._engine.execute_pending_job():
            ran += 1
            if ran > MAX_PENDING_JOBS:
                raise quickjs.JSException(_INTERRUPTED)
            if time.process_time_ns() - started_cpu_ns > bounds.run_ms * 1_000_000:
                raise quickjs.JSException(_INTERRUPTED)
        self.spoiled = ran > 0

    def _read_console(self) -> tuple[str, ...]:
        try:
            return msgspec.json.decode(str(self._run(None)), type=_Answer).console
        except (quickjs.JSException, msgspec.DecodeError):
            return ()


def _function(value: object) -> quickjs.Object:
    if not isinstance(value, quickjs.Object):
        raise TypeError("the prelude does not return a function")
    return value


class _Contexts:
    """The compiled handlers; the least recently used is evicted first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Context] = OrderedDict()

    def run(self, job: Job, code: str, bounds: Bounds, number: int) -> Reply:
        if len(code) > bounds.code_chars:
            return _broken(number, "code_too_large", {"chars": len(code), "code_chars": bounds.code_chars})
        context = self._kept.pop(job.code_id, None)
        if context is None or context.code != code:
            try:
                context = _Context(code, bounds)
            except quickjs.JSException as error:
                return _not_compiled(number, error)
        reply = context.run(job, bounds, number)
        if not context.spoiled:
            self._kept[job.code_id] = context
            while len(self._kept) > MAX_CONTEXTS:
                self._kept.popitem(last=False)
        return reply


def _check_syntax(code: str, bounds: Bounds) -> None:
    """Raises JSException unless the code is a complete script; one that closes our wrapper is not. The engine parses
    all of it before it runs the first statement, which throws.
    """
    engine = quickjs.Context()
    engine.set_memory_limit(bounds.memory_bytes)
    engine.set_max_stack_size(STACK_BYTES)
    engine.set_time_limit(bounds.run_ms / 1000)
    try:
        engine.eval("throw 0;" + code)
    except quickjs.JSException as error:
        if str(error).startswith(("SyntaxError", "InternalError", "RangeError")):
            raise


def _not_compiled(number: int, error: quickjs.JSException) -> Reply:
    text = str(error)
    if isinstance(error, quickjs.StackOverflow) or "out of memory" in text or _INTERRUPTED in text:
        return _ended(number, error, (), 0)
    first = text.partition("\n")[0]
    code = "module" if "export" in first or "import" in first else "syntax_error"
    return _broken(number, code, {"error": first}, line=_line(text))


def _ended(number: int, error: quickjs.JSException, console: tuple[str, ...], duration_us: int) -> Reply:
    """The reply for an event that the engine stopped."""
    text = str(error)
    values: dict[str, str | int] = {}
    if _INTERRUPTED in text:
        code = "timed_out"
    elif isinstance(error, quickjs.StackOverflow) or "stack" in text:
        code = "stack_overflow"
    elif "out of memory" in text or text.strip() in {"", "null"}:
        code = "out_of_memory"
    else:
        code, values = "not_run", {"error": text.partition("\n")[0]}
    return _broken(number, code, values, line=_line(text), console=console, duration_us=duration_us)


def _broken(
    number: int,
    code: str,
    values: Mapping[str, str | int],
    *,
    line: int | None = None,
    console: tuple[str, ...] = (),
    duration_us: int = 0,
) -> Reply:
    return Reply(
        number=number,
        kind=Kind.BROKEN,
        code=code,
        values={name: text[:MAX_VALUE_CHARS] if isinstance(text, str) else text for name, text in values.items()},
        line=line,
        console=console,
        duration_us=duration_us,
    )


def _line(stack: str) -> int | None:
    """The first line of the handler's source in a stack."""
    lines = (int(match) for match in _AT.findall(stack))
    return next((line for line in lines if line < _PRELUDE_LINE), None)


def _input(job: Job, bounds: Bounds) -> str:
    """What the prelude's function needs besides the body, which it gets apart: inside, it would be parsed twice."""
    value = {
        "eventType": job.event_type,
        "url": job.url,
        "method": job.method,
        "env": job.variables,
        "params": job.params,
        "now": job.now_ms,
        "seed": job.seed,
        "customer": job.customer_key,
        "identifies": job.identifies,
        "bounds": {
            "consoleLines": bounds.console_lines,
            "consoleLineChars": bounds.console_line_chars,
            "outputChars": bounds.output_bytes,
            "depthLevels": bounds.depth_levels,
            "warnings": MAX_WARNINGS,
            "warningChars": MAX_WARNING_CHARS,
        },
        "exact": job.exact,
    }
    return msgspec.json.encode(value).decode()


def _reply(number: int, answer: _Answer, calls: str, bounds: Bounds, duration_us: int) -> Reply:
    console = answer.console
    if answer.failure is not None:
        failed = answer.failure
        line = _line(failed.stack)
        broken = _broken(number, failed.code, failed.values, line=line, console=console, duration_us=duration_us)
        return msgspec.structs.replace(broken, used_ledger=answer.used)
    content = calls.encode() if answer.kind is Kind.CALLS else b""
    if len(content) > bounds.output_bytes:
        values: dict[str, str | int] = {"output_bytes": bounds.output_bytes}
        return _broken(number, "output_too_large", values, console=console, duration_us=duration_us)
    return Reply(
        number=number,
        kind=answer.kind,
        calls=content,
        console=console,
        duration_us=duration_us,
        warnings=answer.warnings,
        used_ledger=answer.used,
    )


def _since_us(started_ns: int) -> int:
    return (time.perf_counter_ns() - started_ns) // 1_000


def confine(*, walled: bool) -> None:
    """Limits the process for good: bounded memory, no files, no processes; behind the wall, no other system calls.
    Raises WallError.
    """
    for what, limit in (
        (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        _, hard = resource.getrlimit(what)
        most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        # Some systems reject a limit on the address space; the engine's own limit still applies.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))
    if walled:
        wall.enter()


def serve(*, walled: bool) -> None:
    """Runs jobs from descriptor 0, which is the connection to the parent in both directions, until it ends."""
    try:
        confine(walled=walled)
    except wall.WallError as error:
        _send(Greeting(pid=os.getpid(), failure=str(error)))
        return
    _send(Greeting(pid=os.getpid()))
    contexts = _Contexts()
    while head := _receive(LENGTH_BYTES):
        batch = read(_receive(frame_length(head)), Batch)
        for number, job in enumerate(batch.jobs, batch.first_number):
            # The timer's signal ends this process: nothing handles it.
            signal.setitimer(signal.ITIMER_PROF, batch.bounds.cpu_ms / 1_000)
            _send(contexts.run(job, batch.codes[job.code_id], batch.bounds, number))


def _send(value: Greeting | Reply) -> None:
    left = memoryview(frame(value))
    while left:
        left = left[os.write(CONNECTION, left) :]


def _receive(size_bytes: int) -> bytes:
    """Empty if the connection has ended."""
    content = bytearray()
    while len(content) < size_bytes:
        part = os.read(CONNECTION, min(size_bytes - len(content), MAX_READ_BYTES))
        if not part:
            return b""
        content += part
    return bytes(content)
