"""The errors of the Track API, from its documentation alone: https://docs.customer.io/api/track and
https://docs.customer.io/journeys/invalid-api-requests. The shape of errors is documented. Their texts
are our own, except those that the documentation of v1 lists, and those that were recorded from the live API.

Strict mode follows the specification. Observed mode follows reports about the live API: an invalid time becomes now,
event ids need not be ULIDs, and an `id` in the body of an identify of v1 is that of the path.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from nicobar.model import Json, Record

MAX_ITEM_BYTES = 32 * 1024
MAX_BATCH_BYTES = 500_000
MAX_EVENT_DATA_BYTES = 100_000
_ULID = re.compile(r"^[0-7][0-9ABCDEFGHJKMNPQRSTVWXYZ]{25}$", re.ASCII | re.IGNORECASE)
_E164 = re.compile(r"^\+[1-9]\d{5,14}$", re.ASCII)
_EVENTS = {"event", "page", "screen"}
_PERSON = {
    "identify",
    "delete",
    "add_relationships",
    "delete_relationships",
    "add_device",
    "delete_device",
    "merge",
    "suppress",
    "unsuppress",
} | _EVENTS
_OBJECT = {"identify", "identify_anonymous", "delete", "add_relationships", "delete_relationships"}


class Mode(StrEnum):
    STRICT = "strict"
    OBSERVED = "observed"


class Problem(Record):
    """One entry of `errors`. `is_live`: the message was recorded from the live API; others are our own. `v1` is the
    documented text of v1, empty if there is none.
    """

    reason: str
    field: str
    message: str
    is_live: bool = False
    v1: str = ""


def invalid(field: str, message: str, *, is_live: bool = False, v1: str = "") -> Problem:
    return Problem(reason="invalid", field=field, message=message, is_live=is_live, v1=v1)


def required(field: str) -> Problem:
    return Problem(reason="required", field=field, message=f"{field or 'a body'} is missing")


def problems(item: Json, mode: Mode = Mode.STRICT) -> Iterator[Problem]:
    """Why an object of v2 is rejected; empty if it is accepted."""
    if not isinstance(item, dict):
        yield invalid("", "an item must be an object")
        return
    if len(msgspec.json.encode(item)) > MAX_ITEM_BYTES:
        yield invalid("", "the item is larger than 32 KB")
    kind, action = item.get("type"), item.get("action")
    actions = {"person": _PERSON, "object": _OBJECT, "delivery": {"event"}}.get(kind if isinstance(kind, str) else "")
    if actions is None:
        yield invalid("type", "type must be person, object or delivery") if kind else required("type")
    elif not isinstance(action, str) or action not in actions:
        yield invalid("action", f"unknown action {action!r} for type {kind}") if action else required("action")
    elif kind == "person":
        yield from _person(action, item, mode)
    elif kind == "object":
        yield from _thing(action, item)
    else:
        yield from _delivery(item)


def _person(action: str, item: dict[str, Json], mode: Mode) -> Iterator[Problem]:
    if action == "merge":
        yield from merged(item)
        return
    # The live API accepts other senders' anonymous v2 events, which the specification does not mention.
    anonymous = ("anonymous_id",) if action in _EVENTS else ()
    yield from _one_of("identifiers", item, ("id", "email", "phone", "cio_id", *anonymous))
    if action in _EVENTS:
        yield from event_fields(item, mode)
        if "attributes" in item and not isinstance(item["attributes"], dict):
            yield invalid("attributes", "attributes must be an object")
    elif action == "identify":
        yield from attribute_problems("attributes", item.get("attributes", {}))
        if "timestamp" in item:
            yield from time_problems("timestamp", item["timestamp"], mode)
        if "cio_relationships" in item:
            yield from _relations(item["cio_relationships"], ())
    elif action.endswith("_relationships"):
        yield from _needed_relations(item, ())
    elif action.endswith("_device"):
        yield from device_problems(item.get("device"), "token", with_platform=action == "add_device")


def _thing(action: str, item: dict[str, Json]) -> Iterator[Problem]:
    if not _names_object(item.get("identifiers")):
        yield invalid("identifiers", "object_type_id and object_id, or cio_object_id, are required")
    people = ("anonymous_id",) if action == "identify_anonymous" else ("id", "email", "cio_id")
    if action.endswith("_relationships"):
        yield from _needed_relations(item, people)
    elif action != "delete":
        yield from attribute_problems("attributes", item.get("attributes", {}))
        if "cio_relationships" in item:
            yield from _relations(item["cio_relationships"], people)


def _delivery(item: dict[str, Json]) -> Iterator[Problem]:
    identifiers, attributes = item.get("identifiers"), item.get("attributes")
    if not isinstance(identifiers, dict) or not _text(identifiers.get("id")):
        yield required("identifiers.id")
    if item.get("name") not in ("opened", "converted", "delivered"):
        yield invalid("name", "name must be opened, converted or delivered")
    if not isinstance(attributes, dict) or not _text(attributes.get("device_token")):
        yield required("attributes.device_token")


def event_fields(item: dict[str, Json], mode: Mode) -> Iterator[Problem]:
    """The name, id and time of an event of v2 or v1."""
    name = item.get("name")
    if not isinstance(name, str) or not name.strip():
        yield msgspec.structs.replace(required("name"), v1="event name must not be blank")
    elif _size(name) > 100:  # noqa: PLR2004 - bytes, the documented limit
        yield invalid("name", "name is longer than 100 bytes", v1="event name cannot be longer than 100 bytes")
    if mode is Mode.STRICT and "id" in item and not (_text(item["id"]) and _ULID.match(str(item["id"]))):
        yield invalid("id", "id must be a ULID")
    if "timestamp" in item:
        yield from time_problems("timestamp", item["timestamp"], mode)


def is_time(value: Json) -> bool:
    """Whether the value is a time in Unix seconds; times after the year 5138 count as milliseconds."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**11


def time_problems(field: str, value: Json, mode: Mode) -> Iterator[Problem]:
    """`timestamp` of v2 and of events, `_timestamp` of an identify of v1."""
    if mode is Mode.STRICT and not is_time(value):
        yield invalid(field, f"{field} must be in whole Unix seconds")


def attribute_problems(field: str, attributes: Json) -> Iterator[Problem]:
    """The limits for attributes of a person or object."""
    if not isinstance(attributes, dict):
        yield invalid(field, "attributes must be an object")
        return
    if len(attributes) > 300:  # noqa: PLR2004 - the documented limit
        text = "cannot identify more than 300 attributes in one request"
        yield invalid(field, "more than 300 attributes", v1=text)
    for name, value in attributes.items():
        if _size(name) > 150:  # noqa: PLR2004 - bytes, the documented limit
            text = "attribute name cannot be longer than 150 bytes"
            yield invalid(f"{field}.{name[:50]}", "the name is longer than 150 bytes", v1=text)
        if _size(value if isinstance(value, str) else msgspec.json.encode(value).decode()) > 1000:  # noqa: PLR2004 - bytes
            yield invalid(
                f"{field}.{name[:150]}",
                "property value cannot be longer than 1000 bytes",
                is_live=True,
                v1=f"value for attribute '{name[:150]}' cannot be longer than 1000 bytes",
            )


def device_problems(device: Json, token: str, *, with_platform: bool) -> Iterator[Problem]:
    """A device with its token, which v1 calls `id`."""
    if not isinstance(device, dict) or not _text(device.get(token)):
        yield required(f"device.{token}")
    elif with_platform and device.get("platform") not in ("ios", "android"):
        yield invalid("device.platform", "platform must be ios or android")


def merged(item: dict[str, Json]) -> Iterator[Problem]:
    """`primary` and `secondary` of a merge."""
    for side in ("primary", "secondary"):
        yield from _one_of(side, item, ("id", "email", "cio_id"))
    primary, secondary = (item.get(side) for side in ("primary", "secondary"))
    if isinstance(primary, dict) and primary and primary == secondary:
        yield invalid("secondary", "it is the primary")


def _one_of(field: str, item: dict[str, Json], names: tuple[str, ...]) -> Iterator[Problem]:
    given = item.get(field)
    if not isinstance(given, dict) or not given:
        yield required(field)
        return
    name, value = next(iter(given.items()))
    if len(given) != 1 or name not in names:
        yield invalid(field, f"exactly one of {', '.join(names)} is required")
    elif not _identifier(value):
        yield invalid(f"{field}.{name}", "must be a string or a number", is_live=True)
    elif name == "id" and _size(str(value)) > 150:  # noqa: PLR2004 - bytes, the documented limit
        yield invalid(f"{field}.id", "id is longer than 150 bytes")
    elif name == "phone" and not _E164.match(str(value)):
        yield invalid(f"{field}.phone", "phone must be in E.164 format")
    elif name == "cio_id" and str(value).startswith("cio_"):
        yield invalid(f"{field}.cio_id", "cio_id must not have a prefix here")


def wrapped_relation_problems(wrapped: Json) -> Iterator[Problem]:
    """`cio_relationships` of v1: an object of their action and of the relationships."""
    fields = wrapped if isinstance(wrapped, dict) else {}
    if fields.get("action") not in ("add_relationships", "delete_relationships"):
        yield invalid("cio_relationships.action", "action must be add_relationships or delete_relationships")
    else:
        yield from _relations(fields.get("relationships"), ())


def _needed_relations(item: dict[str, Json], people: tuple[str, ...]) -> Iterator[Problem]:
    if not item.get("cio_relationships"):
        yield required("cio_relationships")
    else:
        yield from _relations(item["cio_relationships"], people)


def _relations(value: Json, people: tuple[str, ...]) -> Iterator[Problem]:
    """`people`: the identifiers for a person on the other side; empty if that is an object."""
    if not isinstance(value, list):
        yield invalid("cio_relationships", "it must be a list")
        return
    for index, entry in enumerate(value):
        where = f"cio_relationships[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("relationship_attributes", {}), dict):
            yield invalid(where, "it must be an object")
        elif not people and not _names_object(entry.get("identifiers")):
            yield invalid(where, "the object's identifiers are required")
        elif people and any(_one_of("identifiers", entry, people)):
            yield invalid(where, f"exactly one of {', '.join(people)} is required")
        else:
            yield from _relation_attributes(f"{where}.relationship_attributes", entry)


def _relation_attributes(where: str, entry: dict[str, Json]) -> Iterator[Problem]:
    attributes = entry.get("relationship_attributes", {})
    yield from attribute_problems(where, attributes)
    if len(msgspec.json.encode(attributes)) > 100_000:  # noqa: PLR2004 - bytes, the documented limit
        yield invalid(where, "the attributes are larger than 100 KB")


def _names_object(identifiers: Json) -> bool:
    if not isinstance(identifiers, dict) or not all(_identifier(value) for value in identifiers.values()):
        return False
    if set(identifiers) == {"cio_object_id"}:
        return True
    kind, name = str(identifiers.get("object_type_id", "")), str(identifiers.get("object_id", ""))
    is_type = re.match(r"^[1-9][0-9]{0,18}$", kind) is not None
    return set(identifiers) == {"object_type_id", "object_id"} and is_type and _size(name) <= 150  # noqa: PLR2004 - bytes


def _text(value: Json) -> bool:
    return isinstance(value, str) and value != ""


def _identifier(value: Json) -> bool:
    """The specification names text only; the live API accepts numbers too, and says so in its error."""
    if isinstance(value, float):
        return math.isfinite(value)
    is_text = isinstance(value, str) and value.strip() != ""
    return is_text or (isinstance(value, int) and not isinstance(value, bool))


def _size(text: str) -> int:
    return len(text.encode())
