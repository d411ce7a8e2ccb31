"""What happened: lists and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from nicobar.conversion import converter
from nicobar.model import Attempt, Delivery, DeliveryState, Message
from nicobar.store import history
from nicobar.store.bodies import holds, holds_text
from nicobar.store.catalogue import Audited
from nicobar.store.history import (
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
    Revision,
    Seen,
    Tally,
    Version,
    Waits,
)
from nicobar.store.session import Row, Session
from nicobar.store.stored_reasons import read_attempt, read_refusal, reason_column
from nicobar.store.tables.base import LAST_CHARACTER, Tables, complete_seq, existing, write_audit_line
from nicobar.store.tables.pages import (
    NEWEST_SEQ,
    Rows,
    Span,
    check_limit,
    page,
    span_of_attempts,
    span_of_messages,
    span_of_numbers,
)
from nicobar.store.tables.rows import MESSAGE_COLUMNS, delivery, message, texts

T = TypeVar("T")

_BODY_COLUMN = 9
_UNFINISHED = (DeliveryState.PENDING, DeliveryState.SENDING)


class HistoryTables(Tables):
    """`History` over a database."""

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
        places = before, after, await self._until_seq(after)

        def work(session: Session) -> Page[Message]:
            found = _messages(session, app_id, which, places, limit, with_body=with_body)
            return Page(items=tuple(message(row) for row in found.rows), next=found.next)

        return await self._database.read(work)

    async def find_message(self, app_id: str, message_id: str, *, alerts: bool = False) -> Message | None:
        row = await self._row("find_message", {"app_id": app_id, "id": message_id, "alerts": alerts})
        return None if row is None else message(row)

    async def attempts_of_endpoint(
        self,
        endpoint_id: str,
        which: AttemptFilter,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int,
    ) -> Page[MessageAttempt]:
        span = span_of_attempts(which, before, after, await self._until_ms(after))
        return await self._page("attempts", _values(which), span, limit, _message_attempt, of_endpoint=endpoint_id)

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
        span = span_of_attempts(which, before, after, await self._until_ms(after))
        return await self._page("attempts_of_message", values, span, limit, _message_attempt, look=None)

    async def attempt(self, attempt_id: str) -> MessageAttempt | None:
        row = await self._row("attempt", {"id": attempt_id})
        return None if row is None else _message_attempt(row)

    async def count_attempts(self, endpoint_id: str, which: AttemptFilter) -> tuple[int, bool]:
        def work(session: Session) -> tuple[int, bool]:
            span = span_of_attempts(which, None, None)
            values = _endpoint(session, endpoint_id)
            values |= {"above": span.above, "below": span.below, "look": history.MAX_COUNT}
            edge = session.rows("edge_of_attempts_before", values)
            more = len(edge) > 1
            if more:
                values["above"] = edge[1][0]
            (count,) = existing(session.row("count_of_attempts", values | _values(which)))
            return count, more

        return await self._database.read(work)

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
        name = "attempted"
        if which.warned:
            name = "attempted_warned"
        elif states and set(states) <= set(_UNFINISHED):
            name = "attempted_unfinished"
        elif tuple(states) == (DeliveryState.FAILED,):
            name = "attempted_failed"
        values = _values(which) | {"states": [state.value for state in states], "with_body": with_body}

        until_seq = await self._until_seq(after)

        def work(session: Session) -> Page[Attempted]:
            span = span_of_messages(session, which, before, after, until_seq)
            of = values | _endpoint(session, endpoint_id)
            return page(session, name, of, span, limit).read(_attempted)

        return await self._database.read(work)

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
        places = before, after, await self._until_seq(after)

        def work(session: Session) -> Page[MessageDeliveries]:
            found_page = _messages(session, app_id, which, places, limit, with_body=with_body).read(message)
            deliveries = deliveries_of_messages(session, [found.id for found in found_page.items])
            items = [
                MessageDeliveries(message=found, deliveries=tuple(deliveries[found.id])) for found in found_page.items
            ]
            return Page(items=tuple(items), next=found_page.next)

        return await self._database.read(work)

    async def deliveries_of_messages(self, message_ids: Sequence[str]) -> dict[str, list[Delivery]]:
        return await self._database.read(lambda session: deliveries_of_messages(session, message_ids))

    async def revisions(self, message_id: str) -> list[Revision]:
        rows = await self._rows("revisions", {"message_id": message_id})
        return [Revision(accepted_at_ms=at_ms, body=body) for at_ms, body in rows]

    async def accepted_ids(self, message_ids: Sequence[str]) -> dict[tuple[str, str], tuple[str, ...]]:
        rows = await self._rows("accepted_ids", {"message_ids": list(message_ids)})
        return {(message_id, endpoint_id): texts(ids) for message_id, endpoint_id, ids in rows}

    async def attempts_of_deliveries(
        self, message_ids: Sequence[str], endpoint_id: str | None = None
    ) -> dict[tuple[str, str], list[Attempt]]:
        of = {"message_ids": message_ids, "endpoint_id": endpoint_id}
        attempts: dict[tuple[str, str], list[Attempt]] = {}
        for message_id, at_endpoint_id, content in await self._rows("attempts_of_deliveries", of):
            attempts.setdefault((message_id, at_endpoint_id), []).append(read_attempt(content))
        return attempts

    async def customers(self, app_id: str, prefix: str, *, after: str | None = None, limit: int) -> Page[Seen]:
        check_limit(limit)
        values = {
            "app_id": app_id,
            "prefix": prefix,
            "prefix_end": prefix + LAST_CHARACTER,
            "after": after or "",
            "limit": limit + 1,
        }
        rows = await self._rows("customers", values)
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
        rows = await self._rows("tallies", values | {"step_ms": step_ms, "event_types": event_types})
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
        rows = await self._rows("tallies_by_type", values | {"event_types": event_types})
        return [msgspec.structs.replace(_tally(row[1:]), event_type=row[0]) for row in rows]

    async def tallies_by_endpoint(self, app_id: str, *, since_ms: int, until_ms: int) -> list[Tally]:
        values = {"app_id": app_id, "endpoint_id": None, "since_ms": since_ms, "until_ms": until_ms}
        rows = await self._rows("tallies_by_endpoint", values | {"event_types": ()})
        return [msgspec.structs.replace(_tally(row[1:]), endpoint_id=row[0]) for row in rows]

    async def latencies(self, app_id: str, *, since_ms: int, limit: int, endpoint_id: str | None = None) -> list[int]:
        def work(session: Session) -> list[int]:
            span = span_of_messages(session, MessageFilter(since_ms=since_ms), None, None)
            values = {"app_id": app_id, "endpoint_id": endpoint_id, "since_ms": since_ms, "limit": limit}
            values |= {"above": span.above, "below": span.below, "look": history.MAX_LOOK}
            ends = session.rows("edge_of_messages_before", values)
            if len(ends) > 1:
                values["above"] = ends[1][0]
            return [int(took_ms) for (took_ms,) in session.rows("latencies", values)]

        return await self._database.read(work)

    async def waits(self, endpoint_id: str, *, now_ms: int) -> Waits:
        return await self._database.read(lambda session: _waits(session, endpoint_id, now_ms))

    async def unfinished(
        self, endpoint_id: str, *, since_ms: int | None = None, until_ms: int | None = None
    ) -> dict[DeliveryState, int]:
        def work(session: Session) -> dict[DeliveryState, int]:
            values = _endpoint(session, endpoint_id)
            if since_ms is None and until_ms is None:
                counts = zip(_UNFINISHED, existing(session.row("queue_counts", values)), strict=True)
                return {state: count for state, count in counts if count}
            span = span_of_messages(session, MessageFilter(since_ms=since_ms, until_ms=until_ms), None, None)
            values |= {"above": span.above, "below": span.below}
            return {DeliveryState(state): count for state, count in session.rows("unfinished_of_endpoint", values)}

        return await self._database.read(work)

    async def keep_refusals(self, refusals: Sequence[RejectedRequest]) -> None:
        def work(session: Session) -> None:
            session.run("add_refusal", [_refusal_columns(refused) for refused in refusals])
            sources = sorted({refused.source_id for refused in refusals})
            session.run("trim_refusals", [{"source_id": source_id, "keep": MAX_REFUSALS} for source_id in sources])

        if refusals:
            await self._database.write(work)

    async def refusals(
        self, source_id: str, *, before: str | None = None, after: str | None = None, limit: int
    ) -> Page[RejectedRequest]:
        span = span_of_numbers(before, after)
        return await self._page("refusals", {"source_id": source_id}, span, limit, _refused, look=None)

    async def versions(
        self,
        endpoint_id: str,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int,
        with_code: bool = False,
    ) -> Page[Version]:
        span = span_of_numbers(before, after)
        values = {"with_code": with_code}
        return await self._page("versions", values, span, limit, _version, look=None, of_endpoint=endpoint_id)

    async def audit(
        self, which: AuditFilter, *, before: str | None = None, after: str | None = None, limit: int
    ) -> Page[Change]:
        name = "audit"
        if which.subject is not None:
            name = "audit_of_subject"
        elif which.app_id is not None:
            name = "audit_of_application"
        span = span_of_numbers(before, after)
        return await self._page(name, msgspec.structs.asdict(which), span, limit, _change)

    async def add_audit_line(self, line: Audited) -> None:
        await self._database.write(lambda session: write_audit_line(session, line))

    async def expunge_attempt(self, attempt_id: str, *, audit_line: Audited | None = None) -> bool:
        def work(session: Session) -> bool:
            row = session.row("attempt_content", {"id": attempt_id})
            if row is None:
                return False
            known = read_attempt(row[0])
            if known.response or known.response_headers:
                bare = msgspec.msgpack.encode(msgspec.structs.replace(known, response="", response_headers={}))
                session.run("set_attempt_contents", {"ids": [attempt_id], "contents": [bare]})
                write_audit_line(session, audit_line)
            return True

        return await self._database.write(work)

    async def _until_seq(self, after: str | None) -> int:
        """How far a page of messages reads. The next page begins where it ended, if it goes `after` a place."""
        return NEWEST_SEQ if after is None else await self._database.read(complete_seq)

    async def _until_ms(self, after: str | None) -> int | None:
        """The same for attempts: up to when they ended."""
        return None if after is None else int(existing(await self._row("complete_at_ms"))[0])

    async def _page(
        self,
        name: str,
        values: Mapping[str, object],
        span: Span,
        limit: int,
        read: Callable[[Row], T],
        *,
        look: int | None = 0,
        of_endpoint: str | None = None,
    ) -> Page[T]:
        """A page of a list whose span is known. All of it may be searched where `look` is None."""

        def work(session: Session) -> Page[T]:
            of = {**values} if of_endpoint is None else {**values, **_endpoint(session, of_endpoint)}
            return page(session, name, of, span, limit, look=look).read(read)

        return await self._database.read(work)


def deliveries_of_messages(session: Session, message_ids: Sequence[str]) -> dict[str, list[Delivery]]:
    deliveries: dict[str, list[Delivery]] = {message_id: [] for message_id in message_ids}
    for row in session.rows("deliveries_of_messages", {"message_ids": list(deliveries)}):
        deliveries[row[0]].append(delivery(row))
    return deliveries


def _messages(
    session: Session,
    app_id: str,
    which: MessageFilter,
    places: tuple[str | None, str | None, int],
    limit: int,
    *,
    with_body: bool,
) -> Rows:
    name = "messages" if which.customer_key is None else "messages_of_customer"
    values = _values(which) | {"app_id": app_id, "with_body": with_body}
    span = span_of_messages(session, which, *places)
    if which.contains is None and not which.path:
        return page(session, name, values, span, limit)

    def fits(row: Row) -> bool:
        body = row[_BODY_COLUMN]
        return (which.contains is None or holds_text(body, which.contains)) and (
            not which.path or holds(body, which.path, which.value)
        )

    look = history.MAX_LOOK_INSIDE
    found = page(session, name, values | {"with_body": True}, span, limit, look=look, fits=fits)
    if with_body:
        return found
    return Rows([(*row[:_BODY_COLUMN], b"", *row[_BODY_COLUMN + 1 :]) for row in found.rows], found.next)


def _endpoint(session: Session, endpoint_id: str) -> dict[str, object]:
    """The number and the application of an endpoint; those of none for one that never was."""
    row = session.row("endpoint_place", {"endpoint_id": endpoint_id})
    return {"endpoint_seq": 0, "app_id": ""} if row is None else {"endpoint_seq": row[0], "app_id": row[1]}


def _waits(session: Session, endpoint_id: str, now_ms: int) -> Waits:
    of = _endpoint(session, endpoint_id)
    pending, sending = existing(session.row("queue_counts", of))
    counts: Counter[str] = Counter()
    looked_at: Counter[str] = Counter()
    next_at_ms = None
    look = {"now_ms": now_ms, "look": history.MAX_LOOK}
    for kind, state, is_behind, count, first_at_ms in session.rows("waits", of | look):
        looked_at[kind] += count
        if state == DeliveryState.PENDING:
            counts["behind" if is_behind else kind] += count
            if kind == "later" and not is_behind:
                next_at_ms = first_at_ms
    others = pending - counts.total()
    # Whatever was not looked at is behind, unless there may be more of what was.
    counts["more" if max(looked_at.values(), default=0) == history.MAX_LOOK else "behind"] += others
    return Waits(sending=sending, next_at_ms=next_at_ms, **counts)


def _values(which: MessageFilter | AttemptFilter) -> dict[str, object]:
    return msgspec.structs.asdict(which)


def _message_attempt(row: Row) -> MessageAttempt:
    endpoint_id, _, content = row[MESSAGE_COLUMNS:]
    return MessageAttempt(message=message(row), endpoint_id=str(endpoint_id), attempt=read_attempt(content))


def _attempted(row: Row) -> Attempted:
    found = message(row)
    return Attempted(message=found, delivery=delivery((found.id, *row[MESSAGE_COLUMNS:])))


def _refusal_columns(refused: RejectedRequest) -> dict[str, object]:
    values = msgspec.structs.asdict(refused)
    return values | {"code": refused.code, "detail": reason_column(refused.reason)}


def _refused(row: Row) -> RejectedRequest:
    seq, source_id, at_ms, status, code, detail, event_id = row
    why = read_refusal(code, detail)
    return RejectedRequest(seq=seq, source_id=source_id, at_ms=at_ms, status=status, reason=why, event_id=event_id)


def _reader(kind: type[T], *fields: str) -> Callable[[Sequence[object]], T]:
    convert = converter(kind)
    return lambda row: convert(dict(zip(fields, row, strict=True)))


_tally = _reader(Tally, "state", "attempts", "duration_ms", "latency_ms", "latency_max_ms", "warned")
_version = _reader(Version, "version", "created_at_ms", "code")
_change = _reader(Change, "seq", "at_ms", "actor", "action", "app_id", "subject", "detail")
