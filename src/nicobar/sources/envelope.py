"""The envelope that Standard Webhooks recommends: a JSON object with `type`, `timestamp`, `data`."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from nicobar import clock
from nicobar.errors import Refusal
from nicobar.facts import object_id
from nicobar.model import EVENT_TYPE_NAME, Customer, Json, Record
from nicobar.nesting import MAX_DEPTH_LEVELS, is_deeper

_MAX_SHOWN_CHARS = 100
_GZIP = b"\x1f\x8b"  # RFC 1952, section 2.3.1


class Envelope(Record):
    """`occurred_at_ms` is None without a readable time; `data` is {} if it is not an object. Some senders name the
    business that an event belongs to.
    """

    event_type: str
    occurred_at_ms: int | None
    data: dict[str, Json]
    business_id: Json = None


def read(body: bytes) -> Envelope:
    """Raises Refusal 400 unless the body is a JSON object with a valid `type`; the rest is not checked."""
    if body.startswith(_GZIP):
        raise Refusal(
            400,
            "body_compressed",
            "The body is compressed with gzip. Compressed bodies are not supported.",
            "Turn off compression at the sender.",
        )
    if is_deeper(body):
        raise Refusal(
            400,
            "body_too_deep",
            "The event's JSON is nested deeper than %(max_depth_levels)s levels.",
            "Send a flatter event.",
            max_depth_levels=MAX_DEPTH_LEVELS,
        )
    try:
        value: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(
            400,
            "body_not_json",
            "The body is not valid JSON: %(error)s.",
            "Send the event as a JSON object.",
            error=str(error),
        ) from error
    if not isinstance(value, dict):
        raise Refusal(
            400,
            "body_not_an_object",
            "The body is valid JSON, but not an object.",
            "Send the event as a JSON object.",
        )
    event_type = value.get("type")
    if not isinstance(event_type, str) or not EVENT_TYPE_NAME.fullmatch(event_type):
        raise _type_error(event_type)
    data = value.get("data")
    return Envelope(
        event_type=event_type,
        occurred_at_ms=unix_ms(value.get("timestamp")),
        data=data if isinstance(data, dict) else {},
        business_id=value.get("business_id"),
    )


def _type_error(given: Json) -> Refusal:
    if not isinstance(given, str):
        return Refusal(
            400, "type_missing", "Missing field `type`.", "Send the event type as text, such as payment.succeeded."
        )
    return Refusal(
        400,
        "type_missing",
        "Invalid event type %(given)s.",
        "Use 1 to 256 letters, digits and `. - _ / : + ~ @`, such as payment.succeeded.",
        given=repr(given[:_MAX_SHOWN_CHARS]),
    )


def read_body(event_type: str, body: bytes) -> Envelope:
    """Reads any body of an event whose type is known. Never raises."""
    try:
        found = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _Body()
    return Envelope(
        event_type=event_type,
        occurred_at_ms=unix_ms(found.timestamp),
        data=found.data if isinstance(found.data, dict) else {},
        business_id=found.business_id,
    )


class _Body(msgspec.Struct):
    timestamp: Json = None
    data: Json = None
    business_id: Json = None


def unix_ms(value: Json) -> int | None:
    """Unix milliseconds of an RFC 3339 text; None for anything else, and for a time that is beyond the calendar in
    UTC. Without a zone it is UTC.
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        zone = moment.tzinfo
        return clock.unix_ms(moment if zone is UTC or zone is None else moment.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def utc_text(at_ms: int) -> str:
    """Unix milliseconds as an RFC 3339 text."""
    return clock.utc_time(at_ms).isoformat(timespec="microseconds").replace("+00:00", "Z")


def customer(key: Json, email: Json = None, name: Json = None, metadata: Json = None) -> Customer | None:
    """A customer, if `key` is non-empty text. A key that databases cannot index (too long, or with a NUL) is replaced
    by its hash: the order of deliveries only needs a stable key.
    """
    customer_key = object_id(key)
    if not customer_key:
        return None
    return Customer(key=customer_key, email=text(email), name=text(name), metadata=members(metadata))


def text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def members(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
