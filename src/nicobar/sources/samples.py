"""Sample events made from an event type's example: as if they happened now, for any customer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

import msgspec

from nicobar.model import Customer, EventType, Json
from nicobar.sources import envelope

# Ends the customer id of a guest.
_GUEST = "guest"


def fresh(
    event_type: EventType,
    now_ms: int,
    customer: Customer | None = None,
    *,
    event_id: str = "",
    occurrence: re.Pattern[str] | None = None,
    belonging: re.Pattern[str] | None = None,
) -> bytes:
    """The example as a body. All times are shifted so that its `timestamp` is now; the customer is replaced if the
    example has one and one is given. With an `event_id`, the texts that match `occurrence` (its first group is a
    prefix) become unique: a sample sent twice counts as two payments, and no destination drops it as a duplicate.
    With a customer, the texts that match `belonging` become that customer's: two customers have two subscriptions.
    """
    example = event_type.example
    if not isinstance(example, dict):
        example = {"type": event_type.name, "data": {}}
    happened_ms = envelope.unix_ms(example.get("timestamp"))
    moved = example if happened_ms is None else _move(example, timedelta(milliseconds=now_ms - happened_ms))
    body: dict[str, Json] = dict(moved) if isinstance(moved, dict) else {}
    body["timestamp"] = envelope.utc_text(now_ms)
    if event_id and occurrence is not None:
        body["data"] = _with_own_ids(body.get("data"), event_id, occurrence)
    if customer is not None and belonging is not None:
        body["data"] = _with_own_ids(body.get("data"), customer.key, belonging)
    data = body.get("data")
    if customer is not None and isinstance(data, dict):
        body["data"] = _with_customer(data, customer)
    # As on the wire: keys are sorted at every level.
    return msgspec.json.encode(body, order="sorted")


def _with_own_ids(value: Json, owner: str, pattern: re.Pattern[str]) -> Json:
    match value:
        case dict():
            return {key: _with_own_ids(item, owner, pattern) for key, item in value.items()}
        case list():
            return [_with_own_ids(item, owner, pattern) for item in value]
        case str() if (found := pattern.fullmatch(value)) is not None:
            digest = hashlib.sha256(f"{owner}/{value}".encode("utf-8", "surrogatepass")).hexdigest()
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


def with_nulls(body: bytes, nullable: Collection[str]) -> bytes:
    """A body with null in these fields, which are paths below `data`. Fields that it does not have are not added."""
    return _changed(body, lambda data: _nulled(data, "", nullable))


def _nulled(value: Json, path: str, nullable: Collection[str]) -> Json:
    if not isinstance(value, dict):
        return value
    return {
        name: None if (own := f"{path}{name}") in nullable else _nulled(item, f"{own}.", nullable)
        for name, item in value.items()
    }


def as_guest(body: bytes) -> bytes:
    """A body about a customer whom the shop does not know: the checkout passed no metadata and no name, and the
    sender has made a customer of its own.
    """

    def change(data: dict[str, Json]) -> dict[str, Json]:
        changed = {**data, **_without_account(data)}
        about = data.get("customer")
        if isinstance(about, dict):
            changed["customer"] = {**about, **_without_account(about), **_emptied(about)}
        return changed

    return _changed(body, change)


def _without_account(data: dict[str, Json]) -> dict[str, Json]:
    changed: dict[str, Json] = {"metadata": {}} if data.get("metadata") else {}
    key = data.get("customer_id")
    if isinstance(key, str) and len(key) > len(_GUEST):
        changed["customer_id"] = key[: -len(_GUEST)] + _GUEST
    return changed


def _emptied(about: dict[str, Json]) -> dict[str, Json]:
    empty: dict[str, Json] = {"name": "", "phone_number": None}
    return {name: value for name, value in empty.items() if name in about}


def _changed(body: bytes, change: Callable[[dict[str, Json]], Json]) -> bytes:
    event: Json = msgspec.json.decode(body)
    data = event.get("data") if isinstance(event, dict) else None
    if not isinstance(event, dict) or not isinstance(data, dict):
        return body
    return msgspec.json.encode({**event, "data": change(data)}, order="sorted")
