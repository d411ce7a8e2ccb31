"""The names in a request's query."""

from __future__ import annotations

from collections import Counter
from urllib.parse import parse_qs, parse_qsl

MAX_SHOWN_CHARS = 100


def given_names(query_string: bytes) -> Counter[str]:
    """How often each name was given, those without a value included."""
    return Counter(name for name, _ in parse_qsl(query_string.decode("utf-8", "replace"), keep_blank_values=True))


def given_values(query_string: bytes) -> dict[str, list[str]]:
    return parse_qs(query_string.decode("utf-8", "replace"), keep_blank_values=True)


def shortened(name: str) -> str:
    return name if len(name) <= MAX_SHOWN_CHARS else f"{name[:MAX_SHOWN_CHARS]}…"
