"""The few things that are put right or added on the way to Customer.io. Each says so, and can be switched off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from nicobar.connectors import Origin
from nicobar.connectors.customerio import contract, rules
from nicobar.connectors.customerio.check import check, find_action, quote
from nicobar.connectors.payload import encoded
from nicobar.ids import stable_ulid
from nicobar.model import Json, Record, Verdict

TEST_ATTRIBUTE = "nicobar_test"
_MILLISECONDS = range(10**12, 10**14)


class Corrections(Record):
    """Which corrections an endpoint wants."""

    action: bool = True
    event_id: bool = True
    timestamp: bool = True
    profile: bool = True


class Corrector:
    """Corrects the objects of one message; what it does is added to `verdicts`."""

    def __init__(self, wanted: Corrections, origin: Origin, verdicts: list[Verdict]) -> None:
        self._wanted = wanted
        self._origin = origin
        self._verdicts = verdicts
        self._place = 0

    def correct(self, path: str, item: dict[str, Json]) -> dict[str, Json]:
        """One v2 object as it will be sent."""
        action = find_action(item)
        name = item.get("name")
        if action is None and self._wanted.action and item.get("type") == "person" and isinstance(name, str):
            self._verdicts.append(
                rules.ACTION_CORRECTED.at(
                    f"{path}.action",
                    f"Customer.io has no action {quote(item.get('action'))} and would refuse the call; it is sent as "
                    f"an event named {quote(name)}.",
                    'Write action: "event".',
                )
            )
            item = {**item, "action": "event"}
            action = find_action(item)
        if action is None or not action.is_event:
            # An identify gets no timestamp. Customer.io answers 200 and drops a whole identify that is older than the
            # profile's latest edit (https://github.com/PostHog/posthog/issues/55330). That edit may be the merchant's
            # own app's: with the event's time on it, what the event says would be lost each time. Without one, a late
            # webhook may set a state back, until the next event puts it right.
            return item
        return self.correct_event(path, item, item.get("identifiers"), "attributes")

    def correct_event(self, path: str, item: dict[str, Json], who: Json, data: str) -> dict[str, Json]:
        """Gives an event, of v2 or v1, what makes a repetition harmless (`id`) and tells when it happened; a test its
        mark. `who` are the person's identifiers, in v1 the path that names the person; `data` is the field that says
        what the event is about.
        """
        place, self._place = self._place, self._place + 1
        if self._wanted.event_id:
            item = self._with_id(place, path, item, who)
        if self._wanted.timestamp:
            item = self._with_timestamp(path, item)
        if self._origin.test:
            item = self._marked(path, item, data)
        return item

    def _marked(self, path: str, item: dict[str, Json], data: str) -> dict[str, Json]:
        event_id, about = item.get("id"), item.get(data, {})
        if isinstance(event_id, str) and contract.is_ulid(event_id):
            item = {**item, "id": stable_ulid(0, event_id, self._origin.test)}
        if not isinstance(about, dict):
            return item
        self._verdicts.append(
            rules.TEST_MARKED.at(
                f"{path}.{data}.{TEST_ATTRIBUTE}",
                "The event is marked as a test, and has an id of its own.",
                "Let campaigns leave out what has this attribute.",
            )
        )
        return {**item, data: {**about, TEST_ATTRIBUTE: True}}

    def _with_id(self, place: int, path: str, item: dict[str, Json], who: Json) -> dict[str, Json]:
        given, origin = item.get("id"), self._origin
        if isinstance(given, str) and contract.is_ulid(given):
            return item
        if given is None:
            verdict = rules.EVENT_ID_ADDED.at(
                f"{path}.id",
                "An id was made, so that sending the event again adds nothing.",
                "Set correct_event_id to false on the endpoint to leave it as it is.",
            )
        else:
            verdict = rules.EVENT_ID_CORRECTED.at(
                f"{path}.id",
                "The id is not a ULID, which Customer.io needs to leave repetitions out; one was made from it.",
                "Leave id out, unless other messages tell of the same event and give it the same id.",
            )
        self._verdicts.append(verdict)
        if isinstance(given, str) and _tells_apart(given, who):
            # Of the id, the person and the name alone, so that it is the same in each message that tells of it. The
            # time in it stays 0: only that it is unique counts,
            # https://community.customer.io/data-integrations-38/why-ulid-ids-are-required-for-deduplicating-events-428.
            again = (str(origin.edition),) if origin.edition else ()
            made = stable_ulid(0, origin.endpoint_id, _written(who), _written(item.get("name")), given, *again)
        else:
            own = given if isinstance(given, str) else type(given).__name__ if given is not None else ""
            made = stable_ulid(origin.occurred_at_ms, origin.own_id, origin.endpoint_id, str(place), own)
        return {**item, "id": made}

    def _with_timestamp(self, path: str, item: dict[str, Json]) -> dict[str, Json]:
        given = item.get("timestamp")
        if given is None:
            self._verdicts.append(
                rules.TIMESTAMP_ADDED.at(
                    f"{path}.timestamp",
                    "The event's own time was added.",
                    "Set correct_timestamp to false on the endpoint to leave it as it is.",
                )
            )
            return {**item, "timestamp": max(0, self._origin.occurred_at_ms // 1000)}
        seconds = _seconds(given)
        if seconds is None or seconds == given:
            return item
        self._verdicts.append(
            rules.TIMESTAMP_CORRECTED.at(
                f"{path}.timestamp",
                "It is no whole number of Unix seconds; it is sent as one.",
                "Write nicobar.unix(isoText), or leave timestamp out.",
            )
        )
        return {**item, "timestamp": seconds}


def _tells_apart(event_id: str, who: Json) -> bool:
    """Whether it can be an event's own id. The person's is none, though it is often written there; then each event
    after the first would be left out (https://github.com/activepieces/activepieces/issues/6391).
    """
    return bool(event_id.strip()) and not (isinstance(who, dict) and event_id in who.values())


def _written(value: Json) -> str:
    return (encoded(value) or b"").decode()


def _seconds(value: Json) -> int | None:
    """Unix seconds of a date and time as text, of milliseconds, or of seconds with a fraction; None for the rest."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            return max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))
        except (ValueError, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - NaN
        return None
    if not 0 <= value < _MILLISECONDS.stop:
        return None
    return int(value) // 1000 if int(value) in _MILLISECONDS else int(value)


def profile(items: Sequence[dict[str, Json]], origin: Origin) -> dict[str, Json] | None:
    """An identify with the customer's e-mail and name, if one of the events is about the customer and no identify
    here says the address.

    Only for the person that an event names by the sender's own id: another one may be somebody else, whom the
    customer's address would be put on.

    Without a timestamp, as every identify: a retry is always older than the profile's latest edit.
    """
    customer = origin.customer
    if customer is None or not customer.email:
        return None
    identifiers: dict[str, Json] = {"id": customer.key}
    about = [item for item in items if item.get("type") == "person" and item.get("identifiers") == identifiers]
    has_event = any(item.get("action") in contract.EVENT_TYPES for item in about)
    if not has_event or has_address(identifiers, about):
        return None
    attributes: dict[str, Json] = {"email": customer.email, **({"name": customer.name} if customer.name else {})}
    made: dict[str, Json] = {
        "type": "person",
        "action": "identify",
        "identifiers": identifiers,
        "attributes": attributes,
    }
    return None if any(check("", made)) else made


def has_address(identifiers: Json, items: Sequence[dict[str, Json]]) -> bool:
    """Whether a person is named by an address, or given one by an identify among `items`."""
    if isinstance(identifiers, dict) and "email" in identifiers:
        return True
    said = (
        item.get("attributes")
        for item in items
        if item.get("action") == "identify" and item.get("identifiers") == identifiers
    )
    return any(isinstance(attributes, dict) and attributes.get("email") for attributes in said)


def profile_added() -> Verdict:
    """Says that the `profile` goes before the event."""
    return rules.PROFILE_ADDED.at(
        "[0].payload",
        "The customer's e-mail and name are sent before the event, since a mail needs an address.",
        "Set keep_profile to false on the endpoint to send them yourself.",
    )
