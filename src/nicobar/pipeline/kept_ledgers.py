"""Ledgers of people with many facts, kept until one changes: pages of one person's deliveries follow each other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from threading import Lock

from nicobar.facts import StatedFact
from nicobar.ledger import History, Limits
from nicobar.ledger.person import Ledger
from nicobar.model import Record
from nicobar.store.facts import FactsOfPerson

# With fewer facts, computing a ledger again costs less than keeping it.
MIN_KEPT_FACTS = 200
# Of all kept ledgers together.
MAX_KEPT_FACTS = 20_000


class Terms(Record):
    """What a ledger depends on beside facts: see `Ledger`."""

    history: History
    limits: Limits
    product_names: Mapping[str, str]


class KeptLedgers:
    """A kept ledger is only used for equal facts, so it is the one that would be computed."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[FactsOfPerson, Terms, Ledger]] = OrderedDict()
        self._left_facts = MAX_KEPT_FACTS
        # Pages of several endpoints are computed in several threads.
        self._lock = Lock()

    def ledger(self, whose: Hashable, found: FactsOfPerson, stated: Iterable[StatedFact], terms: Terms) -> Ledger:
        """The ledger of a person by what is stored, and by what the events of a page state."""
        own = list(stated)
        kept = self._found(whose, found, terms)
        if kept is not None and kept.has(own):
            return kept
        ledger = Ledger(
            (*found.facts, *own),
            history=terms.history,
            limits=terms.limits,
            is_whole=found.is_whole,
            product_names=terms.product_names,
        )
        if len(found.facts) >= MIN_KEPT_FACTS and _is_of(ledger, found):
            self._keep(whose, found, terms, ledger)
        return ledger

    def _found(self, whose: Hashable, found: FactsOfPerson, terms: Terms) -> Ledger | None:
        with self._lock:
            kept = self._kept.get(whose)
            if kept is None:
                return None
            self._kept.move_to_end(whose)
        return kept[2] if kept[:2] == (found, terms) else None

    def _keep(self, whose: Hashable, found: FactsOfPerson, terms: Terms, ledger: Ledger) -> None:
        with self._lock:
            if whose in self._kept:
                self._drop(whose)
            self._kept[whose] = found, terms, ledger
            self._left_facts -= len(found.facts)
            while self._left_facts < 0:
                self._drop(next(iter(self._kept)))

    def _drop(self, whose: Hashable) -> None:
        found, _, _ = self._kept.pop(whose)
        self._left_facts += len(found.facts)


def _is_of(ledger: Ledger, found: FactsOfPerson) -> bool:
    """Whether what the events state has added nothing."""
    return len(ledger.facts) == len(found.facts) and all(ledger.facts[fact.key] is fact for fact in found.facts)
