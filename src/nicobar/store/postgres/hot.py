"""What is done for every event, in PostgreSQL: a statement for all of a group, since each is a round trip."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from nicobar.conversion import converter
from nicobar.facts import StatedFact, merged_facts
from nicobar.model import Attempt, DeliveryState, Setbacks
from nicobar.store.catalogue import Audited
from nicobar.store.history import TALLY_MS
from nicobar.store.postgres.connection import PostgresSession
from nicobar.store.queue import Appended, Claim, Claimed, Finished, NewMessage
from nicobar.store.session import Stating
from nicobar.store.stored_reasons import reason_column
from nicobar.store.tables.base import json_text, write_audit_line
from nicobar.store.tables.erased import without_erased
from nicobar.store.tables.facts import Ordered, add_unidentified, facts_near, known_facts, still_stated
from nicobar.store.tables.queue import check_lease, claim_values, duplicate_of, free_next, give_back, keep_sent_keys
from nicobar.store.tables.repeats import keep_repeats
from nicobar.store.tables.rows import MESSAGE_COLUMNS, expunged, message, params_text, setbacks, texts


def append_many(session: PostgresSession, group: Sequence[tuple[NewMessage, Audited | None]]) -> list[Appended]:
    """Only inserts, and locks no queue: the endpoint's holder puts in order."""
    messages = [new for new, _ in group]
    ordered = _ordered(session, messages)
    rows = session.rows(
        "add_messages",
        {
            "ids": [new.id for new in messages],
            "app_ids": [new.app_id for new in messages],
            "source_ids": [new.source_id for new in messages],
            "event_ids": [new.event_id for new in messages],
            "event_types": [new.event_type for new in messages],
            "customer_keys": [item.customer_key for item in ordered],
            "occurred_at_ms": [new.occurred_at_ms for new in messages],
            "accepted_at_ms": [new.accepted_at_ms for new in messages],
            "bodies": [new.body for new in messages],
            "channels": [json_text(new.channels) for new in messages],
            "tags": [json_text(new.tags) for new in messages],
            "params": [params_text(new.params) for new in messages],
            "deliver_at_ms": [new.deliver_at_ms for new in messages],
            "customer_emails": [new.customer_email for new in messages],
            "customer_names": [new.customer_name for new in messages],
        },
    )
    seqs: dict[str, int] = {row[0]: row[1] for row in rows}
    known = _find(session, [new for new in messages if new.id not in seqs])
    duplicates = {
        new.id: duplicate_of(session, new, *known[_event(new)])
        for new in messages
        if new.id not in seqs and _event(new) in known
    }
    revised = {message_id for message_id, duplicate in duplicates.items() if duplicate.revised}
    stating = [new for new in messages if new.id in seqs or new.id in revised]
    may_be_erased = {row[0] for row in rows if row[2]} | revised
    _add_deliveries(session, ordered, seqs, _stated(session, stating, may_be_erased))
    # Where the first message of an event was deleted between the two statements, the event is a new one.
    again = [item for item in group if item[0].id not in seqs and item[0].id not in duplicates]
    appended_again = iter(append_many(session, again) if again else [])
    appended = []
    for new, audit_line in group:
        if new.id in seqs:
            write_audit_line(session, audit_line)
            appended.append(Appended(message_id=new.id, duplicate=False))
        else:
            appended.append(duplicates[new.id] if new.id in duplicates else next(appended_again))
    return appended


def _ordered(session: PostgresSession, messages: Sequence[NewMessage]) -> list[Ordered]:
    """Completed from what is stored, and from what the group states; both only where an event does not say all."""
    ordered = [Ordered(new) for new in messages]
    keys: dict[str, dict[str, None]] = {}
    for new, item in zip(messages, ordered, strict=True):
        keys.setdefault(new.app_id, {}).update(dict.fromkeys(item.keys))
    for app_id, wanted in keys.items():
        if wanted:
            stated = [fact for new in messages if new.app_id == app_id for fact in new.facts]
            known = known_facts([*facts_near(session, app_id, list(wanted)), *stated])
            for new, item in zip(messages, ordered, strict=True):
                if new.app_id == app_id and item.keys:
                    item.complete(known)
    return ordered


def put_facts(session: PostgresSession, app_id: str, stated: Sequence[Stating]) -> None:
    facts = merged_facts(without_erased(session, app_id, still_stated(session, stated)))
    session.run("put_facts", _fact_columns([(app_id, fact) for fact in facts]))


def _fact_columns(facts: Sequence[tuple[str, StatedFact]]) -> dict[str, object]:
    return {
        "fact_app_ids": [app_id for app_id, _ in facts],
        "fact_keys": [fact.key for _, fact in facts],
        "fact_customer_keys": [fact.customer_key for _, fact in facts],
        "fact_parent_keys": [fact.parent_key for _, fact in facts],
        "fact_occurred_at_ms": [fact.occurred_at_ms for _, fact in facts],
        "fact_contents": [fact.content for _, fact in facts],
        "fact_emails": [fact.email for _, fact in facts],
    }


def _event(new: NewMessage) -> tuple[str, str]:
    return new.app_id, new.event_id


def _add_deliveries(
    session: PostgresSession,
    ordered: Sequence[Ordered],
    seqs: Mapping[str, int],
    facts: Sequence[tuple[str, StatedFact]],
) -> None:
    """Adds deliveries of the stored messages, and facts by application."""
    wanted = [
        (item, seqs[item.new.id], seq) for item in ordered if item.new.id in seqs for seq in item.new.endpoint_seqs
    ]
    if not wanted and not facts:
        return
    session.run(
        "add_deliveries",
        {
            "message_seqs": [message_seq for _, message_seq, _ in wanted],
            "endpoint_seqs": [endpoint_seq for _, _, endpoint_seq in wanted],
            "due_at_ms": [item.due_at_ms for item, _, _ in wanted],
            "customer_keys": [item.order_key(endpoint_seq) for item, _, endpoint_seq in wanted],
            **_fact_columns(facts),
        },
    )


def _stated(
    session: PostgresSession, messages: Sequence[NewMessage], may_be_erased: Collection[str]
) -> list[tuple[str, StatedFact]]:
    """The facts of messages by application. Of those with one of these ids, a customer may have been erased."""
    by_application: dict[str, list[StatedFact]] = {}
    erasing: set[str] = set()
    for new in messages:
        by_application.setdefault(new.app_id, []).extend(new.facts)
        if new.id in may_be_erased:
            erasing.add(new.app_id)
    for app_id in erasing:
        by_application[app_id] = without_erased(session, app_id, by_application[app_id])
    return [(app_id, fact) for app_id, own in sorted(by_application.items()) for fact in merged_facts(own)]


def _find(
    session: PostgresSession, messages: Sequence[NewMessage]
) -> dict[tuple[str, str], tuple[str, str | None, bytes | None]]:
    """The id of the message that came first under each of these event ids, its source and its body."""
    if not messages:
        return {}
    of = {"app_ids": [new.app_id for new in messages], "event_ids": [new.event_id for new in messages]}
    rows = session.rows("find_events", of)
    claimed = {new.id for new in messages}.intersection(row[2] for row in rows)
    if claimed:  # and not stored: a process of version 10 had stored the event
        events = [{"app_id": new.app_id, "event_id": new.event_id} for new in messages if new.id in claimed]
        session.run("adopt_event", events)
        rows = session.rows("find_events", of)
    return {(app_id, event_id): (first_id, source_id, body) for app_id, event_id, first_id, source_id, body in rows}


def claim(session: PostgresSession, asked: Claim) -> list[Claimed]:
    session.lock(asked.endpoint_seq)
    rows = session.rows("claim_deliveries", claim_values(asked))
    if not rows:
        check_lease(session, asked.endpoint_seq, asked.term)
    return [_claimed(asked.endpoint_seq, message(row), *row[MESSAGE_COLUMNS:]) for row in rows]


_to_claimed = converter(Claimed)


def _claimed(endpoint_seq: int, *columns: object) -> Claimed:
    found, used, lease, edition, manual, replay_key, accepted_ids, half_sent, order_key, version, *suffered = columns
    values = {"attempts_used": used, "lease": lease, "edition": edition, "manual": manual, "replay_key": replay_key}
    kept = {"accepted_ids": () if accepted_ids is None else texts(str(accepted_ids)), "half_sent": half_sent}
    kept |= {"order_key": order_key, "setbacks": setbacks(suffered), "catalogue_version": version}
    return _to_claimed({"message": found, "endpoint_seq": endpoint_seq, **values, **kept})


def record(session: PostgresSession, finished: Sequence[Finished]) -> int:
    if not finished:
        return 0
    beside = {seq for item in finished if item.repeats is not None for seq in item.repeats.beside}
    session.lock(*({item.endpoint_seq for item in finished} | beside))
    moved = {(row[0], row[1]): (row[2], row[3]) for row in session.rows("move_deliveries", _columns(finished))}
    _add_attempts(session, finished, moved)
    keep_sent_keys(session, finished)
    held = [item for item in finished if (item.message_seq, item.endpoint_seq) in moved]
    add_unidentified(session, held)
    keep_repeats(session, held)
    freed = []
    for item in finished:
        key = item.message_seq, item.endpoint_seq
        if key not in moved:
            continue
        customer_key, task_seq = moved[key]
        ended = item.state is not DeliveryState.PENDING
        if task_seq is not None and not ended and session.run("take_back", {"task_seq": task_seq}):
            # The replay that has put it there was canceled while it was under way, and nothing of it has left.
            give_back(session, [item.message_seq], item.endpoint_seq)
            ended = True
        if ended or item.due_at_ms is None:
            freed.append((item.endpoint_seq, customer_key))
    if freed:
        free_next(session, freed, max(item.ended_at_ms for item in finished))
    return len(moved)


def _columns(finished: Sequence[Finished]) -> dict[str, object]:
    again = [item.state is DeliveryState.PENDING for item in finished]
    both = list(zip(finished, again, strict=True))
    return {
        "message_seqs": [item.message_seq for item in finished],
        "endpoint_seqs": [item.endpoint_seq for item in finished],
        "leases": [item.lease for item in finished],
        "states": [item.state.value for item in finished],
        "spent": [int(item.spent) for item in finished],
        "tried": [item.is_tried for item in finished],
        "due_at_ms": [item.due_at_ms if pending else None for item, pending in both],
        "reasons": [reason_column(item.reason) for item in finished],
        "failures": [item.failure if item.state is DeliveryState.FAILED else None for item in finished],
        "ended_at_ms": [None if pending else item.ended_at_ms for item, pending in both],
        "accepted_ids": [json_text(item.accepted_ids) if item.accepted_ids else None for item in finished],
        "half_sent": [item.half_sent if pending else None for item, pending in both],
        "warned": [item.is_warned for item in finished],
        **{name: [getattr(item.setbacks, name) for item in finished] for name in Setbacks.__struct_fields__},
    }


def _add_attempts(
    session: PostgresSession, finished: Sequence[Finished], moved: Mapping[tuple[int, int], object]
) -> None:
    tried = [(item, item.attempt) for item in finished if item.attempt is not None]
    if not tried:
        return
    late = [item.message_seq for item, _ in tried if (item.message_seq, item.endpoint_seq) not in moved]
    left = {seq for (seq,) in session.rows("left_messages", {"seqs": late})} if late else set()

    def kept(item: Finished, attempt: Attempt) -> Attempt:
        # Data erased under way must not return with its attempt.
        held = (item.message_seq, item.endpoint_seq) in moved or item.message_seq in left
        return attempt if held else expunged(attempt)

    values = {
        "ids": [attempt.id for _, attempt in tried],
        "message_seqs": [item.message_seq for item, _ in tried],
        "endpoint_seqs": [item.endpoint_seq for item, _ in tried],
        "contents": [msgspec.msgpack.encode(kept(item, attempt)) for item, attempt in tried],
        "states": [attempt.state.value for _, attempt in tried],
        "statuses": [attempt.status for _, attempt in tried],
        "manual": [attempt.manual for _, attempt in tried],
        "started_at_ms": [attempt.started_at_ms for _, attempt in tried],
    }
    added = {attempt_id for (attempt_id,) in session.rows("add_attempts", values)}
    counted = [(item, attempt) for item, attempt in tried if attempt.id in added]
    if counted:
        session.run(
            "tally_attempts",
            {
                "message_seqs": [item.message_seq for item, _ in counted],
                "endpoint_seqs": [item.endpoint_seq for item, _ in counted],
                "ended_at_ms": [item.ended_at_ms for item, _ in counted],
                "states": [attempt.state.value for _, attempt in counted],
                "duration_ms": [attempt.duration_ms for _, attempt in counted],
                "warned": [attempt.is_warned for _, attempt in counted],
                "tally_ms": TALLY_MS,
            },
        )
