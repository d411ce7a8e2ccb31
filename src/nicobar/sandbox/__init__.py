"""Runs merchants' JavaScript. `pool.py` keeps child processes, `child.py` runs in them; nothing else knows the
engine. A handler's failure is a value, `Broken`; only the sandbox's own failure is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from nicobar.model import Call, Json, Record
from nicobar.nesting import MAX_DEPTH_LEVELS
from nicobar.reasons import Reason


class Bounds(Record):
    """What one event may use. The engine holds `run_ms` of CPU time and the memory. What it cannot interrupt, such as
    a backtracking regular expression, the kernel ends after `cpu_ms` of CPU time. The parent kills the child after
    `wall_ms` in any case, and checks again what leaves the child: output, console and `depth_levels`, the levels of
    lists and objects in a payload.
    """

    code_chars: int = 51_200
    run_ms: int = 500
    cpu_ms: int = 2_000
    wall_ms: int = 30_000
    memory_bytes: int = 64 * 1024 * 1024
    output_bytes: int = 512 * 1024
    depth_levels: int = MAX_DEPTH_LEVELS
    console_lines: int = 50
    console_line_chars: int = 1_000


class Job(Record):
    """One event for one handler. `code_id` names the code version (the same id, the same code) and lets a child
    keep it compiled. `url` and `method` are what `webhook` starts with. Inside, `Date` stands still at
    `now_ms` and `Math.random` is seeded with `seed`, so the same job gives the same calls on every try.
    """

    code_id: str
    code: str
    body: bytes
    event_type: str
    url: str
    now_ms: int
    occurred_at_ms: int
    seed: str
    method: str = "POST"
    customer_key: str | None = None
    variables: dict[str, str] = {}
    params: Json = None


class Calls(Record, tag=True):
    """The handler asks for these calls; never empty."""

    calls: tuple[Call, ...]
    console: tuple[str, ...]
    duration_us: int


class Canceled(Record, tag=True):
    """The handler set `cancel`, or returned an empty array."""

    console: tuple[str, ...]
    duration_us: int


class Untouched(Record, tag=True):
    """The handler returned the event unchanged: the call is the event as it was received."""

    console: tuple[str, ...]
    duration_us: int


class Failure(StrEnum):
    """Why a handler gave no result."""

    CODE_TOO_LARGE = "code_too_large"
    SYNTAX_ERROR = "syntax_error"
    NO_HANDLER = "no_handler"
    THREW = "threw"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    STACK_OVERFLOW = "stack_overflow"
    BAD_RESULT = "bad_result"
    OUTPUT_TOO_LARGE = "output_too_large"
    CRASHED = "crashed"


class Broken(Record, tag=True):
    """The handler failed on this event. `may_pass` says that another run may succeed: the process was killed because
    time had passed, which a busy machine causes too.
    """

    failure: Failure
    reason: Reason
    console: tuple[str, ...] = ()
    duration_us: int = 0
    may_pass: bool = False

    @property
    def line(self) -> int | None:
        """The line in the handler's own source, counted from 1; None where no line is to blame."""
        return self.reason.location if isinstance(self.reason.location, int) else None


Result = Calls | Canceled | Untouched | Broken


class Sandbox(Protocol):
    """Runs jobs side by side; the results stand in the order of the jobs."""

    async def run(self, jobs: Sequence[Job]) -> list[Result]: ...
