"""What is sent once more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from nicobar.store.leases import endpoint_lease
from nicobar.store.queue import Finished
from nicobar.store.repeats import DueRepeat, KeptRepeat, RecentOrders, RepeatChange, RepeatEnd
from nicobar.store.session import Session
from nicobar.store.tables.base import Tables

# The orders of recent deliveries are read from so many latest attempts of an endpoint.
RECENT_ATTEMPTS = 10_000


class RepeatTables(Tables):
    """`Repeats` over a database."""

    async def repeats_of_people(
        self, endpoint_seq: int, people: Collection[str], order_keys: Collection[str]
    ) -> list[KeptRepeat]:
        of = {"endpoint_seq": endpoint_seq, "people": list(people), "order_keys": list(order_keys)}
        return [
            KeptRepeat(person=person, order_key=order_key, turn=turn, is_sent=sent_at_ms is not None, content=content)
            for person, order_key, turn, sent_at_ms, content in await self._rows("repeats_of_people", of)
        ]

    async def due_repeats(self, endpoint_seq: int, *, term: int, now_ms: int, limit: int) -> list[DueRepeat]:
        of = _leased(endpoint_seq, term) | {"now_ms": now_ms, "limit": limit}
        return [
            DueRepeat(person=person, turn=turn, content=content, catalogue_version=version)
            for person, turn, content, version in await self._rows("due_repeats", of)
        ]

    async def settle_repeats(self, endpoint_seq: int, *, term: int, now_ms: int, ended: Sequence[RepeatEnd]) -> None:
        of = _leased(endpoint_seq, term)
        kept = [of | msgspec.structs.asdict(item) for item in ended if item.due_at_ms is not None]
        dropped = [of | {"person": item.person, "turn": item.turn} for item in ended if item.due_at_ms is None]

        def work(session: Session) -> None:
            session.lock(endpoint_seq)
            session.run("forget_sent_repeats", of | {"now_ms": now_ms})
            if kept:
                session.run("settle_repeat", kept)
            if dropped:
                session.run("drop_repeat", dropped)

        await self._database.write(work)

    async def next_repeat_at_ms(self, endpoint_seq: int) -> int | None:
        row = await self._row("next_repeat", {"endpoint_seq": endpoint_seq})
        return None if row is None or row[0] is None else int(row[0])

    async def recent_orders(self, endpoint_seq: int, *, since_ms: int) -> RecentOrders:
        of = {"endpoint_seq": endpoint_seq, "since_ms": since_ms, "limit": RECENT_ATTEMPTS}
        rows = await self._rows("recent_orders", of)
        order_keys = frozenset(order_key for order_key, _ in rows)
        return RecentOrders(order_keys=order_keys, is_whole=sum(count for _, count in rows) < RECENT_ATTEMPTS)

    async def forget_repeats(self, *, limit: int) -> int:
        return await self._run("forget_repeats", {"limit": limit})


def _leased(endpoint_seq: int, term: int) -> dict[str, object]:
    return {"endpoint_seq": endpoint_seq, "lease_name": endpoint_lease(endpoint_seq), "term": term}


def keep_repeats(session: Session, finished: Iterable[Finished]) -> None:
    """Keeps what deliveries have sent that is to be sent once more. The last change of a person counts."""
    changes: dict[tuple[int, str], tuple[Finished, RepeatChange]] = {}
    for item in finished:
        for change in item.repeats:
            changes[item.endpoint_seq, change.person] = item, change
    # In one order everywhere, so that two transactions never wait for each other.
    in_order = [(key, *changes[key]) for key in sorted(changes)]
    if removed := [
        {"endpoint_seq": endpoint_seq, "person": person}
        for (endpoint_seq, person), _, change in in_order
        if change.alone is None
    ]:
        session.run("remove_repeat", removed)
    if kept := [
        {"endpoint_seq": item.endpoint_seq, "message_seq": item.message_seq, **msgspec.structs.asdict(change)}
        for _, item, change in in_order
        if change.alone is not None
    ]:
        session.run("put_repeat", kept)
