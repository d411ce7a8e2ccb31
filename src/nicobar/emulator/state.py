"""What the emulator holds: people, activities, requests. Everything is bounded; the oldest goes first."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

import msgspec

from nicobar.model import Json, Record

MAX_PEOPLE = 100_000
MAX_ACTIVITIES = 100_000
MAX_REQUESTS = 10_000
MAX_EVENT_IDS = 1_000_000


class Activity(Record):
    """Something that a person did. `data` keeps its types."""

    person: str
    type: str
    name: str
    id: str | None
    timestamp: int
    data: dict[str, Json]


class SeenRequest(Record):
    """A request as it came, credentials left out. `items` counts its objects."""

    at_ms: int
    method: str
    path: str
    headers: dict[str, str]
    status: int
    items: int
    refused: int
    duplicates: int


class Person(msgspec.Struct):
    """`attributes` are kept as texts, as Customer.io does."""

    key: str
    cio_id: str
    attributes: dict[str, str]
    edited_at: int = 0


class State:
    """`credentials` are the Site ID and API key that are taken. `on_change` is called after each request."""

    def __init__(self, *, site_id: str = "demo-site", api_key: str = "demo-key") -> None:
        self.credentials = (site_id, api_key)
        self.listeners: list[Callable[[SeenRequest], None]] = []
        self.reset()

    def reset(self) -> None:
        self.people: OrderedDict[str, Person] = OrderedDict()
        self.activities: deque[Activity] = deque(maxlen=MAX_ACTIVITIES)
        self.requests: deque[SeenRequest] = deque(maxlen=MAX_REQUESTS)
        self.suppressed: set[str] = set()
        self._event_ids: OrderedDict[str, None] = OrderedDict()
        self._next_cio_id = 1

    def note(self, request: SeenRequest) -> None:
        self.requests.append(request)
        for listener in self.listeners:
            listener(request)

    def apply(self, item: dict[str, Json], now_s: int) -> bool:
        """Does what an accepted v2 object asks for; False if it was a repetition that was left out."""
        identifiers = item.get("identifiers")
        key = _key(identifiers) if isinstance(identifiers, dict) else ""
        action = item["action"]
        if item["type"] != "person" or not key:
            return True
        if action == "unsuppress":
            self.suppressed.discard(key)
        elif action == "suppress":
            self.people.pop(key, None)
            self.suppressed.add(key)
        elif key in self.suppressed:
            return True
        elif action == "delete":
            self.people.pop(key, None)
        elif action == "identify":
            self._identify(key, item, now_s)
        elif action in {"event", "page", "screen"}:
            return self._happened(key, item, now_s)
        return True

    def _identify(self, key: str, item: dict[str, Json], now_s: int) -> None:
        attributes = item.get("attributes")
        given = dict(attributes) if isinstance(attributes, dict) else {}
        only_update = given.pop("_update", False) is True
        if only_update and key not in self.people:
            return
        person = self._person(key)
        timestamp = item.get("timestamp")
        edited_at = timestamp if isinstance(timestamp, int) else now_s
        # An identify from before the latest edit is dropped without a word.
        if edited_at < person.edited_at:
            return
        person.edited_at = edited_at
        for name, value in given.items():
            if value is None:
                person.attributes.pop(name, None)
            else:
                person.attributes[name] = value if isinstance(value, str) else msgspec.json.encode(value).decode()

    def _happened(self, key: str, item: dict[str, Json], now_s: int) -> bool:
        event_id = item.get("id")
        if isinstance(event_id, str):
            if event_id in self._event_ids:
                return False
            self._event_ids[event_id] = None
            if len(self._event_ids) > MAX_EVENT_IDS:
                self._event_ids.popitem(last=False)
        # Whether an event makes a person who is not there is not documented; here it does, without an address.
        self._person(key)
        timestamp, data = item.get("timestamp"), item.get("attributes")
        self.activities.append(
            Activity(
                person=key,
                type=str(item["action"]),
                name=str(item["name"]).strip(),
                id=event_id if isinstance(event_id, str) else None,
                timestamp=timestamp if isinstance(timestamp, int) else now_s,
                data=data if isinstance(data, dict) else {},
            )
        )
        return True

    def _person(self, key: str) -> Person:
        person = self.people.get(key)
        if person is None:
            person = self.people[key] = Person(key=key, cio_id=f"{self._next_cio_id:012x}", attributes={})
            self._next_cio_id += 1
            if len(self.people) > MAX_PEOPLE:
                self.people.popitem(last=False)
        return person


def _key(identifiers: dict[str, Json]) -> str:
    """Ids are case-sensitive, e-mail addresses are not."""
    name, value = next(iter(identifiers.items()), ("", ""))
    return str(value).lower() if name == "email" else str(value)
