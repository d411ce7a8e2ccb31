"""What events have stated about the sender's customers, subscriptions, payments, refunds and disputes.

A fact is stored as what the newest events said about each of its fields, under the place of each event in one total
order. So any order of arrival, and any repetition, gives the same fact, and an event that says less blanks nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from zlib import crc32

import msgspec

from nicobar.model import Customer, Event, Fact, FactKind, Json, Record
from nicobar.people import IdentityRule, Person, PersonOrigin, email_identifier, resolve

# A sender's clock may be ahead by this; what lies further in the future counts as of now.
MAX_AHEAD_MS = 300_000
# What is remembered of an event, and of a fact: the newest. A longer value is ignored.
MAX_TEXT_CHARS = 500
MAX_DEPTH_LEVELS = 3
MAX_MEMBERS = 20
MAX_METADATA_KEYS = 100
MAX_METADATA_KEY_CHARS = 100
# Of each field the newest value, and the one before that differs.
MAX_VALUES = 2
# Begins fields that say when the end of a subscription was first announced. Their names have it; the latest are kept.
ANNOUNCED = "announced."
MAX_ANNOUNCED = 4

_MAX_ID_CHARS = 256
_METADATA = "metadata."
_LATEST_MS = 2**48 - 1  # the year 10889
_MAX_RANK = 255
_PLAIN_ID = re.compile(r"[\w.:/+=@-]{1,100}", re.ASCII)
# Ends the first place of a content, and begins its fields: places have no quotes.
_FIELDS = '":{'
# What an event states about itself: a handler gets it from the event, and no total needs it later. Links are secrets.
_OF_THE_EVENT = frozenset({"raw_status", "failure_kind", "failure_reason", "discount_codes", "invoice_url"})
# When an object began: in the past.
_BEGINNINGS = ("created_at", "started_at")
# Types of values that are within the bounds.
_PLAIN = frozenset({int, float, bool, type(None)})
# Begins the place of what no later event takes back: behind that of all others, which begin with a hexadecimal digit.
_FINAL = "s"
# Begins the place of what was said first: the earlier it was, the later the place. Before those of all others.
_FIRST = "!"

# Fields by the place of the event that said them. Values stay as they were written, so that numbers are exact.
_Layers = dict[str, dict[str, msgspec.Raw]]
_LAYERS = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw]])
_encode = msgspec.json.Encoder().encode
_KNOWN = msgspec.json.Decoder(dict[str, dict[str, Json]])


class StatedFact(Record):
    """A fact as it is stored. `key` is that of the table, `customer_key` the sender's id of its customer;
    `parent_key` the key of the payment of a refund or dispute. `content` is JSON: fields by place. `email` is the
    newest address of a customer that can be used, by which others with it are found. `occurred_at_ms` is when the
    newest event happened that states it, or was accepted if its sender's clock is ahead.
    """

    key: str
    occurred_at_ms: int
    content: str
    customer_key: str | None = None
    parent_key: str | None = None
    email: str | None = None


class About(Record):
    """What an event is about: its own customer, and the keys of the other objects that it names, nearest first. The
    metadata is that of an event without a customer.
    """

    source_kind: str
    customer: Customer | None
    keys: tuple[str, ...] = ()
    metadata: dict[str, Json] = {}
    mode: str = ""

    @property
    def wanted(self) -> tuple[str, ...]:
        """The keys of the facts that may say more of its customer."""
        own = () if self.customer is None else (self.key_of(self.customer),)
        return (*self.keys, *own)

    def key_of(self, customer: Customer) -> str:
        return customer_fact_key(self.source_kind, customer.key, self.mode)


class Stated(Record):
    """What an event is about, and the facts that it states. `is_ahead`: its time is too far in the future."""

    about: About
    facts: tuple[StatedFact, ...] = ()
    is_ahead: bool = False


def fact_key(source_kind: str, kind: FactKind, object_id: str, mode: str = "") -> str:
    """The key of a fact. The mode is that of the source; empty for one that does not state it."""
    return f"{source_kind}/{mode}/{kind}/{object_id}"


def customer_fact_key(source_kind: str, customer_key: str, mode: str = "") -> str:
    return fact_key(source_kind, FactKind.CUSTOMER, customer_key, mode)


def of_customer(customer: Customer) -> Fact:
    """What an event states about its customer."""
    fields: dict[str, Json] = {"email": customer.email} if customer.email else {}
    if customer.name:
        fields["name"] = customer.name
    return Fact(kind=FactKind.CUSTOMER, id=customer.key, fields=fields, metadata=customer.metadata)


def object_id(value: Json) -> str:
    """The sender's id of an object, in a form that databases can index; empty if it is none."""
    if not isinstance(value, str) or not value:
        return ""
    if len(value) <= _MAX_ID_CHARS and "\0" not in value:
        return value
    return "sha256:" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def state(
    source_kind: str, event: Event, *, event_id: str, body: bytes, accepted_at_ms: int, mode: str = ""
) -> Stated:
    """What is stored of an event's facts."""
    at_ms, is_ahead = _moment(event.occurred_at_ms, accepted_at_ms)
    keys = [fact_key(source_kind, fact.kind, fact.id, mode) for fact in event.facts]
    facts: list[StatedFact] = []
    place = ""
    for key, fact in zip(keys, event.facts, strict=True):
        if not (fields := _fields(fact, accepted_at_ms)):
            continue
        if not place:
            updated_at_ms = at_ms if event.updated_at_ms is None else _moment(event.updated_at_ms, accepted_at_ms)[0]
            place = _place(at_ms, updated_at_ms, event.ranks, event_id, body)
        is_customer = fact.kind is FactKind.CUSTOMER
        payment_id = _text(fields.get("payment_id"))
        layers = {_FINAL + place if fact.is_final else place: fields}
        if fields.get("cancel_at") is not None:
            layers |= _first(fields["cancel_at"], at_ms)
        facts.append(
            StatedFact(
                key=key,
                occurred_at_ms=min(at_ms, accepted_at_ms),
                content=_encode(layers).decode(),
                customer_key=fact.id if is_customer else _text(fields.get("customer_id")),
                parent_key=fact_key(source_kind, FactKind.PAYMENT, payment_id, mode) if payment_id else None,
                email=_address(fields.get("email")) if is_customer else None,
            )
        )
    return Stated(about=_about(source_kind, event, keys, mode), facts=tuple(facts), is_ahead=is_ahead)


def _first(cancel_at: Json, at_ms: int) -> dict[str, dict[str, Json]]:
    """When the end of a subscription is announced: what was stated between two announcements has undone the first."""
    if not isinstance(cancel_at, int):
        return {}
    return {f"{_FIRST}{_LATEST_MS - at_ms:012x}": {f"{ANNOUNCED}{cancel_at}": at_ms}}


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _address(value: Json) -> str | None:
    """An address as others are compared with it, and as it can be indexed."""
    return (email_identifier(value) or None) if isinstance(value, str) and _is_kept(value) else None


def _moment(at_ms: int | None, accepted_at_ms: int) -> tuple[int, bool]:
    """The time that counts, and whether the stated one is too far in the future."""
    if at_ms is None:
        return accepted_at_ms, False
    is_ahead = at_ms > accepted_at_ms + MAX_AHEAD_MS
    return min(max(accepted_at_ms if is_ahead else at_ms, 0), _LATEST_MS), is_ahead


def _place(at_ms: int, updated_at_ms: int, ranks: tuple[int, int], event_id: str, body: bytes) -> str:
    """The place of an event among all, as text that is ordered alike everywhere, and written alike in JSON. Two
    bodies under one event id have two places.
    """
    status, kind = ranks
    status, kind = min(max(status, 0), _MAX_RANK), min(max(kind, 0), _MAX_RANK)
    if not _PLAIN_ID.fullmatch(event_id):
        event_id = hashlib.sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{at_ms:012x}{updated_at_ms:012x}{status:02x}{kind:02x} {event_id} {crc32(body):08x}"


def _fields(fact: Fact, accepted_at_ms: int) -> dict[str, Json]:
    """Those that are remembered. Called for every fact of every event: most values are told by their type."""
    kept: dict[str, Json] = {}
    for name, value in fact.fields.items():
        if name in _OF_THE_EVENT:
            continue
        kind = type(value)
        if kind is str:
            if len(value) <= MAX_TEXT_CHARS and "\0" not in value:  # type: ignore[arg-type, operator]
                kept[name] = value
        elif kind in _PLAIN or not value or _is_kept(value):
            kept[name] = value
    for name in _BEGINNINGS:
        if isinstance(began_at_ms := kept.get(name), int):
            kept[name], _ = _moment(began_at_ms, accepted_at_ms)
    if fact.metadata:
        _add_metadata(kept, fact.metadata)
    return kept


def _add_metadata(kept: dict[str, Json], metadata: Mapping[str, Json]) -> None:
    left = MAX_METADATA_KEYS
    for name, value in metadata.items():
        kind = type(value)
        if kind is str:
            if len(value) > MAX_TEXT_CHARS or "\0" in value:  # type: ignore[arg-type, operator]
                continue
        elif value is None or kind not in _PLAIN:
            continue
        if left and (field := _metadata_field(name)):
            kept[field] = value
            left -= 1


def _is_kept(value: Json, depth_levels: int = MAX_DEPTH_LEVELS) -> bool:
    """Whether a value is remembered: within the bounds, and without what databases cannot store."""
    if isinstance(value, str):
        return len(value) <= MAX_TEXT_CHARS and "\0" not in value
    if isinstance(value, (list, dict)):
        if not depth_levels or len(value) > MAX_MEMBERS:
            return False
        for item in value.values() if isinstance(value, dict) else value:
            if type(item) not in _PLAIN and not _is_kept(item, depth_levels - 1):
                return False
    return True


@lru_cache(maxsize=1_000)
def _metadata_field(name: str) -> str:
    return "" if len(name) > MAX_METADATA_KEY_CHARS or "\0" in name else _METADATA + name


def merged(one: str, other: str) -> str:
    """What both contents of a fact say. The order does not matter, and the same twice adds nothing."""
    if one[one.find(_FIELDS) :] == other[other.find(_FIELDS) :]:
        return max(one, other)  # the same was said, most often: the later place is that of all of it
    said: dict[str, dict[bytes, str]] = {}
    for content in (one, other):
        for place, fields in _LAYERS.decode(content).items():
            for name, value in fields.items():
                places = said.setdefault(name, {})
                text = bytes(value)
                places[text] = max(place, places.get(text, ""))
    kept = {
        name: sorted(((place, text) for text, place in places.items()), reverse=True)[:MAX_VALUES]
        for name, places in said.items()
    }
    _bound(kept)
    layers: _Layers = {}
    for place, name, text in sorted(
        ((place, name, text) for name, values in kept.items() for place, text in values), reverse=True
    ):
        layers.setdefault(place, {})[name] = msgspec.Raw(text)
    return _encode(layers).decode()


def _bound(kept: dict[str, list[tuple[str, bytes]]]) -> None:
    """Removes what is beyond the bounds. That depends only on what is kept, so that any order of removing and adding
    leaves the same.
    """
    metadata = sorted(
        (name for name in kept if name.startswith(_METADATA)), key=lambda name: (kept[name][0][0], name)
    )
    if len(metadata) >= MAX_METADATA_KEYS:
        last = kept[metadata[-MAX_METADATA_KEYS]][0][0]
        for name in metadata[-MAX_METADATA_KEYS:]:
            kept[name][1:] = [value for value in kept[name][1:] if value[0] > last]
    announced = sorted((name for name in kept if name.startswith(ANNOUNCED)), key=lambda name: (len(name), name))
    for name in announced:
        del kept[name][1:]
    for name in (*metadata[:-MAX_METADATA_KEYS], *announced[:-MAX_ANNOUNCED]):
        del kept[name]


def merged_facts(facts: Iterable[StatedFact]) -> list[StatedFact]:
    """At most one for each key, sorted by key."""
    by_key: dict[str, StatedFact] = {}
    for fact in facts:
        known = by_key.get(fact.key)
        by_key[fact.key] = fact if known is None else merged_fact(known, fact)
    return [by_key[key] for key in sorted(by_key)]


def merged_fact(one: StatedFact, other: StatedFact) -> StatedFact:
    content = merged(one.content, other.content)
    customer_key = one.customer_key or other.customer_key
    if None is not other.customer_key != customer_key:
        customer_key = customer_key_of(content)
    email = one.email
    if email != other.email:
        email = _address(address_in(content))
    return StatedFact(
        key=one.key,
        occurred_at_ms=max(one.occurred_at_ms, other.occurred_at_ms),
        content=content,
        customer_key=customer_key,
        parent_key=max(one.parent_key or "", other.parent_key or "") or None,
        email=email,
    )


def customer_key_of(content: str) -> str:
    """The sender's id of a fact's customer, as the newest event says that says one."""
    return str(values_of(content)["customer_id"][0])


def address_in(content: str) -> str | None:
    """The address of a customer, as it was written, that the newest event says that says one."""
    return _text(next(iter(values_of(content).get("email", ())), None))


def values_of(content: str) -> dict[str, list[Json]]:
    """What is known of each field: the newest value, then the one before that differs."""
    values: dict[str, list[Json]] = {}
    layers = _KNOWN.decode(content)
    for place in sorted(layers, reverse=True):
        for name, value in layers[place].items():
            values.setdefault(name, []).append(value)
    return values


class KnownFact(Record):
    """A stored fact: see `values_of`."""

    key: str
    customer_key: str | None
    parent_key: str | None
    values: dict[str, list[Json]]


def known_fact(fact: StatedFact) -> KnownFact:
    return KnownFact(
        key=fact.key,
        customer_key=fact.customer_key,
        parent_key=fact.parent_key,
        values=values_of(fact.content),
    )


def customer_of(fact: StatedFact) -> Customer:
    """The customer of a fact of one, by its newest fields."""
    values = values_of(fact.content)
    return Customer(
        key=fact.customer_key or fact.key.split("/", 3)[-1],
        email=next(iter(_texts(values, "email")), None),
        name=next(iter(_texts(values, "name")), None),
        metadata={name: stated[0] for name, stated in _metadata(values).items()},
    )


class Completed(Record):
    """The customer of an event with what is known of them. `remembered_email` says that the email is not the event's
    own. `other_emails` and `other_metadata` are what other events stated differently, the newest.
    """

    customer: Customer | None
    remembered_email: bool = False
    other_emails: tuple[str, ...] = ()
    other_metadata: dict[str, Json] = {}


def about(source_kind: str, event: Event, mode: str = "") -> About:
    keys = [fact_key(source_kind, fact.kind, fact.id, mode) for fact in event.facts]
    return _about(source_kind, event, keys, mode)


def _about(source_kind: str, event: Event, keys: Sequence[str], mode: str) -> About:
    """What an event is about whose facts have these keys."""
    metadata: dict[str, Json] = {}
    others: list[str] = []
    for key, fact in zip(keys, event.facts, strict=True):
        if fact.kind is not FactKind.CUSTOMER:
            others.append(key)
            if event.customer is None:
                metadata |= fact.metadata
    return About(source_kind=source_kind, customer=event.customer, keys=tuple(others), metadata=metadata, mode=mode)


def complete(of: About, known: Mapping[str, KnownFact]) -> Completed:
    """Completes the customer of an event: what the event says wins over what its subscription or payment said, and
    that over what is remembered of the customer.
    """
    near = _near(of, known)
    own = of.customer
    key = own.key if own else next((fact.customer_key for fact in near if fact.customer_key is not None), None)
    if key is None:
        return Completed(customer=None)
    said = known.get(customer_fact_key(of.source_kind, key, of.mode))
    values: dict[str, list[Json]] = {} if said is None else said.values
    emails, names = _texts(values, "email"), _texts(values, "name")
    remembered = _metadata(values)
    metadata = {name: stated[0] for name, stated in remembered.items()}
    for fact in reversed(near):
        if fact.customer_key in {None, key}:
            metadata |= {name: stated[0] for name, stated in _metadata(fact.values).items()}
    metadata |= own.metadata if own else of.metadata
    own_email, own_name = (own.email, own.name) if own else (None, None)
    email = own_email or next(iter(emails), None)
    return Completed(
        customer=Customer(key=key, email=email, name=own_name or next(iter(names), None), metadata=metadata),
        remembered_email=email is not None and not own_email,
        other_emails=tuple(other for other in emails if other != email),
        other_metadata=_others(metadata, remembered),
    )


def needs_facts(rule: IdentityRule | None, own: Customer | None) -> bool:
    """Whether facts are needed to identify the person of an event about this customer."""
    if rule is None:
        return False
    person = resolve(rule, own)
    return not isinstance(person, Person) or person.origin is PersonOrigin.FALLBACK


def _near(of: About, known: Mapping[str, KnownFact]) -> list[KnownFact]:
    keys = dict.fromkeys(of.keys)
    for key in of.keys:
        if key in known and (parent_key := known[key].parent_key) is not None:
            keys[parent_key] = None
    return [known[key] for key in keys if key in known]


def _metadata(values: Mapping[str, list[Json]]) -> dict[str, list[Json]]:
    return {name.removeprefix(_METADATA): stated for name, stated in values.items() if name.startswith(_METADATA)}


def _others(metadata: Mapping[str, Json], remembered: Mapping[str, list[Json]]) -> dict[str, Json]:
    others = {}
    for name, stated in remembered.items():
        for value in stated:
            # 1 and true are equal to Python.
            if (type(value), value) != (type(metadata[name]), metadata[name]):
                others[name] = value
                break
    return others


def _texts(values: Mapping[str, list[Json]], name: str) -> list[str]:
    return [value for value in values.get(name, ()) if isinstance(value, str)]
