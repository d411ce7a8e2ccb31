"""Facts, and the order of deliveries, which depends on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nicobar.facts import KnownFact, StatedFact, complete, known_fact, merged_facts, needs_facts
from nicobar.model import Customer
from nicobar.people import order_key
from nicobar.store.facts import MAX_BEFORE, MAX_SHARING
from nicobar.store.queue import NewMessage
from nicobar.store.session import Row, Session
from nicobar.store.tables.base import Tables


class FactTables(Tables):
    """`Facts` over a database."""

    async def facts(self, app_id: str, keys: Sequence[str]) -> Mapping[str, KnownFact]:
        return await self._database.read(lambda session: known_facts(facts_near(session, app_id, keys)))

    async def people(self, app_id: str, keys: Sequence[str], emails: Sequence[str]) -> list[KnownFact]:
        of = {"app_id": app_id, "keys": list(keys), "emails": list(emails), "limit": MAX_SHARING}
        rows = await self._rows("facts_of_people", of)
        return [known_fact(stored_fact(row)) for row in rows]

    async def addresses_before(self, seqs: Sequence[int]) -> Mapping[int, str]:
        rows = await self._rows("addresses_before", {"seqs": list(seqs), "look": MAX_BEFORE})
        return {seq: str(email) for seq, email in rows if email is not None}

    async def put_facts(self, app_id: str, facts: Sequence[StatedFact]) -> None:
        if facts:
            await self._database.put_facts(app_id, facts)


def facts_near(session: Session, app_id: str, keys: Sequence[str]) -> list[StatedFact]:
    return list(map(stored_fact, session.rows("facts_near", {"app_id": app_id, "keys": list(keys)})))


def stored_fact(row: Row) -> StatedFact:
    key, customer_key, parent_key, occurred_at_ms, content, email = row
    return StatedFact(
        key=key,
        customer_key=customer_key,
        parent_key=parent_key,
        occurred_at_ms=occurred_at_ms,
        content=content,
        email=email,
    )


def known_facts(facts: Iterable[StatedFact]) -> dict[str, KnownFact]:
    return {fact.key: known_fact(fact) for fact in merged_facts(facts)}


class Ordered:
    """The customer of a message and the order keys of its deliveries, by what is known when it is appended."""

    def __init__(self, new: NewMessage) -> None:
        self.new = new
        self._customer = None if new.about is None else new.about.customer
        self.customer_key = new.customer_key

    @property
    def keys(self) -> tuple[str, ...]:
        """The facts without which its customer or an order key is not known; empty if the event says all."""
        about = self.new.about
        if about is None:
            return ()
        missing = about.customer is None or any(needs_facts(rule, self._customer) for rule in self.new.rules.values())
        return about.wanted if missing else ()

    def complete(self, known: Mapping[str, KnownFact]) -> None:
        if self.new.about is not None:
            self._customer = complete(self.new.about, known).customer
            if self.customer_key is None and self._customer is not None:
                self.customer_key = self._customer.key

    @property
    def due_at_ms(self) -> int:
        return self.new.accepted_at_ms if self.new.deliver_at_ms is None else self.new.deliver_at_ms

    def order_key(self, endpoint_seq: int) -> str | None:
        """None for a delivery that waits for no other."""
        rule = self.new.rules.get(endpoint_seq)
        if self.new.deliver_at_ms is not None:
            return None
        if rule is None or self.customer_key is None:
            return self.customer_key
        return order_key(rule, self._customer or Customer(key=self.customer_key))
