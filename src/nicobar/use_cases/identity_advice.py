"""What the people that a destination has say about how to identify people there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nicobar.connectors import Transport
from nicobar.connectors.inspection import Inspection, Profile, Unanswered
from nicobar.model import Customer, Record
from nicobar.people import Fallback, IdentifyBy, IdentityRule, email_identifier, metadata_identifier
from nicobar.reasons import Reason, reason
from nicobar.use_cases.edit import Actor
from nicobar.use_cases.inspection import Asked, InspectionServices, inspection_of, note

MAX_CUSTOMERS = 20


class IdentityAdvice(Record):
    """Of `asked` customers with an email address, `found` have a profile there, `with_id` of them one with an id of
    the shop's own. `rule` is the recommendation, None without one; `reason` says why. `unanswered` says why the
    destination stopped answering: then the numbers are of those before.
    """

    asked: int
    found: int
    with_id: int
    rule: IdentityRule | None
    reason: Reason
    unanswered: Reason | None = None


Looked = tuple[Customer, tuple[Profile, ...]]


async def advise_identity(
    services: InspectionServices, actor: Actor, asked: Asked, customers: Sequence[Customer]
) -> IdentityAdvice:
    """Looks up the latest customers at the destination."""
    inspection = inspection_of(asked.opened)
    if isinstance(inspection, Unanswered):
        return advice((), inspection.reason)
    await note(services, actor, asked, "people")
    return await advise(services.asking, inspection, customers)


async def advise(transport: Transport, asked: Inspection, customers: Sequence[Customer]) -> IdentityAdvice:
    """Looks up at most MAX_CUSTOMERS customers by email, one at a time, until one is not answered."""
    looked: list[Looked] = []
    with_email = [customer for customer in customers if email_identifier(customer.email)]
    for customer in with_email[:MAX_CUSTOMERS]:
        people = await asked.people(transport, email_identifier(customer.email))
        if isinstance(people, Unanswered):
            return advice(looked, people.reason)
        looked.append((customer, people))
    return advice(looked)


def advice(looked: Sequence[Looked], unanswered: Reason | None = None) -> IdentityAdvice:
    """The recommendation for these customers and the people found under their addresses.

    A profile whose id is the sender's customer id says nothing about the shop: Nicobar may have created it.
    """
    found = [(customer, people) for customer, people in looked if people]
    own_ids = [(customer, _own_ids(customer, people)) for customer, people in found]
    with_id = [(customer, ids) for customer, ids in own_ids if ids]
    equal = Counter(
        name
        for customer, ids in with_id
        for name, value in customer.metadata.items()
        if metadata_identifier(value) in ids
    )
    name, matches = max(equal.items(), key=lambda item: (item[1], item[0]), default=("", 0))
    only_senders = sum(any(person.id == customer.key for person in people) for customer, people in found)
    rule, why = _recommended(len(looked), len(found), len(with_id), name, matches, only_senders)
    return IdentityAdvice(
        asked=len(looked), found=len(found), with_id=len(with_id), rule=rule, reason=why, unanswered=unanswered
    )


def _own_ids(customer: Customer, people: Sequence[Profile]) -> set[str]:
    return {person.id for person in people} - {"", customer.key}


def _recommended(  # noqa: PLR0917 - the counts
    asked: int, found: int, with_id: int, name: str, matches: int, only_senders: int
) -> tuple[IdentityRule | None, Reason]:
    numbers: dict[str, int] = {"asked": asked, "found": found, "with_id": with_id, "matches": matches}
    if not found:
        return None, reason(
            "advice_nobody",
            "%(found)s of %(asked)s customers have a profile with their email address, so there is no "
            "recommendation.",
            **numbers,
        )
    if matches * 2 > with_id:
        rule = IdentityRule(by=IdentifyBy.METADATA, key=name, fallback=Fallback.EMAIL)
        return rule, reason(
            "advice_metadata",
            "%(matches)s of %(asked)s customers have a profile with their email address and an ID that equals "
            "%(name)s.",
            "Use %(name)s.",
            name=str(rule),
            **numbers,
        )
    if with_id:
        return IdentityRule(by=IdentifyBy.EMAIL), reason(
            "advice_other_ids",
            "%(found)s of %(asked)s customers have a profile with their email address. The ID of %(with_id)s of them "
            "is not in their metadata.",
            "Use email if it identifies people in the workspace. Better: pass that id in your checkout's metadata.",
            **numbers,
        )
    if only_senders == found:
        return None, reason(
            "advice_sender_ids",
            "%(found)s of %(asked)s customers have a profile with their email address and the sender's customer ID. "
            "Nicobar may have added it, so there is no recommendation.",
            **numbers,
        )
    return IdentityRule(by=IdentifyBy.EMAIL), reason(
        "advice_email",
        "%(found)s of %(asked)s customers have a profile with their email address, without an ID of your app.",
        "Use email.",
        **numbers,
    )
