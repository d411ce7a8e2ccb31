"""Customers who were erased. Nothing that happened before is remembered again, whichever event says it: what is left
of them and of their payments and the like are keyed hashes of the ids, with a time.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from nicobar.facts import StatedFact
from nicobar.model import FactKind
from nicobar.store.session import Session
from nicobar.store.tables.base import existing


def keep_erased(session: Session, app_id: str, customer_key: str, now_ms: int) -> None:
    """Precedes the deletion of a customer's facts."""
    of = {"app_id": app_id, "customer_key": customer_key}
    names = [_customer(customer_key), *(_name(key) for (key,) in session.rows("facts_to_erase", of))]
    secret = _secret(session)
    session.run(
        "add_erased", [{"app_id": app_id, "digest": _digest(secret, name), "now_ms": now_ms} for name in names]
    )


def without_erased(session: Session, app_id: str, facts: Sequence[StatedFact]) -> list[StatedFact]:
    """Without those that happened before their customer was erased. Precedes merging them: what is merged has the
    time of the newest.
    """
    if not facts:
        return []
    secret = _secret(session)
    digests = [[_digest(secret, name) for name in _names(fact)] for fact in facts]
    of = {"app_id": app_id, "digests": sorted({digest for of_fact in digests for digest in of_fact})}
    erased = {str(digest): int(at_ms) for digest, at_ms in session.rows("erased_among", of)}
    return [
        fact
        for fact, of_fact in zip(facts, digests, strict=True)
        if fact.occurred_at_ms > max(erased.get(digest, -1) for digest in of_fact)
    ]


def _names(fact: StatedFact) -> list[str]:
    """What a fact is about: its object, the customer, and the payment."""
    names = [_name(fact.key)]
    if fact.customer_key is not None:
        names.append(_customer(fact.customer_key))
    if fact.parent_key is not None:
        names.append(_name(fact.parent_key))
    return names


def _name(key: str) -> str:
    """The same in every mode."""
    source_kind, _, of_object = key.split("/", 2)
    return f"{source_kind}/{of_object}"


def _customer(customer_key: str) -> str:
    """The same in every source."""
    return f"{FactKind.CUSTOMER}/{customer_key}"


def _digest(secret: bytes, name: str) -> str:
    return hmac.digest(secret, name.encode("utf-8", "surrogatepass"), "sha256").hex()


def _secret(session: Session) -> bytes:
    return bytes(existing(session.row("erasure_key"))[0])
