"""The queue. `append`, `claim` and `record` are each database's own; this is what they and the other rules share."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from nicobar.errors import LeaseLost
from nicobar.model import Breaker, Outage
from nicobar.store.catalogue import Audited
from nicobar.store.leases import endpoint_lease
from nicobar.store.queue import (
    MAX_REVISIONS,
    MAX_REVISIONS_BYTES,
    NEW_MS,
    Appended,
    Backlog,
    Claim,
    Claimed,
    Finished,
    NewMessage,
    Overtaken,
    SentKey,
)
from nicobar.store.repeats import REPEAT_AFTER_MS
from nicobar.store.session import Session
from nicobar.store.stored_reasons import read_breaker
from nicobar.store.tables.base import Tables, json_text

# Whether a destination accepts other deliveries is read from so many latest attempts of its endpoint.
OVERTAKING_LOOK_ATTEMPTS = 1_000


class QueueTables(Tables):
    """`Queue` over a database."""

    async def append(self, message: NewMessage, *, audit_line: Audited | None = None) -> Appended:
        return await self._database.append(message, audit_line)

    async def claim(self, asked: Claim) -> list[Claimed]:
        return await self._database.claim(asked)

    async def release_strays(self, endpoint_seq: int, *, term: int, under_way: Collection[int], after_ms: int) -> int:
        def release(session: Session) -> int:
            session.lock(endpoint_seq)
            of = {"endpoint_seq": endpoint_seq, "lease_name": endpoint_lease(endpoint_seq), "term": term}
            return session.run("release_strays", of | {"message_seqs": list(under_way), "after_ms": after_ms})

        return await self._database.write(release)

    async def record(self, finished: Sequence[Finished]) -> int:
        return await self._database.record(finished)

    async def sent_keys(self, workspaces: Sequence[str], event_ids: Sequence[str]) -> Mapping[str, SentKey]:
        of = {"workspaces": list(workspaces), "event_ids": list(event_ids)}
        found = [
            SentKey(workspace=row[0], event_id=row[1], message_id=row[2], endpoint_id=row[3], sent_at_ms=row[4])
            for row in await self._rows("sent_keys", of)
        ]
        return {key.event_id: key for key in found}

    async def hasten_failed(
        self, endpoint_seq: int, *, term: int, outage: Outage, now_ms: int, over_ms: int, limit: int
    ) -> int:
        of = {"endpoint_seq": endpoint_seq, "lease_name": endpoint_lease(endpoint_seq), "term": term, "limit": limit}
        of |= {"since_ms": outage.since_ms, "until_ms": outage.until_ms}
        times = {"now_ms": now_ms, "apart_ms": over_ms // limit}

        def hasten(session: Session) -> int:
            session.lock(endpoint_seq)
            return session.run("hasten_failed", of | times)

        return await self._database.write(hasten)

    async def failing_since_ms(self, endpoint_seq: int) -> int | None:
        row = await self._row("failing_since", {"endpoint_seq": endpoint_seq})
        return None if row is None else int(row[0])

    async def overtake(
        self, endpoint_seq: int, *, term: int, before_ms: int, now_ms: int, responds: bool, limit: int
    ) -> list[Overtaken]:
        of = {"endpoint_seq": endpoint_seq, "lease_name": endpoint_lease(endpoint_seq), "term": term, "limit": limit}
        of |= {"before_ms": before_ms, "now_ms": now_ms, "responds": responds, "look": OVERTAKING_LOOK_ATTEMPTS}

        def overtake(session: Session) -> list[Overtaken]:
            session.lock(endpoint_seq)
            found = session.rows("overtakable", of)
            if not found:
                return []
            seqs = [message_seq for message_seq, *_ in found]
            session.run("overtake", {"endpoint_seq": endpoint_seq, "message_seqs": seqs, "now_ms": now_ms})
            free_next(session, [(endpoint_seq, customer_key) for _, customer_key, *_ in found], now_ms)
            return [Overtaken(message_id=message_id, failing_since_ms=since) for _, _, message_id, since in found]

        return await self._database.write(overtake)

    async def next_due_at_ms(self, endpoint_seq: int) -> int | None:
        row = await self._row("next_due", {"endpoint_seq": endpoint_seq})
        return None if row is None or row[0] is None else int(row[0])

    async def due_times(self) -> Mapping[int, int]:
        return {seq: due_at_ms for seq, due_at_ms in await self._rows("due_times") if due_at_ms is not None}

    async def shift_times(self, endpoint_seqs: Sequence[int], *, after_ms: int, by_ms: int) -> int:
        values = {"endpoint_seqs": list(endpoint_seqs), "after_ms": after_ms, "by_ms": by_ms}

        def shift(session: Session) -> int:
            session.run("shift_setbacks", values)
            session.run("shift_repeats", values)
            return session.run("shift_times", values)

        return await self._database.write(shift)

    async def bound_times(self, endpoint_seqs: Sequence[int], *, now_ms: int, latest_ms: int) -> int:
        of = {"endpoint_seqs": list(endpoint_seqs)}

        def bound(session: Session) -> int:
            session.run("bound_repeats", of | {"latest_repeat_ms": now_ms + REPEAT_AFTER_MS})
            return session.run("bound_times", of | {"now_ms": now_ms, "latest_ms": latest_ms})

        return await self._database.write(bound)

    async def backlog(self, endpoint_seq: int | None = None) -> list[Backlog]:
        name = "backlog" if endpoint_seq is None else "backlog_of_endpoint"
        of = {} if endpoint_seq is None else {"endpoint_seq": endpoint_seq}
        return [
            Backlog(endpoint_seq=seq, unfinished=unfinished, oldest_accepted_at_ms=oldest)
            for seq, unfinished, oldest in await self._rows(name, of)
        ]

    async def breakers(self) -> Mapping[int, Breaker]:
        return {seq: read_breaker(content) for seq, content in await self._rows("breakers")}

    async def keep_breaker(self, endpoint_seq: int, breaker: Breaker, *, term: int) -> None:
        of = {"endpoint_seq": endpoint_seq, "lease_name": endpoint_lease(endpoint_seq), "term": term}
        await self._run("keep_breaker", of | {"content": json_text(breaker)})


def claim_values(asked: Claim) -> dict[str, object]:
    """The values of the queries that claim."""
    return {
        "endpoint_seq": asked.endpoint_seq,
        "lease_name": endpoint_lease(asked.endpoint_seq),
        "term": asked.term,
        "now_ms": asked.now_ms,
        "limit": asked.limit,
        "max_bytes": asked.max_bytes,
        "ends_at_ms": asked.now_ms + asked.lease_ms,
        "behind": asked.limit - 1 if asked.shares.chains else 0,
        "new_after_ms": asked.now_ms - NEW_MS,
        "oldest_new": asked.shares.oldest_new,
        "newest_new": asked.shares.newest_new,
    }


def check_lease(session: Session, endpoint_seq: int, term: int) -> None:
    """Raises LeaseLost where the endpoint's lease has another term."""
    row = session.row("lease_term", {"name": endpoint_lease(endpoint_seq)})
    if term != (0 if row is None else row[0]):
        raise LeaseLost("lease_lost", f"Another worker delivers for endpoint {endpoint_seq}.", "Nothing to do.")


def give_back(session: Session, message_seqs: Sequence[int], endpoint_seq: int) -> int:
    """Turns deliveries back into what a replay has found, those without an attempt since; returns how many."""
    values = {"message_seqs": list(message_seqs), "endpoint_seq": endpoint_seq}
    given_back = session.run("give_back", values)
    if given_back:
        session.run("recheck_unidentified_of_messages", values)
    return given_back + session.run("unmake_deliveries", values)


def duplicate_of(
    session: Session, new: NewMessage, first_id: str, source_id: str | None, body: bytes | None
) -> Appended:
    """The outcome for an event id that a message of this source, with this body, already has."""
    # What a message was that is gone, or was emptied, can no longer be compared.
    differs = bool(body) and body != new.body
    revised = differs and source_id == new.source_id
    if revised:
        _keep_revision(session, first_id, new)
    return Appended(message_id=first_id, duplicate=True, taken=differs and not revised, revised=revised)


def _keep_revision(session: Session, message_id: str, new: NewMessage) -> None:
    """Keeps another body that a source sent under an event id of its own, as far as there is room."""
    values = {
        "message_id": message_id,
        "sha256": hashlib.sha256(new.body).hexdigest(),
        "accepted_at_ms": new.accepted_at_ms,
        "body": new.body,
        "body_bytes": len(new.body),
        "max_revisions": MAX_REVISIONS,
        "max_bytes": MAX_REVISIONS_BYTES,
    }
    session.run("keep_revision", values)


def keep_sent_keys(session: Session, finished: Iterable[Finished]) -> None:
    """The first of each key stays. In one order everywhere, so that two transactions never wait for each other."""
    keys: dict[tuple[str, str], SentKey] = {}
    for item in finished:
        for key in item.sent_keys:
            keys.setdefault((key.workspace, key.event_id), key)
    if keys:
        session.run("keep_sent_key", [msgspec.structs.asdict(key) for _, key in sorted(keys.items(), key=_place)])


def _place(item: tuple[tuple[str, str], SentKey]) -> tuple[str, str]:
    return item[0]


def free_next(session: Session, customers: Iterable[tuple[int, str | None]], now_ms: int) -> None:
    """Makes the first unfinished delivery of each (endpoint, customer) due, if it was waiting for an earlier one."""
    waiting = sorted({(seq, key) for seq, key in customers if key is not None})
    if waiting:
        of = {"endpoint_seqs": [seq for seq, _ in waiting], "customer_keys": [key for _, key in waiting]}
        session.run("free_next", of | {"now_ms": now_ms})
