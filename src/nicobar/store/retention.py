"""What keeps a database small, and takes people's data out of it."""

from __future__ import annotations

from typing import Protocol

from nicobar.model import Record
from nicobar.store.catalogue import Audited


class Step(Record):
    """One small step through the messages: `after_seq` is where the next one begins, None where this was the last;
    `done` counts what was changed. Up to `settled_seq` there is nothing left to do but what is not finished, and what
    a clock that was ahead has given a time that has not come.
    """

    after_seq: int | None
    done: int
    settled_seq: int


class CleanUp(Record):
    """When retention was last through everything, and what it took last, counted in messages; `took_at_ms` is None
    where it has taken nothing yet.
    """

    ended_at_ms: int
    took_at_ms: int | None
    emptied: int
    forgotten: int


class ExpungeCount(Record):
    """What expunging would do: so many messages would lose their payload, so many deliveries would be canceled."""

    messages: int
    deliveries: int


class Retention(Protocol):
    """Each step is one short transaction over at most `limit` messages. A message with an unfinished delivery is
    left alone. A step that finds young messages only is the last, unless the look is a `whole` one, which ends with
    the newest message: a clock that was ahead has given some a time that does not say how old they are.
    """

    async def expunge_old(
        self, *, before_ms: int, now_ms: int, after_seq: int, limit: int, whole: bool = False
    ) -> Step:
        """Empties the bodies of messages accepted before `before_ms`, and takes out their attempts."""
        ...

    async def forget_old(
        self, *, before_ms: int, now_ms: int, after_seq: int, limit: int, whole: bool = False
    ) -> Step:
        """Takes messages accepted before `before_ms` out whole. Their event ids are known no longer. The newest of
        all may stay: what comes later stands behind it.
        """
        ...

    async def cancel_removed(self, *, now_ms: int, limit: int) -> int:
        """Cancels up to so many deliveries that wait for an endpoint that was removed; returns how many. What is
        being sent ends as it ends, unless its lease ends before.
        """
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

    async def expunge_message(self, message_id: str, *, now_ms: int, audit_line: Audited | None = None) -> bool:
        """Empties one message and its attempts; its unfinished deliveries are canceled. False if there is none."""
        ...

    async def count_expunge(self, app_id: str, customer_key: str | None = None) -> ExpungeCount:
        """What expunging all messages of an application would do, or those of one of its customers."""
        ...

    async def expunge_customer(
        self, app_id: str, customer_key: str, *, now_ms: int, limit: int, audit_line: Audited | None = None
    ) -> int:
        """The same for up to so many messages of one customer, whose key is taken out too, also of the filters of
        replays, which are canceled; returns how many, which is the log's detail too; fewer than the limit when no
        more are left.
        """
        ...
