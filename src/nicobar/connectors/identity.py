"""Event ids, by which destinations deduplicate.

An id depends only on values of the sender and the handler, not on ours: no endpoint, version, clock, counter, random
id or position among the calls. So it stays the same when the handler changes, at a re-created endpoint, after a
restore and in a second installation.
"""

from __future__ import annotations

from collections import Counter

from nicobar.connectors import Origin
from nicobar.connectors.payload import encoded
from nicobar.ids import stable_ulid
from nicobar.model import Customer, Json, Record

# Increase it when ids are derived differently, so that ids of two schemes never meet.
SCHEME = "2"
# 2026-01-01T00:00:00Z. Destinations that need a ULID do not use its time; a fixed one is fine.
TIME_MS = 1_767_225_600_000


class Identity(Record):
    """Identifies an event. `person` is a kind of identifier and its value, both empty if there is no person; `once`
    replaces the sender's event id; `key` distinguishes events that are otherwise equal.
    """

    person: tuple[str, str]
    kind: str
    name: str
    once: str | None = None
    key: str | None = None


class Derived(Record):
    """An id, and the number of equal events of the same message before this one."""

    id: str
    number: int


class EventIds:
    """Derives the ids of one message's events, in the handler's order."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._counted: Counter[Identity] = Counter()

    def derive(self, identity: Identity) -> Derived:
        """The same event gives the same id. Equal events of one message are distinguished by their number."""
        number = self._counted[identity]
        self._counted[identity] += 1
        base = ("message", self._origin.event_key) if identity.once is None else ("once", identity.once)
        return Derived(id=self._ulid(*base, *_parts(identity), str(number)), number=number)

    def from_natural_id(self, natural_id: str, identity: Identity) -> str:
        """Derived from an id that the handler set: the same in each message that sets it."""
        return self._ulid("natural", natural_id, *_parts(identity))

    def from_given_ulid(self, ulid: str) -> str:
        """A ULID set by the handler is kept, unless new ids were requested or this is a test event."""
        origin = self._origin
        return self._ulid("given", ulid) if origin.replay_key or origin.test else ulid

    def _ulid(self, *parts: str) -> str:
        origin = self._origin
        return stable_ulid(TIME_MS, SCHEME, origin.app_uid, *parts, origin.replay_key or "", origin.test)


def person_of(kind: str, value: str, customer: Customer | None) -> tuple[str, str]:
    """A person as part of an id. The message's own customer always counts as the sender's customer id, even if the
    handler uses their email: changing the identifier changes no event id. Emails are not case-sensitive, nor are
    spaces around them a part of the customer's.
    """
    if kind == "email":
        value = value.casefold()
    if customer is not None and kind == "email" and value.strip() == (customer.email or "").casefold().strip():
        return "id", customer.key
    return kind, value


def names_person(text: str, person: tuple[str, str], customer: Customer | None) -> bool:
    """Whether the text is the id or email of the person or of the message's customer."""
    names = {person[1]}
    if customer is not None:
        names |= {customer.key, (customer.email or "").casefold()}
    return text in names or text.casefold() in names


def _parts(identity: Identity) -> tuple[str, ...]:
    # A missing key differs from an empty one.
    key = ("none", "") if identity.key is None else ("key", identity.key)
    return (*identity.person, identity.kind, identity.name, *key)


class EarlierIds:
    """Ids as the previous version derived them, for deliveries that it left unfinished: some of their calls may have
    arrived with these ids.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._edition = str(origin.edition) if origin.edition else ""
        self._own_id = f"{origin.message_id}_r{self._edition}" if self._edition else origin.message_id

    def derive(self, place: int, given: Json, who: Json, name: Json) -> str:
        """Derived from the event's position, or from the id that the handler set if it is not the person's id."""
        origin = self._origin
        is_own = isinstance(given, str) and given.strip() and not (isinstance(who, dict) and given in who.values())
        if isinstance(given, str) and is_own:
            again = (self._edition,) if self._edition else ()
            return stable_ulid(0, origin.endpoint_id, _written(who), _written(name), given, *again)
        own = given if isinstance(given, str) else type(given).__name__ if given is not None else ""
        return stable_ulid(origin.occurred_at_ms, self._own_id, origin.endpoint_id, str(place), own)

    def webhook_id(self, index: int, count: int) -> str:
        return self._own_id if count == 1 else f"{self._own_id}.{index}"


def _written(value: Json) -> str:
    return (encoded(value) or b"").decode()
