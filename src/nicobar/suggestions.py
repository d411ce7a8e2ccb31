"""Which of the known names was probably meant."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches

# Longer names are not compared whole: the time grows with the length.
MAX_COMPARED_CHARS = 100


def closest(name: str, names: Collection[str]) -> str | None:
    """The known name that is nearly the given one, if any."""
    plain = {_plain(item): item for item in sorted(names, reverse=True)}
    found = get_close_matches(_plain(name[:MAX_COMPARED_CHARS]), list(plain), n=1, cutoff=0.7)
    return plain[found[0]] if found else None


def suggestion(name: str, names: Collection[str], otherwise: str) -> str:
    """The fix for an unknown name: the closest one, or `otherwise` if none is close."""
    close = closest(name, names)
    return f"Did you mean {close}?" if close else otherwise


def _plain(name: str) -> str:
    """event_types, eventTypes and event-types[] are spellings of one name."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
