"""The activities of people, indexed by owner."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from nicobar.model import Json, Record


class Activity(Record):
    """An activity of a person. `data` keeps its types. `number` counts activities from 1; it stays when the activity
    moves to another person.
    """

    person: str
    type: str
    name: str
    id: str | None
    timestamp: int
    data: dict[str, Json]
    number: int = 0


class Activities:
    """The latest `most` activities, the oldest first. Each has an owner: a person's `cio_id` or an anonymous id.
    `move` changes the owner in place.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: OrderedDict[int, tuple[str, Activity]] = OrderedDict()
        self._owned: dict[str, dict[int, None]] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Activity]:
        return (activity for _, activity in self._rows.values())

    def __reversed__(self) -> Iterator[Activity]:
        return (activity for _, activity in reversed(self._rows.values()))

    @property
    def next_number(self) -> int:
        return self._next

    def add(self, owner: str, activity: Activity) -> bool:
        """False if the oldest was dropped for it."""
        self._rows[self._next] = (owner, activity)
        self._owned.setdefault(owner, {})[self._next] = None
        self._next += 1
        if len(self._rows) <= self._most:
            return True
        number, (oldest, _) = self._rows.popitem(last=False)
        self._disown(oldest, number)
        return False

    def owner(self, number: int) -> str | None:
        row = self._rows.get(number)
        return row[0] if row is not None else None

    def of(self, owner: str) -> list[tuple[int, Activity]]:
        """An owner's activities, each with the number for `move`."""
        return [(number, self._rows[number][1]) for number in self._owned.get(owner, {})]

    def move(self, number: int, owner: str, activity: Activity) -> None:
        """Replaces an activity and sets its owner."""
        self._disown(self._rows[number][0], number)
        self._rows[number] = (owner, activity)
        self._owned.setdefault(owner, {})[number] = None

    def _disown(self, owner: str, number: int) -> None:
        owned = self._owned[owner]
        del owned[number]
        if not owned:
            del self._owned[owner]
