"""The hot path in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import msgspec

from nicobar.errors import StoreUnavailable
from nicobar.model import Attempt, Breaker, DeliveryState
from nicobar.store.catalogue import Audited
from nicobar.store.history import TALLY_MS
from nicobar.store.queue import Appended, Backlog, Claimed, Finished, NewMessage
from nicobar.store.sqlite.database import SQL, Database, json_text, write_audit_line
from nicobar.store.sqlite.rows import MESSAGE_COLUMNS, expunged, message, params_text
from nicobar.store.stored_reasons import read_breaker, reason_column


class QueueTables:
    """`Queue` over a database."""

    _database: Database

    async def append(self, message: NewMessage, *, audit_line: Audited | None = None) -> Appended:
        try:
            appended = await self._database.write(lambda connection: _append(connection, message, audit_line))
        except StoreUnavailable as error:
            self._database.errors.note_append(error)
            raise
        self._database.errors.note_append(None)
        return appended

    async def claim(
        self, endpoint_seq: int, *, now_ms: int, limit: int, max_bytes: int, lease_ms: int
    ) -> list[Claimed]:
        def work(connection: sqlite3.Connection) -> list[Claimed]:
            return _claim(connection, endpoint_seq, now_ms, limit, max_bytes, now_ms + lease_ms)

        return await self._database.write(work)

    async def record(self, finished: Sequence[Finished]) -> int:
        return await self._database.write(lambda connection: sum([_record(connection, item) for item in finished]))

    async def next_due_at_ms(self, endpoint_seq: int) -> int | None:
        rows = await self._database.read("next_due", {"endpoint_seq": endpoint_seq})
        return rows[0][0] if rows else None

    async def release_leases(self) -> int:
        return await self._database.write(lambda connection: connection.execute(SQL["release_leases"]).rowcount)

    async def shift_times(self, *, after_ms: int, by_ms: int) -> int:
        values = {"after_ms": after_ms, "by_ms": by_ms}
        return await self._database.write(lambda connection: connection.execute(SQL["shift_times"], values).rowcount)

    async def bound_times(self, *, now_ms: int, latest_ms: int) -> int:
        values = {"now_ms": now_ms, "latest_ms": latest_ms}
        return await self._database.write(lambda connection: connection.execute(SQL["bound_times"], values).rowcount)

    async def backlog(self, endpoint_seq: int | None = None) -> list[Backlog]:
        name = "backlog" if endpoint_seq is None else "backlog_of_endpoint"
        of = {} if endpoint_seq is None else {"endpoint_seq": endpoint_seq}
        return [
            Backlog(endpoint_seq=seq, unfinished=unfinished, oldest_accepted_at_ms=oldest)
            for seq, unfinished, oldest in await self._database.read(name, of)
        ]

    async def breakers(self) -> Mapping[int, Breaker]:
        return {seq: read_breaker(content) for seq, content in await self._database.read("breakers")}

    async def keep_breaker(self, endpoint_seq: int, breaker: Breaker) -> None:
        values = {"endpoint_seq": endpoint_seq, "content": json_text(breaker)}
        await self._database.write(lambda connection: connection.execute(SQL["keep_breaker"], values).close())


def _append(connection: sqlite3.Connection, message: NewMessage, audit_line: Audited | None) -> Appended:
    row = connection.execute(
        SQL["add_message"],
        {
            "id": message.id,
            "app_id": message.app_id,
            "source_id": message.source_id,
            "event_id": message.event_id,
            "event_type": message.event_type,
            "customer_key": message.customer_key,
            "occurred_at_ms": message.occurred_at_ms,
            "accepted_at_ms": message.accepted_at_ms,
            "body": message.body,
            "channels": json_text(message.channels) if message.channels else "[]",
            "tags": json_text(message.tags) if message.tags else "[]",
            "params": params_text(message.params),
            "deliver_at_ms": message.deliver_at_ms,
        },
    ).fetchone()
    if row is None:
        event = {"app_id": message.app_id, "event_id": message.event_id}
        first_id, source_id, body = connection.execute(SQL["find_event"], event).fetchone()
        # An expunged body is empty: what it was cannot be compared any more.
        other = source_id != message.source_id and body not in {message.body, b""}
        return Appended(message_id=first_id, duplicate=True, taken=other)
    for endpoint_seq in message.endpoint_seqs:
        connection.execute(
            SQL["add_delivery"],
            {
                "message_seq": row[0],
                "endpoint_seq": endpoint_seq,
                "customer_key": message.customer_key if message.deliver_at_ms is None else None,
                "due_at_ms": message.accepted_at_ms if message.deliver_at_ms is None else message.deliver_at_ms,
            },
        )
    write_audit_line(connection, audit_line)
    return Appended(message_id=message.id, duplicate=False)


def _claim(  # noqa: PLR0917 - what the protocol's `claim` names, in its order
    connection: sqlite3.Connection, endpoint_seq: int, now_ms: int, limit: int, max_bytes: int, ends_at_ms: int
) -> list[Claimed]:
    claimed: list[Claimed] = []
    size_bytes = 0
    rows = connection.execute(SQL["due_deliveries"], {"endpoint_seq": endpoint_seq, "now_ms": now_ms, "limit": limit})
    for row in rows:
        found = message(row)
        size_bytes += len(found.body)
        if claimed and size_bytes > max_bytes:
            break
        tries, lease, edition, manual, replay_key = row[MESSAGE_COLUMNS:]
        claimed.append(
            Claimed(
                message=found,
                endpoint_seq=endpoint_seq,
                lease=lease + 1,
                tries=tries,
                edition=edition,
                manual=bool(manual),
                replay_key=replay_key,
            )
        )
    rows.close()
    for item in claimed:
        connection.execute(
            SQL["lease_delivery"],
            {"message_seq": item.message.seq, "endpoint_seq": endpoint_seq, "ends_at_ms": ends_at_ms},
        )
    return claimed


def _record(connection: sqlite3.Connection, finished: Finished) -> int:
    pending_again = finished.state is DeliveryState.PENDING
    row = connection.execute(
        SQL["move_delivery"],
        {
            "message_seq": finished.message_seq,
            "endpoint_seq": finished.endpoint_seq,
            "lease": finished.lease,
            "state": finished.state.value,
            "spent": int(finished.spent),
            "tried": finished.attempt is not None or not pending_again,
            "due_at_ms": finished.due_at_ms if pending_again else None,
            "reason": reason_column(finished.reason),
            "failure": finished.failure if finished.state is DeliveryState.FAILED else None,
            "ended_at_ms": None if pending_again else finished.ended_at_ms,
        },
    ).fetchone()
    if finished.attempt is not None:
        _add_attempt(connection, finished, finished.attempt, held=row is not None)
    if row is None:
        return 0
    customer_key, task_seq = row
    ended = not pending_again
    if task_seq is not None and pending_again:
        # The replay that has put it there was canceled while it was under way, and nothing of it has left.
        ended = connection.execute(SQL["take_back"], {"task_seq": task_seq}).rowcount > 0
        if ended:
            give_back(connection, finished.message_seq, finished.endpoint_seq)
    if ended and customer_key is not None:
        free_next(connection, finished.endpoint_seq, customer_key, finished.ended_at_ms)
    return 1


def _add_attempt(connection: sqlite3.Connection, finished: Finished, attempt: Attempt, *, held: bool) -> None:
    if not held:
        of = {"seq": finished.message_seq}
        row = connection.execute("SELECT expunged_at_ms FROM messages WHERE seq = :seq", of).fetchone()
        if row is None or row[0] is not None:  # what was expunged under way must not come back with its try
            attempt = expunged(attempt)
    added = connection.execute(
        SQL["add_attempt"],
        {
            "id": attempt.id,
            "message_seq": finished.message_seq,
            "endpoint_seq": finished.endpoint_seq,
            "content": msgspec.msgpack.encode(attempt),
            "state": attempt.state.value,
            "status": attempt.status,
            "manual": int(attempt.manual),
            "started_at_ms": attempt.started_at_ms,
        },
    ).rowcount
    if added:
        _tally(connection, finished, attempt)


def _tally(connection: sqlite3.Connection, finished: Finished, attempt: Attempt) -> None:
    values = {
        "message_seq": finished.message_seq,
        "endpoint_seq": finished.endpoint_seq,
        "at_ms": finished.ended_at_ms // TALLY_MS * TALLY_MS,
        "ended_at_ms": finished.ended_at_ms,
        "state": attempt.state.value,
        "duration_ms": attempt.duration_ms,
    }
    connection.execute(SQL["tally"], values).close()


def give_back(connection: sqlite3.Connection, message_seq: int, endpoint_seq: int) -> int:
    """Makes of a delivery what a replay has found, if it was not tried since; how many were made so, 0 or 1."""
    key = {"message_seq": message_seq, "endpoint_seq": endpoint_seq}
    return sum([connection.execute(SQL[name], key).rowcount for name in ("give_back", "unmake_delivery")])


def free_next(connection: sqlite3.Connection, endpoint_seq: int, customer_key: str, now_ms: int) -> None:
    """Makes a customer's first unfinished delivery due, if it was waiting for an earlier one."""
    values = {"endpoint_seq": endpoint_seq, "customer_key": customer_key, "now_ms": now_ms}
    connection.execute(SQL["free_next"], values)
