"""Merges identify calls of one person that follow each other in a request: Customer.io does not document in which
order it processes the calls of a batch, and an identify has no timestamp.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nicobar.connectors.customerio import track_api
from nicobar.connectors.customerio.rules import Rule
from nicobar.connectors.payload import encoded
from nicobar.model import Json, Level, Verdict

_RULE = Rule(
    name="identify_merged",
    level=Level.ADDITION,
    meaning="Identify calls of one person that follow each other in a request are sent as one.",
)
_FIELDS = frozenset({"type", "action", "identifiers", "attributes"})
# Attributes that say how the others are to be taken.
_DIRECTIVES = frozenset({"_update", "_timestamp"})


class _Identify(msgspec.Struct):
    type: str
    action: str
    identifiers: dict[str, Json]
    attributes: dict[str, Json] = {}


def identified(item: Mapping[str, Json]) -> str:
    """Whom an identify call without errors sets attributes of, as JSON; empty for a call that is not merged."""
    identifiers, attributes = item.get("identifiers"), item.get("attributes", {})
    if (item.get("type"), item.get("action")) != ("person", "identify") or not item.keys() <= _FIELDS:
        return ""
    if not isinstance(identifiers, dict) or not isinstance(attributes, dict):
        return ""
    # An attribute that changes the identifier makes the next call about another person.
    spelled = {kind: _spelled(kind, value) for kind, value in identifiers.items()}
    changes = any(kind in attributes and _spelled(kind, attributes[kind]) != spelled[kind] for kind in spelled)
    if changes or attributes.keys() & _DIRECTIVES:
        return ""
    return msgspec.json.encode(spelled).decode()


def _spelled(kind: str, value: Json) -> Json:
    """An identifier in one spelling: that of emails does not matter."""
    return value.strip().lower() if kind == "email" and isinstance(value, str) else value


def merged(earlier: bytes, later: bytes) -> dict[str, Json] | None:
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


def verdict() -> Verdict:
    """What attempts show of a call that was merged with those of other deliveries."""
    return _RULE.at(
        "identify",
        "Nicobar merged identify calls of this person in several deliveries into one call. Later values win.",
        "Nothing to do.",
    )
