"""The text form of a ULID: 16 bytes (Unix milliseconds in 6, then 10 random bytes) as 26 digits of Crockford's
base 32. The form is that of https://github.com/ulid/spec.
"""

from __future__ import annotations

ULID_BYTES = 16
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]


def ulid_text(raw: bytes) -> str:
    """The 26 digits of 16 bytes. Raises ValueError for another length."""
    if len(raw) != ULID_BYTES:
        raise ValueError(f"A ULID has {ULID_BYTES} bytes, not {len(raw)}.")
    number = int.from_bytes(raw, "big")
    return "".join(_PAIRS[(number >> shift) % len(_PAIRS)] for shift in range(120, -10, -10))
