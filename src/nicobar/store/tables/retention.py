"""Retention and the deletion of people's data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from nicobar.store.catalogue import Audited
from nicobar.store.retention import CleanUp, ExpungeCount, Step
from nicobar.store.session import Row, Session, Values
from nicobar.store.stored_reasons import ENDPOINT_REMOVED, EXPUNGED, read_attempt, reason_column
from nicobar.store.tables.base import Tables, complete_seq, existing, write_audit_line
from nicobar.store.tables.erased import keep_erased
from nicobar.store.tables.queue import free_next
from nicobar.store.tables.rows import expunged


class _Span(NamedTuple):
    """The messages that one step reads, up to `until_seq`; those accepted before `before_ms` are old. A `full` walk
    continues behind young ones.
    """

    before_ms: int
    now_ms: int
    after_seq: int
    limit: int
    full: bool
    until_seq: int = 0


class RetentionTables(Tables):
    """`Retention` over a database."""

    async def expunge_old(
        self, *, before_ms: int, now_ms: int, after_seq: int, limit: int, full: bool = False
    ) -> Step:
        def empty(session: Session, seqs: Sequence[int]) -> int:
            session.run("expunge_messages", {"seqs": seqs, "now_ms": now_ms})
            session.run("forget_reasons", {"seqs": seqs, "expunged": reason_column(EXPUNGED)})
            session.run("remove_attempts_of_messages", {"seqs": seqs})
            session.run("remove_revisions", {"seqs": seqs})
            session.run("remove_unidentified_of_messages", {"seqs": seqs})
            session.run("remove_repeats_of_old_messages", {"seqs": seqs})
            return len(seqs)

        return await self._step(_Span(before_ms, now_ms, after_seq, limit, full), empty, emptied_too=False)

    async def forget_old(
        self, *, before_ms: int, now_ms: int, after_seq: int, limit: int, full: bool = False
    ) -> Step:
        def forget(session: Session, seqs: Sequence[int]) -> int:
            # SQLite numbers a row one above the largest existing number: without the newest, numbers of
            # deleted messages would be given again.
            (newest,) = existing(session.row("last_message"))
            of = {"seqs": [seq for seq in seqs if seq != newest]}
            session.run("remove_attempts_of_messages", of)
            session.run("remove_repeats_of_old_messages", of)
            session.run("remove_deliveries_of_messages", of)
            session.run("remove_revisions", of)
            session.run("remove_unidentified_of_messages", of)
            return session.run("remove_messages", of)

        return await self._step(_Span(before_ms, now_ms, after_seq, limit, full), forget, emptied_too=True)

    async def _step(self, span: _Span, work: Callable[[Session, Sequence[int]], int], *, emptied_too: bool) -> Step:
        """Looks as a reader, so that a step with nothing to do blocks no write; where there is something, the
        writer looks again.
        """

        def write(session: Session) -> Step:
            session.rows("lock_messages", {"seqs": todo})
            left, step = _look(session, span, emptied_too=emptied_too)
            both = sorted(set(todo).intersection(left))
            return msgspec.structs.replace(step, done=work(session, both))

        span = span._replace(until_seq=await self._database.read(complete_seq))
        todo, step = await self._database.read(lambda session: _look(session, span, emptied_too=emptied_too))
        return await self._database.write(write) if todo else step

    async def cancel_removed(self, *, now_ms: int, limit: int) -> int:
        row = await self._row("left_by_removed", {"now_ms": now_ms})
        if row is None:
            return 0
        (endpoint_seq,) = row
        values = {
            "endpoint_seq": endpoint_seq,
            "now_ms": now_ms,
            "limit": limit,
            "reason": reason_column(ENDPOINT_REMOVED),
        }

        def work(session: Session) -> int:
            session.lock(endpoint_seq)
            return session.run("cancel_some", values)

        return await self._database.write(work)

    async def forget_answers(self, *, before_ms: int, limit: int) -> int:
        return await self._run("forget_answers", {"before_ms": before_ms, "limit": limit})

    async def forget_tallies(self, *, before_ms: int, limit: int) -> int:
        return await self._run("forget_tallies", {"before_ms": before_ms, "limit": limit})

    async def forget_sent_keys(self, *, before_ms: int, limit: int) -> int:
        return await self._run("forget_sent_keys", {"before_ms": before_ms, "limit": limit})

    async def keep_clean_up(self, *, ended_at_ms: int, emptied: int, forgotten: int) -> None:
        took_at_ms = ended_at_ms if emptied + forgotten else None
        values = {"ended_at_ms": ended_at_ms, "took_at_ms": took_at_ms, "emptied": emptied, "forgotten": forgotten}
        await self._run("keep_clean_up", values)

    async def last_clean_up(self) -> CleanUp | None:
        row = await self._row("last_clean_up")
        if row is None:
            return None
        ended_at_ms, took_at_ms, emptied, forgotten = row
        return CleanUp(ended_at_ms=ended_at_ms, took_at_ms=took_at_ms, emptied=emptied, forgotten=forgotten)

    async def size_bytes(self) -> int:
        return int(existing(await self._row("size"))[0])

    async def expunge_message(self, message_id: str, *, now_ms: int, audit_line: Audited | None = None) -> bool:
        def work(session: Session) -> bool:
            row = session.row("message_seq", {"id": message_id})
            if row is not None and expunge(session, row, now_ms):
                write_audit_line(session, audit_line)
            return row is not None

        return await self._database.write(work)

    async def count_expunge(self, app_id: str, customer_key: str | None = None) -> ExpungeCount:
        name = "count_expunge" if customer_key is None else "count_expunge_of_customer"
        values = {"app_id": app_id, "customer_key": customer_key}
        messages, deliveries = await self._database.survey(lambda session: existing(session.row(name, values)))
        return ExpungeCount(messages=messages, deliveries=deliveries)

    async def expunge_customer(
        self, app_id: str, customer_key: str, *, now_ms: int, limit: int, audit_line: Audited | None = None
    ) -> int:
        def work(session: Session) -> int:
            of = {"app_id": app_id, "customer_key": customer_key, "limit": limit}
            seqs = [seq for (seq,) in session.rows("messages_of_customer", of)]
            if seqs:
                expunge(session, seqs, now_ms)
                session.run("remove_sent_keys_of_messages", {"seqs": seqs})
                session.run("forget_customer_of_deliveries", {"seqs": seqs})
                session.run("forget_customer_of_messages", {"seqs": seqs})
                write_audit_line(session, audit_line, f"{len(seqs)} messages")
            keep_erased(session, app_id, customer_key, now_ms)
            session.run("remove_facts_of_customer", of)
            session.run("forget_merges_of_customer", of)
            session.run("forget_customer_of_tasks", of | {"expunged": EXPUNGED.code})
            return len(seqs)

        return await self._database.write(work)


def _look(session: Session, span: _Span, *, emptied_too: bool) -> tuple[list[int], Step]:
    """The messages of the span that are old and finished, and the step over them. They are in the order of
    acceptance, so that a step with young ones and without an old one is the last, unless the walk is a full one: a
    clock that was ahead hides no old message.
    """
    todo: list[int] = []
    old, settled_seq, young = 0, span.after_seq, False
    of = {"after_seq": span.after_seq, "until_seq": span.until_seq, "limit": span.limit, "before_ms": span.before_ms}
    rows = session.rows("old_messages", of)
    for seq, accepted_at_ms, expunged_at_ms, unfinished, is_named in rows:
        is_old = accepted_at_ms < span.before_ms
        if (is_old and not unfinished and (emptied_too or expunged_at_ms is None)) or (is_named and not emptied_too):
            todo.append(seq)
        if is_old:
            old += 1
        elif accepted_at_ms <= span.now_ms:
            young = True
        settled_seq = settled_seq if young else seq
    goes_on = len(rows) == span.limit and (span.full or old > 0 or not young)
    return todo, Step(after_seq=rows[-1][0] if goes_on else None, done=0, settled_seq=settled_seq)


def _lock_queues(session: Session, of: Values) -> list[Row]:
    """Holds the queues in which some messages are; returns their unfinished deliveries."""
    unfinished = session.rows("unfinished_of_messages", of)
    session.lock(*{endpoint_seq for endpoint_seq, _ in unfinished})
    return unfinished


def expunge(session: Session, seqs: Sequence[int], now_ms: int) -> int:
    """Empties messages and their attempts, and stops unfinished deliveries; how many of them had anything left."""
    of = {"seqs": list(seqs)}
    _lock_queues(session, of)
    session.rows("lock_messages", of)
    # From here on no replay queues one of them; one that was under way may have queued one at another endpoint.
    unfinished = _lock_queues(session, of)
    if unfinished:
        session.run("stop_deliveries", of | {"now_ms": now_ms, "reason": reason_column(EXPUNGED)})
        free_next(session, [(endpoint_seq, customer_key) for endpoint_seq, customer_key in unfinished], now_ms)
    emptied = session.run("expunge_messages", of | {"now_ms": now_ms})
    session.run("forget_reasons", of | {"expunged": reason_column(EXPUNGED)})
    session.run("remove_revisions", of)
    session.run("remove_unidentified_of_messages", of)
    session.run("remove_repeats_of_messages", of)
    stored = session.rows("attempts_of_messages", of)
    if stored:
        bare = [msgspec.msgpack.encode(expunged(read_attempt(content))) for _, content in stored]
        session.run("set_attempt_contents", {"ids": [attempt_id for attempt_id, _ in stored], "contents": bare})
    return emptied
