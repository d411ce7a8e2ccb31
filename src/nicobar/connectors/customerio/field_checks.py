"""Warnings about fields that Customer.io does not read: words of the other version of the API or of another service,
and fields in the wrong place. Their values are lost without an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from nicobar.connectors.customerio import rules, track_api
from nicobar.connectors.customerio.error_checks import MAX_SHOWN_CHARS
from nicobar.model import Json, Verdict

# A call with a hundred wrong fields has one mistake.
MAX_WARNINGS = 5
# Calls whose other fields set nothing, so that nothing is lost with a further one.
_WITHOUT_VALUES = frozenset({"delete", "suppress", "unsuppress", "merge", "delete_device"})
# `anonymous_id` is not in the table of fields, but in an example of the specification, and other senders add it.
_V2_FIELDS: dict[tuple[object, object], frozenset[str]] = {
    (kind, name): frozenset({"type", "action", "anonymous_id", *action.required, *action.optional})
    for kind, actions in track_api.ACTIONS.items()
    for name, action in actions.items()
    if name not in _WITHOUT_VALUES
}
_IDENTIFIES = frozenset({"identify", "identify_anonymous"})
# The only field of other bodies of v1. More beside the people of a merge change nothing.
_V1_FIELD = {"device": "device", "form": "data", "segment": "ids"}
_MIN_MILLISECONDS = 10**12
_V1_EVENT_FIELDS = frozenset({"name", "id", "type", "timestamp", "data", "anonymous_id"})
# Other senders' words for a field.
_BAGS = frozenset({"data", "properties", "traits", "payload", "props", "params", "metadata", "fields"})
_WRAPPERS = frozenset({"attributes", "data", "properties", "traits"})
_RELATIONSHIP_FIELDS = frozenset({"identifiers", "relationship_attributes"})
_MEANT = {
    **dict.fromkeys(("event", "event_name", "eventName"), "name"),
    **dict.fromkeys(("event_id", "eventId", "messageId", "message_id", "uuid", "dedup_id"), "id"),
    **dict.fromkeys(
        ("_timestamp", "time", "created_at", "createdAt", "occurred_at", "sent_at", "timeStamp"), "timestamp"
    ),
    **dict.fromkeys(("relationships", "relations", "cio_relationship"), "cio_relationships"),
}
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_EVENT_ID = re.compile(r"(?:evt|event|msg|message)[_-][0-9A-Za-z_-]{6,120}", re.ASCII)


def check_fields(path: str, item: Mapping[str, Json]) -> Iterable[Verdict]:
    """Warnings about the fields of an object of v2 without errors."""
    known = _V2_FIELDS.get((item["type"], item["action"]))
    if known is None:
        return ()
    wrapped = _wrapped_in(item.get("attributes"))
    return () if item.keys() <= known and not wrapped else _wrong_fields(path, item, known, wrapped)


def _wrapped_in(bag: Json) -> str:
    """The one name below which all attributes or properties are, by mistake; empty if there is none."""
    if not isinstance(bag, dict):
        return ""
    name = "attributes" if "attributes" in bag else next(iter(bag)) if len(bag) == 1 else ""
    inner = bag.get(name)
    return name if name in _WRAPPERS and isinstance(inner, dict) and inner else ""


def _wrong_fields(path: str, item: Mapping[str, Json], known: frozenset[str], wrapped: str) -> Iterator[Verdict]:
    if wrapped:
        yield _nested(f"{path}.attributes.{wrapped}", wrapped)
    is_identify = item["action"] in _IDENTIFIES
    unknown = [name for name, value in item.items() if name not in known and value is not None]
    for name in unknown[:MAX_WARNINGS]:
        if name != "name" or not is_identify:
            yield _unknown(path, name, _meant(name, known, item), "attributes" if "attributes" in known else "")


def _meant(name: str, known: frozenset[str], item: Mapping[str, Json]) -> str | None:
    if name in _BAGS:
        return "attributes" if "attributes" in known else None
    meant = _MEANT.get(name)
    # An identify sets a time at its top only by mistake: as an attribute, it is as likely.
    is_attribute = item["action"] in _IDENTIFIES and meant == "timestamp" and name != "_timestamp"
    return meant if meant in known and meant not in item and not is_attribute else None


def check_fields_v1(path: str, body: str, payload: Mapping[str, Json]) -> Iterator[Verdict]:
    """Warnings about the fields of a body of v1 without errors."""
    if body == "event" and (wrapped := _wrapped_in(payload.get("data"))):
        yield _nested(f"{path}.data.{wrapped}", wrapped)
    if body == "event" and not payload.keys() <= _V1_EVENT_FIELDS:
        unknown = [name for name, value in payload.items() if name not in _V1_EVENT_FIELDS and value is not None]
        for name in unknown[:MAX_WARNINGS]:
            meant = "data" if name == "attributes" or name in _BAGS else _MEANT.get(name)
            is_missing = meant == "data" or (meant in _V1_EVENT_FIELDS and meant not in payload)
            yield _unknown(path, name, meant if is_missing else None, "data")
    elif body == "identify":
        yield from _wrapped(path, payload)
    elif (only := _V1_FIELD.get(body)) is not None and len(payload) > 1:
        unknown = [name for name, value in payload.items() if name != only and value is not None]
        for name in unknown[:MAX_WARNINGS]:
            yield _unknown(path, name, None, "" if body == "segment" else only)


def _wrapped(path: str, payload: Mapping[str, Json]) -> Iterator[Verdict]:
    """The body of an identify of v1 is the attributes: an object below one of these names is meant to be all."""
    for name in ("attributes", "data", "traits", "properties"):
        if isinstance(payload.get(name), dict) and payload[name]:
            yield rules.UNKNOWN_FIELD.at(
                f"{path}.{name}",
                "In v1, the payload itself is the attributes. This sets one attribute named `%(field)s`.",
                "Move the attributes out of `%(field)s`.",
                field=name,
            )
    if isinstance(payload.get("identifiers"), dict):
        yield rules.UNKNOWN_FIELD.at(
            f"{path}.identifiers",
            "This is a call of v2, but the URL is one of v1, which reads its fields as attributes.",
            "Send it to /api/v2/entity, or send only the attributes.",
        )


def check_time_field(path: str, attributes: Mapping[str, Json]) -> Iterator[Verdict]:
    """A warning about the time of an identify of v1 under its name in v2, which is an attribute here."""
    if attributes.get("timestamp") is not None and "_timestamp" not in attributes:
        yield rules.UNKNOWN_FIELD.at(
            f"{path}.timestamp",
            "An identify call of v1 has its time in `_timestamp`. This sets an attribute named `timestamp`.",
            "Remove it: Customer.io discards attributes whose time is older than the last change.",
        )


def check_last_used(path: str, device: Mapping[str, Json]) -> Iterator[Verdict]:
    given = device.get("last_used")
    if isinstance(given, int | float) and given >= _MIN_MILLISECONDS:
        yield rules.MILLISECONDS.at(
            f"{path}.last_used",
            "The time %(given)s is not in Unix seconds, which Customer.io expects.",
            "Send whole Unix seconds: divide milliseconds by 1000 and round.",
            given=given,
        )


def check_properties(
    path: str, data: Mapping[str, Json], written: Mapping[str, Json], event_id: str
) -> list[Verdict]:
    """Warnings about properties of an event that belong beside them; `written` is the event as the handler wrote it,
    `event_id` the id of the event that it was made from.
    """
    found: list[Verdict] = []
    if "id" in data and written.get("id") is None and _is_event_id(data["id"], event_id):
        found.append(_misplaced(path, "id"))
    if "timestamp" in data and data["timestamp"] is not None and written.get("timestamp") is None:
        found.append(_misplaced(path, "timestamp"))
    return found


def _is_event_id(value: Json, event_id: str) -> bool:
    """Other ids may be those of the event's subject, such as a product."""
    return isinstance(value, str) and (
        track_api.is_ulid(value)
        or _UUID.fullmatch(value) is not None
        or _EVENT_ID.fullmatch(value) is not None
        or (value == event_id and value != "")
    )


def _misplaced(path: str, name: str) -> Verdict:
    return rules.MISPLACED_FIELD.at(
        f"{path}.{name}",
        "Customer.io reads an event's `%(field)s` beside its name. Here it is one of the properties.",
        "Move `%(field)s` out of the properties, next to `name`.",
        field=name,
    )


def _unknown(path: str, name: str, meant: str | None, bag: str) -> Verdict:
    own = f"{path}.{name[:MAX_SHOWN_CHARS]}"
    field = name[:MAX_SHOWN_CHARS]
    if meant is not None:
        return rules.UNKNOWN_FIELD.at(
            own,
            "Customer.io does not read `%(field)s` here, so its value is lost.",
            "Did you mean `%(meant)s`?",
            field=field,
            meant=meant,
        )
    if bag:
        return rules.UNKNOWN_FIELD.at(
            own,
            "Customer.io does not read `%(field)s` here, so its value is lost.",
            "Move it into `%(bag)s`, or remove it.",
            field=field,
            bag=bag,
        )
    return rules.UNKNOWN_FIELD.at(
        own, "Customer.io does not read `%(field)s` here, so its value is lost.", "Remove it.", field=field
    )


def _nested(path: str, field: str) -> Verdict:
    return rules.UNKNOWN_FIELD.at(
        path,
        "All values are inside another `%(field)s`, so Customer.io stores one value with this name.",
        "Move the values out of it.",
        field=field,
    )


def check_relationship_fields(path: str, entry: Mapping[str, Json]) -> Iterable[Verdict]:
    """Warnings about the fields of one relationship."""
    if entry.keys() <= _RELATIONSHIP_FIELDS:
        return ()
    unknown = [name for name, value in entry.items() if name not in _RELATIONSHIP_FIELDS and value is not None]
    meant = None if "relationship_attributes" in entry else "relationship_attributes"
    return [
        _unknown(path, name, meant if name == "attributes" or name in _BAGS else None, "relationship_attributes")
        for name in unknown[:MAX_WARNINGS]
    ]
