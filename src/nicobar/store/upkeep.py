"""What keeps a database small, and takes people's data out of it."""

from __future__ import annotations

from typing import Protocol

from nicobar.model import Record


class Step(Record):
    """One small step through the messages: `after_seq` is where the next one begins, None where this was the last;
    `done` counts what was changed.
    """

    after_seq: int | None
    done: int


class CleanUp(Record):
    """When retention was last through everything, and what it took last, counted in messages; `took_at_ms` is None
    where it has taken nothing yet.
    """

    ended_at_ms: int
    took_at_ms: int | None
    emptied: int
    forgotten: int


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

    async def keep_clean_up(self, *, ended_at_ms: int, emptied: int, forgotten: int) -> None:
        """Keeps that retention was through everything, and what it took, if it took anything."""
        ...

    async def last_clean_up(self) -> CleanUp | None:
        """None before the first one."""
        ...

    async def size_bytes(self) -> int:
        """How much room the database takes."""
        ...

    async def expunge_message(self, message_id: str, *, now_ms: int) -> bool:
        """Empties one message and its attempts; its unfinished deliveries are canceled. False if there is none."""
        ...

    async def expunge_customer(self, app_id: str, customer_key: str, *, now_ms: int, limit: int) -> int:
        """The same for up to so many messages of one customer, whose key is taken out too; returns how many, fewer
        than the limit when no more are left.
        """
        ...
