"""Runs merchants' JavaScript. `pool.py` manages child processes, `child.py` runs in them; nothing else knows the
engine. A handler's failure is a value, `Broken`; only the sandbox's own failures are raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from nicobar.model import Call, Json, Record
from nicobar.nesting import MAX_DEPTH_LEVELS
from nicobar.reasons import Reason


class Bounds(Record):
    """The limits for one event. The engine enforces `run_ms` of CPU time and the memory limit. The kernel stops code
    that the engine cannot interrupt, such as a backtracking regular expression, after `cpu_ms` of CPU time. The
    parent always kills the child after `wall_ms`, and checks the child's output again: its size, the console and
    `depth_levels`, the nesting of lists and objects in a payload.
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
    """One event for one handler. A child runs the jobs of one `app_id` only. `code_id` identifies the code version,
    so that a child can keep it compiled. `url` and `method` are the initial values in `webhook`. In the handler,
    `Date` is fixed at `now_ms` and `Math.random` is seeded with `seed`, so the same job returns the same calls on
    every attempt. `exact` has the digits of the numbers that JavaScript rounds, for `nicobar.exact`, by the steps to
    them, one per line. `identifies`: the destination finds out who a customer is, so that the helpers return calls
    for an event whose customer is not known. `ledger` is a JSON object with `customer` and `facts`; without it, a
    handler that reads one of them is stopped, and the result is `NeedsLedger`.
    """

    code_id: str
    code: str
    body: bytes
    event_type: str
    url: str
    now_ms: int
    occurred_at_ms: int
    seed: str
    app_id: str = ""
    method: str = "POST"
    customer_key: str | None = None
    variables: dict[str, str] = {}
    params: Json = None
    exact: dict[str, str] = {}
    identifies: bool = False
    ledger: bytes | None = None


class Calls(Record, tag=True):
    """The calls that the handler returned; never empty. `warnings` are about values that helpers could not use.
    `used_ledger`, as in the other results: the handler has read the job's ledger.
    """

    calls: tuple[Call, ...]
    console: tuple[str, ...]
    duration_us: int
    warnings: tuple[Reason, ...] = ()
    used_ledger: bool = False


class Canceled(Record, tag=True):
    """The handler set `cancel`, or returned an empty array."""

    console: tuple[str, ...]
    duration_us: int
    warnings: tuple[Reason, ...] = ()
    used_ledger: bool = False


class Untouched(Record, tag=True):
    """The handler returned the event unchanged: the call is the received event."""

    console: tuple[str, ...]
    duration_us: int
    used_ledger: bool = False


class Failure(StrEnum):
    """Why a handler returned no result."""

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
    """The handler failed on this event. With `may_pass`, another run may succeed: the process was killed after a
    timeout, which a busy machine causes too.
    """

    failure: Failure
    reason: Reason
    console: tuple[str, ...] = ()
    duration_us: int = 0
    may_pass: bool = False
    used_ledger: bool = False

    @property
    def line(self) -> int | None:
        """The line in the handler's source, counted from 1; None if unknown."""
        return self.reason.location if isinstance(self.reason.location, int) else None


Result = Calls | Canceled | Untouched | Broken


class NeedsLedger(Record, tag=True):
    """The handler reads the ledger, which the job does not have. Nothing of the run counts."""


Run = Result | NeedsLedger


class Sandbox(Protocol):
    """Runs jobs in parallel; the results are in the order of the jobs."""

    async def run(self, jobs: Sequence[Job]) -> list[Run]: ...
