"""Customers by what a user knows of them."""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.facts import KnownFact, known_fact
from nicobar.store.history import Page, Seen
from nicobar.store.lookup import MAX_LOOKED_AT
from nicobar.store.session import Row, Session
from nicobar.store.tables.base import LAST_CHARACTER, Tables, existing
from nicobar.store.tables.pages import check_limit
from nicobar.store.tables.rows import stored_fact


class LookupTables(Tables):
    """`Lookup` over a database."""

    async def facts_like(self, app_id: str, prefixes: Sequence[str], *, limit: int) -> list[KnownFact]:
        of = {"app_id": app_id, "prefixes": list(prefixes), "last": LAST_CHARACTER, "limit": limit}
        return [known_fact(stored_fact(row)) for row in await self._rows("facts_like", of)] if prefixes else []

    async def customers_with_email(self, app_id: str, prefix: str, *, limit: int) -> list[KnownFact]:
        of = {"app_id": app_id, "prefix": prefix, "prefix_end": prefix + LAST_CHARACTER, "limit": limit}
        return [known_fact(stored_fact(row)) for row in await self._rows("customers_with_email", of)]

    async def latest_customers(self, app_id: str, *, before: int | None = None, limit: int) -> Page[Seen]:
        check_limit(limit)

        def work(session: Session) -> Page[Seen]:
            top_seq = before or existing(session.row("newest_message_seq"))[0] + 1
            floor_seq = top_seq - MAX_LOOKED_AT
            of = {"app_id": app_id, "before_seq": top_seq, "floor_seq": floor_seq, "limit": limit}
            rows = session.rows("latest_customers", of)
            items = tuple(_seen(row[1:]) for row in rows)
            left_seq = rows[-1][0] if len(rows) == limit else floor_seq
            return Page(items=items, next=str(left_seq) if left_seq > 1 else None)

        return await self._database.read(work)

    async def latest_of_customers(self, app_id: str, keys: Sequence[str]) -> list[Seen]:
        rows = await self._rows("latest_of_customers", {"app_id": app_id, "keys": list(keys)}) if keys else []
        found = {seen.customer_key: seen for seen in map(_seen, rows)}
        return [found[key] for key in keys if key in found]


def _seen(row: Row) -> Seen:
    key, message_id, event_type, accepted_at_ms = row
    return Seen(customer_key=key, message_id=message_id, event_type=event_type, accepted_at_ms=accepted_at_ms)
