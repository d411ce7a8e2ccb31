"""What makes two calls the same event: the ids that destinations deduplicate by.

An id depends on what the sender and the handler said and on nothing of ours: no endpoint, version, clock, counter,
random id or place among the calls. So it stays the same after a change of the handler, at a re-created endpoint,
after a restore and at a second installation.
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
    """What identifies an event. `person` is a kind of identifier and its value, both empty if there is no person;
    `once` takes the place of the sender's event id; `key` tells events apart that are equal otherwise.
    """

    person: tuple[str, str]
    kind: str
    name: str
    once: str | None = None
    key: str | None = None


class Derived(Record):
    """An id, and how many equal events of the same message came before this one."""

    id: str
    number: int


class EventIds:
    """Derives the ids of one message's events, in the order in which the handler put them."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._counted: Counter[Identity] = Counter()

    def derive(self, identity: Identity) -> Derived:
        """The same event gives the same id. Equal events of one message are told apart by their number."""
        number = self._counted[identity]
        self._counted[identity] += 1
        base = ("message", self._origin.event_key) if identity.once is None else ("once", identity.once)
        return Derived(id=self._ulid(*base, *_parts(identity), str(number)), number=number)

    def from_natural_id(self, natural_id: str, identity: Identity) -> str:
        """From an id that the handler gave the event: the same in each message that gives it, however often."""
        return self._ulid("natural", natural_id, *_parts(identity))

    def from_given_ulid(self, ulid: str) -> str:
        """A ULID that the handler gave stays as it is, unless new ids were requested or a test is sent."""
        origin = self._origin
        return self._ulid("given", ulid) if origin.replay_key or origin.test else ulid

    def _ulid(self, *parts: str) -> str:
        origin = self._origin
        return stable_ulid(TIME_MS, SCHEME, origin.app_uid, *parts, origin.replay_key or "", origin.test)


def person_of(kind: str, value: str, customer: Customer | None) -> tuple[str, str]:
    """A person as part of an id. The message's own customer counts as the sender's id for them, whether the handler
    wrote that id or their email: identifying people differently changes no id. Emails are not case-sensitive.
    """
    if kind == "email":
        value = value.casefold()
    if customer is not None and (kind, value) == ("email", (customer.email or "").casefold()):
        return "id", customer.key
    return kind, value


def names_person(text: str, person: tuple[str, str], customer: Customer | None) -> bool:
    """Whether a text is the id or the email of the person, or of the message's customer."""
    names = {person[1]}
    if customer is not None:
        names |= {customer.key, (customer.email or "").casefold()}
    return text in names or text.casefold() in names


def _parts(identity: Identity) -> tuple[str, ...]:
    # A missing key is not an empty one.
    key = ("none", "") if identity.key is None else ("key", identity.key)
    return (*identity.person, identity.kind, identity.name, *key)


class EarlierIds:
    """Ids as the version before derived them, for deliveries that it left unfinished: some of their calls may have
    arrived under those ids.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._edition = str(origin.edition) if origin.edition else ""
        self._own_id = f"{origin.message_id}_r{self._edition}" if self._edition else origin.message_id

    def derive(self, place: int, given: Json, who: Json, name: Json) -> str:
        """From the event's place among the events, or from the id that the handler gave if it is not the person's."""
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
