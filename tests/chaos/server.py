"""`python -m chaos.server serve …`: the command `nicobar`, which kills itself with SIGKILL as planned.

It loads everything, prints a line, and waits for its plan, a line of JSON on standard input: the harness keeps
one ready while another one runs. Just before the end the point is noted in a file, so that only deaths that happened
are counted. The parts are the real ones; each seam is wrapped from outside.

The waits that a run cannot afford are shortened: `SHORTENED` is the one place for them. Retries come after 50 to
300 ms in place of 5 s to 10 h, and there are many of them, so that no delivery is given up while faults are on; a
breaker that opened finds out after 50 to 300 ms in place of 10 s to 5 min.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import click
import msgspec

from chaos.plan import NOTE_VARIABLE, Moment, Plan, Point

# Constants by module, in an order in which a module comes before those that import from it. An unknown name is an
# error, so that the table stays correct.
SHORTENED: Mapping[str, Mapping[str, object]] = {
    "nicobar.pipeline.retry": {"RETRY_AFTER_MS": (50, 100, 200, *[300] * 500)},
    "nicobar.pipeline.breaker": {"FIRST_PROBE_MS": 50, "MAX_PROBE_MS": 300},
    "nicobar.pipeline.deliver": {"SANDBOX_AGAIN_MS": 100},
    "nicobar.pipeline.recorder": {"RECORD_AGAIN_MS": 100},
    "nicobar.pipeline.lane": {"AFTER_ERROR_MS": 100},
}
# How long a call is let run before a death in its midst.
DURING_S = 0.001

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


def shorten() -> None:
    """Raises AttributeError for an unknown constant."""
    for module_name, values in SHORTENED.items():
        module = importlib.import_module(module_name)
        for name, value in values.items():
            getattr(module, name)
            setattr(module, name, value)


def wrap(fuse: Fuse) -> None:
    """Puts the fuse at every stage."""
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
    _wrap_call(fuse, HttpTransport, "send", "send")
    for method, stage in (("append", "store"), ("claim", "claim"), ("record", "record")):
        _name_promise(TableStore, method, stage)
    _wrap_commits(fuse)


def _wrap_call(fuse: Fuse, owner: Any, name: str, stage: str) -> None:
    original = getattr(owner, name)

    async def later(*args: Any, **kwargs: Any) -> Any:
        fuse.passes(stage, Moment.BEFORE)
        if fuse.watches(stage, Moment.DURING):
            task = asyncio.ensure_future(original(*args, **kwargs))
            await asyncio.wait([task], timeout=DURING_S)
            if not task.done():
                fuse.passes(stage, Moment.DURING)
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


def _name_promise(store: type, method: str, stage: str) -> None:
    original = getattr(store, method)

    async def named(*args: Any, **kwargs: Any) -> Any:
        token = _promise.set(stage)
        try:
            return await original(*args, **kwargs)
        finally:
            _promise.reset(token)

    setattr(store, method, named)


def _wrap_commits(fuse: Fuse) -> None:
    """Records in the writer which promises its next commit keeps, and can kill before and after it."""
    from nicobar.store import group_commit  # noqa: PLC0415 - as above

    make = group_commit.GroupCommit.__init__
    promises: set[str] = set()

    class NotedCall(group_commit._Call):
        """Knows whose promise it keeps, once its result is there."""

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


def main() -> None:
    shorten()
    from nicobar.cli import main as nicobar  # noqa: PLC0415 - after `shorten`

    click.echo("loaded")
    line = sys.stdin.readline()
    if not line:
        # Whoever started it has ended.
        return
    plan = msgspec.json.decode(line, type=Plan | None)
    wrap(Fuse(plan, Path(os.environ[NOTE_VARIABLE])))
    nicobar()


if __name__ == "__main__":
    main()
