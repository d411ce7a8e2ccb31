"""What the Track API refuses, from its documentation alone: https://docs.customer.io/api/track. The texts of the
errors are made up here; their shape is documented.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nicobar.model import Json, Record

MAX_ITEM_BYTES = 32 * 1024
MAX_BATCH_BYTES = 500_000
_RELATE = frozenset({"add_relationships", "delete_relationships"})
ACTIONS = {
    "person": _RELATE
    | {
        "identify",
        "delete",
        "event",
        "page",
        "screen",
        "add_device",
        "delete_device",
        "merge",
        "suppress",
        "unsuppress",
    },
    "object": _RELATE | {"identify", "identify_anonymous", "delete"},
    "delivery": {"event"},
}
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


class Fault(Record):
    """One entry of `errors`."""

    reason: str
    field: str
    message: str


def faults(item: Json) -> Iterator[Fault]:
    """Why a v2 object is refused; nothing if it is taken."""
    if not isinstance(item, dict):
        yield Fault(reason="invalid", field="", message="an item has to be an object")
        return
    kind, action = item.get("type"), item.get("action")
    if not isinstance(kind, str) or kind not in ACTIONS:
        yield _fault("type", item, "type has to be person, object or delivery")
        return
    if not isinstance(action, str) or action not in ACTIONS[kind]:
        yield _fault("action", item, f"{action!r} is no action of a {kind}")
        return
    if kind == "person":
        yield from _person(item)
    if "attributes" in item and not isinstance(item["attributes"], dict):
        yield Fault(reason="invalid", field="attributes", message="attributes have to be an object")
    timestamp = item.get("timestamp", 0)
    if not isinstance(timestamp, int) or isinstance(timestamp, bool):
        yield Fault(reason="invalid", field="timestamp", message="timestamp has to be whole Unix seconds")


def _person(item: dict[str, Json]) -> Iterator[Fault]:
    if item["action"] in {"event", "page", "screen"}:
        name = item.get("name")
        if not isinstance(name, str) or not name.strip():
            yield _fault("name", item, "name is missing")
        elif len(name.encode()) > 100:  # noqa: PLR2004 - bytes, the documented limit
            yield Fault(reason="invalid", field="name", message="name is longer than 100 bytes")
        if "id" in item and not _ULID.fullmatch(str(item["id"])):
            yield Fault(reason="invalid", field="id", message="id has to be a ULID")
    if item["action"] == "merge":
        return
    identifiers = item.get("identifiers")
    if not isinstance(identifiers, dict) or not identifiers:
        yield _fault("identifiers", item, "one identifier is needed")
    elif len(identifiers) > 1 or not identifiers.keys() <= {"id", "email", "phone", "cio_id"}:
        yield Fault(
            reason="invalid", field="identifiers", message="exactly one of id, email, phone, cio_id is needed"
        )
    elif not all(isinstance(value, str) and value for value in identifiers.values()):
        yield Fault(reason="invalid", field="identifiers", message="an identifier has to be a text")


def _fault(field: str, item: dict[str, Json], message: str) -> Fault:
    return Fault(reason="invalid" if item.get(field) else "required", field=field, message=message)
