"""Decides which events run next: pure scheduling, without processes and clocks.

Applications take turns, and within one its code versions: first who was served longest ago. Slow code, and code that
was not timed yet, never has all places, so that a place for quick code is never more than a slice away. Of these,
code that was not timed yet goes first.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from nicobar.sandbox import Job

# A slice of quick code: as many events as take about this long. Each slice delays others by this long at most.
SLICE_US = 25_000
SLICE_JOBS = 16
SLICE_BYTES = 4 * 1024 * 1024
# Code whose event takes more CPU time than this is slow.
SLOW_US = 20_000
# A slice that takes more CPU time than this is interrupted if others wait, unless its code is known to be slow.
QUICK_SLICE_US = 50_000
# The pace that is assumed of code whose first event did not take long, most of which is compiling it.
TRIAL_US = SLICE_US / 4
MAX_PACES = 1_000
MAX_SERVED = 2_000
# One place is for quick code only.
MIN_PLACES = 2


class Item(Protocol):
    """One event that waits for its turn."""

    @property
    def job(self) -> Job: ...

    @property
    def request(self) -> object:
        """The caller's; a slice has events of one, so that an error concerns no other."""

    @property
    def is_wanted(self) -> bool:
        """Whether someone still waits for the result."""


T = TypeVar("T", bound=Item)


class Slice(Generic[T]):
    """A few events of one code version, for one child."""

    __slots__ = ("app_id", "code_id", "is_known_slow", "is_slow", "items")

    def __init__(self, items: Sequence[T], *, is_slow: bool, is_known_slow: bool) -> None:
        self.app_id = items[0].job.app_id
        self.code_id = items[0].job.code_id
        self.items = items
        # It has one of the places for slow code.
        self.is_slow = is_slow
        self.is_known_slow = is_known_slow


class Paces:
    """The CPU time of one event, by code."""

    def __init__(self) -> None:
        self._us: OrderedDict[tuple[str, str], float] = OrderedDict()

    def get(self, app_id: str, code_id: str) -> float | None:
        return self._us.get((app_id, code_id))

    def learn(self, app_id: str, code_id: str, us: float, *, is_compiled: bool = True) -> None:
        """Unless it `is_compiled`, the time is that of the first event in a process, with compiling the code."""
        key = (app_id, code_id)
        if not is_compiled and us <= QUICK_SLICE_US:
            if key in self._us:
                return
            us = min(us, TRIAL_US)
        pace_us = self._us.get(key, us)
        # A slower pace counts at once, a faster one after a few slices.
        self._us[key] = max(us, (3 * pace_us + us) / 4)
        self._us.move_to_end(key)
        if len(self._us) > MAX_PACES:
            self._us.popitem(last=False)


class _Served:
    """When applications and codes had their turns, as a count of turns. Those that had none for long go first."""

    def __init__(self) -> None:
        self._at: OrderedDict[object, int] = OrderedDict()
        self._turns = 0

    def at(self, key: object) -> int:
        return self._at.get(key, 0)

    def note(self, key: object) -> None:
        self._turns += 1
        self._at[key] = self._turns
        self._at.move_to_end(key)
        if len(self._at) > MAX_SERVED:
            self._at.popitem(last=False)


class Turns(Generic[T]):
    """What waits, and what runs. `places` is how many slices run at a time, at least two."""

    def __init__(self, places: int) -> None:
        self._places = max(MIN_PLACES, places)
        self._waiting: dict[str, dict[str, deque[T]]] = {}
        self._served = _Served()
        self._running = 0
        self._slow_running = 0
        self.paces = Paces()

    def add(self, item: T) -> None:
        self._line(item.job).append(item)

    def put_back(self, items: Sequence[T]) -> None:
        """Events that were not run are the next ones of their code."""
        for item in reversed(items):
            self._line(item.job).appendleft(item)

    def _line(self, job: Job) -> deque[T]:
        return self._waiting.setdefault(job.app_id, {}).setdefault(job.code_id, deque())

    def next(self) -> Slice[T] | None:
        """The slice whose turn it is; None if no place is free for one that waits. It runs until `ended`."""
        if self._running >= self._places:
            return None
        while (chosen := self._chosen()) is not None:
            is_slow = self._is_slow(*chosen)
            is_known_slow = is_slow and self.paces.get(*chosen) is not None
            items = self._take(*chosen, is_slow=is_slow)
            if items:  # otherwise no caller waits for them any more, and another code's turn is next
                self._running += 1
                self._slow_running += is_slow
                return Slice(items, is_slow=is_slow, is_known_slow=is_known_slow)
        return None

    def _chosen(self) -> tuple[str, str] | None:
        """The code whose turn it is, with its application."""
        has_new = any(self.paces.get(app_id, code_id) is None for app_id, code_id in self._codes())
        for app_id in sorted(self._waiting, key=self._served.at):
            for _, code_id in sorted((self._served.at((app_id, code)), code) for code in self._waiting[app_id]):
                is_known = self.paces.get(app_id, code_id) is not None
                is_held = self._slow_running >= self._places - 1 or (is_known and has_new)
                if not (is_held and self._is_slow(app_id, code_id)):
                    return app_id, code_id
        return None

    def ended(self, part: Slice[T]) -> None:
        self._running -= 1
        self._slow_running -= part.is_slow

    def is_waited_for(self, part: Slice[T]) -> bool:
        """Whether a running slice has a place that other code waits for: quick code, or, if its own code was not
        timed before, code that was not either.
        """
        own = (part.app_id, part.code_id)
        return any(
            (not self._is_slow(*code) and self._running >= self._places)
            or (self.paces.get(*code) is None and part.is_slow and self._slow_running >= self._places - 1)
            for code in self._codes()
            if code != own
        )

    def _codes(self) -> Iterator[tuple[str, str]]:
        """Those that wait, with their applications."""
        return ((app_id, code_id) for app_id, codes in self._waiting.items() for code_id in codes)

    def _is_slow(self, app_id: str, code_id: str) -> bool:
        pace_us = self.paces.get(app_id, code_id)
        return pace_us is None or pace_us > SLOW_US

    def _take(self, app_id: str, code_id: str, *, is_slow: bool) -> list[T]:
        """The next few events of a code version, one if it is slow."""
        pace_us = self.paces.get(app_id, code_id) or SLICE_US
        most = 1 if is_slow else max(1, min(SLICE_JOBS, int(SLICE_US / max(pace_us, 1))))
        codes = self._waiting[app_id]
        line = codes[code_id]
        items: list[T] = []
        size_bytes = 0
        while line and len(items) < most:
            if line[0].is_wanted:
                size_bytes += len(line[0].job.body) + len(line[0].job.ledger or b"")
                if items and (size_bytes > SLICE_BYTES or line[0].request is not items[0].request):
                    break
                items.append(line[0])
            line.popleft()
        for key in (app_id, (app_id, code_id)):
            self._served.note(key)
        if not line:
            del codes[code_id]
        if not codes:
            del self._waiting[app_id]
        return items
