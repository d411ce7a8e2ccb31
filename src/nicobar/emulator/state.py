"""What the emulator holds, and what each accepted object does to it. All of it is bounded: the oldest go first, and
how many went is counted. Nothing that a call does takes longer for how much is held.

Where the documentation is silent, the reading is the safe one and stands beside the line that follows it.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import msgspec

from nicobar.emulator.activities import Activities, Activity
from nicobar.emulator.contract import is_time
from nicobar.model import Json, Record

MAX_PEOPLE = 100_000
MAX_ACTIVITIES = 100_000
MAX_REQUESTS = 10_000
MAX_EVENT_IDS = 1_000_000
MAX_SEGMENTS = 100
MAX_SEGMENT_PEOPLE = 10_000
MAX_SUPPRESSED = 100_000
MAX_PENDING = 100_000
# Of one person, or object. https://docs.customer.io/journeys/invalid-api-requests names that of attributes.
MAX_ATTRIBUTES = 300
MAX_DEVICES = 100
MAX_RELATIONSHIPS = 1_000
MAX_TIME_DIGITS = 11
# https://docs.customer.io/api/track: how long an anonymous event, or a merged person's, is kept for somebody.
ASSOCIATE_S = 30 * 86_400
_IDENTIFIERS = ("id", "email", "phone")
K = TypeVar("K")
V = TypeVar("V")


class SeenRequest(Record):
    """A request as it came, credentials left out. `items` counts its objects. `invented` marks an answer whose text
    is made up here, as only its shape is documented.
    """

    at_ms: int
    method: str
    path: str
    headers: dict[str, str]
    status: int
    items: int = 0
    refused: int = 0
    duplicates: int = 0
    invented: bool = False


class Person(msgspec.Struct):
    """`attributes` are kept as texts, as Customer.io does; an address and a phone number are among them. `segments`
    are the numbers of the manual ones.
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

    @property
    def key(self) -> str:
        """What one calls the person by."""
        return self.id or self.email or self.phone or f"cio_{self.cio_id}"

    @property
    def unsubscribed(self) -> bool:
        return self.attributes.get("unsubscribed", "").lower() in {"true", "1"}


class Happened(Record, tag=True):
    """A person did something that was not known."""

    person: Person
    activity: Activity


class Repeated(Record, tag=True):
    """An event, page or screen view with an id that was taken before, of the kind `known_as`; it changes nothing.
    `about` is None for an anonymous person.
    """

    person: str
    about: Person | None
    kind: str
    known_as: str
    name: str
    data: dict[str, Json]


class Ignored(Record, tag=True):
    """Answered 200, and without effect; `why` says so. `kind` is the action; `name` is that of an event, a page or a
    screen view, else empty.
    """

    person: str
    kind: str
    name: str
    why: str
    data: dict[str, Json]


class Changed(Record, tag=True):
    """A person's attributes before and after."""

    person: Person
    before: dict[str, str]


Effect = Happened | Repeated | Ignored | Changed


class State:
    """`credentials` are the Site ID and API key that are taken. With `settle_ms`, what was accepted takes effect that
    much later, in order, as at Customer.io; `now` gives Unix seconds.
    """

    def __init__(
        self, *, site_id: str = "demo-site", api_key: str = "demo-key", now: Callable[[], float] = time.time
    ) -> None:
        self.credentials = (site_id, api_key)
        self.now = now
        self.settle_ms = 0
        self.listeners: list[Callable[[Effect], None]] = []
        self.version = 0
        self.reset()

    def reset(self) -> None:
        self.version += 1
        self.people: OrderedDict[str, Person] = OrderedDict()
        self.objects: OrderedDict[str, dict[str, str]] = OrderedDict()
        self.segments: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self.activities = Activities(MAX_ACTIVITIES)
        self.requests: deque[SeenRequest] = deque()
        # Each identifier with all of those that were suppressed with it.
        self.suppressed: OrderedDict[tuple[str, str], frozenset[tuple[str, str]]] = OrderedDict()
        # How many of what went, for being the oldest beyond its bound.
        self.forgotten: Counter[str] = Counter()
        self._names: dict[tuple[str, str], str] = {}
        self._event_ids: OrderedDict[str, str] = OrderedDict()
        self._pending: deque[tuple[float, Callable[[], bool]]] = deque()
        self._next_cio_id = 1

    def note(self, request: SeenRequest) -> None:
        self.version += 1
        self.requests.append(request)
        if len(self.requests) > MAX_REQUESTS:
            self.requests.popleft()
            self.forgotten["requests"] += 1

    def find(self, kind: str, value: str) -> Person | None:
        """By `id`, `email`, `phone` or `cio_id`. Ids know capitals, e-mail addresses do not."""
        return self.people.get(self._names.get(_name(kind, value), ""))

    @property
    def pending(self) -> int:
        """How many accepted objects have no effect yet."""
        return len(self._pending)

    def accept(self, item: dict[str, Json], anonymous_id: str | None = None) -> bool:
        """Takes an object that the contract finds fine; False if it was a repetition that is left out."""
        return self._in_turn(partial(self._apply_all, item, anonymous_id))

    def put_in_segment(self, number: str, names: tuple[str, ...], *, adds: bool) -> None:
        """Adds people (`kind:value`) to a manual segment, or takes them out."""
        self._in_turn(partial(self._change_segment, number, names, adds=adds))

    def settle(self) -> None:
        """Lets what is due take effect."""
        while self._pending and self._pending[0][0] <= self.now():
            self._pending.popleft()[1]()

    def _in_turn(self, effect: Callable[[], bool]) -> bool:
        self.settle()
        # What comes later stays behind what still waits, also after the wait was shortened.
        if not self.settle_ms and not self._pending:
            return effect()
        if len(self._pending) >= MAX_PENDING:
            self._pending.popleft()[1]()
        self._pending.append((self.now() + self.settle_ms / 1000, effect))
        return True

    def _change_segment(self, number: str, names: tuple[str, ...], *, adds: bool) -> bool:
        for name in names:
            person = self.find(*name.split(":", 1))
            if person is not None and adds:
                self._join(number, person)
            elif person is not None:
                self._leave(number, person)
        self.version += 1
        return True

    def _join(self, number: str, person: Person) -> None:
        people = self.segments.setdefault(number, OrderedDict())
        people[person.cio_id] = None
        person.segments |= {number}
        if len(people) > MAX_SEGMENT_PEOPLE:
            self._leave(number, self.people[next(iter(people))])
            self.forgotten["people in a segment"] += 1
        if len(self.segments) > MAX_SEGMENTS:
            oldest = next(iter(self.segments))
            for cio_id in list(self.segments[oldest]):
                self._leave(oldest, self.people[cio_id])
            self.forgotten["segments"] += 1

    def _leave(self, number: str, person: Person) -> None:
        """Takes a person out of a segment; an empty one is none."""
        people = self.segments.get(number, OrderedDict())
        people.pop(person.cio_id, None)
        person.segments -= {number}
        if not people:
            self.segments.pop(number, None)

    def _apply_all(self, item: dict[str, Json], anonymous_id: str | None) -> bool:
        effects = list(self._apply(item, anonymous_id))
        self.version += 1
        for effect in effects:
            for listener in self.listeners:
                listener(effect)
        return not any(isinstance(effect, Repeated) for effect in effects)

    def _apply(self, item: dict[str, Json], anonymous_id: str | None) -> Iterator[Effect]:
        action = str(item["action"])
        if item["type"] == "object":
            self._apply_to_object(action, item)
        elif anonymous_id is not None:
            yield from self._happened_to_nobody(item, anonymous_id)
        elif item["type"] == "person" and action == "merge":
            self._merge(item)
        elif item["type"] == "person":
            yield from self._apply_to_person(action, item)

    def _apply_to_person(self, action: str, item: dict[str, Json]) -> Iterator[Effect]:
        name = _first(item["identifiers"])
        who, person = _name(*name), self.find(*name)
        event = str(item.get("name", "")) if action in {"event", "page", "screen"} else ""
        if action == "unsuppress":
            for freed in self.suppressed.get(who, ()):
                self.suppressed.pop(freed, None)
        elif who in self.suppressed or (name[0] == "cio_id" and person is None):
            why = "the person is suppressed" if who in self.suppressed else "no person has this cio_id"
            yield Ignored(person=name[1], kind=action, name=event, why=why, data=_data(item))
        elif action == "suppress":
            self._suppress(frozenset({who, *(self._remove(person) if person else ())}))
        elif action == "identify":
            yield from self._identify(name, item, person)
        elif event:
            # Whether an event makes a person who is not there is not documented; here it does, without an address.
            yield self._happened(person or self._new(*name), action, item)
        elif person is not None:
            self._change(person, action, item)

    def _change(self, person: Person, action: str, item: dict[str, Json]) -> None:
        """What needs a person who is there."""
        device = item.get("device")
        token = str(device.get("token")) if isinstance(device, dict) else ""
        match action:
            case "delete":
                self._remove(person)
            case "add_device":
                person.devices[token] = dict(device) if isinstance(device, dict) else {}
                self._trim(person.devices, MAX_DEVICES, "devices")
            case "delete_device":
                person.devices.pop(token, None)
            case _:
                self._relate(person, item, adds=action == "add_relationships")

    def _suppress(self, names: frozenset[tuple[str, str]]) -> None:
        self.suppressed |= dict.fromkeys(sorted(names), names)
        self._trim(self.suppressed, MAX_SUPPRESSED, "suppressed identifiers")

    def _trim(self, held: dict[K, V], most: int, what: str) -> None:
        """Lets the oldest beyond the bound go."""
        while len(held) > most:
            del held[next(iter(held))]
            self.forgotten[what] += 1

    # --- people ---

    def _new(self, kind: str, value: str) -> Person:
        person = Person(cio_id=f"{self._next_cio_id:012x}", created_at=int(self.now()))
        self._next_cio_id += 1
        self.people[person.cio_id] = person
        self._names["cio_id", person.cio_id] = person.cio_id
        self._call(person, kind, value)
        if len(self.people) > MAX_PEOPLE:
            self._remove(next(iter(self.people.values())))
            self.forgotten["people"] += 1
        return person

    def _call(self, person: Person, kind: str, value: str) -> bool:
        """Gives a person an identifier; False if it is somebody else's, or suppressed."""
        if kind == "cio_id":
            return True
        owner = self._names.get(_name(kind, value))
        if owner not in {None, person.cio_id} or _name(kind, value) in self.suppressed:
            return False
        self._uncall(person, kind)
        self._names[_name(kind, value)] = person.cio_id
        setattr(person, kind, value)
        if kind != "id":
            person.attributes[kind] = value
        return True

    def _uncall(self, person: Person, kind: str) -> None:
        """Takes an identifier away, which then is free."""
        known = getattr(person, kind)
        if known is not None:
            self._names.pop(_name(kind, known), None)
            setattr(person, kind, None)

    def _remove(self, person: Person) -> set[tuple[str, str]]:
        """Takes a person out; returns the identifiers that it had."""
        own = ((kind, getattr(person, kind)) for kind in ("cio_id", *_IDENTIFIERS))
        names = {_name(kind, value) for kind, value in own if value is not None}
        for name in names:
            self._names.pop(name, None)
        for number in person.segments:
            self._leave(number, person)
        self.people.pop(person.cio_id, None)
        return names

    def _identify(self, name: tuple[str, str], item: dict[str, Json], person: Person | None) -> Iterator[Effect]:
        given = _data(item)
        only_update = given.pop("_update", False) is True
        anonymous_id = given.get("anonymous_id")
        email = given.get("email")
        if person is None and name[0] == "id" and isinstance(email, str):
            # The address is known and its owner has no id: that person takes it. One with an id keeps it.
            owner = self.find("email", email)
            person = owner if owner is not None and owner.id is None else None
        if person is None and only_update:
            why = "_update never makes a person"
            yield Ignored(person=name[1], kind="identify", name="", why=why, data={})
            return
        timestamp = item.get("timestamp")
        edited_at = timestamp if isinstance(timestamp, int) and is_time(timestamp) else int(self.now())
        if person is not None and edited_at < person.edited_at:
            # Dropped without a word: https://github.com/PostHog/posthog/issues/55330.
            why = "it is older than the profile's latest edit"
            yield Ignored(person=name[1], kind="identify", name="", why=why, data={})
            return
        before = dict(person.attributes) if person is not None else {}
        person = person or self._new(*name)
        if person.id is None and name[0] == "id":
            self._call(person, *name)
        person.edited_at = edited_at
        self._relate(person, item, adds=True)
        yield from self._set(person, given, by_cio_id=name[0] == "cio_id")
        yield Changed(person=person, before=before)
        if isinstance(anonymous_id, str) and anonymous_id:
            yield from self._associate(person, anonymous_id)

    def _set(self, person: Person, given: dict[str, Json], *, by_cio_id: bool) -> Iterator[Effect]:
        for name, value in given.items():
            # What an empty text does to a person's attribute is not documented; an object's it removes, as null does.
            text = _kept(value)
            if name in _IDENTIFIERS:
                known = getattr(person, name)
                # An identifier that is set is changed through cio_id only, an address also by itself.
                fixed = name == "id" and known is not None and known != text and not by_cio_id
                if fixed or (text and not self._call(person, name, text)):
                    yield self._failure(person, name, value)
                    continue
                if not text:
                    self._uncall(person, name)
            self._put(person.attributes, name, text)
        created_at = person.attributes.get("created_at", "")
        if created_at.isdecimal() and len(created_at) <= MAX_TIME_DIGITS:
            person.created_at = int(created_at)

    def _put(self, attributes: dict[str, str], name: str, text: str) -> None:
        """Keeps an attribute of a person or an object, or removes it; a new one beyond the bound is not kept."""
        if not text:
            attributes.pop(name, None)
        elif name in attributes or len(attributes) < MAX_ATTRIBUTES:
            attributes[name] = text
        else:
            self.forgotten["attributes"] += 1

    def _failure(self, person: Person, name: str, value: Json) -> Happened:
        """What the activity log shows where identifiers belong to two people."""
        activity = Activity(
            person=person.key,
            type="attribute_update_failure",
            name="",
            id=None,
            timestamp=int(self.now()),
            data={"attribute": name, "value": value},
        )
        self._log(person.cio_id, activity)
        return Happened(person=person, activity=activity)

    def _merge(self, item: dict[str, Json]) -> None:
        """Unset attributes, recent events, devices and manual segments go over; the secondary is deleted."""
        primary, secondary = (self.find(*_first(item[side])) for side in ("primary", "secondary"))
        if primary is None or secondary is None or primary is secondary:
            return
        names, segments = (secondary.email, secondary.phone), secondary.segments
        self._remove(secondary)
        for kind, value in zip(("email", "phone"), names, strict=True):
            if value is not None and getattr(primary, kind) is None:
                self._call(primary, kind, value)
        for name, text in secondary.attributes.items():
            if name not in _IDENTIFIERS and name not in primary.attributes:
                self._put(primary.attributes, name, text)
        primary.devices = {**secondary.devices, **primary.devices}
        self._trim(primary.devices, MAX_DEVICES, "devices")
        primary.relationships = {**secondary.relationships, **primary.relationships}
        self._trim(primary.relationships, MAX_RELATIONSHIPS, "relationships")
        for number in segments:
            self._join(number, primary)
        for place, activity in self._recent(secondary.cio_id):
            self.activities.move(place, primary.cio_id, msgspec.structs.replace(activity, person=primary.key))

    # --- what people do ---

    def _happened(self, person: Person, kind: str, item: dict[str, Json]) -> Effect:
        known_as = self._known_as(kind, item)
        if known_as is not None:
            name = str(item["name"]).strip()
            return Repeated(
                person=person.key, about=person, kind=kind, known_as=known_as, name=name, data=_data(item)
            )
        activity = self._activity(person.key, kind, item)
        self._log(person.cio_id, activity)
        return Happened(person=person, activity=activity)

    def _known_as(self, kind: str, item: dict[str, Json]) -> str | None:
        """The type of what was taken under this id before; None if nothing was, and from now on this is."""
        event_id = item.get("id")
        if not isinstance(event_id, str):
            return None
        if event_id in self._event_ids:
            return self._event_ids[event_id]
        self._event_ids[event_id] = kind
        self._trim(self._event_ids, MAX_EVENT_IDS, "event ids")
        return None

    def _log(self, owner: str, activity: Activity) -> None:
        if not self.activities.add(owner, activity):
            self.forgotten["activities"] += 1

    def _recent(self, owner: str) -> list[tuple[int, Activity]]:
        """What may still become somebody else's."""
        since = self.now() - ASSOCIATE_S
        return [(number, activity) for number, activity in self.activities.of(owner) if activity.timestamp >= since]

    def _activity(self, person: str, kind: str, item: dict[str, Json]) -> Activity:
        timestamp, event_id = item.get("timestamp"), item.get("id")
        return Activity(
            person=person,
            type=kind,
            # A stored page view keeps its data, but not its name.
            name="" if kind == "page" else str(item["name"]).strip(),
            id=event_id if isinstance(event_id, str) else None,
            timestamp=timestamp if isinstance(timestamp, int) and is_time(timestamp) else int(self.now()),
            data=_data(item),
        )

    def _happened_to_nobody(self, item: dict[str, Json], anonymous_id: str) -> Iterator[Effect]:
        kind, owner = str(item["action"]), _anonymous(anonymous_id)
        known_as = self._known_as(kind, item)
        if known_as is None:
            self._log(owner, self._activity(owner, kind, item))
        else:
            name = str(item["name"]).strip()
            yield Repeated(person=owner, about=None, kind=kind, known_as=known_as, name=name, data=_data(item))

    def _associate(self, person: Person, anonymous_id: str) -> Iterator[Effect]:
        """A person who takes an anonymous id takes over what was done under it."""
        for number, activity in self._recent(_anonymous(anonymous_id)):
            own = msgspec.structs.replace(activity, person=person.key)
            self.activities.move(number, person.cio_id, own)
            yield Happened(person=person, activity=own)

    # --- objects ---

    def _relate(self, person: Person, item: dict[str, Json], *, adds: bool) -> None:
        related = item.get("cio_relationships")
        for entry in related if isinstance(related, list) else []:
            fields = entry if isinstance(entry, dict) else {}
            name = _object_name(fields.get("identifiers"))
            attributes = fields.get("relationship_attributes")
            person.relationships.pop(name, None)
            if adds:
                person.relationships[name] = attributes if isinstance(attributes, dict) else {}
        self._trim(person.relationships, MAX_RELATIONSHIPS, "relationships")

    def _apply_to_object(self, action: str, item: dict[str, Json]) -> None:
        name = _object_name(item["identifiers"])
        if action == "delete":
            self.objects.pop(name, None)
            return
        if action != "delete_relationships":
            known = self.objects.setdefault(name, {})
            for key, value in _data(item).items():
                self._put(known, key, _kept(value))
            self._trim(self.objects, MAX_PEOPLE, "objects")
        related = item.get("cio_relationships")
        for entry in related if isinstance(related, list) else []:
            identifiers = entry.get("identifiers") if isinstance(entry, dict) else None
            person = self.find(*_first(identifiers))
            if person is not None and isinstance(entry, dict):
                back: Json = [{**entry, "identifiers": item["identifiers"]}]
                self._relate(person, {"cio_relationships": back}, adds=action != "delete_relationships")


def _kept(value: Json) -> str:
    """The text that is kept of an attribute; empty for what removes it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _anonymous(anonymous_id: str) -> str:
    return f"anonymous:{anonymous_id}"


def _name(kind: str, value: str) -> tuple[str, str]:
    return kind, value.casefold() if kind == "email" else value


def _first(identifiers: Json) -> tuple[str, str]:
    if not isinstance(identifiers, dict):
        return "", ""
    kind, value = next(iter(identifiers.items()), ("", ""))
    return kind, str(value)


def _object_name(identifiers: Json) -> str:
    fields = identifiers if isinstance(identifiers, dict) else {}
    return str(fields.get("cio_object_id") or f"{fields.get('object_type_id')}/{fields.get('object_id')}")


def _data(item: dict[str, Json]) -> dict[str, Json]:
    attributes = item.get("attributes")
    return dict(attributes) if isinstance(attributes, dict) else {}
