"""Retention, and deletion of people's data."""

from __future__ import annotations

from typing import Protocol

from nicobar.model import Record
from nicobar.store.catalogue import Audited


class Step(Record):
    """One small step through the messages: the next step begins after `after_seq`, None if this was the last; `done`
    counts the changed messages. Up to `settled_seq` only messages are left that are unfinished, or dated in the
    future by a clock that was ahead.
    """

    after_seq: int | None
    done: int
    settled_seq: int


class CleanUp(Record):
    """When retention last finished, and how many messages it last emptied and deleted; `took_at_ms` is None if it has
    not deleted anything yet.
    """

    ended_at_ms: int
    took_at_ms: int | None
    emptied: int
    forgotten: int


class ExpungeCount(Record):
    """How many messages would lose their payload, and how many deliveries would be canceled."""

    messages: int
    deliveries: int


class Retention(Protocol):
    """Each step is one short transaction over at most `limit` messages. Messages with unfinished deliveries are
    skipped. The walk ends at the first step with only young messages, or, if `full`, at the newest message: messages
    accepted while a clock was ahead have dates that do not tell their age.
    """

    async def expunge_old(
        self, *, before_ms: int, now_ms: int, after_seq: int, limit: int, full: bool = False
    ) -> Step:
        """Empties the bodies of messages accepted before `before_ms`, and deletes their attempts."""
        ...

    async def forget_old(
        self, *, before_ms: int, now_ms: int, after_seq: int, limit: int, full: bool = False
    ) -> Step:
        """Deletes messages accepted before `before_ms`. Their event ids are no longer recognized. The newest message
        may be kept, so that its number is not given again.
        """
        ...

    async def cancel_removed(self, *, now_ms: int, limit: int) -> int:
        """Cancels up to `limit` waiting deliveries of a removed endpoint; returns how many. Deliveries that are being
        sent are kept until their lease expires.
        """
        ...

    async def forget_answers(self, *, before_ms: int, limit: int) -> int:
        """Deletes answers to idempotent requests older than `before_ms`."""
        ...

    async def forget_tallies(self, *, before_ms: int, limit: int) -> int:
        """Deletes up to `limit` counts older than `before_ms`; returns how many."""
        ...

    async def forget_sent_keys(self, *, before_ms: int, limit: int) -> int:
        """Deletes up to `limit` ids made of natural keys that were sent before `before_ms`; returns how many."""
        ...

    async def keep_clean_up(self, *, ended_at_ms: int, emptied: int, forgotten: int) -> None:
        """Records that retention finished, and what it deleted, if anything."""
        ...

    async def last_clean_up(self) -> CleanUp | None:
        """None before the first one."""
        ...

    async def size_bytes(self) -> int:
        """The size of the database."""
        ...

    async def expunge_message(self, message_id: str, *, now_ms: int, audit_line: Audited | None = None) -> bool:
        """Empties a message and its attempts, and cancels its unfinished deliveries. False if there is no message."""
        ...

    async def count_expunge(self, app_id: str, customer_key: str | None = None) -> ExpungeCount:
        """What expunging all messages of an application, or of one of its customers, would change."""
        ...

    async def expunge_customer(
        self, app_id: str, customer_key: str, *, now_ms: int, limit: int, audit_line: Audited | None = None
    ) -> int:
        """Expunges up to `limit` messages of one customer, and deletes the customer's key, also from the filters of
        replays, which are canceled. Returns how many, which is also the audit line's detail; fewer than `limit` when
        none are left.
        """
        ...
