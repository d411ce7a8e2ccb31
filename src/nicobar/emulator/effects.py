"""The effects of accepted calls."""

from __future__ import annotations

from nicobar.emulator.activities import Activity
from nicobar.emulator.people import Person
from nicobar.model import Json, Record


class Happened(Record, tag=True):
    """A person's new activity."""

    person: Person
    activity: Activity


class Repeated(Record, tag=True):
    """An event, page or screen view with an id that was accepted before, of the kind `known_as`; it changes nothing.
    `about` is None for an anonymous person.
    """

    person: str
    about: Person | None
    kind: str
    known_as: str
    name: str
    data: dict[str, Json]
    event_id: str | None = None


class Ignored(Record, tag=True):
    """Answered 200, and without effect; `why` is the reason. `kind` is the action; `name` is that of an event, a
    page or a screen view, else empty.
    """

    person: str
    kind: str
    name: str
    why: str
    data: dict[str, Json]
    event_id: str | None = None


class Changed(Record, tag=True):
    """A person's attributes before and after."""

    person: Person
    before: dict[str, str]


class Joined(Record, tag=True):
    """A person who was added to a manual segment."""

    person: Person
    segment: str


class Merged(Record, tag=True):
    """The secondary person is part of the primary one now, whose attributes may have changed."""

    primary: Person
    secondary: Person


Effect = Happened | Repeated | Ignored | Changed | Joined | Merged
