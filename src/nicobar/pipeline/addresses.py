"""What is known of the email addresses of customers, for warnings: whether another customer has the same one, and
whether it is another one than before. Neither changes what is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nicobar.facts import KnownFact, customer_fact_key
from nicobar.model import Customer
from nicobar.people import IdentifyBy, IdentityRule, Person, email_identifier, resolve
from nicobar.pipeline.configuration import Configuration, OpenEndpoint
from nicobar.pipeline.transform import Subject
from nicobar.store import Facts


async def with_addresses(
    facts: Facts, configuration: Configuration, target: OpenEndpoint, app_id: str, subjects: Sequence[Subject]
) -> list[Subject]:
    """The subjects with what is known of their customers' addresses: one query for all of them, and another one for
    those whose address has ever changed; none where an address is not sent, or identifies nobody. Raises StoreError.
    """
    rule = target.destination.identity_rule
    keys: dict[int, str] = {}
    if target.connector.has_contract:
        for place, subject in enumerate(subjects):
            if _is_asked(rule, subject):
                kind = configuration.kind_of(subject.message).kind
                keys[place] = customer_fact_key(kind, subject.customer.key if subject.customer else "")
    if not keys:
        return list(subjects)
    addresses = {place: _address(subjects[place].customer) for place in keys}
    # Two customers who are identified by one address are one person.
    emails = [] if rule is not None and rule.by is not IdentifyBy.CUSTOMER_ID else sorted(set(addresses.values()))
    known = {fact.key: fact for fact in await facts.people(app_id, sorted(set(keys.values())), emails)}
    owners: dict[str, set[str]] = {}
    for fact in known.values():
        owners.setdefault(next(iter(_addresses(fact)), ""), set()).add(fact.key)
    changed = await _changed(
        facts,
        {
            subjects[place].message.seq: addresses[place]
            for place in keys
            if _has_other(known.get(keys[place]), addresses[place])
        },
    )
    found = list(subjects)
    for place, key in keys.items():
        subject, address = subjects[place], addresses[place]
        shares = bool(emails) and bool(owners.get(address, set()) - {key})
        if shares or subject.message.seq in changed:
            found[place] = msgspec.structs.replace(
                subject, shares_address=shares, changed_address=subject.message.seq in changed
            )
    return found


def _is_asked(rule: IdentityRule | None, subject: Subject) -> bool:
    """Whether the address of an event's own customer is sent, or identifies them. Samples have no customers."""
    customer = subject.customer
    if customer is None or not subject.message.seq or subject.remembered_email or not _address(customer):
        return False
    if rule is None or rule.by is not IdentifyBy.METADATA:
        return True
    person = resolve(rule, customer)
    return isinstance(person, Person) and person.kind == "email"


async def _changed(facts: Facts, suspected: Mapping[int, str]) -> set[int]:
    """Of these messages and their addresses, those whose customer had another one in the message before. Where that
    is not known any more, the address that is remembered is the other one.
    """
    before = await facts.addresses_before(list(suspected)) if suspected else {}
    return {seq for seq, address in suspected.items() if email_identifier(before.get(seq, "")) != address}


def _has_other(fact: KnownFact | None, address: str) -> bool:
    return fact is not None and any(other not in {"", address} for other in _addresses(fact))


def _addresses(fact: KnownFact) -> list[str]:
    return [email_identifier(value) for value in fact.values.get("email", ()) if isinstance(value, str)]


def _address(customer: Customer | None) -> str:
    return email_identifier(customer.email) if customer else ""
