"""What is done for every event, in SQLite: one query more costs a few microseconds here, and no round trip."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nicobar.facts import StatedFact, merged_facts
from nicobar.model import Attempt, DeliveryState, Setbacks
from nicobar.store.catalogue import Audited
from nicobar.store.history import TALLY_MS
from nicobar.store.queue import Appended, Claim, Claimed, Finished, NewMessage
from nicobar.store.session import Stating
from nicobar.store.sqlite.connection import SQL, SqliteSession
from nicobar.store.stored_reasons import reason_column
from nicobar.store.tables.base import existing, json_text, write_audit_line
from nicobar.store.tables.erased import without_erased
from nicobar.store.tables.facts import Ordered, add_unidentified, facts_near, known_facts, still_stated
from nicobar.store.tables.queue import check_lease, claim_values, duplicate_of, give_back, keep_sent_keys
from nicobar.store.tables.repeats import keep_repeats
from nicobar.store.tables.rows import MESSAGE_COLUMNS, expunged, message, params_text, setbacks, texts

# So many facts are written by one statement, whose file has the row of one.
FACTS_AT_ONCE = 8
_ROW = "(?, ?, ?, ?, ?, ?, ?)"


def _of_rows(name: str) -> list[str]:
    """A query for no row, one row, and so on."""
    return [SQL[name].replace(_ROW, ", ".join([_ROW] * rows)) for rows in range(FACTS_AT_ONCE + 1)]


_ADD_FACTS, _MERGE_FACTS = _of_rows("add_facts"), _of_rows("merge_facts")


def append_many(session: SqliteSession, messages: Sequence[tuple[NewMessage, Audited | None]]) -> list[Appended]:
    stated = _Stated(session)
    appended = [_append(session, stated, new, audit_line) for new, audit_line in messages]
    stated.put()
    return appended


def put_each(session: SqliteSession, groups: Sequence[tuple[str, Sequence[Stating]]]) -> list[None]:
    stated = _Stated(session)
    for app_id, of_app in groups:
        stated.add(app_id, without_erased(session, app_id, still_stated(session, of_app)))
    stated.put()
    return [None for _ in groups]


class _Stated:
    """The facts of a group, merged with what is stored by as few statements as possible: for each of them this thread
    waits for others.
    """

    def __init__(self, session: SqliteSession) -> None:
        self._session = session
        self._by_app: dict[str, list[StatedFact]] = {}

    def add(self, app_id: str, facts: Sequence[StatedFact]) -> None:
        self._by_app.setdefault(app_id, []).extend(facts)

    def put(self) -> None:
        execute = self._session.connection.execute
        for app_id, of_app in self._by_app.items():
            facts = merged_facts(of_app)
            for start in range(0, len(facts), FACTS_AT_ONCE):
                some = facts[start : start + FACTS_AT_ONCE]
                values = [value for fact in some for value in _row(app_id, fact)]
                if execute(_ADD_FACTS[len(some)], values).rowcount < len(some):
                    execute(_MERGE_FACTS[len(some)], values).close()
        self._by_app.clear()


def _row(app_id: str, fact: StatedFact) -> tuple[str | int | None, ...]:
    return (
        app_id,
        fact.key,
        fact.customer_key,
        fact.parent_key,
        fact.occurred_at_ms,
        fact.content,
        fact.email,
    )


def _append(session: SqliteSession, stated: _Stated, new: NewMessage, audit_line: Audited | None) -> Appended:
    execute = session.connection.execute
    ordered = Ordered(new)
    if keys := ordered.keys:
        stated.put()
        ordered.complete(known_facts(facts_near(session, new.app_id, keys)))
    row = execute(
        SQL["add_message"],
        {
            "id": new.id,
            "app_id": new.app_id,
            "source_id": new.source_id,
            "event_id": new.event_id,
            "event_type": new.event_type,
            "customer_key": ordered.customer_key,
            "occurred_at_ms": new.occurred_at_ms,
            "accepted_at_ms": new.accepted_at_ms,
            "body": new.body,
            "channels": json_text(new.channels) if new.channels else "[]",
            "tags": json_text(new.tags) if new.tags else "[]",
            "params": params_text(new.params),
            "deliver_at_ms": new.deliver_at_ms,
            "customer_email": new.customer_email,
            "customer_name": new.customer_name,
        },
    ).fetchone()
    if row is None:
        event = {"app_id": new.app_id, "event_id": new.event_id}
        first_id, source_id, body = existing(session.row("find_event", event))
        duplicate = duplicate_of(session, new, first_id, source_id, body)
        if duplicate.revised:
            stated.add(new.app_id, without_erased(session, new.app_id, new.facts))
        return duplicate
    seq, may_be_erased = row
    stated.add(new.app_id, without_erased(session, new.app_id, new.facts) if may_be_erased else new.facts)
    for endpoint_seq in new.endpoint_seqs:
        execute(
            SQL["add_delivery"],
            {
                "message_seq": seq,
                "endpoint_seq": endpoint_seq,
                "customer_key": ordered.order_key(endpoint_seq),
                "due_at_ms": ordered.due_at_ms,
            },
        )
    write_audit_line(session, audit_line)
    return Appended(message_id=new.id, duplicate=False)


def claim_many(session: SqliteSession, claims: Sequence[Claim]) -> list[list[Claimed]]:
    return [_claim(session, asked) for asked in claims]


def _claim(session: SqliteSession, asked: Claim) -> list[Claimed]:
    claimed: list[Claimed] = []
    size_bytes = 0
    values = claim_values(asked)
    astray: list[int] = []
    rows = session.connection.execute(SQL["claimable_deliveries"], values)
    for row in rows:
        own = row[MESSAGE_COLUMNS:]
        (
            used,
            lease,
            edition,
            manual,
            replay_key,
            accepted_ids,
            half_sent,
            order_key,
            version,
            is_behind,
            *suffered,
        ) = own
        if is_behind:
            astray.append(row[0])
            continue
        found = message(row)
        size_bytes += len(found.body)
        if claimed and size_bytes > asked.max_bytes:
            break
        claimed.append(
            Claimed(
                message=found,
                endpoint_seq=asked.endpoint_seq,
                lease=lease + 1,
                order_key=order_key,
                attempts_used=used,
                edition=edition,
                manual=bool(manual),
                replay_key=replay_key,
                accepted_ids=() if accepted_ids is None else texts(accepted_ids),
                half_sent=half_sent,
                setbacks=setbacks(suffered) if any(suffered) else Setbacks(),
                catalogue_version=version,
            )
        )
    rows.close()
    if astray:
        session.run("put_behind", {"endpoint_seq": asked.endpoint_seq, "message_seqs": astray})
    if claimed:
        session.run("lease_deliveries", values | {"message_seqs": [item.message.seq for item in claimed]})
    else:
        check_lease(session, asked.endpoint_seq, asked.term)
    return claimed


def record_many(session: SqliteSession, pages: Sequence[Sequence[Finished]]) -> list[int]:
    keep_sent_keys(session, [item for page in pages for item in page])
    return [_record_page(session, page) for page in pages]


def _record_page(session: SqliteSession, page: Sequence[Finished]) -> int:
    moved: list[Finished] = []
    # The next delivery of each customer becomes due, once for all of a chain.
    freed: dict[tuple[int, str], int] = {}
    for finished in page:
        row = _record(session, finished)
        if row is None:
            continue
        moved.append(finished)
        customer_key, is_over = row
        if is_over and customer_key is not None:
            freed[finished.endpoint_seq, customer_key] = finished.ended_at_ms
    for (endpoint_seq, customer_key), now_ms in freed.items():
        of = {"endpoint_seq": endpoint_seq, "customer_key": customer_key, "now_ms": now_ms}
        session.run("free_next_of_customer", of)
    add_unidentified(session, moved)
    keep_repeats(session, moved)
    return len(moved)


def _record(session: SqliteSession, finished: Finished) -> tuple[str | None, bool] | None:
    """The customer, and whether the next delivery may be due; None where the lease is no longer held."""
    pending_again = finished.state is DeliveryState.PENDING
    row = session.connection.execute(
        SQL["move_delivery"],
        {
            "message_seq": finished.message_seq,
            "endpoint_seq": finished.endpoint_seq,
            "lease": finished.lease,
            "state": finished.state.value,
            "spent": finished.spent,
            "tried": finished.is_tried,
            "due_at_ms": finished.due_at_ms if pending_again else None,
            "reason": reason_column(finished.reason),
            "failure": finished.failure if finished.state is DeliveryState.FAILED else None,
            "ended_at_ms": None if pending_again else finished.ended_at_ms,
            "accepted_ids": json_text(finished.accepted_ids) if finished.accepted_ids else None,
            "half_sent": finished.half_sent if pending_again else None,
            "warned": finished.is_warned,
            **msgspec.structs.asdict(finished.setbacks),
        },
    ).fetchone()
    if finished.attempt is not None:
        _add_attempt(session, finished, finished.attempt, held=row is not None)
    if row is None:
        return None
    customer_key, task_seq = row
    ended = not pending_again
    if task_seq is not None and pending_again:
        # The replay that has put it there was canceled while it was under way, and nothing of it has left.
        ended = session.run("take_back", {"task_seq": task_seq}) > 0
        if ended:
            give_back(session, [finished.message_seq], finished.endpoint_seq)
    return customer_key, ended or finished.due_at_ms is None


def _add_attempt(session: SqliteSession, finished: Finished, attempt: Attempt, *, held: bool) -> None:
    if not held:
        row = session.row("expunged_at", {"seq": finished.message_seq})
        if row is None or row[0] is not None:  # what was expunged under way must not come back with its try
            attempt = expunged(attempt)
    added = session.connection.execute(
        SQL["add_attempt"],
        {
            "id": attempt.id,
            "message_seq": finished.message_seq,
            "endpoint_seq": finished.endpoint_seq,
            "content": msgspec.msgpack.encode(attempt),
            "state": attempt.state.value,
            "status": attempt.status,
            "manual": attempt.manual,
            "started_at_ms": attempt.started_at_ms,
        },
    ).rowcount
    if added:
        _tally(session, finished, attempt)


def _tally(session: SqliteSession, finished: Finished, attempt: Attempt) -> None:
    values = {
        "message_seq": finished.message_seq,
        "endpoint_seq": finished.endpoint_seq,
        "at_ms": finished.ended_at_ms // TALLY_MS * TALLY_MS,
        "ended_at_ms": finished.ended_at_ms,
        "state": attempt.state.value,
        "duration_ms": attempt.duration_ms,
        "warned": attempt.is_warned,
    }
    session.connection.execute(SQL["tally"], values).close()
