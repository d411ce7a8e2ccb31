"""The emulator's clock. Everything that depends on time reads it, so that a delay of days passes in a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

from nicobar.model import Record

MAX_ADVANCE_S = 10 * 366 * 86_400


class Move(Record, forbid_unknown_fields=True):
    """How to move the clock: ahead by a duration, or to a time in Unix seconds."""

    advance_s: Annotated[float, Meta(ge=0, le=MAX_ADVANCE_S)] | None = None
    now: Annotated[float, Meta(ge=0)] | None = None


class Clock:
    """The time of `base`, in Unix seconds, plus what the clock was moved ahead."""

    def __init__(self, base: Callable[[], float]) -> None:
        self._base = base
        self.ahead_s = 0.0

    def now(self) -> float:
        return self._base() + self.ahead_s

    def move(self, wanted: Move) -> None:
        """Raises ValueError: only one of both can be given, and the clock never moves backward."""
        if (wanted.advance_s is None) == (wanted.now is None):
            raise ValueError("give either advance_s or now")
        by_s = wanted.advance_s if wanted.advance_s is not None else (wanted.now or 0) - self.now()
        if by_s < 0:
            raise ValueError("the clock cannot move backward; DELETE /emulator/state resets it")
        if self.ahead_s + by_s > MAX_ADVANCE_S:
            raise ValueError(f"the clock can be at most {MAX_ADVANCE_S} s ahead")
        self.ahead_s += by_s

    def reset(self) -> None:
        self.ahead_s = 0.0
