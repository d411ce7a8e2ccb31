"""Errors: calls that Customer.io would reject, or accept and ignore. Never raises, whatever the call; runs in time
proportional to the size of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from nicobar.connectors.customerio import rules, track_api
from nicobar.connectors.customerio.attribute_limits import check_kept_attributes, check_relationship_attributes
from nicobar.connectors.customerio.track_api import Action
from nicobar.connectors.payload import encoded
from nicobar.model import Json, Verdict

MAX_SHOWN_CHARS = 100
_INFINITIES = (float("inf"), float("-inf"))


def find_action(item: dict[str, Json]) -> Action | None:
    """The action of an object of v2; None if it is unknown."""
    kind, action = item.get("type"), item.get("action")
    if not isinstance(kind, str) or not isinstance(action, str):
        return None
    return track_api.ACTIONS.get(kind, {}).get(action)


def check(path: str, item: dict[str, Json], body: bytes | None) -> Iterator[Verdict]:
    """Checks one object of v2; `path` is its location, `body` the object as JSON, None if JSON cannot hold it."""
    yield from _size(path, body, track_api.MAX_ITEM_BYTES)
    action = find_action(item)
    if action is None:
        yield _no_action(path, item)
        return
    for field in action.required:
        if field not in item and field != "name":
            yield rules.MISSING.at(
                f"{path}.{field}",
                'Missing field `%(field)s`. Customer.io requires it for the action "%(action)s".',
                "Add `%(field)s`.",
                action=action.action,
                field=field,
            )
    if "name" in action.required:
        yield from _name(f"{path}.name", item.get("name"), action)
    for field in (*action.required, *action.optional):
        if field in item and field in _FIELDS:
            yield from _FIELDS[field](f"{path}.{field}", item[field], action)
    if action.action == "merge":
        yield from check_merge_of_one(path, item)


def _no_action(path: str, item: dict[str, Json]) -> Verdict:
    kind = item.get("type")
    actions = track_api.ACTIONS.get(kind) if isinstance(kind, str) else None
    if actions is None:
        return _no_type(path, kind)
    choices = ", ".join(sorted(actions))
    if item.get("action") is None:
        return rules.UNKNOWN_ACTION.at(
            f"{path}.action", "Missing field `action`.", "Use one of: %(known)s.", known=choices
        )
    return rules.UNKNOWN_ACTION.at(
        f"{path}.action",
        'Customer.io has no action %(action)s for type "%(kind)s".',
        "Use one of: %(known)s.",
        action=shown(item["action"]),
        kind=str(kind),
        known=choices,
    )


def _no_type(path: str, kind: Json) -> Verdict:
    if kind is None:
        return rules.TYPE.at(f"{path}.type", "Missing field `type`.", 'Add type: "person".')
    return rules.TYPE.at(
        f"{path}.type",
        "Customer.io has no type %(given)s.",
        "Use one of: person, object, delivery.",
        given=shown(kind),
    )


# --- fields, each by its own rule ---


def _name(path: str, name: Json, action: Action) -> Iterator[Verdict]:
    if action.type == "delivery":
        if name not in track_api.DELIVERY_NAMES:
            yield rules.DELIVERY.at(
                path,
                "Customer.io has no delivery event %(given)s.",
                "Use one of: %(delivery_names)s.",
                given=shown(name),
                delivery_names=", ".join(track_api.DELIVERY_NAMES),
            )
        return
    yield from check_event_name(path, name)


def check_event_name(path: str, name: Json) -> Iterator[Verdict]:
    if name is None:
        yield rules.EVENT_NAME.at(
            path,
            "Missing field `name`. Customer.io requires a name for events.",
            'Use the name of your campaign\'s trigger event, such as name: "payment_failed".',
        )
    elif not isinstance(name, str) or not name.strip():
        yield rules.EVENT_NAME.at(
            path,
            "The event name is %(given)s. It must be non-empty text.",
            'Use the name of your campaign\'s trigger event, such as name: "payment_failed".',
            given=shown(name),
        )
    elif _bytes(name) > track_api.MAX_EVENT_NAME_BYTES:
        yield rules.EVENT_NAME_LENGTH.at(
            path,
            "The name has %(name_bytes)s bytes. Customer.io allows %(max_name_bytes)s.",
            "Shorten the name.",
            name_bytes=_bytes(name),
            max_name_bytes=track_api.MAX_EVENT_NAME_BYTES,
        )


def _identifiers(path: str, value: Json, action: Action) -> Iterator[Verdict]:
    match action.type:
        case "person":
            names = track_api.EVENT_IDENTIFIERS if action.is_event else track_api.PERSON_IDENTIFIERS
            yield from _one_person(path, value, names)
        case "object":
            yield from _object(path, value)
        case _:
            if not isinstance(value, dict) or not isinstance(value.get("id"), str) or not value["id"]:
                yield rules.IDENTIFIERS.at(path, "The delivery has no id.", "Set identifiers: {id: …}.")


def _one_person(path: str, value: Json, names: Sequence[str]) -> Iterator[Verdict]:
    if not isinstance(value, dict) or not value:
        yield rules.IDENTIFIERS.at(
            path,
            "The call does not identify a person.",
            "Set exactly one of %(names)s, such as {id: …}.",
            names=", ".join(names),
        )
        return
    if len(value) > 1 or next(iter(value)) not in names:
        given = ", ".join(sorted(value))[:MAX_SHOWN_CHARS]
        yield rules.IDENTIFIERS.at(
            path,
            "A person needs exactly one identifier out of %(names)s. This call has: %(given)s.",
            "Keep the identifier that your workspace uses.",
            names=", ".join(names),
            given=given,
        )
        return
    name, given_value = next(iter(value.items()))
    text = as_identifier(given_value)
    if not isinstance(text, str) or not text.strip():
        yield rules.IDENTIFIERS.at(
            f"{path}.{name}",
            "`%(field)s` is %(given)s. Identifiers must be non-empty text or numbers.",
            "Send non-empty text, such as String(value).",
            field=name,
            given=shown(given_value),
        )
    elif name == "id":
        yield from check_id(f"{path}.id", text)
    elif name == "phone" and not track_api.is_phone(text):
        yield rules.PHONE.at(
            f"{path}.phone",
            # Without the number: errors are logged.
            "The phone number is not in E.164 format.",
            "Use the format +15551234567.",
        )
    elif name == "cio_id" and text.startswith("cio_"):
        yield rules.CIO_ID.at(
            f"{path}.cio_id",
            "The cio_id %(given)s has the prefix cio_, which only v1 URLs use.",
            "Remove the prefix.",
            given=shown(text),
        )


def check_id(path: str, text: str) -> Iterator[Verdict]:
    if _bytes(text) > track_api.MAX_ID_BYTES:
        yield rules.ID_LENGTH.at(
            path,
            "The id has %(id_bytes)s bytes. Customer.io allows %(max_id_bytes)s.",
            "Use a shorter id.",
            id_bytes=_bytes(text),
            max_id_bytes=track_api.MAX_ID_BYTES,
        )


def _object(path: str, value: Json) -> Iterator[Verdict]:
    fields = {name: as_identifier(item) for name, item in value.items()} if isinstance(value, dict) else {}
    is_known = fields.keys() in ({"object_type_id", "object_id"}, {"cio_object_id"})
    if not is_known or not are_texts(fields) or any(str(text).isspace() for text in fields.values()):
        yield rules.IDENTIFIERS.at(
            path,
            "An object needs either `object_type_id` and `object_id`, or `cio_object_id`, as text.",
            'Set identifiers: {object_type_id: "1", object_id: …}.',
        )
        return
    kind = fields.get("object_type_id")
    if isinstance(kind, str) and not track_api.is_object_type(kind):
        yield rules.OBJECT_TYPE.at(
            f"{path}.object_type_id",
            "Customer.io has no object type %(given)s.",
            'Use the number of an object type as text, such as "1".',
            given=shown(kind),
        )
    yield from check_id(f"{path}.object_id", str(fields.get("object_id", "")))


def _attributes(path: str, value: Json, action: Action) -> Iterator[Verdict]:
    if not isinstance(value, dict):
        yield rules.ATTRIBUTES.at(
            path,
            "`%(field)s` must be an object, but is %(given)s.",
            'Send an object, such as {plan: "pro"}.',
            field="attributes",
            given=shown(value),
        )
    elif action.type == "delivery":
        if not isinstance(value.get("device_token"), str) or not value["device_token"]:
            yield rules.DELIVERY.at(
                f"{path}.device_token", "Missing field `%(field)s`.", "Add `%(field)s`.", field="device_token"
            )
    elif not action.is_event:
        yield from check_kept_attributes(path, value)


def check_timestamp(path: str, value: Json, _action: Action | None = None) -> Iterator[Verdict]:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= track_api.MAX_TIMESTAMP_S:
        yield rules.TIMESTAMP.at(
            path,
            "The timestamp %(given)s is not in whole Unix seconds.",
            "Use nicobar.unix(isoText), or divide milliseconds by 1000 and round.",
            given=shown(value),
        )


def check_event_id(path: str, value: Json, _action: Action | None = None) -> Iterator[Verdict]:
    if not isinstance(value, str) or not track_api.is_ulid(value):
        yield rules.EVENT_ID.at(
            path,
            "The event ID %(given)s is not a ULID, so Customer.io cannot recognize duplicates.",
            'Turn on "Add event IDs" (`correct_event_id`) in the endpoint\'s settings, or use a ULID.',
            given=shown(value),
        )


def check_relationships(path: str, value: Json, action: Action) -> Iterator[Verdict]:
    if not isinstance(value, list) or (not value and "cio_relationships" in action.required):
        yield rules.RELATIONSHIPS.at(
            path, "`cio_relationships` must be a non-empty list.", "Send [{identifiers: …}]."
        )
        return
    for number, item in enumerate(value):
        own = f"{path}[{number}]"
        fields = item if isinstance(item, dict) else {}
        identifiers = fields.get("identifiers")
        if action.type == "person":
            found = list(_object(f"{own}.identifiers", identifiers))
        elif action.action == "identify_anonymous":
            found = list(_one_person(f"{own}.identifiers", identifiers, ("anonymous_id",)))
        else:
            found = list(_one_person(f"{own}.identifiers", identifiers, track_api.MERGE_IDENTIFIERS))
        attributes = fields.get("relationship_attributes", {})
        verdict = rules.RELATIONSHIPS.at(
            own,
            "`relationship_attributes` must be an object.",
            "Send {identifiers: …, relationship_attributes: {…}}.",
        )
        if found:
            wrong = found[0].reason
            why = msgspec.structs.replace(verdict.reason, template=wrong.template, values=wrong.values)
            yield msgspec.structs.replace(verdict, reason=why)
        elif not isinstance(attributes, dict):
            yield verdict
        else:
            yield from check_relationship_attributes(f"{own}.relationship_attributes", attributes)


def _device(path: str, value: Json, action: Action) -> Iterator[Verdict]:
    yield from check_device(path, value, ("token", "platform") if action.action == "add_device" else ("token",))


def check_device(path: str, value: Json, needed: Sequence[str]) -> Iterator[Verdict]:
    fields = value if isinstance(value, dict) else {}
    for name in needed:
        text = fields.get(name)
        if not isinstance(text, str) or not text or (name == "platform" and text not in track_api.PLATFORMS):
            yield _device_verdict(f"{path}.{name}", name, text)


def _device_verdict(path: str, name: str, value: Json) -> Verdict:
    if name == "platform" and value:
        return rules.DEVICE.at(
            path,
            "Customer.io has no platform %(given)s.",
            "Use one of: %(platforms)s.",
            given=shown(value),
            platforms=", ".join(track_api.PLATFORMS),
        )
    return rules.DEVICE.at(path, "Missing field `%(field)s`.", "Send the device's token and platform.", field=name)


def check_merged(path: str, value: Json, _action: Action | None = None) -> Iterator[Verdict]:
    found = list(_one_person(path, value, track_api.MERGE_IDENTIFIERS))
    if found:
        why = msgspec.structs.replace(found[0].reason, code=rules.MERGE.name)
        yield msgspec.structs.replace(found[0], reason=why, source=rules.MERGE.source)


def check_merge_of_one(path: str, item: dict[str, Json]) -> Iterator[Verdict]:
    """What a merge of a person into the same person does is not documented; merges are irreversible."""
    if is_same_person(item.get("primary"), item.get("secondary")):
        yield rules.MERGE.at(
            f"{path}.secondary",
            "`primary` and `secondary` are the same person.",
            "Merge another person, or omit the call if both are the same.",
        )


def is_same_person(one: Json, other: Json) -> bool:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    return _comparable(one) == _comparable(other)


def _comparable(identifiers: dict[str, Json]) -> dict[str, Json]:
    return {name: str(value).casefold() if name == "email" else value for name, value in identifiers.items()}


_FIELDS: dict[str, Callable[[str, Json, Action], Iterator[Verdict]]] = {
    "identifiers": _identifiers,
    "attributes": _attributes,
    "timestamp": check_timestamp,
    "id": check_event_id,
    "cio_relationships": check_relationships,
    "device": _device,
    "primary": check_merged,
    "secondary": check_merged,
}


def _size(path: str, body: bytes | None, most_bytes: int) -> Iterator[Verdict]:
    if body is None:
        yield rules.JSON.at(
            path,
            "The call cannot be converted to JSON.",
            "Send objects, lists, text, numbers, booleans and null only.",
        )
    elif len(body) > most_bytes:
        yield rules.SIZE.at(
            path,
            "The call has %(body)s bytes. Customer.io allows %(most_bytes)s.",
            "Send less data.",
            body=len(body),
            most_bytes=most_bytes,
        )


def as_identifier(value: Json) -> Json:
    """An identifier as text: Customer.io accepts numbers too, and stores their digits. Others are
    unchanged.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value in _INFINITIES or value != value:  # noqa: PLR0124 - NaN
        return value
    return (encoded(value) or b"").decode()


def are_texts(fields: dict[str, Json]) -> bool:
    return all(isinstance(value, str) and value for value in fields.values())


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def shown(value: Json) -> str:
    """A value as JSON, short enough for a sentence."""
    return (encoded(value) or b"(not JSON)").decode()[:MAX_SHOWN_CHARS]
