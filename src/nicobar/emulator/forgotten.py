"""The number of dropped items: the oldest beyond a limit."""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Forgotten(Counter[str]):
    """Counts by kind, such as "people"."""

    def trim(self, items: dict[K, V], most: int, what: str) -> None:
        """Drops the oldest items beyond the limit."""
        while len(items) > most:
            del items[next(iter(items))]
            self[what] += 1
