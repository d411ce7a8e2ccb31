"""The share of new deliveries in the claims of an endpoint."""

from __future__ import annotations

NEW_PERCENT = 20


class NewShares:
    """How many places of each claim go to new deliveries: NEW_PERCENT over many claims, however few places each has.
    The oldest of them and the newest get half of it each, so that a new event leaves at once even where more new ones
    arrive than leave.
    """

    def __init__(self) -> None:
        # In hundredths of a place; the two take turns.
        self._oldest, self._newest = 0, 50

    def of(self, places: int) -> tuple[int, int]:
        oldest, self._oldest = divmod(self._oldest + places * NEW_PERCENT // 2, 100)
        newest, self._newest = divmod(self._newest + places * NEW_PERCENT // 2, 100)
        return oldest, newest
