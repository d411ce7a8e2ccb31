"""Functions that SQLite itself does not have."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=1)
def _patterns(pattern: str) -> tuple[re.Pattern[str], re.Pattern[bytes]]:
    return re.compile(pattern), re.compile(pattern.encode("utf-8", "surrogatepass"))


def matches_any(pattern: str, *columns: str | bytes | float | None) -> bool:
    """SQL's `matches_any`: whether the text or the bytes of a column match."""
    for_text, for_bytes = _patterns(pattern)
    return any(
        (isinstance(column, str) and for_text.search(column) is not None)
        or (isinstance(column, bytes) and for_bytes.search(column) is not None)
        for column in columns
    )


def regexp_replace(text: str | None, pattern: str, replacement: str, _flags: str) -> str | None:
    """As PostgreSQL has it, with the flag `g`."""
    return None if text is None else _patterns(pattern)[0].sub(lambda _: replacement, text)


def forget_pattern() -> None:
    """The last pattern has personal data."""
    _patterns.cache_clear()
