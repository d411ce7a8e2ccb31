"""What is known of the email addresses of customers, for warnings: whether another customer has the same one, and
whether it is another one than before. Neither changes what is sent.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nicobar.facts import KnownFact, customer_fact_key
from nicobar.model import Customer, Message
from nicobar.people import IdentifyBy, IdentityRule, Person, email_identifier, resolve
from nicobar.pipeline.configuration import Configuration, OpenEndpoint
from nicobar.pipeline.transform import Subject
from nicobar.store import Facts


async def with_addresses(
    facts: Facts, configuration: Configuration, target: OpenEndpoint, app_id: str, subjects: Sequence[Subject]
) -> list[Subject]:
    """The subjects with what is known of their customers' addresses: one query for all of them, and another one for
    those whose address has ever changed; none where an address is not sent, or identifies no one. Raises StoreError.
    """
    rule = target.destination.identity_rule
    asked = [
        (place, _key(configuration, subject.message, subject.customer))
        for place, subject in enumerate(subjects)
        if target.connector.has_contract and subject.customer is not None and _is_asked(rule, subject)
    ]
    if not asked:
        return list(subjects)
    # Two customers who are identified by one address are one person.
    may_share = rule is None or rule.by is IdentifyBy.CUSTOMER_ID
    emails = {_address(subjects[place]) for place, _ in asked} - {""} if may_share else set()
    people = await facts.people(app_id, sorted({key for _, key in asked}), sorted(emails))
    known = {fact.key: _addresses(fact) for fact in people}
    owners: dict[str, set[str]] = {}
    for key, addresses in known.items():
        owners.setdefault(addresses[0] if addresses else "", set()).add(key)
    changed = await _changed(facts, [(subjects[place], known.get(key, [])) for place, key in asked])
    found = list(subjects)
    for place, key in asked:
        subject = subjects[place]
        address = _address(subject)
        found[place] = msgspec.structs.replace(
            subject,
            shares_address=address in emails and not owners.get(address, set()) <= {key},
            changed_address=subject.message.seq in changed,
            has_known_address=any(known.get(key, ())),
        )
    return found


def _key(configuration: Configuration, message: Message, customer: Customer) -> str:
    return customer_fact_key(configuration.kind_of(message).kind, customer.key, configuration.mode_of(message))


def _is_asked(rule: IdentityRule | None, subject: Subject) -> bool:
    """Whether the address of an event's own customer is sent, or identifies them. Where the sender's id identifies
    people, an event without an address is about a person who may have one. Samples have no customers.
    """
    if not subject.message.seq or subject.remembered_email:
        return False
    if rule is None or rule.by is IdentifyBy.CUSTOMER_ID:
        return True
    person = resolve(rule, subject.customer)
    return bool(_address(subject)) and (
        rule.by is not IdentifyBy.METADATA or (isinstance(person, Person) and person.kind == "email")
    )


async def _changed(facts: Facts, subjects: Sequence[tuple[Subject, Sequence[str]]]) -> set[int]:
    """The messages whose customers, with these known addresses, had another one in their message before. Where that
    is not stored any more, the newest address is the new one.
    """
    suspected = {
        subject.message.seq: (address, addresses[0])
        for subject, addresses in subjects
        if (address := _address(subject)) and any(other not in {"", address} for other in addresses)
    }
    before = await facts.addresses_before(list(suspected)) if suspected else {}
    return {
        seq
        for seq, (address, newest) in suspected.items()
        if (email_identifier(before[seq]) != address if seq in before else address == newest)
    }


def _addresses(fact: KnownFact) -> list[str]:
    return [email_identifier(value) for value in fact.values.get("email", ()) if isinstance(value, str)]


def _address(subject: Subject) -> str:
    return email_identifier(subject.customer.email) if subject.customer else ""
