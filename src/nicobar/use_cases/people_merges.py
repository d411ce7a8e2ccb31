"""Merges of people at an endpoint's destination: those whom it was sent by the sender's customer id are merged into
those as whom customers are identified now. Previewed first, begun only by a user who confirms the number, and final.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nicobar.audit import AuditAction
from nicobar.errors import Refusal
from nicobar.facts import About, KnownFact, complete
from nicobar.model import Customer, Endpoint, Record
from nicobar.people import (
    Identifier,
    IdentifyBy,
    IdentityRule,
    NoIdentity,
    Person,
    email_identifier,
    resolve,
    rule_of,
)
from nicobar.pipeline.configuration import mode_text, open_endpoint
from nicobar.pipeline.people_merging import needs_look, rule_text
from nicobar.redaction import Redaction
from nicobar.sources.registry import application_kinds
from nicobar.store import Merge, MergeStatus, NewMerge, Pair, Store
from nicobar.store.merges import SentCustomer
from nicobar.use_cases.edit import Actor, OperationServices, audit_line
from nicobar.use_cases.endpoints import check_enabled

# One merge is about so many people at most; the rest follow with another one.
MAX_PAIRS = 5_000
CUSTOMERS_AT_ONCE = 500
# A preview looks at so many customers at most.
MAX_LOOKED_CUSTOMERS = 200_000


class MergePlan(Record):
    """Whom a merge would be about. `unidentified` customers have no new identifier, `same` ones the one that they
    had. `without_look` could be merged with an App API key only. `more`: there may be others, for another merge.
    """

    rule: IdentityRule
    pairs: tuple[Pair, ...] = ()
    unidentified: int = 0
    same: int = 0
    without_look: int = 0
    more: bool = False


async def plan_merge(services: OperationServices, endpoint: Endpoint, customer_key: str | None = None) -> MergePlan:
    """Who would be merged now, of all customers or of one; changes nothing. Raises Refusal 409 for an endpoint that
    identifies people by the sender's customer id.
    """
    destination = open_endpoint(services.vault, endpoint).destination
    rule = destination.identity_rule
    if rule is None or destination.people_merging is None or rule.by is IdentifyBy.CUSTOMER_ID:
        raise Refusal(
            409,
            "merge_unsupported",
            "Endpoint %(name)s identifies people by the sender's customer ID, so there are no people to merge them "
            "into.",
            "First set what identifies people in the endpoint's settings.",
            name=endpoint.name,
        )
    can_look = destination.inspection is not None
    if customer_key is not None:
        return await _plan_one(services.store, endpoint, rule, customer_key, can_look=can_look)
    return await _plan_all(services.store, endpoint, rule, can_look=can_look)


async def _plan_all(store: Store, endpoint: Endpoint, rule: IdentityRule, *, can_look: bool) -> MergePlan:
    plan, after, looked = MergePlan(rule=rule), "", 0
    ledgers = await _ledgers(store, endpoint.app_id)
    while looked < MAX_LOOKED_CUSTOMERS:
        found = await store.sent_customers(endpoint.app_id, endpoint.seq, after=after, limit=CUSTOMERS_AT_ONCE)
        keys = await _unmerged(store, endpoint, found)
        customers = await known_customers(store, endpoint.app_id, ledgers, keys)
        plan = _with(plan, [_pair_of(rule, customers[key], key) for key in keys], can_look=can_look)
        if len(plan.pairs) >= MAX_PAIRS:
            return msgspec.structs.replace(plan, pairs=plan.pairs[:MAX_PAIRS], more=True)
        if len(found) < CUSTOMERS_AT_ONCE:
            return plan
        after, looked = found[-1].customer_key, looked + len(found)
    return msgspec.structs.replace(plan, more=True)


async def _unmerged(store: Store, endpoint: Endpoint, found: Sequence[SentCustomer]) -> list[str]:
    keys = [item.customer_key for item in found if item.by_sender_id]
    merged = await store.merged_before(endpoint.seq, keys) if keys else frozenset()
    return [key for key in keys if key not in merged]


async def _plan_one(
    store: Store, endpoint: Endpoint, rule: IdentityRule, customer_key: str, *, can_look: bool
) -> MergePlan:
    """Also of earlier email addresses, as long as no other customer has them."""
    ledgers = await _ledgers(store, endpoint.app_id)
    customer = (await known_customers(store, endpoint.app_id, ledgers, [customer_key]))[customer_key]
    pairs: list[Pair | _Same | None] = []
    for value in await _unmerged_identifiers(store, endpoint, customer_key):
        if value == customer_key:
            pairs.append(_pair_of(rule, customer, customer_key))
        elif email_identifier(value) == value and not await store.another_has_email(
            endpoint.app_id, customer_key, value
        ):
            pairs.append(_pair_of(rule, customer, customer_key, Identifier(kind="email", value=value)))
    return _with(MergePlan(rule=rule), pairs, can_look=can_look)


async def _unmerged_identifiers(store: Store, endpoint: Endpoint, customer_key: str) -> list[str]:
    """By which values the customer's deliveries were ordered, without those of people that were merged: the person
    that remains has their identifiers now, and would be merged with itself.
    """
    sent = await store.sent_identifiers(endpoint.app_id, endpoint.seq, customer_key)
    merged = await store.merged_before(endpoint.seq, sent) if sent else frozenset()
    return [value for value in sent if value not in merged]


class _Ledger(Record):
    """The kind and the mode of sources, which share what is remembered of customers."""

    kind: str
    mode: str

    def about(self, customer: Customer) -> About:
        return About(source_kind=self.kind, customer=customer, mode=self.mode)


async def _ledgers(store: Store, app_id: str) -> list[_Ledger]:
    sources = (await store.snapshot()).sources
    own = sorted((source for source in sources if source.app_id == app_id), key=lambda source: source.id)
    found = dict.fromkeys(_Ledger(kind=source.kind, mode=mode_text(source)) for source in own)
    return list(found) or [_Ledger(kind=kind.kind, mode="") for kind in application_kinds((), app_id)]


async def known_customers(
    store: Store, app_id: str, ledgers: Sequence[_Ledger], customer_keys: Sequence[str]
) -> dict[str, Customer]:
    """What is remembered of these customers; where sources of several kinds or modes know one, the first does."""
    owns = [Customer(key=key) for key in customer_keys]
    wanted = [key for own in owns for ledger in ledgers for key in ledger.about(own).wanted]
    facts = await store.facts(app_id, wanted) if wanted else {}
    return {own.key: _known_customer(facts, ledgers, own) for own in owns}


def _known_customer(facts: Mapping[str, KnownFact], ledgers: Sequence[_Ledger], own: Customer) -> Customer:
    abouts = [ledger.about(own) for ledger in ledgers]
    about = next((about for about in abouts if not facts.keys().isdisjoint(about.wanted)), None)
    return own if about is None else complete(about, facts).customer or own


class _Same(Record):
    """The customer is identified as before."""


def _pair_of(
    rule: IdentityRule, customer: Customer, customer_key: str, secondary: Identifier | None = None
) -> Pair | _Same | None:
    """None where the customer has no identifier by the rule."""
    person = resolve(rule, customer)
    if not isinstance(person, Person):
        return None
    primary = Identifier(kind=person.kind, value=person.value)
    secondary = secondary or Identifier(kind="id", value=customer_key)
    return _Same() if primary == secondary else Pair(customer_key=customer_key, secondary=secondary, primary=primary)


def _with(plan: MergePlan, found: Sequence[Pair | _Same | None], *, can_look: bool) -> MergePlan:
    pairs = [item for item in found if isinstance(item, Pair)]
    kept = [pair for pair in pairs if can_look or not needs_look(pair)]
    return MergePlan(
        rule=plan.rule,
        pairs=(*plan.pairs, *kept),
        unidentified=plan.unidentified + sum(item is None for item in found),
        same=plan.same + sum(isinstance(item, _Same) for item in found),
        without_look=plan.without_look + len(pairs) - len(kept),
        more=plan.more,
    )


async def start_merge(
    services: OperationServices, actor: Actor, endpoint: Endpoint, *, expected: int, customer_key: str | None = None
) -> Merge:
    """Begins the merge of the people whom a preview has counted, `expected` of them. Raises Refusal 409 where there
    are more or fewer now, and where a merge of the endpoint is running.
    """
    check_enabled(endpoint)
    plan = await plan_merge(services, endpoint, customer_key)
    if len(plan.pairs) != expected:
        raise Refusal(
            409,
            "merge_count_changed",
            "The number of people to merge was not confirmed: there are %(found)s, not %(expected)s.",
            "Check the preview and confirm the number that it shows.",
            expected=expected,
            found=len(plan.pairs),
        )
    merge_id = services.ids.new("mrg")
    action, detail = AuditAction.ENDPOINT_MERGE, f"{merge_id}: {expected} people by {plan.rule}"
    line = audit_line(services, actor, action, endpoint.id, app_id=endpoint.app_id, detail=detail)
    new = NewMerge(
        id=merge_id,
        app_id=endpoint.app_id,
        endpoint_seq=endpoint.seq,
        endpoint_id=endpoint.id,
        rule=rule_text(plan.rule),
        created_at_ms=services.clock.now_ms(),
        pairs=plan.pairs,
    )
    merge = await services.store.add_merge(new, audit_line=line)
    if merge is None:
        raise Refusal(
            409,
            "merge_running",
            "A merge of people at endpoint %(name)s is running.",
            "Wait until it has finished, or cancel it.",
            name=endpoint.name,
        )
    return merge


async def cancel_merge(services: OperationServices, actor: Actor, merge: Merge) -> Merge:
    """Stops a merge before its next step; what is merged stays merged. Raises Refusal 409 where it has ended."""
    line = audit_line(
        services, actor, AuditAction.MERGE_CANCEL, merge.endpoint_id, app_id=merge.app_id, detail=merge.id
    )
    canceled = None
    if merge.status is MergeStatus.RUNNING:
        canceled = await services.store.cancel_merge(merge.id, now_ms=services.clock.now_ms(), audit_line=line)
    if canceled is None or canceled.status is not MergeStatus.CANCELED:
        raise Refusal(
            409, "merge_ended", "Merge %(id)s has already ended.", "There is nothing left to cancel.", id=merge.id
        )
    return canceled


class IdentifiedCustomer(Record):
    """As whom a customer is identified at an endpoint, and by what deliveries were ordered before: those people may
    still be there.
    """

    endpoint: Endpoint
    person: Person | NoIdentity
    earlier: tuple[str, ...] = ()


async def identified_customer(
    services: OperationServices, endpoints: Sequence[Endpoint], customer_key: str
) -> tuple[IdentifiedCustomer, ...]:
    """Of the endpoints that say what identifies people, and were sent something about the customer."""
    found = []
    for endpoint in endpoints:
        rule = rule_of(endpoint.settings)
        earlier = await services.store.sent_identifiers(endpoint.app_id, endpoint.seq, customer_key) if rule else ()
        if rule is None or not earlier:
            continue
        ledgers = await _ledgers(services.store, endpoint.app_id)
        customer = (await known_customers(services.store, endpoint.app_id, ledgers, [customer_key]))[customer_key]
        person = resolve(rule, customer)
        now = person.value if isinstance(person, Person) else ""
        merged = await services.store.merged_before(endpoint.seq, earlier)
        others = tuple(value for value in earlier if value != now and value not in merged)
        found.append(IdentifiedCustomer(endpoint=endpoint, person=person, earlier=others))
    return tuple(found)


def masked_identifier(redaction: Redaction, identifier: Identifier) -> Identifier:
    """The identifier as it is shown: masked where the same value of an event is."""
    if identifier.kind != "email":
        return identifier
    event = msgspec.json.encode({"data": {"customer": {"email": identifier.value}}})
    return Identifier(kind=identifier.kind, value=redaction.of(()).redactor(event).text(identifier.value))


def masked_pairs(redaction: Redaction, pairs: Sequence[Pair]) -> list[Pair]:
    return [
        msgspec.structs.replace(
            pair,
            primary=masked_identifier(redaction, pair.primary),
            secondary=masked_identifier(redaction, pair.secondary),
        )
        for pair in pairs
    ]
