"""Correctly signed requests that their source's kind cannot read. They are stored like every event, under an event
type of their own: every delivery of them fails with the reason, and can be resent once the body can be read.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from math import isfinite

import msgspec

from nicobar.errors import Refusal
from nicobar.model import UNREADABLE_EVENT_TYPE, Event, Json, Message
from nicobar.nesting import is_deeper
from nicobar.reasons import Reason, reason
from nicobar.sources import SourceKind

# JavaScript reads longer numbers as infinite.
_MAX_DIGITS = 400


def read_event(kind: SourceKind, headers: Mapping[str, str], body: bytes) -> tuple[Event, Reason | None]:
    """What the source's kind reads from a verified request, and why it can read nothing, if so."""
    try:
        return kind.read(headers, body), None
    except Refusal as refusal:
        why = refusal.reason
    repaired_body = repaired(body)
    if repaired_body is not None:
        try:
            return kind.read(headers, repaired_body), None
        except Refusal as refusal:
            why = refusal.reason
    return Event(event_type=UNREADABLE_EVENT_TYPE, occurred_at_ms=None, customer=None), why


def reread(kind: SourceKind, message: Message) -> tuple[Message, Reason | None]:
    """A stored message, read now: another version of Nicobar may read more. The reason if it still reads
    nothing.
    """
    if message.event_type != UNREADABLE_EVENT_TYPE or message.expunged_at_ms is not None:
        return message, None
    event, why = read_event(kind, {}, message.body)
    if why is not None:
        return message, _not_read(why)
    return msgspec.structs.replace(
        message,
        event_type=event.event_type,
        customer_key=event.customer.key if event.customer else None,
        occurred_at_ms=message.occurred_at_ms if event.occurred_at_ms is None else event.occurred_at_ms,
    ), None


def _not_read(why: Reason) -> Reason:
    return reason(
        "unreadable",
        "The event is signed correctly, but cannot be read: %(reason)s",
        "The payload is stored. Correct it at the sender, or resend the message after an update of Nicobar.",
        reason=why,
    )


def repaired(body: bytes) -> bytes | None:
    """JSON that JavaScript reads and other languages do not, as JSON that all read: halves of surrogate pairs become
    U+FFFD, infinite numbers null. None for other JSON, which needs no repair, and for text that is not JSON.
    """
    if is_deeper(body):
        return None
    try:
        text = body.removeprefix(codecs.BOM_UTF8).decode()
        value: Json = json.loads(text, parse_int=_integer, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    repaired_body = json.dumps(
        _repaired_value(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")
    ).encode()
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return repaired_body
    return None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _no_constant(name: str) -> Json:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _repaired_value(value: Json) -> Json:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case float():
            return value if isfinite(value) else None
        case list():
            return [_repaired_value(item) for item in value]
        case dict():
            return {str(_repaired_value(name)): _repaired_value(item) for name, item in value.items()}
        case _:
            return value
