"""Names of events as people mistake them for each other. Destinations compare names exactly."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SEPARATORS = re.compile(r"[\s_.\-]+")


def folded(name: str) -> str:
    """The name without case, white space, `_`, `-` and full stops."""
    return _SEPARATORS.sub("", name).casefold()


def near_misses(name: str, others: Iterable[str]) -> tuple[str, ...]:
    """Which of the others look like the name and are not it, in their order, each once."""
    wanted = folded(name)
    return tuple(dict.fromkeys(other for other in others if other != name and folded(other) == wanted))
