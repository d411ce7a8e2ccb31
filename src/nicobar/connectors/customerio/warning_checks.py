"""Warnings: calls that Customer.io accepts but that are almost certainly a mistake. Never raises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from nicobar.connectors.customerio import rules, track_api
from nicobar.connectors.customerio.amounts import EventAmounts
from nicobar.connectors.customerio.error_checks import shown
from nicobar.connectors.customerio.field_checks import (
    check_fields,
    check_fields_v1,
    check_last_used,
    check_properties,
    check_relationship_fields,
    check_time_field,
)
from nicobar.connectors.customerio.person_checks import (
    check_email,
    check_identifiers,
    check_name,
    check_person,
    check_v1_id,
)
from nicobar.connectors.customerio.track_api import V1Call
from nicobar.connectors.customerio.value_checks import check_values
from nicobar.model import Json, Record, Verdict


class Context(Record):
    """What a call is compared with: the event that it was made from, and the time. `event_id` is the sender's.
    `has_totals`: the call may have values over time, since its handler has read them.
    """

    amounts: EventAmounts
    now_ms: int
    event_id: str = ""
    has_totals: bool = False


def advise(path: str, item: dict[str, Json], written: Mapping[str, Json], context: Context) -> Iterator[Verdict]:
    """Warnings about one v2 object without errors; `written` is the object as the handler wrote it."""
    action = item.get("action")
    attributes = item.get("attributes")
    values = attributes if isinstance(attributes, dict) else {}
    yield from check_fields(path, item)
    if item.get("type") == "object":
        yield from check_values(f"{path}.attributes", values, context.amounts)
    elif item.get("type") == "person":
        yield from check_identifiers(f"{path}.identifiers", item.get("identifiers"))
        if action == "identify":
            yield from _identify(path, item, values, context)
        elif action in track_api.EVENT_TYPES:
            if "anonymous_id" in _mapping(item.get("identifiers")):
                yield _anonymous(f"{path}.identifiers.anonymous_id")
            yield from _event(path, item, written, ("attributes", values), context)
        elif action == "add_device":
            yield from check_last_used(f"{path}.device", _mapping(item.get("device")))
    if (related := item.get("cio_relationships")) is not None:
        yield from _relationships(f"{path}.cio_relationships", related, context)


def _identify(path: str, item: Mapping[str, Json], values: Mapping[str, Json], context: Context) -> Iterator[Verdict]:
    name = item.get("name")
    if isinstance(name, str) and name:
        yield rules.NAME_BESIDE_IDENTIFY.at(
            f"{path}.name",
            "The name %(given)s has no effect: an identify call sets attributes and sends no event.",
            'Remove `name`, or send a second call with action: "event" to send an event.',
            given=shown(name),
        )
    yield from check_person(f"{path}.attributes", values, context.amounts, has_totals=context.has_totals)
    yield from check_values(f"{path}.attributes", values, context.amounts)


def _anonymous(path: str) -> Verdict:
    return rules.ANONYMOUS_PERSON.at(
        path,
        "Customer.io's documentation names `anonymous_id` for events of v1 only. It may ignore this event.",
        "Use POST /api/v1/events for anonymous visitors.",
    )


def advise_v1(  # noqa: C901, PLR0917 - one case a body; a call, as written and as sent
    path: str, call: V1Call, url_path: str, written: Json, payload: Json, context: Context
) -> Iterator[Verdict]:
    """Warnings about a call of v1 without errors; `path` is the location of its payload."""
    if call.segments[0] == "customers":
        yield from check_v1_id(f"{path.rpartition('.')[0]}.url", unquote(url_path.split("/")[4]))
    if not isinstance(payload, dict):
        return
    yield from check_fields_v1(path, call.body, payload)
    match call.body:
        case "identify":
            attributes = {name: value for name, value in payload.items() if name != "cio_relationships"}
            yield from check_time_field(path, attributes)
            yield from check_person(path, attributes, context.amounts, has_totals=context.has_totals)
            yield from check_values(path, attributes, context.amounts)
            related = _mapping(payload.get("cio_relationships")).get("relationships")
            yield from _relationships(f"{path}.cio_relationships.relationships", related, context)
        case "event":
            data = _mapping(payload.get("data"))
            is_invite = call.segments == ("events",) and not payload.get("anonymous_id")
            if is_invite and data.get("recipient") is not None:
                yield from check_email(f"{path}.data.recipient", data["recipient"])
            yield from _event(path, payload, _mapping(written), ("data", data), context, is_invite=is_invite)
        case "device":
            yield from check_last_used(f"{path}.device", _mapping(payload.get("device")))
        case "form":
            yield from check_identifiers(f"{path}.data", payload.get("data"))
        case "merge":
            for side in ("primary", "secondary"):
                yield from check_identifiers(f"{path}.{side}", payload.get(side))
        case "segment":
            yield rules.SEGMENT_IDENTIFIERS.at(
                f"{path}.ids",
                "Customer.io does not support these calls in workspaces that identify people by both email and id, "
                "which is the default.",
                "Check your workspace's settings. A segment by an attribute works in all workspaces.",
            )


def _event(
    path: str,
    item: Mapping[str, Json],
    written: Mapping[str, Json],
    properties: tuple[str, Mapping[str, Json]],
    context: Context,
    *,
    is_invite: bool = False,
) -> Iterator[Verdict]:
    """Warnings about an event of v2 (`attributes`) or v1 (`data`); one of v1 without a person is an invite to its
    recipient.
    """
    field, data = properties
    data_path = f"{path}.{field}"
    yield from check_name(f"{path}.name", item.get("name"))
    for name in sorted(track_api.MAIL_PROPERTIES & data.keys()):
        if name != "recipient" or not is_invite:
            yield rules.MAIL_PROPERTY.at(
                f"{data_path}.{name}",
                'The property "%(name)s" overrides the address in the campaign\'s emails.',
                "Rename it, for example to customer_email, unless this is intended.",
                name=name,
            )
    timestamp = item.get("timestamp")
    if isinstance(timestamp, int) and context.now_ms // 1000 - timestamp > track_api.MAX_TRIGGER_AGE_S:
        yield rules.OLD_EVENT.at(
            f"{path}.timestamp",
            "The event is %(age_hours)s hours old. Customer.io does not trigger campaigns for events older than "
            "72 hours.",
            "Correct `timestamp` if the time is wrong. A late event cannot trigger campaigns.",
            age_hours=(context.now_ms // 1000 - timestamp) // 3_600,
        )
    if item.get("id") is None:
        yield rules.NO_EVENT_ID.at(
            f"{path}.id",
            "The event has no id, so every resend counts as another event.",
            'Turn on "Add event IDs" (`correct_event_id`) in the endpoint\'s settings.',
        )
    yield from check_properties(data_path, data, written, context.event_id)
    yield from check_values(data_path, data, context.amounts, is_event=True)


def no_address(path: str, *, is_invalid: bool = False) -> Verdict:
    """The warning about an event whose person gets no address. `is_invalid`: one is known that cannot be used."""
    if is_invalid:
        return rules.NO_ADDRESS.at(
            f"{path}.identifiers",
            "The customer's email address is not valid. Emails are sent only if the profile already has another one.",
            "Correct the customer's address at the sender.",
        )
    return rules.NO_ADDRESS.at(
        f"{path}.identifiers",
        "This call does not set the person's email address. Emails are sent only if the profile already has one.",
        "If your event contains the address, send it with nicobar.identify({email: …}) first.",
    )


def _relationships(path: str, related: Json, context: Context) -> Iterator[Verdict]:
    for number, entry in enumerate(related if isinstance(related, list) else ()):
        own, fields = f"{path}[{number}]", _mapping(entry)
        yield from check_relationship_fields(own, fields)
        values = _mapping(fields.get("relationship_attributes"))
        if values:
            yield from check_values(f"{own}.relationship_attributes", values, context.amounts)


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}
