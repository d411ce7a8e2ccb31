"""Accepted calls that have no effect yet: Customer.io stores calls first, and applies them later, in no promised
order.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from nicobar.emulator.workspace import Disorder, Workspace

MAX_PENDING = 100_000
# How many calls are delayed, to take effect in another order.
MAX_DISORDERED = 100


class _Call(NamedTuple):
    """Due in Unix seconds."""

    due: float
    effect: Callable[[], bool]
    is_identify: bool


class Pending:
    """With `settle_ms`, calls take effect that much later. `now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.settle_ms = 0
        self.reset(Workspace())

    def __len__(self) -> int:
        return len(self._calls)

    def reset(self, workspace: Workspace) -> None:
        """Drops the calls that wait."""
        self._calls: deque[_Call] = deque()
        self.shuffle(workspace)

    def shuffle(self, workspace: Workspace) -> None:
        """Which calls change places from now on; the same seed and calls give the same order."""
        self._disorder = workspace.out_of_order
        self._within_s = workspace.out_of_order_within_s
        self._random = random.Random(workspace.out_of_order_seed)  # noqa: S311 - reproducible on purpose

    def add(self, effect: Callable[[], bool], *, is_identify: bool) -> bool:
        """Applies a call now if nothing has to wait, and returns what it returns; True for a call that waits."""
        is_in_order = self._disorder is Disorder.NONE
        if is_in_order:
            self.settle()
            # Later calls stay behind those that still wait, even after the delay was shortened.
            if not self.settle_ms and not self._calls:
                return effect()
        if len(self._calls) >= MAX_PENDING:
            self._calls.popleft().effect()
        self._calls.append(_Call(self._now() + self.settle_ms / 1000, effect, is_identify))
        # Without a delay, calls wait for each other until something reads the state.
        if not is_in_order and not self.settle_ms and len(self._calls) >= MAX_DISORDERED:
            self.settle()
        return True

    def settle(self) -> None:
        """Applies the calls that are due."""
        due = []
        while self._calls and self._calls[0].due <= self._now():
            due.append(self._calls.popleft())
        for call in self._ordered(due):
            call.effect()

    def _ordered(self, due: list[_Call]) -> list[_Call]:
        """Identifies that change places leave the other calls in theirs. Each is delayed by chance, by less than the
        time within which calls change places.
        """
        if self._disorder is Disorder.NONE:
            return due
        places = [place for place, call in enumerate(due) if call.is_identify or self._disorder is Disorder.ALL]
        calls = sorted((due[place] for place in places), key=self._delayed)
        for place, call in zip(places, calls, strict=True):
            due[place] = call
        return due

    def _delayed(self, call: _Call) -> float:
        return call.due + self._within_s * self._random.random()
