"""All that is known of the persons of a page, whichever of a sender's customers they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nicobar.facts import StatedFact, customer_of
from nicobar.ledger import MAX_FACTS
from nicobar.model import FactKind
from nicobar.people import IdentityRule, Person, resolve
from nicobar.store.facts import MAX_FACTS_OF_PAGE, FactsOfPerson, Whose
from nicobar.store.session import Row, Session
from nicobar.store.tables.rows import stored_fact

# The beginning of a fact's key: source kind and mode, which are never mixed.
_Scope = str
_CUSTOMER = f"{FactKind.CUSTOMER}/"


def facts_of_persons(
    session: Session, app_id: str, rule: IdentityRule | None, whose: Sequence[Whose]
) -> dict[Whose, FactsOfPerson]:
    # Asked first: what ends meanwhile is then read.
    is_rebuilt = session.row("is_rebuilding") is None
    rows = _rows(session, app_id, rule, whose, MAX_FACTS_OF_PAGE)
    if len(rows) <= MAX_FACTS_OF_PAGE:
        return _by_person(rule, whose, rows, is_whole=is_rebuilt)
    found: dict[Whose, FactsOfPerson] = {}
    for one in dict.fromkeys(whose):
        rows = _rows(session, app_id, rule, [one], MAX_FACTS)
        found |= _by_person(rule, [one], rows[:MAX_FACTS], is_whole=is_rebuilt and len(rows) <= MAX_FACTS)
    return found


def _rows(session: Session, app_id: str, rule: IdentityRule | None, whose: Sequence[Whose], limit: int) -> list[Row]:
    """One more than the limit if there are more."""
    persons = [one.person for one in whose if rule is not None and one.person is not None]
    of = {
        "app_id": app_id,
        "customer_keys": sorted({one.customer_key for one in whose}),
        "emails": _values(persons, "email"),
        "metadata_name": "" if rule is None else rule.key,
        # Without a name in the rule the id is the sender's.
        "metadata_values": _values(persons, "id") if rule is not None and rule.key else [],
        "limit": limit + 1,
    }
    return session.rows("facts_of_persons", of)


def _values(persons: Iterable[Person], kind: str) -> list[str]:
    return sorted({person.value for person in persons if person.kind == kind})


def _by_person(
    rule: IdentityRule | None, whose: Sequence[Whose], rows: Sequence[Row], *, is_whole: bool
) -> dict[Whose, FactsOfPerson]:
    facts = {fact.key: fact for fact in map(stored_fact, rows)}
    of_customer: dict[tuple[_Scope, str], list[StatedFact]] = {}
    customers: dict[tuple[_Scope, str, str], set[str]] = {}
    for key, fact in sorted(facts.items()):
        scope = _scope(key)
        customer_key = fact.customer_key
        if customer_key is None and fact.parent_key in facts:
            customer_key = facts[fact.parent_key].customer_key
        if customer_key is None:
            continue
        of_customer.setdefault((scope, customer_key), []).append(fact)
        if rule is not None and key[len(scope) :] == _CUSTOMER + customer_key:
            person = resolve(rule, customer_of(fact))
            if isinstance(person, Person):
                customers.setdefault((scope, person.kind, person.value), set()).add(customer_key)
    return {one: _of_person(one, of_customer, customers, is_whole=is_whole) for one in whose}


def _of_person(
    one: Whose,
    of_customer: Mapping[tuple[_Scope, str], Sequence[StatedFact]],
    customers: Mapping[tuple[_Scope, str, str], set[str]],
    *,
    is_whole: bool,
) -> FactsOfPerson:
    scope = f"{one.source_kind}/{one.mode}/"
    same = set() if one.person is None else customers.get((scope, one.person.kind, one.person.value), set())
    keys = sorted({one.customer_key, *same})
    facts = [fact for key in keys for fact in of_customer.get((scope, key), ())]
    if len(keys) > 1:
        facts.sort(key=lambda fact: fact.key)
    return FactsOfPerson(customer_keys=tuple(keys), facts=tuple(facts), is_whole=is_whole)


def _scope(key: str) -> _Scope:
    return key[: key.index("/", key.index("/") + 1) + 1]
