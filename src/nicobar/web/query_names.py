"""The names in a request's query: which were given, and which one was probably meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from difflib import get_close_matches
from urllib.parse import parse_qs, parse_qsl

MAX_SHOWN_CHARS = 100


def given_names(query_string: bytes) -> Counter[str]:
    """How often each name was given, those without a value included."""
    return Counter(name for name, _ in parse_qsl(query_string.decode("utf-8", "replace"), keep_blank_values=True))


def given_values(query_string: bytes) -> dict[str, list[str]]:
    return parse_qs(query_string.decode("utf-8", "replace"), keep_blank_values=True)


def shortened(name: str) -> str:
    return name if len(name) <= MAX_SHOWN_CHARS else f"{name[:MAX_SHOWN_CHARS]}…"


def closest(name: str, names: Collection[str]) -> str | None:
    """The known name that is nearly the given one, if any."""
    plain = {_plain(item): item for item in sorted(names, reverse=True)}
    found = get_close_matches(_plain(name[:MAX_SHOWN_CHARS]), list(plain), n=1, cutoff=0.7)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    """event_types, eventTypes and event-types[] are spellings of one name."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
