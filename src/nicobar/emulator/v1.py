"""The calls of v1, their errors, and the equivalent v2 objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from nicobar.emulator.contract import (
    MAX_EVENT_DATA_BYTES,
    Mode,
    Problem,
    attribute_problems,
    device_problems,
    event_fields,
    invalid,
    merged,
    required,
    time_problems,
    wrapped_relation_problems,
)
from nicobar.emulator.items import kept
from nicobar.model import Json, Record


class V1(Record):
    """A call that is known. `items` are what it amounts to in v2, none where that has no word for it; `segment` is
    the number of a manual segment, whether people are added, and who, as `kind:value`; `status` is what success
    answers.
    """

    problems: tuple[Problem, ...] = ()
    items: tuple[dict[str, Json], ...] = ()
    anonymous_id: str | None = None
    segment: tuple[str, bool, tuple[str, ...]] | None = None
    status: int = 200


def read(  # noqa: C901, PLR0911 - one case a call
    method: str, segments: Sequence[str], query: Mapping[str, Sequence[str]], body: Json, mode: Mode
) -> V1 | None:
    """The call of a path below `/api/v1/`, its segments percent-decoded; `query` has all values of each name. None
    for unknown calls.
    """
    match (method, *segments):
        case ("PUT", "customers", who) if who:
            return _identify(who, body, mode)
        case ("DELETE", "customers", who) if who:
            return _plain(who, "delete")
        case ("POST", "customers", who, "suppress" | "unsuppress" as action) if who:
            return _plain(who, action)
        case ("POST", "customers", who, "events") if who:
            return _event(who, body, mode)
        case ("POST", "events"):
            return _event(None, body, mode)
        case ("PUT", "customers", who, "devices") if who:
            return _add_device(who, body)
        case ("DELETE", "customers", who, "devices", token) if who and token:
            found = tuple(_who(who))
            return V1(problems=found, items=(_item(who, "delete_device", device={"token": token}),))
        case ("POST", "merge_customers"):
            fields = body if isinstance(body, dict) else {}
            pair: dict[str, Json] = {name: fields.get(name) for name in ("primary", "secondary")}
            return V1(problems=tuple(merged(fields)), items=({"type": "person", "action": "merge", **pair},))
        case ("POST", "segments", number, "add_customers" | "remove_customers" as action) if number:
            return _segment(number, action == "add_customers", query.get("id_type", ["id"]), body)
        case ("POST", "forms", form, "submit") if form:
            return _form(body)
        case ("POST", "metrics") | ("POST", "push", "events"):
            return V1()
        case _:
            return None


def _identifiers(who: str) -> dict[str, Json]:
    """Derives the kind of identifier from its format, like the API."""
    if who.startswith("cio_"):
        return {"cio_id": who.removeprefix("cio_")}
    return {"email": who} if "@" in who else {"id": who}


def _item(who: str, action: str, **fields: Json) -> dict[str, Json]:
    return {"type": "person", "action": action, "identifiers": _identifiers(who), **fields}


def _who(who: str) -> Iterator[Problem]:
    if len(who.encode()) > 150:  # noqa: PLR2004 - bytes, the documented limit
        yield invalid("identifier", "the identifier is longer than 150 bytes")
    if not who.strip():
        yield required("identifier")


def _plain(who: str, action: str) -> V1:
    return V1(problems=tuple(_who(who)), items=(_item(who, action),))


def _identify(who: str, body: Json, mode: Mode) -> V1:
    attributes = dict(body) if isinstance(body, dict) else {}
    has_relationships, related = "cio_relationships" in attributes, attributes.pop("cio_relationships", None)
    found = [*_who(who), *attribute_problems("", attributes if isinstance(body, dict) else body)]
    if has_relationships:
        found += wrapped_relation_problems(related)
    if "_timestamp" in attributes:
        found += time_problems("_timestamp", attributes["_timestamp"], mode)
    named = attributes.get("id")
    if mode is Mode.OBSERVED and named is not None and _identifiers(who) == {"id": who} and kept(named) != who:
        # The specification has no such rule, but other senders recorded this answer.
        text = "id attribute and identifier are not the same value"
        found.append(invalid("id", text, v1=text))
    timestamp = attributes.pop("_timestamp", None)
    item = _item(who, "identify", attributes=attributes)
    if timestamp is not None:
        item["timestamp"] = timestamp
    items = (item, *_relationships(who, related))
    return V1(problems=tuple(found), items=items)


def _relationships(who: str, related: Json) -> Iterator[dict[str, Json]]:
    """v1 wraps them with the action."""
    if isinstance(related, dict):
        yield _item(who, str(related.get("action")), cio_relationships=related.get("relationships"))


def _event(who: str | None, body: Json, mode: Mode) -> V1:
    fields = body if isinstance(body, dict) else {}
    found = [*(_who(who) if who is not None else ()), *event_fields(fields, mode)]
    kind, data = fields.get("type", "event"), fields.get("data", {})
    if kind not in ("event", "page", "screen"):
        found.append(invalid("type", "type must be event, page or screen"))
    if not isinstance(data, dict):
        found.append(invalid("data", "data must be an object", v1="event data must be a hash"))
    elif len(msgspec.json.encode(data)) > MAX_EVENT_DATA_BYTES:
        text = "event data cannot be longer than 100000 bytes"
        found.append(invalid("data", "data is larger than 100,000 bytes", v1=text))
    given: dict[str, Json] = {name: fields[name] for name in ("name", "id", "timestamp") if name in fields}
    if who is not None:
        return V1(problems=tuple(found), items=(_item(who, str(kind), attributes=data, **given),))
    anonymous_id = fields.get("anonymous_id")
    item: dict[str, Json] = {"type": "person", "action": str(kind), "attributes": data, **given}
    return V1(problems=tuple(found), items=(item,), anonymous_id=str(anonymous_id or ""))


def _add_device(who: str, body: Json) -> V1:
    fields = body if isinstance(body, dict) else {}
    device = fields.get("device")
    found = (*_who(who), *device_problems(device, "id", with_platform=True))
    token = device.get("id") if isinstance(device, dict) else None
    return V1(problems=found, items=(_item(who, "add_device", device={**_fields(device), "token": token}),))


def _fields(value: Json) -> dict[str, Json]:
    return {name: item for name, item in value.items() if name != "id"} if isinstance(value, dict) else {}


def _segment(number: str, adds: bool, kinds: Sequence[str], body: Json) -> V1:  # noqa: FBT001 - add or remove
    if not number.isascii() or not number.isdigit():
        return V1(problems=(invalid("segment_id", "segment_id must be an integer"),))
    if len(kinds) != 1 or kinds[0] not in ("id", "email", "cio_id"):
        return V1(problems=(invalid("id_type", "id_type must be id, email or cio_id"),))
    ids = body.get("ids") if isinstance(body, dict) else None
    fits = isinstance(ids, list) and 1 <= len(ids) <= 1000 and all(isinstance(item, str) and item for item in ids)  # noqa: PLR2004
    if not fits or not isinstance(ids, list):
        return V1(problems=(invalid("ids", "ids must be a list of 1 to 1000 texts"),))
    return V1(segment=(number, adds, tuple(f"{kinds[0]}:{item}" for item in ids)))


def _form(body: Json) -> V1:
    data = body.get("data") if isinstance(body, dict) else None
    texts = isinstance(data, dict) and all(isinstance(value, str) and value for value in data.values())
    if not isinstance(data, dict) or not texts or len({"id", "email"} & set(data)) != 1:
        return V1(problems=(required("data.email"),))
    name = "id" if "id" in data else "email"
    identifiers: dict[str, Json] = {name: data[name]}
    attributes: dict[str, Json] = {key: value for key, value in data.items() if key != name}
    item: dict[str, Json] = {"type": "person", "action": "identify", "identifiers": identifiers}
    return V1(items=({**item, "attributes": attributes},), status=204)
