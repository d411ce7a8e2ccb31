"""Errors: attributes that are too many, too long or too large, of people, objects and relationships."""

from __future__ import annotations

from collections.abc import Iterator

from nicobar.connectors.customerio import rules, track_api
from nicobar.connectors.payload import encoded
from nicobar.model import Json, Verdict

_MAX_SHOWN_CHARS = 100
# Most texts are so short that their bytes need no counting: a character has at most four.
_SHORT_NAME_CHARS = track_api.MAX_ATTRIBUTE_NAME_BYTES // 4
_SHORT_VALUE_CHARS = track_api.MAX_ATTRIBUTE_VALUE_BYTES // 4


def check_kept_attributes(path: str, attributes: dict[str, Json]) -> Iterator[Verdict]:
    """The limits for attributes, which are the same for people and objects."""
    if len(attributes) > track_api.MAX_ATTRIBUTES:
        yield rules.ATTRIBUTE_COUNT.at(
            path,
            "The call sets %(attributes)s attributes. Customer.io allows %(max_attributes)s.",
            "Send fewer attributes.",
            attributes=len(attributes),
            max_attributes=track_api.MAX_ATTRIBUTES,
        )
    for name, value in attributes.items():
        if isinstance(value, str) and len(name) <= _SHORT_NAME_CHARS and len(value) <= _SHORT_VALUE_CHARS:
            continue
        own = f"{path}.{name[:_MAX_SHOWN_CHARS]}"
        if _bytes(name) > track_api.MAX_ATTRIBUTE_NAME_BYTES:
            yield rules.ATTRIBUTE_NAME.at(
                own,
                "The name has %(name_bytes)s bytes. Customer.io allows %(max_name_bytes)s.",
                "Shorten the name.",
                name_bytes=_bytes(name),
                max_name_bytes=track_api.MAX_ATTRIBUTE_NAME_BYTES,
            )
        value_bytes = _value_bytes(value)
        if value_bytes > track_api.MAX_ATTRIBUTE_VALUE_BYTES:
            yield rules.ATTRIBUTE_VALUE.at(
                own,
                'The value of "%(name)s" has %(value_bytes)s bytes. Customer.io allows %(max_value_bytes)s.',
                "Shorten the value, or send it with an event, which allows longer values.",
                name=name[:_MAX_SHOWN_CHARS],
                value_bytes=value_bytes,
                max_value_bytes=track_api.MAX_ATTRIBUTE_VALUE_BYTES,
            )


def _value_bytes(value: Json) -> int:
    if isinstance(value, str):
        return _bytes(value)
    # A number or a boolean is always short enough.
    return len(encoded(value) or b"") if isinstance(value, list | dict) else 0


def check_relationship_attributes(path: str, attributes: dict[str, Json]) -> Iterator[Verdict]:
    """The limits of an object's attributes hold for each relationship too."""
    yield from check_kept_attributes(path, attributes)
    size_bytes = len(encoded(attributes) or b"") if attributes else 0
    if size_bytes > track_api.MAX_RELATIONSHIP_BYTES:
        yield rules.RELATIONSHIP_SIZE.at(
            path,
            "The attributes of the relationship have %(size_bytes)s bytes. Customer.io allows %(max_size_bytes)s.",
            "Send less data.",
            size_bytes=size_bytes,
            max_size_bytes=track_api.MAX_RELATIONSHIP_BYTES,
        )


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
