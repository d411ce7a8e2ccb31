"""The few things that are put right on the way to Customer.io. Each that changes what was written says so."""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.connectors import Origin
from nicobar.connectors.customerio import contract
from nicobar.ids import stable_ulid
from nicobar.model import Json, Level, Verdict


def correct(place: int, path: str, item: dict[str, Json], origin: Origin, verdicts: list[Verdict]) -> dict[str, Json]:
    """One v2 object as it will be sent; `place` is its place among the event's objects. What is wrong with its type
    or action, and what was corrected, is added to `verdicts`.
    """
    kind, action = item.get("type"), item.get("action")
    known = contract.ACTIONS.get(kind) if isinstance(kind, str) else None
    if known is None:
        verdicts.append(
            contract.error("type", f"{path}.type", "It is none of person, object, delivery.", 'Set type: "person".')
        )
        return item
    if not isinstance(action, str) or action not in known:
        name = item.get("name")
        if kind != "person" or not isinstance(name, str):
            verdicts.append(
                contract.error(
                    "unknown_action",
                    f"{path}.action",
                    f"Customer.io has no action {_quote(action)} for a {kind}.",
                    f"Use one of {', '.join(sorted(known))}.",
                )
            )
            return item
        verdicts.append(
            contract.verdict(
                Level.CORRECTION,
                "unknown_action",
                f"{path}.action",
                f"Customer.io has no action {_quote(action)} and would refuse the call; it is sent as an event named "
                f"{_quote(name)}.",
                'Write action: "event".',
            )
        )
        item = {**item, "action": "event"}
    if kind == "person" and item["action"] in contract.NAMED:
        item = _identify_event(place, path, item, origin, verdicts)
    return item


def profile(items: Sequence[dict[str, Json]], origin: Origin) -> dict[str, Json] | None:
    """An identify for the customer whom one of the events is about, and whose address the handler does not send.

    Without a timestamp: one older than the profile's last edit would be dropped without a word, and a retry is
    always older.
    """
    customer = origin.customer
    if customer is None or not customer.email:
        return None
    identifiers: dict[str, Json] = {"id": customer.key}
    about = [item for item in items if item.get("type") == "person" and item.get("identifiers") == identifiers]
    has_event = any(item.get("action") in contract.NAMED for item in about)
    says_address = any(item.get("action") == "identify" and "email" in _attributes(item) for item in about)
    if not has_event or says_address:
        return None
    attributes: dict[str, Json] = {"email": customer.email, **({"name": customer.name} if customer.name else {})}
    made: dict[str, Json] = {
        "type": "person",
        "action": "identify",
        "identifiers": identifiers,
        "attributes": attributes,
    }
    return None if any(contract.check("", made)) else made


def profile_added() -> Verdict:
    """Says that the `profile` goes before the event."""
    return contract.verdict(
        Level.CORRECTION,
        "profile_added",
        "[0].payload",
        "The customer's e-mail and name are sent before the event, since a mail needs an address.",
        "Set keep_profile to false on the endpoint to send them yourself.",
    )


def _identify_event(
    place: int, path: str, item: dict[str, Json], origin: Origin, verdicts: list[Verdict]
) -> dict[str, Json]:
    """Gives an event what makes a repetition harmless (`id`) and tells when it happened (`timestamp`)."""
    given = item.get("id")
    if not contract.is_ulid(given):
        if given is not None:
            verdicts.append(
                contract.verdict(
                    Level.CORRECTION,
                    "event_id",
                    f"{path}.id",
                    "The id is not a ULID, which Customer.io needs to leave repetitions out; one was made.",
                    "Leave id out.",
                )
            )
        own = "" if given is None else _own_id(given)
        made = stable_ulid(origin.occurred_at_ms, origin.message_id, origin.endpoint_id, str(place), own)
        item = {**item, "id": made}
    if item.get("timestamp") is None:
        item = {**item, "timestamp": max(0, origin.occurred_at_ms // 1000)}
    return item


def _own_id(given: Json) -> str:
    return given if isinstance(given, str) else type(given).__name__


def _attributes(item: dict[str, Json]) -> dict[str, Json]:
    attributes = item.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _quote(value: Json) -> str:
    return f'"{value[:100]}"' if isinstance(value, str) else "(none)"
