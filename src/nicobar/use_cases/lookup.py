"""Finds customers by what a user knows: an email address, or the id of a customer, payment, subscription, refund or
dispute, or how it begins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import msgspec

from nicobar.facts import KnownFact, fact_key
from nicobar.ledger.objects import kind_and_id
from nicobar.model import FactKind, Json, Mode, Record
from nicobar.pipeline.configuration import Configuration
from nicobar.redaction import Redaction
from nicobar.store import Facts, Lookup

MAX_FOUND = 20
# Shorter texts begin the ids of everybody.
MIN_CHARS = 3
_MODES = ("", *Mode)
_EMAIL, _NAME = "name@host.example", "Name Surname"
_PROBE = msgspec.json.encode({"data": {"customer": {"email": _EMAIL, "name": _NAME}}})


class FoundCustomer(Record):
    """A customer of the sender. `email` and `name` are None for a visitor who does not see them. `kind` and `id` are
    those of the object by which it was found; the customer's own without one.
    """

    key: str
    email: str | None
    name: str | None
    kind: FactKind
    id: str


class LookupStore(Facts, Lookup, Protocol):
    """What is looked up in."""


class LookupServices(Protocol):
    """What it takes to look up customers."""

    @property
    def store(self) -> LookupStore: ...
    @property
    def configuration(self) -> Configuration: ...


async def find_customers(
    services: LookupServices, app_id: str, text: str, redaction: Redaction, *, sees_payloads: bool
) -> list[FoundCustomer]:
    """Up to MAX_FOUND customers. Addresses that a visitor does not see are neither searched nor returned. Raises
    StoreError.
    """
    text = text.strip()
    if len(text) < MIN_CHARS or any(character.isspace() for character in text):
        return []
    hidden = _hidden(redaction, sees_payloads=sees_payloads)
    prefixes = [
        fact_key(kind, of, text, mode)
        for of in FactKind
        for kind in _source_kinds(services.configuration, app_id)
        for mode in _MODES
    ]
    found = await services.store.facts_like(app_id, prefixes, limit=MAX_FOUND)
    if "@" in text and "email" not in hidden:
        found += await services.store.customers_with_email(app_id, text.lower(), limit=MAX_FOUND)
    near = await services.store.facts(app_id, [fact.key for fact in found]) if found else {}
    customers = [_customer(fact, near, hidden) for fact in found]
    by_key = {item.key: item for item in reversed(customers) if item is not None}
    return list(reversed(by_key.values()))[:MAX_FOUND]


async def known_customers(
    services: LookupServices, app_id: str, keys: Iterable[str], redaction: Redaction, *, sees_payloads: bool
) -> Mapping[str, FoundCustomer]:
    """The names and addresses of customers, as far as they are known, by the sender's customer ID."""
    hidden = _hidden(redaction, sees_payloads=sees_payloads)
    wanted = [
        fact_key(kind, FactKind.CUSTOMER, key, mode)
        for key in keys
        for kind in _source_kinds(services.configuration, app_id)
        for mode in _MODES
    ]
    near = await services.store.facts(app_id, wanted) if wanted else {}
    found = (_customer(fact, near, hidden) for fact in near.values())
    return {item.key: item for item in found if item is not None}


def _hidden(redaction: Redaction, *, sees_payloads: bool) -> Collection[str]:
    """The fields of a customer that a visitor does not see: those that are masked in the customer's events."""
    if sees_payloads:
        return ()
    shown = msgspec.json.decode(redaction.of(()).redactor(_PROBE).event(_PROBE))["data"]["customer"]
    return [name for name, value in (("email", _EMAIL), ("name", _NAME)) if shown[name] != value]


def _source_kinds(configuration: Configuration, app_id: str) -> list[str]:
    own = {source.kind for source in configuration.snapshot.sources if source.app_id == app_id}
    return sorted(own | {configuration.application_kind(app_id).kind})


def _customer(fact: KnownFact, near: Mapping[str, KnownFact], hidden: Collection[str]) -> FoundCustomer | None:
    """The customer of a fact; None if it is not known."""
    kind, of = kind_and_id(fact.key)
    parent = None if fact.parent_key is None else near.get(fact.parent_key)
    key = fact.customer_key or (None if parent is None else parent.customer_key)
    if key is None:
        return None
    own = fact_key(fact.key.split("/", 1)[0], FactKind.CUSTOMER, key, fact.key.split("/", 2)[1])
    values: Mapping[str, list[Json]] = near[own].values if own in near else {}
    return FoundCustomer(
        key=key,
        email=None if "email" in hidden else _text(values, "email"),
        name=None if "name" in hidden else _text(values, "name"),
        kind=FactKind(kind),
        id=of,
    )


def _text(values: Mapping[str, list[Json]], name: str) -> str | None:
    newest = next(iter(values.get(name, ())), None)
    return newest if isinstance(newest, str) else None
