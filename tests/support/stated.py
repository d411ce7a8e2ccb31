"""Dodo's events about invented customers, as the receiver hands them to the store."""

from __future__ import annotations

import msgspec

from nicobar.clock import utc_time
from nicobar.facts import state
from nicobar.people import IdentityRule, read_rule
from nicobar.sources.dodo import DodoPayments
from nicobar.store import NewMessage

SOURCE = DodoPayments()
ACCEPTED_MS = 1_800_000_000_000


def rule(identify_by: str) -> IdentityRule:
    found = read_rule(identify_by)
    assert found is not None
    return found


def body_of(event_type: str, at_ms: int = ACCEPTED_MS, **data: object) -> bytes:
    at = utc_time(at_ms).isoformat().replace("+00:00", "Z")
    return msgspec.json.encode({"type": event_type, "timestamp": at, "data": data})


def stated_message(
    event_id: str,
    body: bytes,
    *,
    endpoints: tuple[int, ...] = (1,),
    rules: dict[int, IdentityRule] | None = None,
    source_id: str = "src",
    message_id: str | None = None,
    app_id: str = "app",
    accepted_at_ms: int = ACCEPTED_MS,
    mode: str = "",
) -> NewMessage:
    """A message with all that its body states."""
    event = SOURCE.read({}, body)
    stated = state(SOURCE.kind, event, event_id=event_id, body=body, accepted_at_ms=accepted_at_ms, mode=mode)
    customer = event.customer
    return NewMessage(
        id=message_id or f"msg_{event_id}",
        app_id=app_id,
        source_id=source_id,
        event_id=event_id,
        event_type=event.event_type,
        customer_key=customer.key if customer else None,
        customer_email=(customer.email or "") if customer else None,
        customer_name=(customer.name or "") if customer else None,
        occurred_at_ms=event.occurred_at_ms or accepted_at_ms,
        accepted_at_ms=accepted_at_ms,
        body=body,
        endpoint_seqs=endpoints,
        about=stated.about,
        facts=stated.facts,
        rules=rules or {},
    )
