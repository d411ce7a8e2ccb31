"""The queue. `append`, `claim` and `record` are each database's own; this is what they and the other rules share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from nicobar.errors import LeaseLost
from nicobar.model import Breaker
from nicobar.store.catalogue import Audited
from nicobar.store.leases import endpoint_lease
from nicobar.store.queue import NEW_MS, NO_SHARES, Appended, Backlog, Claim, Claimed, Finished, NewMessage, Shares
from nicobar.store.session import Session
from nicobar.store.stored_reasons import read_breaker
from nicobar.store.tables.base import Tables, json_text


class QueueTables(Tables):
    """`Queue` over a database."""

    async def append(self, message: NewMessage, *, audit_line: Audited | None = None) -> Appended:
        return await self._database.append(message, audit_line)

    async def claim(
        self,
        endpoint_seq: int,
        *,
        term: int,
        now_ms: int,
        limit: int,
        max_bytes: int,
        lease_ms: int,
        shares: Shares = NO_SHARES,
    ) -> list[Claimed]:
        asked = Claim(
            endpoint_seq=endpoint_seq,
            term=term,
            now_ms=now_ms,
            limit=limit,
            max_bytes=max_bytes,
            lease_ms=lease_ms,
            shares=shares,
        )
        return await self._database.claim(asked)

    async def release_strays(self, endpoint_seq: int, *, term: int, under_way: Collection[int], after_ms: int) -> int:
        def release(session: Session) -> int:
            session.lock(endpoint_seq)
            of = {"endpoint_seq": endpoint_seq, "lease_name": endpoint_lease(endpoint_seq), "term": term}
            return session.run("release_strays", of | {"message_seqs": list(under_way), "after_ms": after_ms})

        return await self._database.write(release)

    async def record(self, finished: Sequence[Finished]) -> int:
        return await self._database.record(finished)

    async def next_due_at_ms(self, endpoint_seq: int) -> int | None:
        row = await self._row("next_due", {"endpoint_seq": endpoint_seq})
        return None if row is None or row[0] is None else int(row[0])

    async def due_times(self) -> Mapping[int, int]:
        return {seq: due_at_ms for seq, due_at_ms in await self._rows("due_times") if due_at_ms is not None}

    async def shift_times(self, endpoint_seqs: Sequence[int], *, after_ms: int, by_ms: int) -> int:
        of = {"endpoint_seqs": list(endpoint_seqs)}
        return await self._run("shift_times", of | {"after_ms": after_ms, "by_ms": by_ms})

    async def bound_times(self, endpoint_seqs: Sequence[int], *, now_ms: int, latest_ms: int) -> int:
        of = {"endpoint_seqs": list(endpoint_seqs)}
        return await self._run("bound_times", of | {"now_ms": now_ms, "latest_ms": latest_ms})

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
    return session.run("give_back", values) + session.run("unmake_deliveries", values)


def free_next(session: Session, customers: Iterable[tuple[int, str | None]], now_ms: int) -> None:
    """Makes the first unfinished delivery of each (endpoint, customer) due, if it was waiting for an earlier one."""
    waiting = sorted({(seq, key) for seq, key in customers if key is not None})
    if waiting:
        of = {"endpoint_seqs": [seq for seq, _ in waiting], "customer_keys": [key for _, key in waiting]}
        session.run("free_next", of | {"now_ms": now_ms})
