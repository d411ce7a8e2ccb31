"""What Customer.io would refuse, or take and do nothing with. Never raises, whatever it is given; takes time in
proportion to the size of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from nicobar.connectors.customerio import rules, track_api
from nicobar.connectors.customerio.track_api import Action
from nicobar.connectors.payload import encoded
from nicobar.model import Json, Verdict

MAX_SHOWN_CHARS = 100


def find_action(item: dict[str, Json]) -> Action | None:
    """The action that an object of v2 asks for; None if there is none."""
    kind, action = item.get("type"), item.get("action")
    if not isinstance(kind, str) or not isinstance(action, str):
        return None
    return track_api.ACTIONS.get(kind, {}).get(action)


def check(path: str, item: dict[str, Json]) -> Iterator[Verdict]:
    """One object of v2; `path` says where it stands."""
    yield from _size(path, item, track_api.MAX_ITEM_BYTES)
    action = find_action(item)
    if action is None:
        yield _no_action(path, item)
        return
    for field in action.required:
        if field not in item and field != "name":
            yield rules.MISSING.at(
                f"{path}.{field}",
                '"%(action)s" needs %(field)s, which is not there.',
                "Add %(field)s.",
                action=action.action,
                field=field,
            )
    if "name" in action.required:
        yield from _name(f"{path}.name", item.get("name"), action)
    for field in (*action.required, *action.optional):
        if field in item and field in _FIELDS:
            yield from _FIELDS[field](f"{path}.{field}", item[field], action)


def _no_action(path: str, item: dict[str, Json]) -> Verdict:
    kind = item.get("type")
    actions = track_api.ACTIONS.get(kind) if isinstance(kind, str) else None
    if actions is None:
        return rules.TYPE.at(f"{path}.type", "It is none of person, object, delivery.", 'Set type: "person".')
    return rules.UNKNOWN_ACTION.at(
        f"{path}.action",
        "Customer.io has no action %(action)s for a %(kind)s.",
        "Use one of %(known)s.",
        action=quote(item.get("action")),
        kind=str(kind),
        known=", ".join(sorted(actions)),
    )


# --- fields, each by its own rule ---


def _name(path: str, name: Json, action: Action) -> Iterator[Verdict]:
    if action.type == "delivery":
        if name not in track_api.DELIVERY_NAMES:
            yield rules.DELIVERY.at(
                path,
                "It is none of %(delivery_names)s.",
                'Set it, such as name: "opened".',
                delivery_names=", ".join(track_api.DELIVERY_NAMES),
            )
        return
    yield from check_event_name(path, name)


def check_event_name(path: str, name: Json) -> Iterator[Verdict]:
    if not isinstance(name, str) or not name.strip():
        yield rules.EVENT_NAME.at(
            path, "An event needs a name.", 'Set it to what the campaign waits for, such as "payment_failed".'
        )
    elif _bytes(name) > track_api.MAX_EVENT_NAME_BYTES:
        yield rules.EVENT_NAME_LENGTH.at(
            path,
            "The name is longer than %(max_event_name_bytes)s bytes.",
            "Shorten it.",
            max_event_name_bytes=track_api.MAX_EVENT_NAME_BYTES,
        )


def _identifiers(path: str, value: Json, action: Action) -> Iterator[Verdict]:
    match action.type:
        case "person":
            yield from _one_person(path, value, track_api.PERSON_IDENTIFIERS)
        case "object":
            yield from _object(path, value)
        case _:
            if not isinstance(value, dict) or not isinstance(value.get("id"), str) or not value["id"]:
                yield rules.IDENTIFIERS.at(path, "The delivery's id is missing.", "Set identifiers: {id: …}.")


def _one_person(path: str, value: Json, names: Sequence[str]) -> Iterator[Verdict]:
    if not isinstance(value, dict) or not value:
        yield rules.IDENTIFIERS.at(path, "There is no identifier of the person.", "Set identifiers: {id: …}.")
        return
    if len(value) > 1 or next(iter(value)) not in names:
        given = ", ".join(sorted(value))[:MAX_SHOWN_CHARS]
        yield rules.IDENTIFIERS.at(
            path,
            "A person has exactly one identifier of %(names)s; here are %(given)s.",
            "Leave the one that your workspace knows the person by.",
            names=", ".join(names),
            given=given,
        )
        return
    name, text = next(iter(value.items()))
    if not isinstance(text, str) or not text:
        yield rules.IDENTIFIERS.at(f"{path}.{name}", "It is not a text.", "Send a text that is not empty.")
    elif name == "id" and _bytes(text) > track_api.MAX_ID_BYTES:
        yield rules.ID_LENGTH.at(
            f"{path}.id",
            "It is longer than %(max_id_bytes)s bytes.",
            "Use a shorter one.",
            max_id_bytes=track_api.MAX_ID_BYTES,
        )
    elif name == "phone" and not track_api.is_phone(text):
        yield rules.PHONE.at(f"{path}.phone", "It is not in E.164 form.", "Write it as +15551234567.")
    elif name == "cio_id" and text.startswith("cio_"):
        yield rules.CIO_ID.at(f"{path}.cio_id", "In v2 it has no prefix.", "Leave out cio_.")


def _object(path: str, value: Json) -> Iterator[Verdict]:
    fields = value if isinstance(value, dict) else {}
    if fields.keys() not in ({"object_type_id", "object_id"}, {"cio_object_id"}) or not are_texts(fields):
        yield rules.IDENTIFIERS.at(
            path,
            "An object has either object_type_id and object_id, or cio_object_id, as texts.",
            'Set identifiers: {object_type_id: "1", object_id: …}.',
        )
        return
    kind = fields.get("object_type_id")
    if isinstance(kind, str) and not track_api.is_object_type(kind):
        yield rules.OBJECT_TYPE.at(
            f"{path}.object_type_id", "It is not the number of a type of object.", 'Send it as text, such as "1".'
        )
    if _bytes(str(fields.get("object_id", ""))) > track_api.MAX_ID_BYTES:
        yield rules.ID_LENGTH.at(
            f"{path}.object_id",
            "It is longer than %(max_id_bytes)s bytes.",
            "Use a shorter one.",
            max_id_bytes=track_api.MAX_ID_BYTES,
        )


def _attributes(path: str, value: Json, action: Action) -> Iterator[Verdict]:
    if not isinstance(value, dict):
        yield rules.ATTRIBUTES.at(path, "They are not an object.", "Send an object of names and values.")
    elif action.type == "delivery":
        if not isinstance(value.get("device_token"), str) or not value["device_token"]:
            yield rules.DELIVERY.at(f"{path}.device_token", "It is missing.", "Set the device's token.")
    elif not action.is_event:
        yield from check_kept_attributes(path, value)


def check_kept_attributes(path: str, attributes: dict[str, Json]) -> Iterator[Verdict]:
    """The limits of what is kept; a person's and an object's are the same."""
    if len(attributes) > track_api.MAX_ATTRIBUTES:
        yield rules.ATTRIBUTE_COUNT.at(
            path,
            "There are %(attributes)s; %(max_attributes)s are allowed.",
            "Send fewer.",
            attributes=len(attributes),
            max_attributes=track_api.MAX_ATTRIBUTES,
        )
    for name, value in attributes.items():
        own = f"{path}.{name[:MAX_SHOWN_CHARS]}"
        if _bytes(name) > track_api.MAX_ATTRIBUTE_NAME_BYTES:
            yield rules.ATTRIBUTE_NAME.at(
                own,
                "The name is longer than %(max_attribute_name_bytes)s bytes.",
                "Shorten it.",
                max_attribute_name_bytes=track_api.MAX_ATTRIBUTE_NAME_BYTES,
            )
        body = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else encoded(value)
        if body is not None and len(body) > track_api.MAX_ATTRIBUTE_VALUE_BYTES:
            yield rules.ATTRIBUTE_VALUE.at(
                own,
                "The value has %(body)s bytes; %(max_attribute_value_bytes)s are allowed.",
                "Shorten it, or send it with an event, where it may be longer.",
                body=len(body),
                max_attribute_value_bytes=track_api.MAX_ATTRIBUTE_VALUE_BYTES,
            )


def check_timestamp(path: str, value: Json, _action: Action | None = None) -> Iterator[Verdict]:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= track_api.MAX_TIMESTAMP_S:
        yield rules.TIMESTAMP.at(
            path,
            "A timestamp is a whole number of Unix seconds.",
            "Use nicobar.unix(isoText), or divide milliseconds by 1000 and round.",
        )


def check_event_id(path: str, value: Json, _action: Action | None = None) -> Iterator[Verdict]:
    if not isinstance(value, str) or not track_api.is_ulid(value):
        yield rules.EVENT_ID.at(
            path, "The id is not a ULID, so repetitions would not be left out.", "Leave id out, and one is made."
        )


def check_relationships(path: str, value: Json, action: Action) -> Iterator[Verdict]:
    if not isinstance(value, list) or (not value and "cio_relationships" in action.required):
        yield rules.RELATIONSHIPS.at(path, "It is not a list with something in it.", "Send [{identifiers: …}].")
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
        verdict = rules.RELATIONSHIPS.at(
            own,
            "The relationship's attributes are not an object.",
            "Send {identifiers: …, relationship_attributes: {…}}.",
        )
        if found:
            wrong = found[0].reason
            why = msgspec.structs.replace(verdict.reason, template=wrong.template, values=wrong.values)
            yield msgspec.structs.replace(verdict, reason=why)
        elif not isinstance(fields.get("relationship_attributes", {}), dict):
            yield verdict


def _device(path: str, value: Json, action: Action) -> Iterator[Verdict]:
    yield from check_device(path, value, ("token", "platform") if action.action == "add_device" else ("token",))


def check_device(path: str, value: Json, needed: Sequence[str]) -> Iterator[Verdict]:
    fields = value if isinstance(value, dict) else {}
    for name in needed:
        text = fields.get(name)
        if not isinstance(text, str) or not text or (name == "platform" and text not in track_api.PLATFORMS):
            yield _device_verdict(f"{path}.{name}", name)


def _device_verdict(path: str, name: str) -> Verdict:
    if name == "platform":
        return rules.DEVICE.at(
            path,
            "It is none of %(platforms)s.",
            "Send the device's token and its platform.",
            platforms=", ".join(track_api.PLATFORMS),
        )
    return rules.DEVICE.at(path, "It is missing.", "Send the device's token and its platform.")


def check_merged(path: str, value: Json, _action: Action | None = None) -> Iterator[Verdict]:
    found = list(_one_person(path, value, track_api.MERGE_IDENTIFIERS))
    if found:
        why = msgspec.structs.replace(found[0].reason, code=rules.MERGE.name)
        yield msgspec.structs.replace(found[0], reason=why, source=rules.MERGE.source)


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


def _size(path: str, item: dict[str, Json], most_bytes: int) -> Iterator[Verdict]:
    body = encoded(item)
    if body is None:
        yield rules.JSON.at(path, "It cannot be written as JSON.", "Send plain values, not too deeply nested.")
    elif len(body) > most_bytes:
        yield rules.SIZE.at(
            path,
            "The call has %(body)s bytes; %(most_bytes)s are allowed.",
            "Send less data.",
            body=len(body),
            most_bytes=most_bytes,
        )


def are_texts(fields: dict[str, Json]) -> bool:
    return all(isinstance(value, str) and value for value in fields.values())


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def quote(value: Json) -> str:
    """A value that somebody wrote, short enough for a sentence."""
    return f'"{value[:MAX_SHOWN_CHARS]}"' if isinstance(value, str) else "(none)"
