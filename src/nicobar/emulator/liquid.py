"""The part of Liquid that emails of the emulator may use: `{{event.NAME}}` and `{{customer.NAME}}`, with filters.
Other tags are kept. https://docs.customer.io/journeys/liquid-tag-list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape

import msgspec

from nicobar.model import Json

MAX_FORMAT_CHARS = 100
# Of one value, and of a whole text. The rest is cut off.
MAX_VALUE_CHARS = 2_000
MAX_RENDERED_CHARS = 50_000
Values = Mapping[str, Mapping[str, Json]]
_PLACE = re.compile(r"\{\{-? *(event|customer)\.([A-Za-z0-9_]+) *((?:\|[^{}]{0,200})?)-?\}\}")
_FILTER = re.compile(r"\| *(\w+) *(?:: *(?:\"([^\"]*)\"|'([^']*)'))? *")


def render(text: str, values: Values, *, html: bool = False) -> str:
    """A missing value becomes empty text. In HTML, values are escaped."""

    def value(found: re.Match[str]) -> str:
        shown = _filtered(values[found[1]].get(found[2]), found[3])[:MAX_VALUE_CHARS]
        return escape(shown) if html else shown

    return _PLACE.sub(value, text)[:MAX_RENDERED_CHARS]


def missing(text: str, values: Values) -> str:
    """The first variable without a value and without the filter `default`: Customer.io does not send the email."""
    return next(
        (
            f"{what}.{name}"
            for what, name, filters in _PLACE.findall(text)
            if values[what].get(name) is None and "default" not in dict(_calls(filters))
        ),
        "",
    )


def _filtered(value: Json, filters: str) -> str:
    shown = _text(value)
    for name, argument in _calls(filters):
        shown = _FILTERS[name](shown, argument) if name in _FILTERS else shown
    return shown


def _calls(filters: str) -> list[tuple[str, str]]:
    return [(name, double or single) for name, double, single in _FILTER.findall(filters)]


def _text(value: Json) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _date(value: str, form: str) -> str:
    """Unix seconds or an ISO 8601 time. Anything else is unchanged."""
    try:
        at = datetime.fromtimestamp(float(value), UTC) if _is_number(value) else datetime.fromisoformat(value)
        return at.strftime(form[:MAX_FORMAT_CHARS]) if form else value
    except (ValueError, OverflowError, OSError):
        return value


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


_FILTERS: Mapping[str, Callable[[str, str], str]] = {
    "capitalize": lambda value, _: value[:1].upper() + value[1:],
    "date": _date,
    "default": lambda value, argument: value or argument,
    "downcase": lambda value, _: value.lower(),
    "upcase": lambda value, _: value.upper(),
}
