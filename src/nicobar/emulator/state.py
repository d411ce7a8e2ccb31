"""What the emulator holds, and what each accepted object does to it. People, what they do and
requests are bounded; the oldest go first.

Where the documentation is silent, the reading is the safe one and stands beside the line that follows it.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

import msgspec

from nicobar.emulator.contract import is_time
from nicobar.model import Json, Record

MAX_PEOPLE = 100_000
MAX_ACTIVITIES = 100_000
MAX_REQUESTS = 10_000
MAX_EVENT_IDS = 1_000_000
MAX_ANONYMOUS = 10_000
MAX_PENDING = 100_000
MAX_TIME_DIGITS = 11
# https://docs.customer.io/api/track: how long an anonymous event, or a merged person's, is kept for somebody.
ASSOCIATE_S = 30 * 86_400


class Activity(Record):
    """Something that a person did. `data` keeps its types."""

    person: str
    type: str
    name: str
    id: str | None
    timestamp: int
    data: dict[str, Json]


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
    """`attributes` are kept as texts, as Customer.io does."""

    cio_id: str
    created_at: int
    id: str | None = None
    email: str | None = None
    phone: str | None = None
    attributes: dict[str, str] = {}
    edited_at: int = 0
    devices: dict[str, dict[str, Json]] = {}
    relationships: dict[str, dict[str, Json]] = {}

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
    """An event with an id that was taken before; it changes nothing."""

    person: str
    name: str
    data: dict[str, Json]


class Ignored(Record, tag=True):
    """Answered 200, and without effect; `why` says so. `name` is that of an event, else empty."""

    person: str
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
        self.segments: dict[str, set[str]] = {}
        self.activities: deque[Activity] = deque(maxlen=MAX_ACTIVITIES)
        self.requests: deque[SeenRequest] = deque(maxlen=MAX_REQUESTS)
        self.suppressed: set[tuple[str, str]] = set()
        self._names: dict[tuple[str, str], str] = {}
        self._event_ids: OrderedDict[str, None] = OrderedDict()
        self._anonymous: deque[tuple[str, Activity]] = deque(maxlen=MAX_ANONYMOUS)
        self._pending: deque[tuple[float, dict[str, Json], str | None]] = deque()
        self._next_cio_id = 1

    def note(self, request: SeenRequest) -> None:
        self.version += 1
        self.requests.append(request)

    def find(self, kind: str, value: str) -> Person | None:
        """By `id`, `email`, `phone` or `cio_id`. Ids know capitals, e-mail addresses do not."""
        return self.people.get(self._names.get(_name(kind, value), ""))

    @property
    def pending(self) -> int:
        """How many accepted objects have no effect yet."""
        return len(self._pending)

    def accept(self, item: dict[str, Json], anonymous_id: str | None = None) -> bool:
        """Takes an object that the contract finds fine; False if it was a repetition that is left out."""
        self.settle()
        # What comes later stays behind what still waits, also after the wait was shortened.
        if (self.settle_ms or self._pending) and len(self._pending) < MAX_PENDING:
            self._pending.append((self.now() + self.settle_ms / 1000, item, anonymous_id))
            return True
        return self._apply_all(item, anonymous_id)

    def settle(self) -> None:
        """Lets what is due take effect."""
        while self._pending and self._pending[0][0] <= self.now():
            _, item, anonymous_id = self._pending.popleft()
            self._apply_all(item, anonymous_id)

    def put_in_segment(self, number: str, names: tuple[str, ...], *, adds: bool) -> None:
        """Adds people (`kind:value`) to a manual segment, or takes them out."""
        found = (self.find(*name.split(":", 1)) for name in names)
        people = {person.cio_id for person in found if person}
        known = self.segments.setdefault(number, set())
        self.segments[number] = known | people if adds else known - people
        self.version += 1

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
            self.suppressed.discard(who)
        elif who in self.suppressed:
            yield Ignored(person=name[1], name=event, why="the person is suppressed", data=_data(item))
        elif name[0] == "cio_id" and person is None:
            yield Ignored(person=name[1], name=event, why="no person has this cio_id", data=_data(item))
        elif action == "suppress":
            self.suppressed |= {who, *(self._remove(person) if person else ())}
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
                person.devices = {**person.devices, token: dict(device) if isinstance(device, dict) else {}}
            case "delete_device":
                person.devices = {name: value for name, value in person.devices.items() if name != token}
            case _:
                self._relate(person, item, adds=action == "add_relationships")

    # --- people ---

    def _new(self, kind: str, value: str) -> Person:
        person = Person(cio_id=f"{self._next_cio_id:012x}", created_at=int(self.now()))
        self._next_cio_id += 1
        self.people[person.cio_id] = person
        self._names["cio_id", person.cio_id] = person.cio_id
        self._call(person, kind, value)
        if len(self.people) > MAX_PEOPLE:
            self._remove(next(iter(self.people.values())))
        return person

    def _call(self, person: Person, kind: str, value: str) -> bool:
        """Gives a person an identifier; False if it is somebody else's."""
        if kind == "cio_id":
            return True
        owner = self._names.get(_name(kind, value))
        if owner not in {None, person.cio_id}:
            return False
        before = getattr(person, kind)
        if before is not None:
            self._names.pop(_name(kind, before), None)
        self._names[_name(kind, value)] = person.cio_id
        setattr(person, kind, value)
        return True

    def _remove(self, person: Person) -> set[tuple[str, str]]:
        """Takes a person out; returns the identifiers that it had."""
        names = {name for name, cio_id in self._names.items() if cio_id == person.cio_id}
        for name in names:
            del self._names[name]
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
            yield Ignored(person=name[1], name="", why="_update never makes a person", data={})
            return
        timestamp = item.get("timestamp")
        edited_at = timestamp if isinstance(timestamp, int) and is_time(timestamp) else int(self.now())
        if person is not None and edited_at < person.edited_at:
            # Dropped without a word: https://github.com/PostHog/posthog/issues/55330.
            yield Ignored(person=name[1], name="", why="it is older than the profile's latest edit", data={})
            return
        person = person or self._new(*name)
        if person.id is None and name[0] == "id":
            self._call(person, *name)
        before = dict(person.attributes)
        person.edited_at = edited_at
        self._relate(person, item, adds=True)
        yield from self._set(person, given, by_cio_id=name[0] == "cio_id")
        yield Changed(person=person, before=before)
        if isinstance(anonymous_id, str) and anonymous_id:
            yield from self._associate(person, anonymous_id)

    def _set(self, person: Person, given: dict[str, Json], *, by_cio_id: bool) -> Iterator[Effect]:
        attributes = dict(person.attributes)
        for name, value in given.items():
            if name in {"id", "email", "phone"} and isinstance(value, str) and value:
                known = getattr(person, name)
                # An identifier that is set is changed through cio_id only, an address also by itself.
                fixed = name == "id" and known not in {None, value} and not by_cio_id
                if fixed or not self._call(person, name, value):
                    yield self._failure(person, name, value)
                    continue
            if value is None:
                attributes.pop(name, None)
            else:
                attributes[name] = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        created_at = attributes.get("created_at", "")
        if created_at.isdecimal() and len(created_at) <= MAX_TIME_DIGITS:
            person.created_at = int(created_at)
        person.attributes = attributes

    def _failure(self, person: Person, name: str, value: str) -> Happened:
        """What the activity log shows where identifiers belong to two people."""
        activity = Activity(
            person=person.key,
            type="attribute_update_failure",
            name="",
            id=None,
            timestamp=int(self.now()),
            data={"attribute": name, "value": value},
        )
        self.activities.append(activity)
        return Happened(person=person, activity=activity)

    def _merge(self, item: dict[str, Json]) -> None:
        """Unset attributes, recent events, devices and manual segments go over; the secondary is deleted."""
        primary, secondary = (self.find(*_first(item[side])) for side in ("primary", "secondary"))
        if primary is None or secondary is None or primary is secondary:
            return
        old, since = secondary.key, self.now() - ASSOCIATE_S
        names = (secondary.email, secondary.phone)
        self._remove(secondary)
        for kind, value in zip(("email", "phone"), names, strict=True):
            if value is not None and getattr(primary, kind) is None:
                self._call(primary, kind, value)
        primary.attributes = {**secondary.attributes, **primary.attributes}
        primary.devices = {**secondary.devices, **primary.devices}
        primary.relationships = {**secondary.relationships, **primary.relationships}
        for people in self.segments.values():
            if secondary.cio_id in people:
                people.add(primary.cio_id)
        moved = [
            msgspec.structs.replace(one, person=primary.key) if one.person == old and one.timestamp >= since else one
            for one in self.activities
        ]
        self.activities = deque(moved, maxlen=MAX_ACTIVITIES)

    # --- what people do ---

    def _happened(self, person: Person, kind: str, item: dict[str, Json]) -> Effect:
        event_id = item.get("id")
        if isinstance(event_id, str):
            if event_id in self._event_ids:
                return Repeated(person=person.key, name=str(item["name"]).strip(), data=_data(item))
            self._event_ids[event_id] = None
            if len(self._event_ids) > MAX_EVENT_IDS:
                self._event_ids.popitem(last=False)
        activity = self._activity(person.key, kind, item)
        self.activities.append(activity)
        return Happened(person=person, activity=activity)

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
        activity = self._activity(f"anonymous:{anonymous_id}", str(item["action"]), item)
        if activity.id is not None and activity.id in self._event_ids:
            yield Repeated(person=activity.person, name=activity.name, data=activity.data)
            return
        if activity.id is not None:
            self._event_ids[activity.id] = None
        self._anonymous.append((anonymous_id, activity))
        self.activities.append(activity)

    def _associate(self, person: Person, anonymous_id: str) -> Iterator[Effect]:
        """A person who takes an anonymous id takes over what was done under it."""
        since = self.now() - ASSOCIATE_S
        for known, activity in list(self._anonymous):
            if known == anonymous_id and activity.timestamp >= since:
                self._anonymous.remove((known, activity))
                own = msgspec.structs.replace(activity, person=person.key)
                self.activities = deque(
                    (own if one is activity else one for one in self.activities), maxlen=MAX_ACTIVITIES
                )
                yield Happened(person=person, activity=own)

    # --- objects ---

    def _relate(self, person: Person, item: dict[str, Json], *, adds: bool) -> None:
        related = item.get("cio_relationships")
        for entry in related if isinstance(related, list) else []:
            fields = entry if isinstance(entry, dict) else {}
            name = _object_name(fields.get("identifiers"))
            attributes = fields.get("relationship_attributes")
            others = {key: value for key, value in person.relationships.items() if key != name}
            new = {name: attributes if isinstance(attributes, dict) else {}} if adds else {}
            person.relationships = {**others, **new}

    def _apply_to_object(self, action: str, item: dict[str, Json]) -> None:
        name = _object_name(item["identifiers"])
        if action == "delete":
            self.objects.pop(name, None)
            return
        known = self.objects.setdefault(name, {})
        for key, value in _data(item).items():
            if value in (None, ""):
                known.pop(key, None)
            else:
                known[key] = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if len(self.objects) > MAX_PEOPLE:
            self.objects.popitem(last=False)
        related = item.get("cio_relationships")
        for entry in related if isinstance(related, list) else []:
            identifiers = entry.get("identifiers") if isinstance(entry, dict) else None
            person = self.find(*_first(identifiers))
            if person is not None and isinstance(entry, dict):
                back: Json = [{**entry, "identifiers": item["identifiers"]}]
                self._relate(person, {"cio_relationships": back}, adds=action != "delete_relationships")


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
