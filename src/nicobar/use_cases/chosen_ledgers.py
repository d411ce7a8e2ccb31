"""The ledger that a dry run reads: the stored one, a typical state, or that of another customer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nicobar import facts
from nicobar.errors import UserError
from nicobar.model import Record
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.handler_runs import LedgerReader, LedgerView
from nicobar.pipeline.ledgers import Ledgers, known_people
from nicobar.pipeline.transform import Subject
from nicobar.sources import SourceKind
from nicobar.sources.registry import source_kind
from nicobar.use_cases.customer_ledger import LedgerServices, questions_about
from nicobar.use_cases.ledger_states import LedgerState, StateLedger


class LedgerChoice(Record):
    """Which ledger handlers read in a dry run: by default the stored one of the event's customer; else as if that
    customer were in a `state`, or, first of all, the stored one of the customer with this id of the sender.
    """

    state: LedgerState | None = None
    customer_key: str = ""


STORED = LedgerChoice()


def chosen_ledger(services: LedgerServices, app_id: str, choice: LedgerChoice) -> LedgerReader:
    """The ledger of a choice, for an endpoint of the application. Its `views` raise UserError for an unknown
    customer.
    """

    def kind_of(subject: Subject) -> SourceKind:
        if subject.about is not None:
            return source_kind(subject.about.source_kind)
        return services.configuration.kind_of(subject.message)

    if choice.customer_key:
        return _CustomerLedger(services, app_id, choice.customer_key)
    if choice.state is not None:
        return StateLedger(choice.state, kind_of)
    return Ledgers(services.store, services.configuration, app_id)


class _CustomerLedger:
    """The ledger of handlers, as if each event were about a known customer: of the first kind and mode that knows it.
    The event's own facts come to it.
    """

    def __init__(self, services: LedgerServices, app_id: str, customer_key: str) -> None:
        self._services = services
        self._app_id = app_id
        self._customer_key = customer_key
        self._codes: set[str] = set()

    def is_needed(self, code_id: str) -> bool:
        return code_id in self._codes

    def need(self, code_id: str) -> None:
        self._codes.add(code_id)

    async def views(self, target: OpenEndpoint, subjects: Sequence[Subject]) -> list[LedgerView]:
        services = self._services
        about = await questions_about(services, target, self._app_id, self._customer_key)
        if not about:
            raise UserError(
                "customer_unknown",
                "The ledger does not know customer %(id)s.",
                "Enter the sender's customer ID, as the Customers page lists it.",
                id=self._customer_key,
            )
        first = about[0]
        kind = source_kind(first.source_kind)
        read = []
        for subject in subjects:
            message = subject.message
            event = kind.read_body(message.event_type, message.body)
            stated = facts.state(
                kind.kind,
                event,
                event_id=message.event_id,
                body=message.body,
                accepted_at_ms=message.accepted_at_ms,
                mode=first.mode,
            )
            read.append((event, stated))
        questions = [msgspec.structs.replace(first, own=stated.facts) for _, stated in read]
        found = await known_people(services.store, services.configuration, target, self._app_id, questions)
        return [
            LedgerView(customer=of.snapshot, facts=of.ledger.event_facts(event, stated))
            for of, (event, stated) in zip(found, read, strict=True)
        ]
