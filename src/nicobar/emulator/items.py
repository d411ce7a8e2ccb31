"""What the fields of an accepted v2 object say."""

from __future__ import annotations

import msgspec

from nicobar.model import Json


def kept(value: Json) -> str:
    """An attribute's stored text; empty for values that remove it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def event_id(item: dict[str, Json]) -> str | None:
    given = item.get("id")
    return given if isinstance(given, str) else None


def first(identifiers: Json) -> tuple[str, str]:
    """The kind and the value of the only identifier."""
    if not isinstance(identifiers, dict):
        return "", ""
    kind, value = next(iter(identifiers.items()), ("", ""))
    return kind, kept(value)


def object_name(identifiers: Json) -> str:
    fields = identifiers if isinstance(identifiers, dict) else {}
    return str(fields.get("cio_object_id") or f"{fields.get('object_type_id')}/{fields.get('object_id')}")


def data(item: dict[str, Json]) -> dict[str, Json]:
    attributes = item.get("attributes")
    return dict(attributes) if isinstance(attributes, dict) else {}
