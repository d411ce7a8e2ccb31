"""Customer.io's Track API v2 as data and one check. Facts: https://docs.customer.io/api/track and
https://docs.customer.io/journeys/invalid-api-requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nicobar.connectors.payload import encoded
from nicobar.model import Json, Level, Verdict

DOCS = "https://docs.customer.io/api/track"
MAX_ITEM_BYTES = 32 * 1024
MAX_ID_BYTES = 150
MAX_EVENT_NAME_BYTES = 100
MAX_ATTRIBUTES = 300
# Seconds of the year 5138; more is milliseconds.
MAX_TIMESTAMP_S = 99_999_999_999

ACTIONS: dict[str, frozenset[str]] = {
    "person": frozenset(
        {
            "identify",
            "event",
            "page",
            "screen",
            "delete",
            "add_relationships",
            "delete_relationships",
            "add_device",
            "delete_device",
            "merge",
            "suppress",
            "unsuppress",
        }
    ),
    "object": frozenset({"identify", "identify_anonymous", "delete", "add_relationships", "delete_relationships"}),
    "delivery": frozenset({"event"}),
}
NAMED = frozenset({"event", "page", "screen"})
_PERSON_IDENTIFIERS = frozenset({"id", "email", "phone", "cio_id"})
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_PHONE = re.compile(r"\+[1-9][0-9]{5,14}")


def is_ulid(value: Json) -> bool:
    return isinstance(value, str) and _ULID.fullmatch(value) is not None


def check(path: str, item: dict[str, Json]) -> Iterator[Verdict]:
    """What the API would refuse or leave without effect in one v2 object, its `type` and `action` aside."""
    kind, given = item.get("type"), item.get("action")
    action = given if isinstance(given, str) else ""
    if action in NAMED and kind == "person":
        yield from _name(f"{path}.name", item.get("name"))
    if kind == "person" and action == "identify" and "name" in item:
        yield verdict(
            Level.WARNING,
            "name_beside_identify",
            f"{path}.name",
            "An identify call has no name: it sets attributes, and no event appears.",
            'Remove it, or send a second call with action: "event" if an event was meant.',
        )
    if kind == "person" and action != "merge":
        yield from _person(f"{path}.identifiers", item.get("identifiers"))
    attributes = item.get("attributes")
    if "attributes" in item and not isinstance(attributes, dict):
        yield error(
            "attributes", f"{path}.attributes", "They are not an object.", "Send an object of names and values."
        )
    if isinstance(attributes, dict) and action == "identify" and len(attributes) > MAX_ATTRIBUTES:
        yield error(
            "attributes", f"{path}.attributes", f"There are {len(attributes)}.", f"Send {MAX_ATTRIBUTES} at most."
        )
    yield from _timestamp(f"{path}.timestamp", item)
    yield from _size(path, item)


def verdict(level: Level, rule: str, path: str, reason: str, fix: str) -> Verdict:
    return Verdict(level=level, rule=rule, path=path, reason=reason, fix=fix, source=DOCS)


def error(rule: str, path: str, reason: str, fix: str) -> Verdict:
    return verdict(Level.ERROR, rule, path, reason, fix)


def _name(path: str, name: Json) -> Iterator[Verdict]:
    if not isinstance(name, str) or not name.strip():
        yield error("name", path, "An event needs a name.", 'Set it to what the campaign waits for, such as "Paid".')
    elif len(name.encode("utf-8", "surrogatepass")) > MAX_EVENT_NAME_BYTES:
        yield error("name", path, f"The name is longer than {MAX_EVENT_NAME_BYTES} bytes.", "Shorten it.")


def _person(path: str, identifiers: Json) -> Iterator[Verdict]:
    if not isinstance(identifiers, dict) or not identifiers:
        yield error("identifiers", path, "There is no identifier of the person.", "Set identifiers: {id: …}.")
        return
    given = sorted(identifiers)
    if len(given) > 1 or given[0] not in _PERSON_IDENTIFIERS:
        yield error(
            "identifiers",
            path,
            f"A person has exactly one identifier of id, email, phone, cio_id; here are {', '.join(given)}."[:300],
            "Leave the one that your workspace knows the person by.",
        )
        return
    (name, value) = next(iter(identifiers.items()))
    if not isinstance(value, str) or not value:
        yield error("identifiers", f"{path}.{name}", "It is not a text.", "Send a text that is not empty.")
    elif name == "id" and len(value.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        yield error("identifiers", f"{path}.{name}", f"It is longer than {MAX_ID_BYTES} bytes.", "Shorten it.")
    elif name == "phone" and not _PHONE.fullmatch(value):
        yield error("identifiers", f"{path}.{name}", "It is not in E.164 form.", "Write it as +15551234567.")
    elif name == "cio_id" and value.startswith("cio_"):
        yield error("identifiers", f"{path}.{name}", "In v2 it has no prefix.", "Leave out cio_.")


def _timestamp(path: str, item: dict[str, Json]) -> Iterator[Verdict]:
    if "timestamp" not in item:
        return
    value = item["timestamp"]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TIMESTAMP_S:
        yield error(
            "timestamp",
            path,
            "A timestamp is a whole number of Unix seconds.",
            "Use nicobar.unix(isoText), or divide milliseconds by 1000 and round.",
        )


def _size(path: str, item: dict[str, Json]) -> Iterator[Verdict]:
    body = encoded(item)
    if body is None:
        yield error("json", path, "It cannot be written as JSON.", "Send plain values, not too deeply nested.")
        return
    size_bytes = len(body)
    if size_bytes > MAX_ITEM_BYTES:
        yield error(
            "size", path, f"The call has {size_bytes} bytes; {MAX_ITEM_BYTES} are allowed.", "Send less data."
        )
