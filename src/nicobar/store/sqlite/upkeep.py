"""Retention and expunging in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import msgspec

from nicobar.store.sqlite.database import SQL, Database
from nicobar.store.sqlite.queue import free_next
from nicobar.store.sqlite.rows import ATTEMPT, EXPUNGED, expunged
from nicobar.store.upkeep import CleanUp, Step


class UpkeepTables:
    """`Upkeep` over a database."""

    _database: Database

    async def expunge_old(self, *, before_ms: int, after_seq: int, limit: int) -> Step:
        def empty(connection: sqlite3.Connection, seq: int, *, emptied: bool) -> bool:
            if emptied:
                return False
            connection.execute(SQL["expunge_message"], {"seq": seq, "now_ms": before_ms})
            connection.execute(SQL["forget_reasons"], {"seq": seq})
            connection.execute("DELETE FROM attempts WHERE message_seq = ?", (seq,))
            return True

        return await self._database.write(lambda connection: _step(connection, before_ms, after_seq, limit, empty))

    async def forget_old(self, *, before_ms: int, after_seq: int, limit: int) -> Step:
        def forget(connection: sqlite3.Connection, seq: int, *, emptied: bool) -> bool:
            del emptied
            for table, column in (("attempts", "message_seq"), ("deliveries", "message_seq"), ("messages", "seq")):
                connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (seq,))  # noqa: S608 - names from above
            return True

        return await self._database.write(lambda connection: _step(connection, before_ms, after_seq, limit, forget))

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

    async def expunge_message(self, message_id: str, *, now_ms: int) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            row = connection.execute("SELECT seq FROM messages WHERE id = ?", (message_id,)).fetchone()
            if row is not None:
                _expunge(connection, row[0], now_ms)
            return row is not None

        return await self._database.write(work)

    async def expunge_customer(self, app_id: str, customer_key: str, *, now_ms: int, limit: int) -> int:
        def work(connection: sqlite3.Connection) -> int:
            of = {"app_id": app_id, "customer_key": customer_key, "limit": limit}
            rows = connection.execute(SQL["messages_of_customer"], of).fetchall()
            for (seq,) in rows:
                _expunge(connection, seq, now_ms)
                connection.execute("UPDATE deliveries SET customer_key = NULL WHERE message_seq = ?", (seq,))
                connection.execute("UPDATE messages SET customer_key = NULL WHERE seq = ?", (seq,))
            return len(rows)

        return await self._database.write(work)


def _step(
    connection: sqlite3.Connection, before_ms: int, after_seq: int, limit: int, work: Callable[..., bool]
) -> Step:
    """Works on the messages behind `after_seq` that are older than `before_ms`. They stand in the order of
    acceptance, so that a step without an old one is the last; a clock that was wrong for a while does not hide what
    is behind.
    """
    done, old = 0, 0
    rows = connection.execute(SQL["old_messages"], {"after_seq": after_seq, "limit": limit}).fetchall()
    for seq, accepted_at_ms, expunged_at_ms, unfinished in rows:
        if accepted_at_ms < before_ms:
            old += 1
            if not unfinished:
                done += work(connection, seq, emptied=expunged_at_ms is not None)
    return Step(after_seq=rows[-1][0] if old and len(rows) == limit else None, done=done)


def _expunge(connection: sqlite3.Connection, seq: int, now_ms: int) -> None:
    for endpoint_seq, customer_key in connection.execute(SQL["unfinished_of_message"], {"seq": seq}).fetchall():
        key = {"message_seq": seq, "endpoint_seq": endpoint_seq, "now_ms": now_ms, "reason": EXPUNGED}
        connection.execute(SQL["stop_delivery"], key)
        if customer_key is not None:
            free_next(connection, endpoint_seq, customer_key, now_ms)
    connection.execute(SQL["expunge_message"], {"seq": seq, "now_ms": now_ms})
    connection.execute(SQL["forget_reasons"], {"seq": seq})
    for attempt_id, content in connection.execute(
        "SELECT id, content FROM attempts WHERE message_seq = ?", (seq,)
    ).fetchall():
        bare = msgspec.msgpack.encode(expunged(ATTEMPT.decode(content)))
        connection.execute("UPDATE attempts SET content = ? WHERE id = ?", (bare, attempt_id))
