"""Bounds the log lines that clients can cause: a flood of bad requests must not become a flood of lines."""

from __future__ import annotations

import time
from collections.abc import Callable

from structlog import DropEvent
from structlog.typing import EventDict, WrappedLogger

# Lines that anybody who can send requests can cause, at any rate.
CAUSED_BY_CLIENTS = frozenset({"duplicate", "event not stored", "rejected", "request failed"})
MAX_LINES = 20
PERIOD_S = 10
# More causes than that in one period share one count.
MAX_CAUSES = 1_000

_Cause = tuple[object, ...]


class RepeatedLines:
    """A processor of structlog: of each cause, a line's event with its code and source, MAX_LINES pass per PERIOD_S.
    The first line of a later period has the number of those that were `left_out`.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._period_start_s = now_s()
        self._counts: dict[_Cause, int] = {}
        self._left_out: dict[_Cause, int] = {}

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        if line["event"] not in CAUSED_BY_CLIENTS:
            return line
        if self._now_s() - self._period_start_s >= PERIOD_S:
            self._begin_period()
        cause: _Cause = (line["event"], line.get("code"), line.get("source_id"))
        if cause not in self._counts and len(self._counts) >= MAX_CAUSES:
            cause = ("other",)
        count = self._counts[cause] = self._counts.get(cause, 0) + 1
        if count > MAX_LINES:
            raise DropEvent
        left_out = self._left_out.pop(cause, 0)
        return {**line, "left_out": left_out} if left_out else line

    def _begin_period(self) -> None:
        self._period_start_s = self._now_s()
        self._left_out |= {cause: count - MAX_LINES for cause, count in self._counts.items() if count > MAX_LINES}
        while len(self._left_out) > MAX_CAUSES:
            del self._left_out[next(iter(self._left_out))]
        self._counts = {}
