"""Who the latest customers of an application would be at a destination, by a rule for what identifies people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import reduce

import msgspec

from nicobar.model import Customer, Record
from nicobar.people import IdentityRule, NoIdentity, Person, PersonOrigin, metadata_identifier, resolve
from nicobar.redaction import Redaction, Redactor
from nicobar.sources.registry import application_kind, source_kind
from nicobar.store import Snapshot
from nicobar.store.history import History, MessageFilter

MAX_CUSTOMERS = 20
# Messages without a customer, and more of the same customer, are read too.
MAX_MESSAGES = 250
MESSAGES_AT_ONCE = 50
MAX_METADATA_KEYS = 8

Resolved = Person | NoIdentity


class KnownCustomer(Record):
    """A customer as their latest messages describe them, and what masks the personal data of these messages."""

    customer: Customer
    masks: tuple[Redactor, ...] = ()

    def mask(self, text: str) -> str:
        return reduce(lambda shown, redactor: redactor.text(shown), self.masks, text)


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
    history: History, snapshot: Snapshot, app_id: str, redaction: Redaction
) -> list[KnownCustomer]:
    """The application's latest customers, newest first, each completed by what older messages say."""
    kinds = {source.id: source_kind(source.kind) for source in snapshot.sources if source.app_id == app_id}
    usual = application_kind(snapshot.sources, app_id)
    found: dict[str, KnownCustomer] = {}
    before, read = None, 0
    while read < MAX_MESSAGES and len(found) < MAX_CUSTOMERS:
        page = await history.messages(app_id, MessageFilter(), before=before, limit=MESSAGES_AT_ONCE, with_body=True)
        for message in page.items:
            kind = kinds.get(message.source_id, usual)
            customer = kind.read_body(message.event_type, message.body).customer
            if customer is None or message.expunged_at_ms is not None:
                continue
            there = found.get(customer.key)
            if there is None and len(found) == MAX_CUSTOMERS:
                continue
            known = KnownCustomer(
                customer=customer, masks=(redaction.of(kind.personal_fields).redactor(message.body),)
            )
            found[customer.key] = known if there is None else _completed(there, known)
        before, read = page.next, read + MESSAGES_AT_ONCE
        if before is None:
            break
    return list(found.values())


def _completed(newer: KnownCustomer, older: KnownCustomer) -> KnownCustomer:
    """The customer as a newer message describes them, with what only an older one says."""
    customer = msgspec.structs.replace(
        newer.customer,
        email=newer.customer.email or older.customer.email,
        metadata={**older.customer.metadata, **newer.customer.metadata},
    )
    if customer == newer.customer:
        return newer
    return KnownCustomer(customer=customer, masks=(*newer.masks, *older.masks))


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
