"""The text form of a ULID: 16 bytes (Unix milliseconds in 6, then 10 random bytes) as 26 digits of Crockford's
base 32. The form is that of https://github.com/ulid/spec.
"""

from __future__ import annotations

import re
from functools import lru_cache

ULID_BYTES = 16
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TEXT = re.compile(f"[0-7][{_DIGITS}]{{25}}", re.IGNORECASE)
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]


def is_ulid(text: str) -> bool:
    """Whether the text has the form of a ULID, in letters of any case."""
    return _TEXT.fullmatch(text) is not None


def ulid_text(raw: bytes) -> str:
    """The 26 digits of 16 bytes. Raises ValueError for another length."""
    if len(raw) != ULID_BYTES:
        raise ValueError(f"A ULID has {ULID_BYTES} bytes, not {len(raw)}.")
    return _time_text(raw[:6]) + _eight(raw[6:11]) + _eight(raw[11:])


@lru_cache(maxsize=16)  # that of events is always the same
def _time_text(raw: bytes) -> str:
    return "".join(_PAIRS[(int.from_bytes(raw, "big") >> shift) % len(_PAIRS)] for shift in range(40, -10, -10))


def _eight(raw: bytes) -> str:
    """The digits of 5 bytes."""
    number = int.from_bytes(raw, "big")
    return _PAIRS[number >> 30] + _PAIRS[number >> 20 & 1023] + _PAIRS[number >> 10 & 1023] + _PAIRS[number & 1023]
