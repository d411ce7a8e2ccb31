"""Merges of people at a destination."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nicobar.people import Identifier
from nicobar.reasons import Reason
from nicobar.store import merges
from nicobar.store.catalogue import Audited
from nicobar.store.merges import Merge, MergeStatus, NewMerge, Pair, PairState, SentCustomer
from nicobar.store.session import Row, Session
from nicobar.store.stored_reasons import read_reason, reason_column
from nicobar.store.tables.base import Tables, existing, write_audit_line


class MergeTables(Tables):
    """`Merges` over a database."""

    async def sent_customers(
        self, app_id: str, endpoint_seq: int, *, after: str, limit: int
    ) -> tuple[SentCustomer, ...]:
        values = {"app_id": app_id, "endpoint_seq": endpoint_seq, "after": after, "limit": limit}
        rows = await self._rows("sent_customers", values)
        return tuple(SentCustomer(customer_key=row[0], by_sender_id=bool(row[1])) for row in rows)

    async def sent_identifiers(self, app_id: str, endpoint_seq: int, customer_key: str) -> tuple[str, ...]:
        values = {"app_id": app_id, "endpoint_seq": endpoint_seq, "customer_key": customer_key}
        return tuple(row[0] for row in await self._rows("sent_identifiers", values))

    async def another_has_email(self, app_id: str, customer_key: str, email: str) -> bool:
        values = {"app_id": app_id, "customer_key": customer_key, "email": email}
        row = await self._database.survey(lambda session: session.row("another_with_email", values))
        return row is not None

    async def merged_before(self, endpoint_seq: int, values: Sequence[str]) -> frozenset[str]:
        rows = await self._rows("merged_before", {"endpoint_seq": endpoint_seq, "identifiers": list(values)})
        return frozenset(row[0] for row in rows)

    async def add_merge(self, new: NewMerge, *, audit_line: Audited | None = None) -> Merge | None:
        def work(session: Session) -> Merge | None:
            values = {name: getattr(new, name) for name in new.__struct_fields__ if name != "pairs"}
            if not session.run("add_merge", values):
                return None
            found = existing(session.row("merge", {"id": new.id}))
            session.run("add_merge_pairs", [_pair_values(found[0], pair) for pair in _numbered(new.pairs)])
            oldest = session.row("oldest_kept_merge", {"keep": merges.MAX_MERGES})
            if oldest is not None:
                session.run("trim_merge_pairs", {"seq": oldest[0]})
                session.run("trim_merges", {"seq": oldest[0]})
            write_audit_line(session, audit_line)
            return _merge(session, found)

        return await self._database.write(work)

    async def merge(self, merge_id: str) -> Merge | None:
        def work(session: Session) -> Merge | None:
            row = session.row("merge", {"id": merge_id})
            return None if row is None else _merge(session, row)

        return await self._database.read(work)

    async def merges(self, endpoint_seq: int, *, limit: int) -> tuple[Merge, ...]:
        values = {"endpoint_seq": endpoint_seq, "limit": limit}
        return await self._database.read(
            lambda session: tuple(_merge(session, row) for row in session.rows("merges_of_endpoint", values))
        )

    async def open_merges(self) -> tuple[Merge, ...]:
        return await self._database.read(
            lambda session: tuple(_merge(session, row) for row in session.rows("open_merges"))
        )

    async def merge_pairs(self, merge_seq: int, *, after: int, limit: int) -> tuple[Pair, ...]:
        values = {"merge_seq": merge_seq, "after_number": after, "limit": limit}
        return tuple(map(_pair, await self._rows("merge_pairs", values)))

    async def pairs_to_do(self, merge_seq: int, state: PairState, *, limit: int) -> tuple[Pair, ...]:
        values = {"merge_seq": merge_seq, "state": state.value, "limit": limit}
        return tuple(map(_pair, await self._rows("merge_pairs_to_do", values)))

    async def unfinished_among(self, endpoint_seq: int, values: Sequence[str]) -> frozenset[str]:
        of = {"endpoint_seq": endpoint_seq, "customer_keys": list(values)}
        return frozenset(row[0] for row in await self._rows("unfinished_among", of))

    async def put_pairs(self, merge_seq: int, pairs: Sequence[Pair], *, now_ms: int) -> None:
        def work(session: Session) -> None:
            session.run("put_merge_pair", [_pair_values(merge_seq, pair) for pair in pairs])
            session.run("touch_merge", {"seq": merge_seq, "now_ms": now_ms})

        if pairs:
            await self._database.write(work)

    async def put_merge(self, merge_seq: int, status: MergeStatus, reason: Reason | None, *, now_ms: int) -> None:
        def work(session: Session) -> None:
            of = {"seq": merge_seq, "status": status.value, "reason": reason_column(reason), "now_ms": now_ms}
            if session.run("put_merge", of) and status is not MergeStatus.RUNNING:
                session.run("cancel_merge_pairs", {"seq": merge_seq})

        await self._database.write(work)

    async def cancel_merge(self, merge_id: str, *, now_ms: int, audit_line: Audited | None = None) -> Merge | None:
        def work(session: Session) -> Merge | None:
            row = session.row("merge", {"id": merge_id})
            if row is None:
                return None
            of = {"seq": row[0], "status": MergeStatus.CANCELED.value, "reason": None, "now_ms": now_ms}
            if session.run("put_merge", of):
                session.run("cancel_merge_pairs", {"seq": row[0]})
                write_audit_line(session, audit_line)
            return _merge(session, existing(session.row("merge", {"id": merge_id})))

        return await self._database.write(work)

    async def forget_merges(self, *, before_ms: int, limit: int) -> int:
        def work(session: Session) -> int:
            of = {"before_ms": before_ms, "limit": limit}
            pairs = session.run("forget_merge_pairs", of)
            session.run("forget_merges", of)
            return pairs

        return await self._database.write(work)


def _numbered(pairs: Sequence[Pair]) -> list[Pair]:
    return [msgspec.structs.replace(pair, number=number) for number, pair in enumerate(pairs, 1)]


def _pair_values(merge_seq: int, pair: Pair) -> dict[str, object]:
    return {
        "merge_seq": merge_seq,
        "number": pair.number,
        "customer_key": pair.customer_key,
        "secondary_kind": pair.secondary.kind,
        "secondary_value": pair.secondary.value,
        "primary_kind": pair.primary.kind,
        "primary_value": pair.primary.value,
        "state": pair.state.value,
        "changed_at_ms": pair.changed_at_ms,
        "reason": reason_column(pair.reason),
    }


def _pair(row: Row) -> Pair:
    return Pair(
        number=row[0],
        customer_key=row[1],
        secondary=Identifier(kind=row[2], value=row[3]),
        primary=Identifier(kind=row[4], value=row[5]),
        state=PairState(row[6]),
        changed_at_ms=row[7],
        reason=read_reason(row[8]),
    )


def _merge(session: Session, row: Row) -> Merge:
    counted = session.rows("count_merge_pairs", {"seq": row[0]})
    return Merge(
        seq=row[0],
        id=row[1],
        app_id=row[2],
        endpoint_seq=row[3],
        endpoint_id=row[4],
        rule=row[5],
        status=MergeStatus(row[6]),
        reason=read_reason(row[7]),
        created_at_ms=row[8],
        updated_at_ms=row[9],
        counts={PairState(state): int(count) for state, count in counted},
    )
