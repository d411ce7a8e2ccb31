"""Errors in calls of v1, whose body wraps the fields of v2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, unquote

from nicobar.connectors.customerio import rules, track_api
from nicobar.connectors.customerio.attribute_limits import check_kept_attributes
from nicobar.connectors.customerio.error_checks import (
    MAX_SHOWN_CHARS,
    are_texts,
    check_device,
    check_event_id,
    check_event_name,
    check_id,
    check_merge_of_one,
    check_merged,
    check_relationships,
    check_timestamp,
    shown,
)
from nicobar.connectors.customerio.track_api import V1Call
from nicobar.connectors.payload import encoded
from nicobar.model import Json, Verdict


def check_v1(path: str, call: V1Call, url_path: str, payload: Json) -> Iterator[Verdict]:
    """Checks one call of v1 with the path of its URL; `path` is the location of its payload."""
    if call.segments[0] == "customers":
        yield from check_id(f"{path.rpartition('.')[0]}.url", unquote(url_path.partition("?")[0].split("/")[4]))
    if call.body == "segment":
        yield from _segment_url(f"{path.rpartition('.')[0]}.url", url_path)
    if call.body in {"none", "any"}:
        return
    if not isinstance(payload, dict):
        yield rules.PAYLOAD.at(
            path, "The payload must be an object, but is %(given)s.", "Send an object.", given=shown(payload)
        )
        return
    yield from _BODIES[call.body](path, payload)


# --- the bodies of v1 ---


def _identify(path: str, payload: dict[str, Json]) -> Iterator[Verdict]:
    attributes = {name: value for name, value in payload.items() if name != "cio_relationships"}
    yield from check_kept_attributes(path, attributes)
    if "_timestamp" in payload:
        yield from check_timestamp(f"{path}._timestamp", payload["_timestamp"])
    if "cio_relationships" in payload:
        yield from _relationships(f"{path}.cio_relationships", payload["cio_relationships"])


def _relationships(path: str, value: Json) -> Iterator[Verdict]:
    """v1 wraps relationships and their action in one attribute."""
    if not isinstance(value, dict) or value.get("action") not in track_api.RELATIONSHIP_ACTIONS:
        yield rules.RELATIONSHIPS.at(
            path,
            "`cio_relationships` must be an object whose `action` is one of: %(relationship_actions)s.",
            'Send {action: "add_relationships", relationships: [{identifiers: …}]}.',
            relationship_actions=", ".join(track_api.RELATIONSHIP_ACTIONS),
        )
        return
    identify = track_api.ACTIONS["person"]["identify"]
    yield from check_relationships(f"{path}.relationships", value.get("relationships"), identify)


def _event(path: str, payload: dict[str, Json]) -> Iterator[Verdict]:
    yield from check_event_name(f"{path}.name", payload.get("name"))
    if "type" in payload and payload["type"] not in track_api.EVENT_TYPES:
        yield rules.EVENT_TYPE.at(
            f"{path}.type",
            "Customer.io has no event type %(given)s.",
            "Use one of: %(event_types)s. Omit `type` for events.",
            given=shown(payload["type"]),
            event_types=", ".join(track_api.EVENT_TYPES),
        )
    if "id" in payload:
        yield from check_event_id(f"{path}.id", payload["id"])
    if "timestamp" in payload:
        yield from check_timestamp(f"{path}.timestamp", payload["timestamp"])
    data = payload.get("data", {})
    if not isinstance(data, dict):
        yield rules.DATA.at(
            f"{path}.data",
            "`%(field)s` must be an object, but is %(given)s.",
            "Send an object, or omit `data`.",
            field="data",
            given=shown(data),
        )
    elif (data_bytes := len(encoded(data) or b"")) > track_api.MAX_V1_DATA_BYTES:
        yield rules.DATA.at(
            f"{path}.data",
            "`data` has %(data_bytes)s bytes. Customer.io allows %(max_data_bytes)s.",
            "Send less data.",
            data_bytes=data_bytes,
            max_data_bytes=track_api.MAX_V1_DATA_BYTES,
        )


def _device(path: str, payload: dict[str, Json]) -> Iterator[Verdict]:
    yield from check_device(f"{path}.device", payload.get("device"), ("id", "platform"))


def _merge(path: str, payload: dict[str, Json]) -> Iterator[Verdict]:
    for field in ("primary", "secondary"):
        yield from check_merged(f"{path}.{field}", payload.get(field))
    yield from check_merge_of_one(path, payload)


def _segment_url(path: str, url_path: str) -> Iterator[Verdict]:
    """Which of several types counts is not documented, so only one is allowed."""
    below, _, query = url_path.partition("?")
    number = unquote(below.split("/")[4])
    if not number.isascii() or not number.isdigit():
        yield rules.SEGMENT.at(
            path,
            'The segment "%(given)s" is not a number.',
            "Use the segment's ID: in Customer.io, open the segment and see Usage.",
            given=number[:MAX_SHOWN_CHARS],
        )
    given = parse_qs(query, keep_blank_values=True).get("id_type", ["id"])
    if len(given) > 1 or given[0] not in track_api.SEGMENT_ID_TYPES:
        yield rules.SEGMENT.at(
            path,
            "`id_type` must be one of: %(segment_id_types)s.",
            "Set the type of the ids, or omit `id_type` for people's ids.",
            segment_id_types=", ".join(track_api.SEGMENT_ID_TYPES),
        )


def _segment(path: str, payload: dict[str, Json]) -> Iterator[Verdict]:
    ids = payload.get("ids")
    texts = [item for item in ids if isinstance(item, str) and item] if isinstance(ids, list) else []
    if texts != ids or not 1 <= len(texts) <= track_api.MAX_SEGMENT_IDS:
        yield rules.SEGMENT.at(
            f"{path}.ids",
            "`ids` must be a list of 1 to %(max_segment_ids)s texts.",
            "Send people's ids as text. Use several calls for longer lists.",
            max_segment_ids=track_api.MAX_SEGMENT_IDS,
        )


def _form(path: str, payload: dict[str, Json]) -> Iterator[Verdict]:
    data = payload.get("data")
    if not isinstance(data, dict) or len({"id", "email"} & data.keys()) != 1 or not are_texts(data):
        yield rules.FORM.at(
            f"{path}.data",
            "`data` must be an object of texts with exactly one of `id` and `email`.",
            "Identify the person by id or email, and send the form's fields as text.",
        )


_BODIES: dict[str, Callable[[str, dict[str, Json]], Iterator[Verdict]]] = {
    "identify": _identify,
    "event": _event,
    "device": _device,
    "merge": _merge,
    "segment": _segment,
    "form": _form,
}
