"""What a handler reads of the ledger, without a store."""

from __future__ import annotations

from collections.abc import Iterable

from nicobar import facts
from nicobar.facts import StatedFact
from nicobar.ledger import History, Whom
from nicobar.ledger.person import Ledger
from nicobar.model import Customer
from nicobar.pipeline.handler_runs import LedgerView
from nicobar.sources.dodo import DodoPayments

_DODO = DodoPayments()


def view_of(
    event_type: str,
    body: bytes,
    customer: Customer,
    now_ms: int,
    others: Iterable[StatedFact] = (),
    *,
    is_history_complete: bool = False,
) -> LedgerView:
    """For an event of Dodo, about a customer of whom only this event and the `others` say something."""
    event = _DODO.read_body(event_type, body)
    stated = facts.state(_DODO.kind, event, event_id="evt", body=body, accepted_at_ms=now_ms)
    history = History(complete_since_ms=0 if is_history_complete else None)
    known = Ledger([*stated.facts, *others], history=history)
    whom = Whom(ids=(customer.key,), email=customer.email, name=customer.name)
    return LedgerView(customer=known.snapshot(whom), facts=known.event_facts(event, stated))
