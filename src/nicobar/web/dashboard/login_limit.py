"""How often somebody may get a password wrong."""

from __future__ import annotations

from collections import OrderedDict

from nicobar.errors import Refusal

MAX_WRONG = 5
PERIOD_MS = 60_000
MAX_ADDRESSES = 10_000


class LoginLimit:
    """Counts wrong passwords by address: MAX_WRONG in PERIOD_MS, whoever's they are. One who is over it is not asked
    for a password at all. It is told the time; a restart forgets.
    """

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, list[tuple[int, str]]] = OrderedDict()

    def check(self, address: str, now_ms: int) -> None:
        """Raises Refusal 429."""
        recent = self._recent(address, now_ms)
        if len(recent) >= MAX_WRONG:
            wait_s = max(1, (recent[0][0] + PERIOD_MS - now_ms + 999) // 1000)
            raise Refusal(
                429,
                "too_many_logins",
                "There were %(max_wrong)s wrong passwords from here within a minute.",
                "Try again in %(wait_s)s s.",
                retry_after_s=wait_s,
                max_wrong=MAX_WRONG,
                wait_s=wait_s,
            )

    def wrong(self, address: str, name: str, now_ms: int) -> None:
        self._wrong[address] = [*self._recent(address, now_ms), (now_ms, name)]
        self._wrong.move_to_end(address)
        if len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)

    def right(self, address: str, name: str) -> None:
        """Forgets the wrong ones of that name, and no others: whoever has a user of their own could go on trying."""
        self._wrong[address] = [item for item in self._wrong.get(address, ()) if item[1] != name]

    def _recent(self, address: str, now_ms: int) -> list[tuple[int, str]]:
        return [item for item in self._wrong.get(address, ()) if now_ms - item[0] < PERIOD_MS]
