"""What people did, found by whose it is without looking at all of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from nicobar.model import Json, Record


class Activity(Record):
    """Something that a person did. `data` keeps its types."""

    person: str
    type: str
    name: str
    id: str | None
    timestamp: int
    data: dict[str, Json]


class Activities:
    """The latest `most`, the oldest first. Each belongs to an owner, a person's `cio_id` or an anonymous id; `move`
    gives it to another in its place.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: OrderedDict[int, tuple[str, Activity]] = OrderedDict()
        self._owned: dict[str, dict[int, None]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Activity]:
        return (activity for _, activity in self._rows.values())

    def __reversed__(self) -> Iterator[Activity]:
        return (activity for _, activity in reversed(self._rows.values()))

    def add(self, owner: str, activity: Activity) -> bool:
        """False if the oldest had to go for it."""
        self._rows[self._next] = (owner, activity)
        self._owned.setdefault(owner, {})[self._next] = None
        self._next += 1
        if len(self._rows) <= self._most:
            return True
        number, (oldest, _) = self._rows.popitem(last=False)
        self._disown(oldest, number)
        return False

    def of(self, owner: str) -> list[tuple[int, Activity]]:
        """What belongs to an owner, each with the number that `move` takes."""
        return [(number, self._rows[number][1]) for number in self._owned.get(owner, {})]

    def move(self, number: int, owner: str, activity: Activity) -> None:
        """Puts an activity in the place of another, and gives it to an owner."""
        self._disown(self._rows[number][0], number)
        self._rows[number] = (owner, activity)
        self._owned.setdefault(owner, {})[number] = None

    def _disown(self, owner: str, number: int) -> None:
        owned = self._owned[owner]
        del owned[number]
        if not owned:
            del self._owned[owner]
