"""What happened, read from SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from nicobar.ids import first_id
from nicobar.model import DeliveryState, Message
from nicobar.store.catalogue import Audited
from nicobar.store.history import (
    MAX_COUNT,
    MAX_LOOK,
    MAX_LOOK_INSIDE,
    MAX_PAGE,
    MAX_REFUSALS,
    Attempted,
    AttemptFilter,
    AuditFilter,
    Change,
    MessageAttempt,
    MessageDeliveries,
    MessageFilter,
    Page,
    RejectedRequest,
    Seen,
    Tally,
    Version,
    Waits,
)
from nicobar.store.sqlite.database import SQL, Database, json_text, write_audit_line
from nicobar.store.sqlite.rows import MESSAGE_COLUMNS, delivery, message
from nicobar.store.stored_reasons import read_attempt, read_refusal, reason_column

T = TypeVar("T")

# How far an id's time may be from the time that its row is asked for: a try gets its id when it ends.
_SLACK_MS = 600_000
_ABOVE_ALL = 2**63 - 1
_ABOVE_ALL_IDS = "~"
_LAST_CHARACTER = "\U0010ffff"


class HistoryTables:
    """`History` over a database."""

    _database: Database

    async def messages(
        self,
        app_id: str,
        which: MessageFilter,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int,
        with_body: bool = False,
    ) -> Page[Message]:
        of = "messages" if which.customer_key is None else "messages_of_customer"
        values = {"app_id": app_id, "with_body": with_body} | _values(which)

        def work(connection: sqlite3.Connection) -> Page[Message]:
            span = _of_messages(connection, which, before, after)
            return _page(connection, of, of, values, span, limit, message)

        return await self._database.look_at_one_moment(work)

    async def find_message(self, app_id: str, message_id: str, *, alerts: bool = False) -> Message | None:
        values = {"app_id": app_id, "id": message_id, "alerts": alerts}
        rows = await self._database.read("find_message", values)
        return message(rows[0]) if rows else None

    async def attempts_of_endpoint(
        self,
        endpoint_id: str,
        which: AttemptFilter,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int,
    ) -> Page[MessageAttempt]:
        values = {"endpoint_id": endpoint_id} | _values(which)

        def work(connection: sqlite3.Connection) -> Page[MessageAttempt]:
            span = _of_attempts(which, before, after)
            return _page(connection, "attempts", "attempts", values, span, limit, _message_attempt)

        return await self._database.look_at_one_moment(work)

    async def attempts_of_message(
        self,
        message_id: str,
        which: AttemptFilter,
        *,
        endpoint_id: str | None = None,
        before: str | None = None,
        after: str | None = None,
        limit: int,
    ) -> Page[MessageAttempt]:
        values = {"message_id": message_id, "endpoint_id": endpoint_id} | _values(which)

        def work(connection: sqlite3.Connection) -> Page[MessageAttempt]:
            # One message's tries are few: all of them may be looked at.
            span = _of_attempts(which, before, after)
            return _page(connection, "attempts_of_message", None, values, span, limit, _message_attempt)

        return await self._database.look_at_one_moment(work)

    async def attempt(self, attempt_id: str) -> MessageAttempt | None:
        rows = await self._database.read("attempt", {"id": attempt_id})
        return _message_attempt(rows[0]) if rows else None

    async def count_attempts(self, endpoint_id: str, which: AttemptFilter) -> tuple[int, bool]:
        def work(connection: sqlite3.Connection) -> tuple[int, bool]:
            span = _of_attempts(which, None, None)
            values = {"endpoint_id": endpoint_id, "above": span.above, "below": span.below, "look": MAX_COUNT}
            edge = connection.execute(SQL["edge_of_attempts_before"], values).fetchall()
            more = len(edge) > 1
            if more:
                values["above"] = edge[1][0]
            (count,) = connection.execute(SQL["count_attempts"], values | _values(which)).fetchone()
            return count, more

        return await self._database.look_at_one_moment(work)

    async def attempted(
        self,
        endpoint_id: str,
        which: MessageFilter,
        states: Sequence[DeliveryState] = (),
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int,
        with_body: bool = False,
    ) -> Page[Attempted]:
        failed = tuple(states) == (DeliveryState.FAILED,)
        of, edge = ("attempted_failed", "attempted_failed") if failed else ("attempted", "messages")

        def work(connection: sqlite3.Connection) -> Page[Attempted]:
            owner = connection.execute("SELECT app_id FROM endpoints WHERE id = ?", (endpoint_id,)).fetchone()
            if owner is None:
                return Page(items=(), next=None)
            values = _values(which) | {"endpoint_id": endpoint_id, "app_id": owner[0], "with_body": with_body}
            # It asks for nothing inside the bodies, so that it looks at as many as a list does.
            values |= {"states": json_text(list(states)), "contains": None, "path": "[]"}
            span = _of_messages(connection, which, before, after)
            return _page(connection, of, edge, values, span, limit, _attempted)

        return await self._database.look_at_one_moment(work)

    async def moments(
        self,
        app_id: str,
        which: MessageFilter,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int,
        with_body: bool = False,
    ) -> Page[MessageDeliveries]:
        of = "messages" if which.customer_key is None else "messages_of_customer"
        values = _values(which) | {"app_id": app_id, "with_body": with_body}

        def work(connection: sqlite3.Connection) -> Page[MessageDeliveries]:
            def moment(row: sqlite3.Row) -> MessageDeliveries:
                found = message(row)
                deliveries = connection.execute(SQL["deliveries"], {"message_id": found.id}).fetchall()
                return MessageDeliveries(
                    message=found, deliveries=tuple(delivery(candidate) for candidate in deliveries)
                )

            span = _of_messages(connection, which, before, after)
            return _page(connection, of, of, values, span, limit, moment)

        return await self._database.look_at_one_moment(work)

    async def customers(self, app_id: str, prefix: str, *, after: str | None = None, limit: int) -> Page[Seen]:
        _check(limit)
        values = {
            "app_id": app_id,
            "prefix": prefix,
            "prefix_end": prefix + _LAST_CHARACTER,
            "after": after or "",
            "limit": limit + 1,
        }
        rows = await self._database.read("customers", values)
        items = tuple(
            Seen(customer_key=key, message_id=message_id, event_type=event_type, accepted_at_ms=accepted_at_ms)
            for key, message_id, event_type, accepted_at_ms in rows[:limit]
        )
        return Page(items=items, next=items[-1].customer_key if len(rows) > limit else None)

    async def tallies(
        self,
        app_id: str,
        *,
        since_ms: int,
        until_ms: int,
        step_ms: int,
        endpoint_id: str | None = None,
        event_types: Sequence[str] = (),
    ) -> list[Tally]:
        values = {"app_id": app_id, "endpoint_id": endpoint_id, "since_ms": since_ms, "until_ms": until_ms}
        values |= {"step_ms": step_ms, "event_types": json_text(list(event_types))}
        rows = await self._database.read("tallies", values)
        return [msgspec.structs.replace(_tally(row[1:]), at_ms=row[0]) for row in rows]

    async def tallies_by_type(
        self,
        app_id: str,
        *,
        since_ms: int,
        until_ms: int,
        endpoint_id: str | None = None,
        event_types: Sequence[str] = (),
    ) -> list[Tally]:
        values = {"app_id": app_id, "endpoint_id": endpoint_id, "since_ms": since_ms, "until_ms": until_ms}
        values |= {"event_types": json_text(list(event_types))}
        rows = await self._database.read("tallies_by_type", values)
        return [msgspec.structs.replace(_tally(row[1:]), event_type=row[0]) for row in rows]

    async def latencies(self, app_id: str, *, since_ms: int, limit: int, endpoint_id: str | None = None) -> list[int]:
        def work(connection: sqlite3.Connection) -> list[int]:
            span = _of_messages(connection, MessageFilter(since_ms=since_ms), None, None)
            values = {"app_id": app_id, "endpoint_id": endpoint_id, "since_ms": since_ms, "limit": limit}
            values |= {"above": span.above, "below": span.below, "look": MAX_LOOK}
            ends = connection.execute(SQL["edge_of_messages_before"], values).fetchall()
            if len(ends) > 1:
                values["above"] = ends[1][0]
            return [int(took_ms) for (took_ms,) in connection.execute(SQL["latencies"], values).fetchall()]

        return await self._database.look_at_one_moment(work)

    async def waits(self, endpoint_id: str, *, now_ms: int) -> Waits:
        values = {"endpoint_id": endpoint_id, "now_ms": now_ms, "look": MAX_COUNT + 1}
        rows = await self._database.read("waits", values)
        counts = {str(kind): int(count) for kind, count, _ in rows}
        next_at_ms = next((at_ms for kind, _, at_ms in rows if kind == "later"), None)
        return Waits(**counts, next_at_ms=next_at_ms, more=sum(counts.values()) > MAX_COUNT)

    async def unfinished(
        self, endpoint_id: str, *, since_ms: int | None = None, until_ms: int | None = None
    ) -> dict[DeliveryState, int]:
        def work(connection: sqlite3.Connection) -> dict[DeliveryState, int]:
            span = _of_messages(connection, MessageFilter(since_ms=since_ms, until_ms=until_ms), None, None)
            values = {"endpoint_id": endpoint_id, "above": span.above, "below": span.below}
            rows = connection.execute(SQL["unfinished_of_endpoint"], values).fetchall()
            return {DeliveryState(state): count for state, count in rows}

        return await self._database.look_at_one_moment(work)

    async def keep_refusals(self, refusals: Sequence[RejectedRequest]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for candidate in refusals:
                connection.execute(SQL["add_refusal"], _refusal_columns(candidate)).close()
            for source_id in dict.fromkeys(refusal.source_id for refusal in refusals):
                connection.execute(SQL["trim_refusals"], {"source_id": source_id, "keep": MAX_REFUSALS})

        await self._database.write(work)

    async def refusals(
        self, source_id: str, *, before: str | None = None, after: str | None = None, limit: int
    ) -> Page[RejectedRequest]:
        def work(connection: sqlite3.Connection) -> Page[RejectedRequest]:
            values = {"source_id": source_id}
            return _page(connection, "refusals", None, values, _of_numbers(before, after), limit, _refused)

        return await self._database.look_at_one_moment(work)

    async def versions(
        self,
        endpoint_id: str,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int,
        with_code: bool = False,
    ) -> Page[Version]:
        values = {"endpoint_id": endpoint_id, "with_code": with_code}

        def work(connection: sqlite3.Connection) -> Page[Version]:
            return _page(connection, "versions", None, values, _of_numbers(before, after), limit, _version)

        return await self._database.look_at_one_moment(work)

    async def audit(
        self, which: AuditFilter, *, before: str | None = None, after: str | None = None, limit: int
    ) -> Page[Change]:
        values = msgspec.structs.asdict(which) | {"actions": json_text(which.actions) if which.actions else None}
        of = "audit"
        if which.subject is not None:
            of = "audit_of_subject"
        elif which.app_id is not None:
            of = "audit_of_application"

        def work(connection: sqlite3.Connection) -> Page[Change]:
            return _page(connection, of, of, values, _of_numbers(before, after), limit, _change)

        return await self._database.look_at_one_moment(work)

    async def expunge_attempt(self, attempt_id: str, *, audit_line: Audited | None = None) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            row = connection.execute("SELECT content FROM attempts WHERE id = ?", (attempt_id,)).fetchone()
            if row is None:
                return False
            known = read_attempt(row[0])
            if known.response:
                bare = msgspec.msgpack.encode(msgspec.structs.replace(known, response=""))
                connection.execute("UPDATE attempts SET content = ? WHERE id = ?", (bare, attempt_id))
                write_audit_line(connection, audit_line)
            return True

        return await self._database.write(work)


class _Span(NamedTuple):
    """What lies between two places, both left out. `place` says where a row stands, `name` that place as text."""

    above: int | str
    below: int | str
    newest_first: bool
    place: Callable[[sqlite3.Row], int | str]
    name: Callable[[int | str], str]


def _of_messages(
    connection: sqlite3.Connection, which: MessageFilter, before: str | None, after: str | None
) -> _Span:
    """In the order of acceptance; places are ids of messages, times are looked up by the ids of their second."""
    lowest = [0]
    highest = [_ABOVE_ALL]
    if which.since_ms is not None:
        lowest.append(_seq_until(connection, first_id("msg", which.since_ms - _SLACK_MS)))
    if which.until_ms is not None:
        highest.append(_seq_from(connection, first_id("msg", which.until_ms + _SLACK_MS)))
    if after is not None:
        lowest.append(_seq_until(connection, after))
    elif before is not None:
        highest.append(_seq_from(connection, before))

    def name(place: int | str) -> str:
        (message_id,) = connection.execute("SELECT id FROM messages WHERE seq = ?", (place,)).fetchone()
        return str(message_id)

    return _Span(max(lowest), min(highest), after is None, lambda row: row[0], name)


def _of_attempts(which: AttemptFilter, before: str | None, after: str | None) -> _Span:
    lowest = [after or ""]
    highest = [_ABOVE_ALL_IDS if before is None or after is not None else before]
    if which.since_ms is not None:
        lowest.append(first_id("atmpt", which.since_ms - _SLACK_MS))
    if which.until_ms is not None:
        highest.append(first_id("atmpt", which.until_ms + _SLACK_MS))
    return _Span(max(lowest), min(highest), after is None, lambda row: row[MESSAGE_COLUMNS + 1], str)


def _of_numbers(before: str | None, after: str | None) -> _Span:
    below = _ABOVE_ALL if before is None or after is not None else int(before)
    return _Span(int(after or 0), below, after is None, lambda row: row[0], str)


def _seq_from(connection: sqlite3.Connection, message_id: str) -> int:
    row = connection.execute(SQL["first_message_from"], {"id": message_id}).fetchone()
    return _ABOVE_ALL if row is None else int(row[0])


def _seq_until(connection: sqlite3.Connection, message_id: str) -> int:
    row = connection.execute(SQL["last_message_until"], {"id": message_id}).fetchone()
    return 0 if row is None else int(row[0])


def _page(  # noqa: PLR0917 - a query, what it is asked, and how its rows are read
    connection: sqlite3.Connection,
    query: str,
    edge: str | None,
    values: Mapping[str, object],
    span: _Span,
    limit: int,
    read: Callable[[sqlite3.Row], T],
) -> Page[T]:
    """A page of the query, which looks at a bounded number of rows (`edge` says how far that is)."""
    _check(limit)
    direction = "before" if span.newest_first else "after"
    inside = values.get("contains") is not None or values.get("path", "[]") != "[]"
    look = MAX_LOOK_INSIDE if inside else MAX_LOOK
    bounds: dict[str, object] = {"above": span.above, "below": span.below, "look": look}
    next_place = None
    if edge is not None:
        ends = connection.execute(SQL[f"edge_of_{edge}_{direction}"], {**values, **bounds}).fetchall()
        if len(ends) > 1:
            next_place = ends[0][0]
            bounds["above" if span.newest_first else "below"] = ends[1][0]
    rows = connection.execute(SQL[f"{query}_{direction}"], {**values, **bounds, "limit": limit + 1}).fetchall()
    if len(rows) > limit:
        next_place = span.place(rows[limit - 1])
    return Page(
        items=tuple(read(row) for row in rows[:limit]), next=None if next_place is None else span.name(next_place)
    )


def _check(limit: int) -> None:
    if not 1 <= limit <= MAX_PAGE:  # whoever asks has held it
        raise AssertionError(limit)


def _values(which: MessageFilter | AttemptFilter) -> dict[str, object]:
    values = msgspec.structs.asdict(which)
    return {name: json_text(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _message_attempt(row: sqlite3.Row) -> MessageAttempt:
    endpoint_id, _, content = row[MESSAGE_COLUMNS:]
    return MessageAttempt(message=message(row), endpoint_id=str(endpoint_id), attempt=read_attempt(content))


def _attempted(row: sqlite3.Row) -> Attempted:
    found = message(row)
    return Attempted(message=found, delivery=delivery((found.id, *row[MESSAGE_COLUMNS:])))


def _refusal_columns(refused: RejectedRequest) -> dict[str, object]:
    values = msgspec.structs.asdict(refused)
    return values | {"code": refused.code, "detail": reason_column(refused.reason)}


def _refused(row: sqlite3.Row) -> RejectedRequest:
    seq, source_id, at_ms, status, code, detail, event_id = row
    why = read_refusal(code, detail)
    return RejectedRequest(seq=seq, source_id=source_id, at_ms=at_ms, status=status, reason=why, event_id=event_id)


def _reader(kind: type[T], *fields: str) -> Callable[[Sequence[object]], T]:
    return lambda row: msgspec.convert(dict(zip(fields, row, strict=True)), kind)


_tally = _reader(Tally, "state", "attempts", "duration_ms", "latency_ms", "latency_max_ms")
_version = _reader(Version, "version", "created_at_ms", "code")
_change = _reader(Change, "seq", "at_ms", "actor", "action", "app_id", "subject", "detail")
