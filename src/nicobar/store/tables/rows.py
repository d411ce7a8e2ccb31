"""Rows into records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nicobar.conversion import converter
from nicobar.facts import StatedFact
from nicobar.model import (
    Attempt,
    Delivery,
    DeliveryState,
    Details,
    Endpoint,
    Json,
    Message,
    Mode,
    Record,
    Setbacks,
    Setting,
    Transformation,
)
from nicobar.store.session import Row
from nicobar.store.stored_reasons import EXPUNGED, read_reason

_TEXTS = msgspec.json.Decoder(tuple[str, ...])
_TEXT_MAP = msgspec.json.Decoder(dict[str, str])
_DELAYS = msgspec.json.Decoder(tuple[int, ...])
_SETTINGS = msgspec.json.Decoder(dict[str, str | int | bool])
# Ends the name of a setting whose value is a map, which is stored as JSON text: a process of the previous version
# reads the settings of all endpoints as texts, numbers and switches.
_MAP_MARK = "{}"


class Content(Record):
    """The column `content` of applications, sources and endpoints: what no query asks for."""

    name: str = ""
    channels: tuple[str, ...] = ()
    details: Details = Details()
    paused_by_hand: bool = False


CONTENT = msgspec.json.Decoder(Content)


def settings_to_store(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """An endpoint's settings as they are stored."""
    return {
        f"{name}{_MAP_MARK}" if isinstance(value, dict) else name: msgspec.json.encode(value).decode()
        if isinstance(value, dict)
        else value
        for name, value in settings.items()
    }


def stored_settings(settings: Mapping[str, str | int | bool]) -> dict[str, Setting]:
    """An endpoint's settings from how they are stored."""
    return {
        name.removesuffix(_MAP_MARK): _TEXT_MAP.decode(value)
        if name.endswith(_MAP_MARK) and isinstance(value, str)
        else value
        for name, value in settings.items()
    }


def texts(value: str) -> tuple[str, ...]:
    return () if value == "[]" else _TEXTS.decode(value)


def message(row: Row) -> Message:
    """From the columns of the fragment `message`, with which every query of messages begins."""
    return Message(
        seq=row[0],
        id=row[1],
        app_id=row[2],
        source_id=row[3],
        event_id=row[4],
        event_type=row[5],
        customer_key=row[6],
        occurred_at_ms=row[7],
        accepted_at_ms=row[8],
        body=row[9],
        channels=texts(row[10]),
        tags=texts(row[11]),
        params=None if row[12] is None else msgspec.json.decode(row[12]),
        deliver_at_ms=row[13],
        expunged_at_ms=row[14],
        customer_email=row[15],
        customer_name=row[16],
    )


MESSAGE_COLUMNS = 17


def expunged(attempt: Attempt) -> Attempt:
    """The rest of an attempt whose message was deleted."""
    return msgspec.structs.replace(
        attempt, reason=EXPUNGED, requests=(), response="", response_headers={}, console=(), verdicts=(), snapshot=""
    )


_to_delivery = converter(Delivery)


def delivery(row: Sequence[object]) -> Delivery:
    """From the columns of `deliveries_of_messages.sql`."""
    values = dict(zip(_DELIVERY_FIELDS, row, strict=True))
    text = values.pop("reason")
    warned = bool(values["warned"]) and values["state"] == DeliveryState.SUCCESS
    found = _to_delivery(values | {"reason": None, "warned": warned})
    return found if text is None else msgspec.structs.replace(found, reason=read_reason(str(text)))


_DELIVERY_FIELDS = (
    "message_id",
    "endpoint_id",
    "state",
    "attempts_used",
    "due_at_ms",
    "reason",
    "ended_at_ms",
    "behind",
    "behind_until_ms",
    "edition",
    "replay_key",
    "overtaken_at_ms",
    "warned",
)


_to_setbacks = converter(Setbacks)


def setbacks(row: Sequence[object]) -> Setbacks:
    """From the columns of the fragment `setbacks`, with which every claim ends."""
    return _to_setbacks(dict(zip(Setbacks.__struct_fields__, row, strict=True)))


def endpoint(row: Row) -> Endpoint:
    """From the columns of the fragment `endpoint`."""
    content = CONTENT.decode(row[17])
    return Endpoint(
        seq=row[0],
        id=row[1],
        app_id=row[2],
        name=row[3],
        connector=row[4],
        settings=stored_settings(_SETTINGS.decode(row[5])),
        sealed_credentials=row[6],
        credential_references=_TEXT_MAP.decode(row[7]),
        event_types=texts(row[8]),
        variables=_TEXT_MAP.decode(row[9]),
        disabled=bool(row[10]),
        paused_reason=read_reason(row[11]),
        transformation=None if row[12] is None else Transformation(version=row[12], code=row[13]),
        uid=row[14],
        disabled_reason=read_reason(row[15]),
        max_messages_per_s=row[16],
        channels=content.channels,
        details=content.details,
        paused_by_hand=content.paused_by_hand,
        sealed_headers=row[18],
        transformation_enabled=bool(row[19]),
        retry_after_ms=None if row[20] is None else _DELAYS.decode(row[20]),
        sealed_variables=row[21],
        variable_references=_TEXT_MAP.decode(row[22]),
        public_headers=texts(row[23]),
        mode=None if row[24] is None else Mode(row[24]),
        business_ids=texts(row[25]),
        brand_ids=texts(row[26]),
    )


def params_text(value: Json) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def stored_fact(row: Row) -> StatedFact:
    key, customer_key, parent_key, occurred_at_ms, content, email = row
    return StatedFact(
        key=key,
        customer_key=customer_key,
        parent_key=parent_key,
        occurred_at_ms=occurred_at_ms,
        content=content,
        email=email,
    )
