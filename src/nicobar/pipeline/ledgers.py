"""Reads what is known of people from a database: for handlers, and for those who ask what a handler would get."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import msgspec

from nicobar import facts
from nicobar.facts import Stated, StatedFact, customer_fact_key
from nicobar.ledger import History, Identity, Limits, Snapshot, Whom, of_sources
from nicobar.ledger.contents import Contents
from nicobar.ledger.person import Ledger
from nicobar.model import Customer, Event, Json, Message, Record
from nicobar.people import IdentityRule, Person, PersonOrigin, email_identifier, resolve
from nicobar.pipeline.configuration import Configuration, OpenEndpoint, mode_text
from nicobar.pipeline.handler_runs import LedgerView
from nicobar.pipeline.kept_ledgers import KeptLedgers, Terms
from nicobar.pipeline.transform import Subject
from nicobar.store import Facts
from nicobar.store.facts import Whose

# Code versions that have asked for the ledger; one that is forgotten asks again.
MAX_CODES = 1_000

_TEXTS = ("email", "name")
_decode = msgspec.json.Decoder(Json).decode


class Question(Record):
    """Whose ledger is asked for: a sender's customer, as the asker knows them. `own`: what the event states."""

    source_kind: str
    mode: str
    customer: Customer
    own: tuple[StatedFact, ...] = ()


class Known:
    """All that is known of a person, and who they are."""

    def __init__(self, ledger: Ledger, whom: Whom) -> None:
        self.ledger = ledger
        self._whom = whom

    @cached_property
    def snapshot(self) -> Snapshot:
        return self.ledger.snapshot(self._whom)


class Ledgers:
    """The ledger of handlers, which is read once for a page. `app_id` is for endpoints that belong to no application
    yet.
    """

    def __init__(self, store: Facts, configuration: Configuration, app_id: str | None = None) -> None:
        self._store = store
        self._configuration = configuration
        self._app_id = app_id
        self._codes: OrderedDict[str, None] = OrderedDict()
        self._kept = KeptLedgers()

    def is_needed(self, code_id: str) -> bool:
        return code_id in self._codes

    def need(self, code_id: str) -> None:
        self._codes[code_id] = None
        self._codes.move_to_end(code_id)
        if len(self._codes) > MAX_CODES:
            self._codes.popitem(last=False)

    async def views(self, target: OpenEndpoint, subjects: Sequence[Subject]) -> list[LedgerView]:
        # Not in a thread: the configuration may change between two of its parts there.
        read = [self._read(subject.message) for subject in subjects]
        questions = [
            Question(source_kind=kind, mode=mode, customer=subject.customer, own=stated.facts)
            for subject, (kind, mode, _, stated) in zip(subjects, read, strict=True)
            if subject.customer is not None
        ]
        app_id = target.endpoint.app_id if self._app_id is None else self._app_id
        found = iter(await known_people(self._store, self._configuration, target, app_id, questions, kept=self._kept))
        known = [None if subject.customer is None else next(found) for subject in subjects]

        def views() -> list[LedgerView]:
            names = target.destination.product_names
            return [_view(of, event, stated, names) for of, (_, _, event, stated) in zip(known, read, strict=True)]

        return await asyncio.to_thread(views)

    def _read(self, message: Message) -> tuple[str, str, Event, Stated]:
        """The kind and the mode of a message's source, and what the message states."""
        kind, event = self._configuration.event(message)
        mode = self._configuration.mode_of(message)
        stated = facts.state(
            kind.kind,
            event,
            event_id=message.event_id,
            body=message.body,
            accepted_at_ms=message.accepted_at_ms,
            mode=mode,
        )
        return kind.kind, mode, event, stated


def _view(known: Known | None, event: Event, stated: Stated, product_names: Mapping[str, str]) -> LedgerView:
    if known is None:
        unknown = Ledger(stated.facts, history=History(), product_names=product_names)
        return LedgerView(facts=unknown.event_facts(event, stated))
    return LedgerView(customer=known.snapshot, facts=known.ledger.event_facts(event, stated))


async def known_people(
    store: Facts,
    configuration: Configuration,
    target: OpenEndpoint,
    app_id: str,
    questions: Sequence[Question],
    *,
    kept: KeptLedgers | None = None,
) -> list[Known]:
    """What is known of people at an endpoint, in one query. Computed in a thread: a person may have thousands of
    facts. Raises StoreError.
    """
    kept = KeptLedgers() if kept is None else kept
    rule = target.destination.identity_rule
    limits = Limits(business_ids=target.endpoint.business_ids, brand_ids=target.endpoint.brand_ids)
    whose = [_whose(rule, question) for question in questions]
    found = await store.ledger(app_id, rule, list(dict.fromkeys(whose))) if whose else {}
    own: dict[Whose, list[StatedFact]] = {}
    for one, question in zip(whose, questions, strict=True):
        own.setdefault(one, []).extend(question.own)
    names = target.destination.product_names
    terms = {
        one: Terms(history=_history(configuration, app_id, one), limits=limits, product_names=names) for one in own
    }

    def known() -> list[Known]:
        ledgers = {
            one: kept.ledger((target.endpoint.id, one), found[one], of_events, terms[one])
            for one, of_events in own.items()
        }
        customers = {one: _Customers(one, found[one].facts) for one in own}
        people: dict[tuple[Whose, Whom], Known] = {}
        of_questions: list[Known] = []
        for one, question in zip(whose, questions, strict=True):
            texts = customers[one].texts(question.own)
            whom = _whom(rule, one, found[one].customer_keys, question.customer, texts)
            of_questions.append(people.setdefault((one, whom), Known(ledgers[one], whom)))
        return of_questions

    return await asyncio.to_thread(known)


def _whose(rule: IdentityRule | None, question: Question) -> Whose:
    person = None if rule is None else resolve(rule, question.customer)
    return Whose(
        source_kind=question.source_kind,
        mode=question.mode,
        customer_key=question.customer.key,
        person=person if isinstance(person, Person) else None,
    )


class _Customers:
    """What is known of the customers who are a person, all together."""

    def __init__(self, whose: Whose, stored: Iterable[StatedFact]) -> None:
        self._prefix = customer_fact_key(whose.source_kind, "", whose.mode)
        self._contents = Contents()
        self._stored = self._merged("", stored)

    def texts(self, own: Iterable[StatedFact]) -> dict[str, list[str]]:
        """The addresses and names, the newest first, also by what an event states."""
        content = self._merged(self._stored, own)
        said = self._contents.values(content) if content else {}
        values = {name: [_decode(one.value) for one in said.get(name, ())] for name in _TEXTS}
        return {name: [value for value in of if isinstance(value, str)] for name, of in values.items()}

    def _merged(self, content: str, stated: Iterable[StatedFact]) -> str:
        for fact in stated:
            if fact.key.startswith(self._prefix):
                content = self._contents.merged(content, fact.content) if content else fact.content
        return content


def _whom(
    rule: IdentityRule | None,
    whose: Whose,
    customer_keys: tuple[str, ...],
    own: Customer,
    texts: Mapping[str, Sequence[str]],
) -> Whom:
    """Without a rule, people are the sender's customers. The address and the name are the newest of all customers who
    are the person, so that they are the same in any order of the events: `texts` are theirs. An address that
    identifies is not replaced by another one.
    """
    person = whose.person
    if rule is None:
        person = Person(kind="id", value=whose.customer_key, origin=PersonOrigin.CUSTOMER_ID)
    emails, names = (texts[name] for name in _TEXTS)
    if person is not None and person.kind == "email":
        emails = [email for email in emails if email_identifier(email) == person.value]
    return Whom(
        ids=customer_keys,
        identity=Identity(kind=person.kind, value=person.value, origin=person.origin) if person else None,
        email=next(iter(emails), own.email),
        name=next(iter(names), own.name),
    )


def _history(configuration: Configuration, app_id: str, whose: Whose) -> History:
    """What is known of the time before the first event of the sources of this kind and mode."""
    sources = [
        source
        for source in configuration.snapshot.sources
        if (source.app_id, source.kind, mode_text(source)) == (app_id, whose.source_kind, whose.mode)
    ]
    return of_sources(
        History(
            complete_since_ms=source.history_complete_since_ms, known_since_ms=source.details.created_at_ms or None
        )
        for source in sources
    )
