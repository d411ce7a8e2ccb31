"""Who the latest customers of an application would be at a destination, by a rule for what identifies people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Protocol

import msgspec

from nicobar.facts import About, about, complete
from nicobar.model import Customer, Record
from nicobar.people import IdentityRule, NoIdentity, Person, PersonOrigin, metadata_identifier, resolve
from nicobar.redaction import Redaction, Redactor
from nicobar.sources import SourceKind
from nicobar.sources.registry import application_kind, source_kind
from nicobar.store import Facts, Snapshot
from nicobar.store.history import History, MessageFilter

MAX_CUSTOMERS = 20
# Messages without a customer, and more of the same customer, are read too.
MAX_MESSAGES = 250
MESSAGES_AT_ONCE = 50
MAX_METADATA_KEYS = 8

Resolved = Person | NoIdentity


class KnownCustomer(Record):
    """A customer as far as is known, and what masks their personal data."""

    customer: Customer
    masks: tuple[Redactor, ...] = ()

    def mask(self, text: str) -> str:
        return reduce(lambda shown, redactor: redactor.text(shown), self.masks, text)


class LatestCustomers(History, Facts, Protocol):
    """What is read of the store."""


class _Latest(Record):
    """A customer's latest message."""

    kind: SourceKind
    body: bytes
    about: About


class PreviewedCustomer(Record):
    """Who a customer is by the current rule and by another one; None where there is no rule, so that the
    transformation decides. Personal data is masked.
    """

    key: str
    before: Resolved | None
    after: Resolved | None
    changes: bool


class IdentityPreview(Record):
    """The latest customers, newest first. `metadata_keys` are the names in their metadata that could be an id, the
    most frequent first.
    """

    customers: tuple[PreviewedCustomer, ...] = ()
    metadata_keys: tuple[str, ...] = ()

    @property
    def unidentified(self) -> int:
        return sum(isinstance(customer.after, NoIdentity) for customer in self.customers)

    @property
    def by_fallback(self) -> int:
        return sum(
            isinstance(customer.after, Person) and customer.after.origin is PersonOrigin.FALLBACK
            for customer in self.customers
        )

    @property
    def changed(self) -> int:
        return sum(customer.changes for customer in self.customers)


def preview(
    known: Sequence[KnownCustomer], before: IdentityRule | None, after: IdentityRule | None
) -> IdentityPreview:
    """How these customers resolve by both rules."""
    return IdentityPreview(
        customers=tuple(_previewed(item, before, after) for item in known),
        metadata_keys=metadata_keys([item.customer for item in known]),
    )


def _previewed(known: KnownCustomer, before: IdentityRule | None, after: IdentityRule | None) -> PreviewedCustomer:
    old, new = (None if rule is None else resolve(rule, known.customer) for rule in (before, after))
    return PreviewedCustomer(
        key=known.customer.key,
        before=_masked(old, known.mask),
        after=_masked(new, known.mask),
        changes=_identity(old) != _identity(new),
    )


def metadata_keys(customers: Sequence[Customer]) -> tuple[str, ...]:
    """The names in the customers' metadata whose values could be an id, the most frequent first."""
    found = Counter(
        name for customer in customers for name, value in customer.metadata.items() if metadata_identifier(value)
    )
    return tuple(name for name, _ in found.most_common(MAX_METADATA_KEYS))


async def latest_customers(
    store: LatestCustomers, snapshot: Snapshot, app_id: str, redaction: Redaction
) -> list[KnownCustomer]:
    """The application's latest customers, newest first, completed by what is remembered of them."""
    latest = await _latest(store, snapshot, app_id)
    known = await store.facts(app_id, list(dict.fromkeys(key for item in latest for key in item.about.wanted)))
    return [
        KnownCustomer(customer=customer, masks=_masks(redaction, item, customer))
        for item in latest
        if (customer := complete(item.about, known).customer) is not None
    ]


async def _latest(store: LatestCustomers, snapshot: Snapshot, app_id: str) -> list[_Latest]:
    kinds = {source.id: source_kind(source.kind) for source in snapshot.sources if source.app_id == app_id}
    usual = application_kind(snapshot.sources, app_id)
    found: dict[str, _Latest] = {}
    before = None
    for _ in range(MAX_MESSAGES // MESSAGES_AT_ONCE):
        page = await store.messages(app_id, MessageFilter(), before=before, limit=MESSAGES_AT_ONCE, with_body=True)
        for message in page.items:
            key = message.customer_key
            if key is not None and key not in found and len(found) < MAX_CUSTOMERS:
                kind = kinds.get(message.source_id, usual)
                read = about(kind.kind, kind.read_body(message.event_type, message.body))
                # An event without a customer object is known by its payment or subscription.
                item = read if read.customer else msgspec.structs.replace(read, customer=Customer(key=key))
                found[key] = _Latest(kind=kind, body=message.body, about=item)
        before = page.next
        if before is None or len(found) == MAX_CUSTOMERS:
            break
    return list(found.values())


def _masks(redaction: Redaction, latest: _Latest, customer: Customer) -> tuple[Redactor, ...]:
    """What masks the latest event's values, and those that other events said, as if this event had said them."""
    said = {"email": customer.email, "name": customer.name, "metadata": customer.metadata}
    event = msgspec.json.encode({"data": {"customer": said, "metadata": customer.metadata}})
    rules = redaction.of(latest.kind.personal_fields)
    return rules.redactor(latest.body), rules.redactor(event)


def _masked(resolved: Resolved | None, mask: Callable[[str], str]) -> Resolved | None:
    match resolved:
        case Person():
            return msgspec.structs.replace(resolved, value=mask(resolved.value))
        case NoIdentity():
            return NoIdentity(reason=resolved.reason.with_texts(mask))
        case _:
            return None


def _identity(resolved: Resolved | None) -> tuple[str, str] | None:
    return (resolved.kind, resolved.value) if isinstance(resolved, Person) else None
