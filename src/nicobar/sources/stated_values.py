"""Values of a body in the normal form. A value of another type is unknown: its field is missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from nicobar.currencies import decimals
from nicobar.model import Json
from nicobar.sources.envelope import unix_ms

# What JavaScript holds exactly.
MAX_INTEGER = 2**53 - 1
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,20}\.\d{1,20}", re.ASCII)

# Name in the normal form, name in the body, and what reads it: None for a value of another type.
Reading = tuple[str, str, Callable[[Json], Json]]


def read(data: Mapping[str, Json], readings: Iterable[Reading]) -> dict[str, Json]:
    """What is stated. Null is stated, and kept."""
    fields: dict[str, Json] = {}
    for name, of, reader in readings:
        if of not in data:
            continue
        given = data[of]
        value = None if given is None else reader(given)
        if value is not None or given is None:
            fields[name] = value
    return fields


def text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def flag(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


def integer(value: Json) -> int | None:
    """An integer; senders that count in floats write 3154.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_INTEGER:
        return None
    return value


def number(value: Json) -> int | float | None:
    """A number, also one that is written as text."""
    if isinstance(value, str) and (_INTEGER.fullmatch(value) or _DECIMAL.fullmatch(value)):
        value = float(value)
    whole = integer(value)
    return value if whole is None and isinstance(value, float) else whole


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
    return value.upper() if isinstance(value, str) and _CURRENCY.fullmatch(value) else None


def moment(value: Json) -> int | None:
    return unix_ms(value)


def texts(value: Json) -> list[Json] | None:
    """The texts of a list."""
    return [item for item in value if text(item)] if isinstance(value, list) else None
