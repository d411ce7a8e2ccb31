"""People, their identifiers and manual segments, and suppressed identifiers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from nicobar.emulator.forgotten import Forgotten
from nicobar.emulator.workspace import Workspace
from nicobar.model import Json

MAX_PEOPLE = 100_000
MAX_SEGMENTS = 100
MAX_SEGMENT_PEOPLE = 10_000
MAX_SUPPRESSED = 100_000
IDENTIFIERS = ("id", "email", "phone")
Name = tuple[str, str]


class Person(msgspec.Struct):
    """`attributes` are kept as texts, as Customer.io does; an address and a phone number are among them. `segments`
    are the numbers of the manual ones. A person who was merged into another is deleted too.
    """

    cio_id: str
    created_at: int
    id: str | None = None
    email: str | None = None
    phone: str | None = None
    attributes: dict[str, str] = {}
    edited_at: int = 0
    devices: dict[str, dict[str, Json]] = {}
    relationships: dict[str, dict[str, Json]] = {}
    segments: frozenset[str] = frozenset()
    is_deleted: bool = False

    @property
    def key(self) -> str:
        """The identifier to display."""
        return self.id or self.email or self.phone or f"cio_{self.cio_id}"

    @property
    def unsubscribed(self) -> bool:
        return self.attributes.get("unsubscribed", "").lower() in {"true", "1"}


class People:
    """The latest MAX_PEOPLE, the oldest first. A `Name` is a kind of identifier and its normalized value."""

    def __init__(self, forgotten: Forgotten, workspace: Workspace) -> None:
        self._forgotten = forgotten
        self.workspace = workspace
        self._people: OrderedDict[str, Person] = OrderedDict()
        self._names: dict[Name, str] = {}
        # Addresses that several people may share, because they are no identifiers.
        self._shared: dict[str, dict[str, None]] = {}
        self._next_cio_id = 1
        self.segments: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        # Each identifier with all identifiers that were suppressed together with it.
        self.suppressed: OrderedDict[Name, frozenset[Name]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._people)

    def __iter__(self) -> Iterator[Person]:
        return iter(self._people.values())

    def __reversed__(self) -> Iterator[Person]:
        return reversed(self._people.values())

    def find(self, kind: str, value: str) -> Person | None:
        """By `id`, `email`, `phone` or `cio_id`. Ids are case-sensitive, email addresses are not."""
        return self._people.get(self._names.get(name_of(kind, value), ""))

    def with_address(self, email: str) -> list[Person]:
        """The people with an email address, whether it identifies them or not."""
        owner = self.find("email", email)
        return [owner] if owner else [self._people[cio_id] for cio_id in self._shared.get(email.casefold(), ())]

    def new(self, kind: str, value: str, created_at: int) -> Person:
        person = Person(cio_id=f"{self._next_cio_id:012x}", created_at=created_at)
        self._next_cio_id += 1
        self._people[person.cio_id] = person
        self._names["cio_id", person.cio_id] = person.cio_id
        self.call(person, kind, value)
        if len(self._people) > MAX_PEOPLE:
            self.remove(next(iter(self._people.values())))
            self._forgotten["people"] += 1
        return person

    def call(self, person: Person, kind: str, value: str) -> bool:
        """Adds an identifier to a person; False if it belongs to another person or is suppressed."""
        if kind == "cio_id":
            return True
        is_unique = self.workspace.identifies(kind)
        owner = self._names.get(name_of(kind, value))
        if owner not in {None, person.cio_id} or self.is_suppressed(kind, value):
            return False
        self.uncall(person, kind)
        if is_unique:
            self._names[name_of(kind, value)] = person.cio_id
        else:
            self._shared.setdefault(value.casefold(), {})[person.cio_id] = None
        setattr(person, kind, value)
        if kind != "id":
            person.attributes[kind] = value
        return True

    def uncall(self, person: Person, kind: str) -> None:
        """Removes an identifier, which is then free."""
        current = getattr(person, kind)
        if current is None:
            return
        if self.workspace.identifies(kind):
            self._names.pop(name_of(kind, current), None)
        else:
            self._unshare(person, current)
        setattr(person, kind, None)

    def _unshare(self, person: Person, address: str) -> None:
        sharing = self._shared.get(address.casefold(), {})
        sharing.pop(person.cio_id, None)
        if not sharing:
            self._shared.pop(address.casefold(), None)

    def remove(self, person: Person) -> set[Name]:
        """Deletes a person; returns the person's identifiers."""
        kinds = (kind for kind in ("cio_id", *IDENTIFIERS) if self.workspace.identifies(kind))
        own = ((kind, getattr(person, kind)) for kind in kinds)
        names = {name_of(kind, value) for kind, value in own if value is not None}
        if person.email is not None:
            self._unshare(person, person.email)
        person.is_deleted = True
        for name in names:
            self._names.pop(name, None)
        for number in person.segments:
            self.leave(number, person)
        self._people.pop(person.cio_id, None)
        return names

    def join(self, number: str, person: Person) -> None:
        people = self.segments.setdefault(number, OrderedDict())
        people[person.cio_id] = None
        person.segments |= {number}
        if len(people) > MAX_SEGMENT_PEOPLE:
            self.leave(number, self._people[next(iter(people))])
            self._forgotten["people in a segment"] += 1
        if len(self.segments) > MAX_SEGMENTS:
            oldest = next(iter(self.segments))
            for cio_id in list(self.segments[oldest]):
                self.leave(oldest, self._people[cio_id])
            self._forgotten["segments"] += 1

    def leave(self, number: str, person: Person) -> None:
        """Removes a person from a segment; deletes an empty segment."""
        people = self.segments.get(number, OrderedDict())
        people.pop(person.cio_id, None)
        person.segments -= {number}
        if not people:
            self.segments.pop(number, None)

    def suppress(self, names: frozenset[Name]) -> None:
        self.suppressed |= dict.fromkeys(sorted(names), names)
        self._forgotten.trim(self.suppressed, MAX_SUPPRESSED, "suppressed identifiers")

    def is_suppressed(self, kind: str, value: str) -> bool:
        return self.workspace.identifies(kind) and name_of(kind, value) in self.suppressed

    def unsuppress(self, who: Name) -> None:
        """Unsuppresses an identifier and all identifiers suppressed with it."""
        for freed in self.suppressed.get(who, ()):
            self.suppressed.pop(freed, None)


def name_of(kind: str, value: str) -> Name:
    return kind, value.casefold() if kind == "email" else value
