"""How much was let go, for being the oldest beyond its bound."""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Forgotten(Counter[str]):
    """Counts by what it was, such as "people"."""

    def trim(self, held: dict[K, V], most: int, what: str) -> None:
        """Lets the oldest beyond the bound go."""
        while len(held) > most:
            del held[next(iter(held))]
            self[what] += 1
