"""What an event's body says about the values that a handler makes of it: amounts in currencies that do not have two
decimals, which a handler must not divide by 100, and names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

import msgspec

from nicobar.currencies import decimals
from nicobar.model import Json

# The maximum depth to search for amounts in the event; payment platforms keep them near the top.
MAX_DEPTH = 6
_HUNDREDTHS = 2
_MAX_AMOUNT = 10**15
_DIGITS = re.compile(r"[0-9]{1,15}")
_CURRENCY = re.compile(rb'currency"\s*:\s*"([A-Z]{3})"')


class EventAmounts:
    """The amounts of one event. Its body is parsed at most once, and only if it names such a currency."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def has_name(self, name: str) -> bool:
        """Whether the event itself has a field of this name, so that its sender vouches for the value."""
        return f'"{name}"'.encode("utf-8", "surrogatepass") in self._body

    @cached_property
    def divided_by_100(self) -> Mapping[float, tuple[int, str]]:
        """Each amount divided by 100, with the amount and its currency."""
        if all(decimals(code.decode()) == _HUNDREDTHS for code in _CURRENCY.findall(self._body)):
            return {}
        try:
            return _wrong_amounts(msgspec.json.decode(self._body))
        except (msgspec.DecodeError, UnicodeDecodeError):  # a body that is not JSON has no amounts
            return {}


def _wrong_amounts(payload: Json, depth: int = 0) -> dict[float, tuple[int, str]]:
    found: dict[float, tuple[int, str]] = {}
    if depth == MAX_DEPTH:
        return found
    if isinstance(payload, list):
        for item in payload:
            found |= _wrong_amounts(item, depth + 1)
    if isinstance(payload, dict):
        for name, value in payload.items():
            currency = payload.get("settlement_currency" if name.startswith("settlement_") else "currency")
            if isinstance(value, dict | list):
                found |= _wrong_amounts(value, depth + 1)
            elif isinstance(currency, str) and decimals(currency) != _HUNDREDTHS and "amount" in name:
                minor_units = _minor_units(value)
                found |= {minor_units / 100: (minor_units, currency)} if minor_units else {}
    return found


def _minor_units(value: Json) -> int | None:
    """An integer amount, which some senders send as text."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_AMOUNT else None
