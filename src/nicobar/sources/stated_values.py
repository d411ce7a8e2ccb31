"""Values of a body in the normal form. A value of another type is unknown: its field is missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from math import isfinite

from nicobar.currencies import decimals
from nicobar.model import Json
from nicobar.sources.envelope import unix_ms

# What JavaScript holds exactly.
MAX_INTEGER = 2**53 - 1
_CURRENCY_LETTERS = 3
_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,20}\.\d{1,20}", re.ASCII)

# Name in the normal form, name in the body, and what reads it: None for a value of another type.
Reading = tuple[str, str, Callable[[Json], Json]]


def read(data: Mapping[str, Json], readings: Iterable[Reading]) -> dict[str, Json]:
    """What is stated. Null is stated, and kept."""
    fields: dict[str, Json] = {}
    for name, of, reader in readings:
        given = data.get(of)
        if given is not None:
            value = reader(given)
            if value is not None:
                fields[name] = value
        elif of in data:
            fields[name] = None
    return fields


def text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def flag(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


def integer(value: Json) -> int | None:
    """An integer; senders that count in floats write 3154.0."""
    if type(value) is int and -MAX_INTEGER <= value <= MAX_INTEGER:
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
        return value if abs(value) <= MAX_INTEGER else None
    return None


def number(value: Json) -> int | float | None:
    """A number, also one that is written as text."""
    if isinstance(value, str) and (_INTEGER.fullmatch(value) or _DECIMAL.fullmatch(value)):
        value = float(value)
    whole = integer(value)
    return value if whole is None and isinstance(value, float) and isfinite(value) else whole


def minor_units(value: Json, currency: Json) -> int | None:
    """An amount that some bodies have as text. A text without a decimal point is in minor units, as a number is; one
    with a decimal point is in units of the currency: without a currency, or with more decimals than it has, it is
    unknown.
    """
    if not isinstance(value, str):
        return integer(value)
    if _INTEGER.fullmatch(value):
        return integer(int(value))
    code = currency_code(currency)
    if code is None or not _DECIMAL.fullmatch(value):
        return None
    minor = Decimal(value).scaleb(decimals(code))
    return integer(int(minor)) if minor == minor.to_integral_value() else None


def currency_code(value: Json) -> str | None:
    is_code = isinstance(value, str) and len(value) == _CURRENCY_LETTERS and value.isascii() and value.isalpha()
    return str(value).upper() if is_code else None


def moment(value: Json) -> int | None:
    return unix_ms(value)


def texts(value: Json) -> list[Json] | None:
    """The texts of a list."""
    return [item for item in value if text(item)] if isinstance(value, list) else None
