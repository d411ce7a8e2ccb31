"""Sample events made from an event type's example: as if they happened now, for any customer."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta

import msgspec

from nicobar.model import Customer, EventType, Json
from nicobar.sources import envelope


def fresh(
    event_type: EventType,
    now_ms: int,
    customer: Customer | None = None,
    *,
    event_id: str = "",
    occurrence: re.Pattern[str] | None = None,
) -> bytes:
    """The example as a body. All times are shifted so that its `timestamp` is now; the customer is replaced if the
    example has one and one is given. With an `event_id`, the texts that match `occurrence` (its first group is a
    prefix) become unique: a sample sent twice counts as two payments, and no destination drops it as a duplicate.
    """
    example = event_type.example
    if not isinstance(example, dict):
        example = {"type": event_type.name, "data": {}}
    happened_ms = envelope.unix_ms(example.get("timestamp"))
    moved = example if happened_ms is None else _move(example, timedelta(milliseconds=now_ms - happened_ms))
    body: dict[str, Json] = dict(moved) if isinstance(moved, dict) else {}
    body["timestamp"] = envelope.utc_text(now_ms)
    if event_id and occurrence is not None:
        body["data"] = _with_occurrence(body.get("data"), event_id, occurrence)
    data = body.get("data")
    if customer is not None and isinstance(data, dict):
        body["data"] = _with_customer(data, customer)
    # As on the wire: keys are sorted at every level.
    return msgspec.json.encode(body, order="sorted")


def _with_occurrence(value: Json, event_id: str, occurrence: re.Pattern[str]) -> Json:
    match value:
        case dict():
            return {key: _with_occurrence(item, event_id, occurrence) for key, item in value.items()}
        case list():
            return [_with_occurrence(item, event_id, occurrence) for item in value]
        case str() if (found := occurrence.fullmatch(value)) is not None:
            digest = hashlib.sha256(f"{event_id}/{value}".encode("utf-8", "surrogatepass")).hexdigest()
            return f"{found[1]}_{digest[: len(value) - len(found[1]) - 1]}"
        case _:
            return value


def _with_customer(data: dict[str, Json], customer: Customer) -> dict[str, Json]:
    changed = dict(data)
    about = data.get("customer")
    if isinstance(about, dict):
        changed["customer"] = {
            **about,
            "customer_id": customer.key,
            "email": customer.email,
            "name": customer.name,
        }
    if "customer_id" in data:
        changed["customer_id"] = customer.key
    return changed


def _move(value: Json, by: timedelta) -> Json:
    match value:
        case dict():
            return {key: _move(item, by) for key, item in value.items()}
        case list():
            return [_move(item, by) for item in value]
        case str() if "T" in value and (at_ms := envelope.unix_ms(value)) is not None:
            return _text(datetime.fromtimestamp(at_ms / 1000, UTC) + by)
        case _:
            return value


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
