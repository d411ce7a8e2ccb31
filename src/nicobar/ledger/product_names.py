"""What emails call products: names that the merchant gives to the sender's product ids."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nicobar.ledger import EventFact, Snapshot
from nicobar.model import FactKind, Json

_NAME = "product_name"
_CHANGE = "scheduled_change"


def named_snapshot(snapshot: Snapshot, names: Mapping[str, str]) -> Snapshot:
    """The snapshot with the names of its subscriptions' products. One without a name keeps what the sender says."""
    if not names:
        return snapshot
    subscriptions = tuple(
        msgspec.structs.replace(
            one,
            product_name=names.get(one.product_id or "", one.product_name),
            scheduled_change=_named_change(one.scheduled_change, names),
        )
        for one in snapshot.subscriptions
    )
    return msgspec.structs.replace(snapshot, subscriptions=subscriptions)


def named_facts(facts: tuple[EventFact, ...], names: Mapping[str, str]) -> tuple[EventFact, ...]:
    """The facts with the names of their products."""
    if not names:
        return facts
    return tuple(
        msgspec.structs.replace(
            fact, fields=_named(fact.kind, fact.fields, names), previous=_named(fact.kind, fact.previous, names)
        )
        for fact in facts
    )


def _named(kind: str, fields: dict[str, Json], names: Mapping[str, str]) -> dict[str, Json]:
    if kind == FactKind.PAYMENT:
        name = _name_of_products(fields.get("products"), names)
    else:
        product_id = fields.get("product_id")
        name = names.get(product_id) if isinstance(product_id, str) else None
    named = fields if name is None else {**fields, _NAME: name}
    if _CHANGE in fields:
        named = {**named, _CHANGE: _named_change(fields[_CHANGE], names)}
    return named


def _name_of_products(products: Json, names: Mapping[str, str]) -> str | None:
    """The names of what a payment is for, None if one of them is not known."""
    ids = [item.get("id") for item in products if isinstance(item, dict)] if isinstance(products, list) else []
    found = dict.fromkeys(names.get(one, "") if isinstance(one, str) else "" for one in ids)
    return ", ".join(found) if found and "" not in found else None


def _named_change(change: Json, names: Mapping[str, str]) -> Json:
    if not isinstance(change, dict) or not isinstance(change.get("product_id"), str):
        return change
    name = names.get(str(change["product_id"]))
    return change if name is None else {**change, _NAME: name}
