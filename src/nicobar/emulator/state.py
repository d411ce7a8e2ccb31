"""What the emulator holds, and what each accepted object does to it. All of it is bounded: the oldest go first, and
how many went is counted. Nothing that a call does takes longer for how much is held.

Where the documentation is silent, the reading is the safe one, in a comment at its line.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from nicobar.emulator import identify, items
from nicobar.emulator.activities import Activities, Activity
from nicobar.emulator.clock import Clock
from nicobar.emulator.contract import is_time
from nicobar.emulator.effects import Changed, Effect, Happened, Ignored, Joined, Merged, Repeated
from nicobar.emulator.forgotten import Forgotten
from nicobar.emulator.pending import Pending
from nicobar.emulator.people import IDENTIFIERS, People, Person, name_of
from nicobar.emulator.workspace import Workspace
from nicobar.errors import UserError
from nicobar.model import Json, Record

MAX_OBJECTS = 100_000
MAX_ACTIVITIES = 100_000
MAX_REQUESTS = 10_000
MAX_EVENT_IDS = 1_000_000
# Of one person, or object. https://docs.customer.io/journeys/invalid-api-requests names that of attributes.
MAX_ATTRIBUTES = 300
MAX_DEVICES = 100
MAX_RELATIONSHIPS = 1_000
MAX_TIME_DIGITS = 11
# https://docs.customer.io/api/track: how long events of anonymous or merged people are kept for a later owner.
ASSOCIATE_S = 30 * 86_400


class SeenRequest(Record):
    """A received request without credentials. `items` counts its objects. `invented` marks an answer whose text
    is made up here, as only its shape is documented. `ignored` is why an accepted request had no effect.
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
    ignored: str = ""


class State:
    """`credentials` are the accepted Site ID and API key, `app_key` that of the App API. With `settle_ms`, accepted
    calls take effect that much later, in order, as at Customer.io; `now` gives Unix seconds, from which `clock` can
    be moved.
    """

    def __init__(
        self,
        *,
        site_id: str = "demo-site",
        api_key: str = "demo-key",
        app_key: str = "demo-app-key",
        now: Callable[[], float] = time.time,
    ) -> None:
        self.credentials = (site_id, api_key)
        self.app_key = app_key
        self.clock = Clock(now)
        self.now = self.clock.now
        self._pending = Pending(self.now)
        self._workspace = Workspace()
        self.listeners: list[Callable[[Effect], None]] = []
        self.version = 0
        self.reset()

    def reset(self) -> None:
        self.version += 1
        self.clock.reset()
        self.forgotten = Forgotten()
        self.people = People(self.forgotten, self._workspace)
        self.objects: OrderedDict[str, dict[str, str]] = OrderedDict()
        self.activities = Activities(MAX_ACTIVITIES)
        self.requests: deque[SeenRequest] = deque()
        self._event_ids: OrderedDict[str, str] = OrderedDict()
        self._pending.reset(self._workspace)

    @property
    def settle_ms(self) -> int:
        return self._pending.settle_ms

    @settle_ms.setter
    def settle_ms(self, settle_ms: int) -> None:
        self._pending.settle_ms = settle_ms

    @property
    def workspace(self) -> Workspace:
        return self._workspace

    def put_workspace(self, wanted: Workspace) -> None:
        """Raises UserError if there are people: what identifies them can change only without any."""
        if wanted.identifiers is not self._workspace.identifiers and (len(self.people) or self.people.suppressed):
            raise UserError(
                "identifiers_in_use",
                "The workspace has %(people)s people, so its identifiers cannot change.",
                "Delete the data first, with DELETE /emulator/state.",
                people=len(self.people),
            )
        self.version += 1
        self._workspace = self.people.workspace = wanted
        self._pending.shuffle(wanted)

    def note(self, request: SeenRequest) -> None:
        self.version += 1
        self.requests.append(request)
        if len(self.requests) > MAX_REQUESTS:
            self.requests.popleft()
            self.forgotten["requests"] += 1

    def find(self, kind: str, value: str) -> Person | None:
        return self.people.find(kind, value)

    @property
    def pending(self) -> int:
        """The number of accepted objects without effect yet."""
        return len(self._pending)

    def accept(self, item: dict[str, Json], anonymous_id: str | None = None) -> bool:
        """Accepts a valid object; False if it was ignored as a duplicate."""
        is_identify = item["type"] == "person" and item["action"] == "identify"
        return self._pending.add(partial(self._apply_all, item, anonymous_id), is_identify=is_identify)

    def put_in_segment(self, number: str, names: tuple[str, ...], *, adds: bool) -> None:
        """Adds people (`kind:value`) to a manual segment, or removes them."""
        self._pending.add(partial(self._change_segment, number, names, adds=adds), is_identify=False)

    def settle(self) -> None:
        """Applies the objects that are due."""
        self._pending.settle()

    def _change_segment(self, number: str, names: tuple[str, ...], *, adds: bool) -> bool:
        for name in names:
            person = self.people.find(*name.split(":", 1))
            if person is None:
                continue
            was_in = number in person.segments
            if adds:
                self.people.join(number, person)
            else:
                self.people.leave(number, person)
            if adds and not was_in:
                self._tell(Joined(person=person, segment=number))
        self.version += 1
        return True

    def _tell(self, effect: Effect) -> None:
        for listener in self.listeners:
            listener(effect)

    def _apply_all(self, item: dict[str, Json], anonymous_id: str | None) -> bool:
        effects = list(self._apply(item, anonymous_id))
        self.version += 1
        for effect in effects:
            self._tell(effect)
        return not any(isinstance(effect, Repeated) for effect in effects)

    def _apply(self, item: dict[str, Json], anonymous_id: str | None) -> Iterator[Effect]:
        action = str(item["action"])
        if item["type"] == "object":
            self._apply_to_object(action, item)
        elif anonymous_id is not None:
            yield from self._happened_to_nobody(item, anonymous_id)
        elif item["type"] == "person" and action == "merge":
            yield from self._merge(*(self.people.find(*items.first(item[side])) for side in ("primary", "secondary")))
        elif item["type"] == "person":
            yield from self._apply_to_person(action, item)

    def _apply_to_person(self, action: str, item: dict[str, Json]) -> Iterator[Effect]:
        name = items.first(item["identifiers"])
        who, person = name_of(*name), self.people.find(*name)
        event = str(item.get("name", "")) if action in {"event", "page", "screen"} else ""
        why = identify.disabled(self._workspace, name[0])
        if who in self.people.suppressed:
            why = "the person is suppressed"
        elif name[0] == "cio_id" and person is None:
            why = "no person has this cio_id"
        if action == "unsuppress":
            self.people.unsuppress(who)
        elif why:
            yield Ignored(
                person=name[1],
                kind=action,
                name=event.strip(),
                why=why,
                data=items.data(item),
                event_id=items.event_id(item),
            )
        elif action == "suppress":
            self.people.suppress(frozenset({who, *(self.people.remove(person) if person else ())}))
        elif action == "identify":
            yield from self._identify(name, item)
        elif event:
            # Whether an event creates a missing person is not documented; here it does, without an address.
            yield self._happened(person or self.people.new(*name, int(self.now())), action, item)
        elif person is not None:
            self._change(person, action, item)

    def _change(self, person: Person, action: str, item: dict[str, Json]) -> None:
        """Actions that require an existing person."""
        device = item.get("device")
        token = str(device.get("token")) if isinstance(device, dict) else ""
        match action:
            case "delete":
                self.people.remove(person)
            case "add_device":
                person.devices[token] = dict(device) if isinstance(device, dict) else {}
                self.forgotten.trim(person.devices, MAX_DEVICES, "devices")
            case "delete_device":
                person.devices.pop(token, None)
            case _:
                self._relate(person, item, adds=action == "add_relationships")

    # --- people ---

    def _identify(self, name: tuple[str, str], item: dict[str, Json]) -> Iterator[Effect]:
        given = items.data(item)
        only_update = given.pop("_update", False) is True
        found = identify.find(self.people, self._workspace, name, given)
        person = found.person
        timestamp = item.get("timestamp")
        edited_at = timestamp if isinstance(timestamp, int) and is_time(timestamp) else int(self.now())
        why = "_update never creates a person" if person is None and only_update else ""
        if person is not None and edited_at < person.edited_at:
            # Dropped silently: https://github.com/PostHog/posthog/issues/55330.
            why = "the call is older than the profile's latest edit"
        if why:
            yield Ignored(person=name[1], kind="identify", name="", why=why, data={})
            return
        if person is not None and found.merges is not None:
            yield from self._merge(person, found.merges)
        before = dict(person.attributes) if person is not None else {}
        person = person or self.people.new(*name, int(self.now()))
        if person is not self.people.find(*name):
            self.people.call(person, *name)
        person.edited_at = edited_at
        self._relate(person, item, adds=True)
        yield from self._set(person, given, by=name[0])
        yield Changed(person=person, before=before)
        anonymous_id = given.get("anonymous_id")
        if isinstance(anonymous_id, str) and anonymous_id:
            yield from self._associate(person, anonymous_id)

    def _set(self, person: Person, given: dict[str, Json], *, by: str) -> Iterator[Effect]:
        for name, value in given.items():
            # The effect of empty text on a person's attribute is not documented; for objects it removes it, like
            # null.
            text = items.kept(value)
            if name in IDENTIFIERS and (
                why := identify.refusal(self.people, self._workspace, person, (name, text), by)
            ):
                yield self._failure(person, name, value, why)
                continue
            # Where ids are no identifiers, `id` is an attribute like others.
            if name in IDENTIFIERS and (name != "id" or self._workspace.identifies("id")):
                if text:
                    self.people.call(person, name, text)
                else:
                    self.people.uncall(person, name)
            self._put(person.attributes, name, text)
        created_at = person.attributes.get("created_at", "")
        if created_at.isdecimal() and len(created_at) <= MAX_TIME_DIGITS:
            person.created_at = int(created_at)

    def _put(self, attributes: dict[str, str], name: str, text: str) -> None:
        """Sets or removes an attribute of a person or object; new ones beyond the limit are ignored."""
        if not text:
            attributes.pop(name, None)
        elif name in attributes or len(attributes) < MAX_ATTRIBUTES:
            attributes[name] = text
        else:
            self.forgotten["attributes"] += 1

    def _failure(self, person: Person, name: str, value: Json, why: str) -> Happened:
        """The activity log entry for an identifier that a call could not change."""
        activity = Activity(
            person=person.key,
            type="attribute_update_failure",
            name="",
            id=None,
            timestamp=int(self.now()),
            data={"attribute": name, "value": value, "from": getattr(person, name), "why": why},
            number=self.activities.next_number,
        )
        self._log(person.cio_id, activity)
        return Happened(person=person, activity=activity)

    def _merge(self, primary: Person | None, secondary: Person | None) -> Iterator[Effect]:
        """Moves missing attributes, recent events, devices and manual segments; deletes the secondary. Events that
        are moved start no campaign, new attributes do: https://docs.customer.io/journeys/merge-people.
        """
        if primary is None or secondary is None or primary is secondary:
            return
        names, segments, before = (secondary.email, secondary.phone), secondary.segments, dict(primary.attributes)
        self.people.remove(secondary)
        for kind, value in zip(("email", "phone"), names, strict=True):
            if value is not None and getattr(primary, kind) is None:
                self.people.call(primary, kind, value)
        for name, text in secondary.attributes.items():
            if name not in IDENTIFIERS and name not in primary.attributes:
                self._put(primary.attributes, name, text)
        primary.devices = {**secondary.devices, **primary.devices}
        self.forgotten.trim(primary.devices, MAX_DEVICES, "devices")
        primary.relationships = {**secondary.relationships, **primary.relationships}
        self.forgotten.trim(primary.relationships, MAX_RELATIONSHIPS, "relationships")
        for number in segments:
            self.people.join(number, primary)
        for place, activity in self._recent(secondary.cio_id):
            self.activities.move(place, primary.cio_id, msgspec.structs.replace(activity, person=primary.key))
        yield Merged(primary=primary, secondary=secondary)
        yield Changed(person=primary, before=before)

    # --- what people do ---

    def _happened(self, person: Person, kind: str, item: dict[str, Json]) -> Effect:
        known_as = self._known_as(kind, item)
        if known_as is not None:
            name = str(item["name"]).strip()
            return Repeated(
                person=person.key,
                about=person,
                kind=kind,
                known_as=known_as,
                name=name,
                data=items.data(item),
                event_id=items.event_id(item),
            )
        activity = self._activity(person.key, kind, item)
        self._log(person.cio_id, activity)
        return Happened(person=person, activity=activity)

    def _known_as(self, kind: str, item: dict[str, Json]) -> str | None:
        """The type of the earlier activity with this id; None if the id is new, which records it."""
        event_id = items.event_id(item)
        if event_id is None:
            return None
        if event_id in self._event_ids:
            return self._event_ids[event_id]
        self._event_ids[event_id] = kind
        self.forgotten.trim(self._event_ids, MAX_EVENT_IDS, "event ids")
        return None

    def _log(self, owner: str, activity: Activity) -> None:
        if not self.activities.add(owner, activity):
            self.forgotten["activities"] += 1

    def _recent(self, owner: str) -> list[tuple[int, Activity]]:
        """The activities that another person may still inherit."""
        since = self.now() - ASSOCIATE_S
        return [(number, activity) for number, activity in self.activities.of(owner) if activity.timestamp >= since]

    def _activity(self, person: str, kind: str, item: dict[str, Json]) -> Activity:
        timestamp = item.get("timestamp")
        return Activity(
            person=person,
            type=kind,
            # A stored page view keeps its data, but not its name.
            name="" if kind == "page" else str(item["name"]).strip(),
            id=items.event_id(item),
            timestamp=timestamp if isinstance(timestamp, int) and is_time(timestamp) else int(self.now()),
            data=items.data(item),
            number=self.activities.next_number,
        )

    def _happened_to_nobody(self, item: dict[str, Json], anonymous_id: str) -> Iterator[Effect]:
        kind, owner = str(item["action"]), _anonymous(anonymous_id)
        known_as = self._known_as(kind, item)
        if known_as is None:
            self._log(owner, self._activity(owner, kind, item))
        else:
            name = str(item["name"]).strip()
            yield Repeated(
                person=owner,
                about=None,
                kind=kind,
                known_as=known_as,
                name=name,
                data=items.data(item),
                event_id=items.event_id(item),
            )

    def _associate(self, person: Person, anonymous_id: str) -> Iterator[Effect]:
        """A person who gets an anonymous id inherits its activities."""
        for number, activity in self._recent(_anonymous(anonymous_id)):
            own = msgspec.structs.replace(activity, person=person.key)
            self.activities.move(number, person.cio_id, own)
            yield Happened(person=person, activity=own)

    # --- objects ---

    def _relate(self, person: Person, item: dict[str, Json], *, adds: bool) -> None:
        related = item.get("cio_relationships")
        for entry in related if isinstance(related, list) else []:
            fields = entry if isinstance(entry, dict) else {}
            name = items.object_name(fields.get("identifiers"))
            attributes = fields.get("relationship_attributes")
            person.relationships.pop(name, None)
            if adds:
                person.relationships[name] = attributes if isinstance(attributes, dict) else {}
        self.forgotten.trim(person.relationships, MAX_RELATIONSHIPS, "relationships")

    def _apply_to_object(self, action: str, item: dict[str, Json]) -> None:
        name = items.object_name(item["identifiers"])
        if action == "delete":
            self.objects.pop(name, None)
            return
        if action != "delete_relationships":
            attributes = self.objects.setdefault(name, {})
            for key, value in items.data(item).items():
                self._put(attributes, key, items.kept(value))
            self.forgotten.trim(self.objects, MAX_OBJECTS, "objects")
        related = item.get("cio_relationships")
        for entry in related if isinstance(related, list) else []:
            identifiers = entry.get("identifiers") if isinstance(entry, dict) else None
            person = self.people.find(*items.first(identifiers))
            if person is not None and isinstance(entry, dict):
                back: Json = [{**entry, "identifiers": item["identifiers"]}]
                self._relate(person, {"cio_relationships": back}, adds=action != "delete_relationships")


def _anonymous(anonymous_id: str) -> str:
    return f"anonymous:{anonymous_id}"
