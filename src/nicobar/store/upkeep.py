"""What keeps a database small, and takes people's data out of it."""

from __future__ import annotations

from typing import Protocol

from nicobar.model import Record
from nicobar.store.catalogue import Audited


class Step(Record):
    """One small step through the messages: `after_seq` is where the next one begins, None where this was the last;
    `done` counts what was changed.
    """

    after_seq: int | None
    done: int


class Upkeep(Protocol):
    """Each step is one short transaction over at most `limit` messages. A message with an unfinished delivery is
    left alone.
    """

    async def expunge_old(self, *, before_ms: int, after_seq: int, limit: int) -> Step:
        """Empties the bodies of messages accepted before that time, and takes out their attempts."""
        ...

    async def forget_old(self, *, before_ms: int, after_seq: int, limit: int) -> Step:
        """Takes messages accepted before that time out whole. Their event ids are known no longer."""
        ...

    async def forget_answers(self, *, before_ms: int, limit: int) -> int:
        """Takes out answers to idempotent requests that were given before that time."""
        ...

    async def forget_tallies(self, *, before_ms: int, limit: int) -> int:
        """Takes out up to so many counts of before that time; returns how many."""
        ...

    async def expunge_message(self, message_id: str, *, now_ms: int, said: Audited | None = None) -> bool:
        """Empties one message and its attempts; its unfinished deliveries are canceled. False if there is none."""
        ...

    async def expunge_customer(
        self, app_id: str, customer_key: str, *, now_ms: int, limit: int, said: Audited | None = None
    ) -> int:
        """The same for up to so many messages of one customer, whose key is taken out too; returns how many, which is
        the log's detail too; fewer than the limit when no more are left.
        """
        ...
