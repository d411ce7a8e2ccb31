"""Retention and expunging in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from nicobar.store.catalogue import Audited
from nicobar.store.sqlite.database import SQL, Database, write_audit_line
from nicobar.store.sqlite.queue import free_next
from nicobar.store.sqlite.rows import expunged
from nicobar.store.stored_reasons import ENDPOINT_REMOVED, EXPUNGED, read_attempt, reason_column
from nicobar.store.upkeep import CleanUp, ExpungeCount, Step


class _Span(NamedTuple):
    """The messages that one step looks at, and what is old: accepted before `before_ms`. A `whole` look goes on
    behind young ones.
    """

    before_ms: int
    now_ms: int
    after_seq: int
    limit: int
    whole: bool


class UpkeepTables:
    """`Upkeep` over a database."""

    _database: Database

    async def expunge_old(
        self, *, before_ms: int, now_ms: int, after_seq: int, limit: int, whole: bool = False
    ) -> Step:
        def empty(connection: sqlite3.Connection, seq: int) -> bool:
            connection.execute(SQL["expunge_message"], {"seq": seq, "now_ms": now_ms})
            connection.execute(SQL["forget_reasons"], {"seq": seq, "expunged": reason_column(EXPUNGED)})
            connection.execute("DELETE FROM attempts WHERE message_seq = ?", (seq,))
            return True

        return await self._step(_Span(before_ms, now_ms, after_seq, limit, whole), empty, emptied_too=False)

    async def forget_old(
        self, *, before_ms: int, now_ms: int, after_seq: int, limit: int, whole: bool = False
    ) -> Step:
        def forget(connection: sqlite3.Connection, seq: int) -> bool:
            # A row's number is one more than the largest there is: without the newest it would be given again.
            if seq == connection.execute(SQL["last_message"]).fetchone()[0]:
                return False
            for table, column in (("attempts", "message_seq"), ("deliveries", "message_seq"), ("messages", "seq")):
                connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (seq,))  # noqa: S608 - names from above
            return True

        return await self._step(_Span(before_ms, now_ms, after_seq, limit, whole), forget, emptied_too=True)

    async def _step(self, span: _Span, work: Callable[[sqlite3.Connection, int], bool], *, emptied_too: bool) -> Step:
        """Looks as a reader, so that a step with nothing to do holds up no write; where there is something, the
        writer looks again.
        """

        def write(connection: sqlite3.Connection) -> Step:
            todo, step = _look(connection, span, emptied_too=emptied_too)
            return msgspec.structs.replace(step, done=sum([work(connection, seq) for seq in todo]))

        todo, step = await self._database.look(lambda connection: _look(connection, span, emptied_too=emptied_too))
        return await self._database.write(write) if todo else step

    async def cancel_removed(self, *, now_ms: int, limit: int) -> int:
        rows = await self._database.read("left_by_removed", {"now_ms": now_ms})
        if not rows:
            return 0
        values = {
            "endpoint_seq": rows[0][0],
            "now_ms": now_ms,
            "limit": limit,
            "reason": reason_column(ENDPOINT_REMOVED),
        }
        return await self._database.write(lambda connection: connection.execute(SQL["cancel_some"], values).rowcount)

    async def forget_answers(self, *, before_ms: int, limit: int) -> int:
        return await self._forget("forget_answers", before_ms, limit)

    async def forget_tallies(self, *, before_ms: int, limit: int) -> int:
        return await self._forget("forget_tallies", before_ms, limit)

    async def _forget(self, query: str, before_ms: int, limit: int) -> int:
        values = {"before_ms": before_ms, "limit": limit}
        return await self._database.write(lambda connection: connection.execute(SQL[query], values).rowcount)

    async def keep_clean_up(self, *, ended_at_ms: int, emptied: int, forgotten: int) -> None:
        values = {"ended_at_ms": ended_at_ms, "emptied": emptied, "forgotten": forgotten}
        await self._database.write(lambda connection: connection.execute(SQL["keep_clean_up"], values).close())

    async def last_clean_up(self) -> CleanUp | None:
        rows = await self._database.read("last_clean_up")
        if not rows:
            return None
        ended_at_ms, took_at_ms, emptied, forgotten = rows[0]
        return CleanUp(ended_at_ms=ended_at_ms, took_at_ms=took_at_ms, emptied=emptied, forgotten=forgotten)

    async def size_bytes(self) -> int:
        return int((await self._database.read("size"))[0][0])

    async def expunge_message(self, message_id: str, *, now_ms: int, audit_line: Audited | None = None) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            row = connection.execute("SELECT seq FROM messages WHERE id = ?", (message_id,)).fetchone()
            if row is not None and expunge(connection, row[0], now_ms):
                write_audit_line(connection, audit_line)
            return row is not None

        return await self._database.write(work)

    async def count_expunge(self, app_id: str, customer_key: str | None = None) -> ExpungeCount:
        name = "count_expunge" if customer_key is None else "count_expunge_of_customer"
        values = {"app_id": app_id, "customer_key": customer_key}
        messages, deliveries = await self._database.survey(
            lambda connection: connection.execute(SQL[name], values).fetchone()
        )
        return ExpungeCount(messages=messages, deliveries=deliveries)

    async def expunge_customer(
        self, app_id: str, customer_key: str, *, now_ms: int, limit: int, audit_line: Audited | None = None
    ) -> int:
        def work(connection: sqlite3.Connection) -> int:
            of = {"app_id": app_id, "customer_key": customer_key, "limit": limit}
            rows = connection.execute(SQL["messages_of_customer"], of).fetchall()
            for (seq,) in rows:
                expunge(connection, seq, now_ms)
                connection.execute("UPDATE deliveries SET customer_key = NULL WHERE message_seq = ?", (seq,))
                connection.execute("UPDATE messages SET customer_key = NULL WHERE seq = ?", (seq,))
            connection.execute(SQL["forget_customer_of_tasks"], of | {"expunged": EXPUNGED.code})
            if rows:
                write_audit_line(connection, audit_line, f"{len(rows)} messages")
            return len(rows)

        return await self._database.write(work)


def _look(connection: sqlite3.Connection, span: _Span, *, emptied_too: bool) -> tuple[list[int], Step]:
    """The messages of the span that are old and finished, and the step over them. They stand in the order of
    acceptance, so that a step with young ones and without an old one is the last, unless the look is a whole one: a
    clock that was ahead does not hide what is behind.
    """
    todo: list[int] = []
    old, settled_seq, young = 0, span.after_seq, False
    of = {"after_seq": span.after_seq, "limit": span.limit, "before_ms": span.before_ms}
    rows = connection.execute(SQL["old_messages"], of).fetchall()
    for seq, accepted_at_ms, expunged_at_ms, unfinished in rows:
        if accepted_at_ms < span.before_ms:
            old += 1
            if not unfinished and (emptied_too or expunged_at_ms is None):
                todo.append(seq)
        elif accepted_at_ms <= span.now_ms:
            young = True
        settled_seq = settled_seq if young else seq
    goes_on = len(rows) == span.limit and (span.whole or old > 0 or not young)
    return todo, Step(after_seq=rows[-1][0] if goes_on else None, done=0, settled_seq=settled_seq)


def expunge(connection: sqlite3.Connection, seq: int, now_ms: int) -> bool:
    """Empties a message and its attempts, and stops what is unfinished; whether there was anything left of it."""
    for endpoint_seq, customer_key in connection.execute(SQL["unfinished_of_message"], {"seq": seq}).fetchall():
        key = {"message_seq": seq, "endpoint_seq": endpoint_seq, "now_ms": now_ms, "reason": reason_column(EXPUNGED)}
        connection.execute(SQL["stop_delivery"], key)
        if customer_key is not None:
            free_next(connection, endpoint_seq, customer_key, now_ms)
    emptied = connection.execute(SQL["expunge_message"], {"seq": seq, "now_ms": now_ms}).rowcount
    connection.execute(SQL["forget_reasons"], {"seq": seq, "expunged": reason_column(EXPUNGED)})
    for attempt_id, content in connection.execute(
        "SELECT id, content FROM attempts WHERE message_seq = ?", (seq,)
    ).fetchall():
        bare = msgspec.msgpack.encode(expunged(read_attempt(content)))
        connection.execute("UPDATE attempts SET content = ? WHERE id = ?", (bare, attempt_id))
    return bool(emptied)
