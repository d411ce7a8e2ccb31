"""Encodes a call's payload."""

from __future__ import annotations

import msgspec

from nicobar.model import Json


def encoded(payload: Json) -> bytes | None:
    """The payload as JSON; None if JSON cannot represent it: half of a surrogate pair, endless nesting, an integer of
    thousands of digits.
    """
    try:
        return msgspec.json.encode(payload)
    except (ValueError, RecursionError, TypeError):  # UnicodeEncodeError and msgspec's own errors are ValueErrors
        return None
