"""Facts, and the order of deliveries, which depends on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from nicobar.facts import KnownFact, StatedFact, complete, known_fact, merged_facts, needs_facts
from nicobar.model import Customer, Message
from nicobar.people import IdentityRule, order_key
from nicobar.store.facts import (
    LATE_MS,
    MAX_BEFORE,
    MAX_COUNTED,
    MAX_SHARING,
    FactsOfPerson,
    Identified,
    People,
    Rebuild,
    Unidentified,
    Whose,
)
from nicobar.store.queue import Finished, NewMessage
from nicobar.store.session import Session, Stating
from nicobar.store.tables.base import Tables, json_text
from nicobar.store.tables.persons import facts_of_persons
from nicobar.store.tables.queue import check_lease
from nicobar.store.tables.rows import message, stored_fact

# Bodies that are read together.
_BODIES_AT_ONCE = 200


class FactTables(Tables):
    """`Facts` over a database."""

    async def facts(self, app_id: str, keys: Sequence[str]) -> Mapping[str, KnownFact]:
        return await self._database.read(lambda session: known_facts(facts_near(session, app_id, keys)))

    async def people(self, app_id: str, keys: Sequence[str], emails: Sequence[str]) -> list[KnownFact]:
        of = {"app_id": app_id, "keys": list(keys), "emails": list(emails), "limit": MAX_SHARING}
        rows = await self._rows("facts_of_people", of)
        return [known_fact(fact) for fact in {fact.key: fact for fact in map(stored_fact, rows)}.values()]

    async def addresses_before(self, seqs: Sequence[int]) -> Mapping[int, str]:
        rows = await self._rows("addresses_before", {"seqs": list(seqs), "look": MAX_BEFORE})
        return {seq: str(email) for seq, email in rows if email is not None}

    async def facts_of_customer(self, app_id: str, customer_key: str, *, limit: int) -> list[KnownFact]:
        of = {"app_id": app_id, "customer_key": customer_key, "limit": limit}
        return [known_fact(stored_fact(row)) for row in await self._rows("facts_of_customer", of)]

    async def ledger(
        self, app_id: str, rule: IdentityRule | None, whose: Sequence[Whose]
    ) -> Mapping[Whose, FactsOfPerson]:
        return await self._database.read(lambda session: facts_of_persons(session, app_id, rule, whose))

    async def put_facts(self, app_id: str, facts: Sequence[StatedFact]) -> None:
        if facts:
            await self._database.put_facts(app_id, [(None, fact) for fact in facts])

    async def put_facts_of_messages(self, app_id: str, facts: Mapping[int, Sequence[StatedFact]]) -> None:
        stated = [(seq, fact) for seq, of_message in facts.items() for fact in of_message]
        if stated:
            await self._database.put_facts(app_id, stated)

    async def has_unidentified(self, endpoint_seq: int) -> bool:
        return await self._row("has_unidentified", {"endpoint_seq": endpoint_seq}) is not None

    async def unidentified(self, endpoint_seq: int, *, now_ms: int, limit: int) -> list[Unidentified]:
        of = {"endpoint_seq": endpoint_seq, "late_ms": now_ms - LATE_MS, "limit": limit}

        def work(session: Session) -> list[Unidentified]:
            news: dict[int, dict[str, int]] = {}
            for message_seq, key, count in session.rows("unidentified_due", of):
                news.setdefault(message_seq, {})[key] = count
            if not news:
                return []
            rows = session.rows(
                "messages_of_unidentified", {"endpoint_seq": endpoint_seq, "message_seqs": list(news)}
            )
            found = {item.seq: item for item in map(message, rows)}
            return [Unidentified(message_seq=seq, message=found.get(seq), news=news[seq]) for seq in news]

        return await self._database.read(work)

    async def recheck_unidentified(self, endpoint_seq: int, *, term: int) -> None:
        def work(session: Session) -> bool:
            if not session.lock(endpoint_seq, order_all=True):
                return False  # the next transaction continues
            check_lease(session, endpoint_seq, term)
            session.run("recheck_unidentified", {"endpoint_seq": endpoint_seq})
            return True

        while not await self._database.write(work):
            pass

    async def settle_unidentified(
        self,
        endpoint_seq: int,
        *,
        term: int,
        now_ms: int,
        identified: Sequence[Identified],
        others: Sequence[Unidentified],
    ) -> int:
        def work(session: Session) -> int | None:
            if not session.lock(endpoint_seq, order_all=True):
                return None  # the next transaction continues
            check_lease(session, endpoint_seq, term)
            queued = _requeue(session, endpoint_seq, identified, now_ms)
            _check(session, endpoint_seq, others, now_ms)
            return queued

        while True:
            queued = await self._database.write(work)
            if queued is not None:
                return queued

    async def count_unidentified(self, app_id: str) -> Mapping[str, int]:
        rows = await self._rows("count_unidentified", {"app_id": app_id, "limit": MAX_COUNTED})
        return {endpoint_id: count for endpoint_id, count in rows if count}

    async def rebuild(self) -> Rebuild | None:
        return await self._database.read(_rebuild)

    async def begin_rebuild(self) -> Rebuild:
        def work(session: Session) -> Rebuild | None:
            session.run("begin_rebuild")
            return _rebuild(session)

        begun = await self._database.write(work)
        return begun or Rebuild(after_seq=0, until_seq=0, messages=0, ended_at_ms=0)

    async def messages_to_state(self, at: Rebuild, *, limit: int, max_bytes: int) -> list[Message]:
        of = {"after_seq": at.after_seq, "until_seq": at.until_seq, "limit": limit}
        found: list[Message] = []
        size_bytes = 0
        for row in await self._rows("messages_to_state", of):
            item = message(row)
            size_bytes += len(item.body)
            if found and size_bytes > max_bytes:
                break
            found.append(item)
        return found

    async def move_rebuild(self, at: Rebuild, *, after_seq: int, messages: int, now_ms: int) -> None:
        of = {"was_seq": at.after_seq, "after_seq": after_seq, "messages": messages, "now_ms": now_ms}
        await self._run("move_rebuild", of)

    async def forget_facts(self, *, limit: int) -> int:
        of = {"limit": limit}
        return max([await self._run(name, of) for name in ("forget_facts", "forget_unidentified", "forget_erased")])


def _rebuild(session: Session) -> Rebuild | None:
    row = session.row("rebuild")
    if row is None:
        return None
    after_seq, until_seq, messages, ended_at_ms = row
    return Rebuild(after_seq=after_seq, until_seq=until_seq, messages=messages, ended_at_ms=ended_at_ms)


def _requeue(session: Session, endpoint_seq: int, identified: Sequence[Identified], now_ms: int) -> int:
    if not identified:
        return 0
    of = {"endpoint_seq": endpoint_seq, "now_ms": now_ms}
    queued = session.run("requeue_identified", [of | msgspec.structs.asdict(item) for item in identified])
    seqs = [item.message_seq for item in identified]
    session.run("remove_unidentified", {"endpoint_seq": endpoint_seq, "message_seqs": seqs})
    return queued


def _check(session: Session, endpoint_seq: int, looked_at: Sequence[Unidentified], now_ms: int) -> None:
    of = {"endpoint_seq": endpoint_seq, "late_ms": now_ms - LATE_MS}
    checked = [
        of | {"message_seq": item.message_seq, "key": key, "news": news}
        for item in looked_at
        for key, news in sorted(item.news.items())
    ]
    if checked:
        session.run("check_unidentified", checked)
    gone = [item.message_seq for item in looked_at if item.message is None]
    if gone:
        session.run("remove_ended_unidentified", {"endpoint_seq": endpoint_seq, "message_seqs": gone})


def order_keys(session: Session, people: People | None, endpoint_seq: int, message_seqs: Sequence[int]) -> str:
    """The order keys of deliveries that are made of stored messages, as JSON by message; without those that are
    ordered by the sender's customer id.
    """
    rule = None if people is None else people.identity_rule(endpoint_seq)
    if people is None or rule is None or not message_seqs:
        return "{}"
    keys: dict[str, str] = {}
    unknown: list[int] = []
    for seq, customer_key, email in session.rows("messages_to_order", {"seqs": list(message_seqs)}):
        own = None if customer_key is None else Customer(key=customer_key, email=email or None)
        if own is None or needs_facts(rule, own):
            unknown.append(seq)
        elif key := order_key(rule, own):
            keys[str(seq)] = key
    for start in range(0, len(unknown), _BODIES_AT_ONCE):
        of = {"seqs": unknown[start : start + _BODIES_AT_ONCE]}
        read = [(item, people.about(item)) for item in map(message, session.rows("bodies_to_order", of))]
        wanted: dict[str, dict[str, None]] = {}
        for item, about in read:
            wanted.setdefault(item.app_id, {}).update(dict.fromkeys(about.wanted))
        known = {app_id: known_facts(facts_near(session, app_id, list(of_app))) for app_id, of_app in wanted.items()}
        for item, about in read:
            if key := order_key(rule, complete(about, known[item.app_id]).customer):
                keys[str(item.seq)] = key
    return json_text(keys)


def add_unidentified(session: Session, finished: Iterable[Finished]) -> None:
    """What deliveries wait for that ended because no person was identified."""
    waiting = [
        {"message_seq": item.message_seq, "endpoint_seq": item.endpoint_seq, "key": key, "since_ms": item.ended_at_ms}
        for item in finished
        if item.awaits is not None
        for key in sorted(set(item.awaits)) or [""]
    ]
    if waiting:
        session.run("add_unidentified", waiting)


def still_stated(session: Session, stated: Sequence[Stating]) -> list[StatedFact]:
    """Without the facts of messages that were emptied or deleted; the others stay as they are until the transaction
    ends.
    """
    seqs = sorted({seq for seq, _ in stated if seq is not None})
    left = {seq for (seq,) in session.rows("hold_payloads", {"seqs": seqs})} if seqs else set()
    return [fact for seq, fact in stated if seq is None or seq in left]


def facts_near(session: Session, app_id: str, keys: Sequence[str]) -> list[StatedFact]:
    return list(map(stored_fact, session.rows("facts_near", {"app_id": app_id, "keys": list(keys)})))


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
