"""Identify calls of one person: Customer.io does not document in which order it processes the calls of a batch, nor
those of requests that follow each other at once, and an identify has no timestamp.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import msgspec

from nicobar.connectors import ReadyCall
from nicobar.connectors.customerio import track_api
from nicobar.connectors.customerio.person_paths import of_path
from nicobar.connectors.customerio.profiles import ItemCall, change_of
from nicobar.connectors.customerio.rules import Rule
from nicobar.connectors.payload import encoded
from nicobar.connectors.people_calls import ANYONE, NO_EFFECT, Effect, kind_of
from nicobar.model import Json, Level, Verdict

_MERGED = Rule(
    name="identify_merged",
    level=Level.ADDITION,
    meaning="Identify calls of one person in a request are sent as one.",
)
_REPEATED = Rule(
    name="identify_repeated",
    level=Level.ADDITION,
    meaning="Two identify calls of one person were sent within a minute; the newest is repeated.",
)
_FIELDS = frozenset({"type", "action", "identifiers", "attributes"})
# Attributes that say how the others are to be taken.
_DIRECTIVES = frozenset({"_update", "_timestamp"})
_ENDING = frozenset({"delete", "suppress", "unsuppress"})
# Actions on people that leave their attributes as they are.
_NEUTRAL = frozenset({*track_api.EVENT_TYPES, *track_api.RELATIONSHIP_ACTIONS, "add_device", "delete_device"})


class _Identify(msgspec.Struct):
    type: str
    action: str
    identifiers: dict[str, Json]
    attributes: dict[str, Json] = {}


def identified(item: Mapping[str, Json]) -> str:
    """Whom an identify call without errors sets attributes of, as `kind:value`; empty for one that is not merged."""
    attributes = item.get("attributes", {})
    if not _is_identify(item) or not item.keys() <= _FIELDS or not isinstance(attributes, dict):
        return ""
    return "" if attributes.keys() & _DIRECTIVES else _steady_person(item.get("identifiers"), attributes)


def _is_identify(item: Mapping[str, Json]) -> bool:
    return (item.get("type"), item.get("action")) == ("person", "identify")


def _person(identifiers: Json) -> str:
    """A person as `kind:value`; empty if these are not exactly one identifier."""
    if not isinstance(identifiers, dict) or len(identifiers) != 1:
        return ""
    ((kind, value),) = identifiers.items()
    return f"{kind}:{_spelled(kind, value)}"


def _steady_person(identifiers: Json, attributes: Mapping[str, Json]) -> str:
    """The person, if the attributes leave the identifier as it is: else the next call is about another one."""
    person = _person(identifiers)
    kind = kind_of(person)
    is_same = kind not in attributes or f"{kind}:{_spelled(kind, attributes[kind])}" == person
    return person if is_same else ""


def _spelled(kind: str, value: Json) -> Json:
    """An identifier in one spelling: that of emails does not matter."""
    return value.strip().lower() if kind == "email" and isinstance(value, str) else value


class Identifies:
    """`PeopleCalls` of Customer.io."""

    merged: Verdict = _MERGED.at(
        "identify",
        "Nicobar merged identify calls of this person into one call. Later values win.",
        "Nothing to do.",
    )
    repeated: Verdict = _REPEATED.at(
        "identify",
        "Another identify call of this person was sent shortly before. Customer.io may process them in "
        "another order, so Nicobar repeats the newest values after two minutes.",
        "Nothing to do.",
    )

    def effect(self, call: ReadyCall) -> Effect:
        if isinstance(call, ItemCall) and call.identifies:
            return Effect(people=(call.identifies,), sets=True)
        if not call.batchable:
            return _effect_of_v1(call)
        return NO_EFFECT if call.is_event else _effect_of(msgspec.json.decode(call.body, type=dict[str, Json]))

    def joined(self, earlier: ReadyCall, later: ReadyCall) -> ReadyCall | None:
        if not (earlier.batchable and later.batchable):
            return None
        first, second = _item(earlier), _item(later)
        if not first.identifies or first.identifies != second.identifies:
            return None
        item = _merged(first.body, second.body)
        body = None if item is None else encoded(item)
        if item is None or body is None:
            return None
        return msgspec.structs.replace(first, body=body, added=first.added and second.added, change=change_of(item))


def _item(call: ReadyCall) -> ItemCall:
    """The call, also one that was stored, as one about an object of v2."""
    if isinstance(call, ItemCall):
        return call
    item = msgspec.json.decode(call.body, type=dict[str, Json])
    values = msgspec.structs.asdict(call)
    return ItemCall(**values, change=change_of(item), identifies=identified(item))


def _effect_of(item: Mapping[str, Json]) -> Effect:
    """The effect of an object of v2."""
    action = item.get("action")
    if item.get("type") != "person" or action in _NEUTRAL:
        return NO_EFFECT
    if action == "merge":
        people = [_person(item.get(side)) for side in ("primary", "secondary")]
    elif action == "identify" or action in _ENDING:
        people = [_person(item.get("identifiers"))]
    else:
        return ANYONE
    attributes = item.get("attributes") or {}
    steady = isinstance(attributes, dict) and bool(_steady_person(item.get("identifiers"), attributes))
    return Effect(people=tuple(people), sets=action == "identify" and steady) if all(people) else ANYONE


def _effect_of_v1(call: ReadyCall) -> Effect:
    path = call.url[max(0, call.url.find(track_api.V1_ROOT)) :]
    documented_call = track_api.v1_call(call.method, path)
    if documented_call is None or documented_call.body == "form":  # a form may be about anyone
        return ANYONE
    if documented_call.body == "merge":
        people = msgspec.json.decode(call.body, type=dict[str, Json])
        return _effect_of({**people, "type": "person", "action": "merge"})
    if documented_call.body not in {"identify", "none"} or "devices" in documented_call.segments:
        return NO_EFFECT
    kind, value = of_path(unquote(path.partition("?")[0].split("/")[4]))
    action = "identify" if documented_call.body == "identify" else "delete"
    attributes: Json = msgspec.json.decode(call.body) if call.body else {}
    return _effect_of({"type": "person", "action": action, "identifiers": {kind: value}, "attributes": attributes})


def _merged(earlier: bytes, later: bytes) -> dict[str, Json] | None:
    """The identify call with the effect of both; None if it would exceed a limit."""
    first, second = (msgspec.json.decode(body, type=_Identify) for body in (earlier, later))
    attributes = {**first.attributes, **second.attributes}
    item: dict[str, Json] = {
        "type": first.type,
        "action": first.action,
        "identifiers": first.identifiers,
        "attributes": attributes,
    }
    body = encoded(item)
    if body is None or len(body) > track_api.MAX_ITEM_BYTES or len(attributes) > track_api.MAX_ATTRIBUTES:
        return None
    return item
