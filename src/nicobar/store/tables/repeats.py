"""What is repeated."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from nicobar.store.leases import endpoint_lease
from nicobar.store.queue import Finished
from nicobar.store.repeats import MAX_LATE_MS, DueRepeat, KeptRepeat, RecentOrders, RepeatEnd, RepeatSteps
from nicobar.store.session import Session
from nicobar.store.tables.base import Tables

# The orders of recent deliveries are read from so many latest attempts of an endpoint.
RECENT_ATTEMPTS = 10_000


class RepeatTables(Tables):
    """`Repeats` over a database."""

    async def due_repeats(
        self, endpoint_seq: int, *, term: int, now_ms: int, limit: int, beside: Collection[int] = ()
    ) -> list[DueRepeat]:
        of = _leased(endpoint_seq, term) | {"now_ms": now_ms, "late_ms": now_ms - MAX_LATE_MS, "limit": limit}
        of |= {"endpoint_seqs": [endpoint_seq, *beside]}
        return [
            DueRepeat(place=place, person=person, turn=turn, content=content, catalogue_version=version)
            for place, person, turn, content, version in await self._rows("due_repeats", of)
        ]

    async def settle_repeats(self, endpoint_seq: int, *, term: int, now_ms: int, ended: Sequence[RepeatEnd]) -> None:
        of = _leased(endpoint_seq, term)
        kept = [of | msgspec.structs.asdict(item) for item in ended if item.due_at_ms is not None]
        dropped = [
            of | {"place": item.place, "person": item.person, "turn": item.turn}
            for item in ended
            if item.due_at_ms is None
        ]

        def work(session: Session) -> None:
            session.lock(endpoint_seq)
            session.run("forget_sent_repeats", of | {"now_ms": now_ms, "late_ms": now_ms - MAX_LATE_MS})
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
    """Keeps what deliveries have sent that is to be repeated."""
    places: dict[str, list[tuple[Finished, RepeatSteps]]] = {}
    for item in finished:
        if item.repeats is not None:
            places.setdefault(item.repeats.place, []).append((item, item.repeats))
    for place, steps in sorted(places.items(), key=lambda item: item[0]):
        _keep(session, place, steps)


def _keep(session: Session, place: str, finished: Sequence[tuple[Finished, RepeatSteps]]) -> None:
    orders = {steps.order_key for _, steps in finished if steps.order_key is not None}
    people = {person for _, steps in finished for person in steps.people}
    of = {"place": place, "people": sorted(people), "order_keys": sorted(orders)}
    kept = {
        person: KeptRepeat(person=person, order_key=order_key, is_sent=sent_at_ms is not None, content=content)
        for person, order_key, sent_at_ms, content in session.rows("repeats_of_people", of)
    }
    changes: dict[str, dict[str, object]] = {}
    for item, steps in finished:
        for change in steps.changes(kept):
            kept.pop(change.person, None)
            if change.content is not None:
                kept[change.person] = KeptRepeat(
                    person=change.person, order_key=change.order_key, is_sent=False, content=change.content
                )
            changes[change.person] = {
                "place": place,
                "endpoint_seq": item.endpoint_seq,
                "message_seq": item.message_seq,
                **msgspec.structs.asdict(change),
            }
    # In one order everywhere, so that two transactions never wait for each other.
    in_order = [changes[person] for person in sorted(changes)]
    removed = [{"place": place, "person": values["person"]} for values in in_order if values["content"] is None]
    put = [values for values in in_order if values["content"] is not None]
    if removed:
        session.run("remove_repeat", removed)
    if put:
        session.run("put_repeat", put)
