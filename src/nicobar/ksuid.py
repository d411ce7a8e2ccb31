"""The text form of a KSUID: 20 bytes (seconds since `EPOCH_S`, then 16 random bytes) as 27 base-62 digits that sort
as the bytes do. The form is that of https://github.com/segmentio/ksuid.
"""

from __future__ import annotations

# Unix seconds at which a KSUID's time begins.
EPOCH_S = 1_400_000_000
KSUID_BYTES = 20
KSUID_CHARS = 27
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
# Two digits at a time: half the divisions of a number that is longer than a machine word.
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]


def ksuid_text(raw: bytes) -> str:
    """The 27 digits of 20 bytes. Raises ValueError for another length."""
    if len(raw) != KSUID_BYTES:
        raise ValueError(f"A KSUID has {KSUID_BYTES} bytes, not {len(raw)}.")
    number = int.from_bytes(raw, "big")
    pairs = []
    for _ in range(KSUID_CHARS // 2):
        number, pair = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[pair])
    pairs.append(_DIGITS[number])
    return "".join(reversed(pairs))


def ksuid_bytes(text: str) -> bytes:
    """The 20 bytes of 27 digits. Raises ValueError for anything else."""
    if len(text) != KSUID_CHARS or not _VALUES.keys() >= set(text):
        raise ValueError(f"{text[:64]!r} is not a KSUID.")
    number = 0
    for digit in text:
        number = number * len(_DIGITS) + _VALUES[digit]
    if number >> (8 * KSUID_BYTES):
        raise ValueError(f"{text!r} is not a KSUID: it is larger than {KSUID_BYTES} bytes.")
    return number.to_bytes(KSUID_BYTES, "big")
