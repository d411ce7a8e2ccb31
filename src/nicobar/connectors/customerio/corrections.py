"""The few things that are put right or added on the way to Customer.io. Each says so, and can be switched off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from nicobar.connectors import Origin
from nicobar.connectors.customerio import rules, track_api
from nicobar.connectors.customerio.error_checks import MAX_SHOWN_CHARS, check, find_action, quote
from nicobar.connectors.identity import EarlierIds, EventIds, Identity, names_person, person_of
from nicobar.connectors.payload import encoded
from nicobar.model import Json, Record, Verdict

TEST_ATTRIBUTE = "nicobar_test"
# What a handler says of an event's identity; Customer.io has no such fields.
OWN_FIELDS = ("once", "key")
_MILLISECONDS = range(10**12, 10**14)


class Corrections(Record):
    """Which corrections an endpoint wants."""

    action: bool = True
    event_id: bool = True
    timestamp: bool = True
    profile: bool = True


class Occurrence(Record):
    """What an event call says besides its fields. `who` are the person's identifiers, in v1 what its path or payload
    names the person by; `recipient` is whom an event of v1 without a person invites; `kind` is event, page or screen;
    `data` is the field that says what the event is about.
    """

    who: Json
    kind: str
    data: str = "attributes"
    recipient: Json = None

    def person(self, origin: Origin) -> tuple[str, str]:
        """The person as part of the id; ("", "") if there is none, or not exactly one."""
        names = self.who if isinstance(self.who, dict) else {}
        if names.get(PATH_OF_V1):
            # The path decides: an `anonymous_id` beside it may be the same for two people.
            names = {PATH_OF_V1: names[PATH_OF_V1]}
        found = [(kind, value) for kind, value in names.items() if isinstance(value, str) and value]
        if not found and isinstance(self.recipient, str):
            found = [("email", self.recipient)]
        if len(found) != 1:
            return "", ""
        ((kind, value),) = found
        if kind == PATH_OF_V1:
            kind, value = _of_path(value, origin)
        return person_of(kind, value, origin.customer)


# In a path of v1 the shape of an identifier tells what it is.
PATH_OF_V1 = "known"


def _of_path(value: str, origin: Origin) -> tuple[str, str]:
    if origin.customer is not None and value == origin.customer.key:
        return "id", value
    if value.startswith("cio_"):
        return "cio_id", value.removeprefix("cio_")
    return "email" if "@" in value else "id", value


class Corrector:
    """Corrects the objects of one message; what it does is added to `verdicts`."""

    def __init__(self, wanted: Corrections, origin: Origin, verdicts: list[Verdict]) -> None:
        self._wanted = wanted
        self._origin = origin
        self._verdicts = verdicts
        self._ids = EventIds(origin)
        self._place = 0

    def correct(self, path: str, item: dict[str, Json]) -> dict[str, Json]:
        """One v2 object as it will be sent."""
        action = find_action(item)
        name = item.get("name")
        if action is None and self._wanted.action and item.get("type") == "person" and isinstance(name, str):
            self._verdicts.append(
                rules.ACTION_CORRECTED.at(
                    f"{path}.action",
                    "Customer.io has no action %(action)s and would refuse the call; it is sent as an event named "
                    "%(name)s.",
                    'Write action: "event".',
                    action=quote(item.get("action")),
                    name=quote(name),
                )
            )
            item = {**item, "action": "event"}
            action = find_action(item)
        if action is None or not action.is_event:
            # An identify gets no timestamp. Customer.io answers 200 and drops a whole identify that is older than the
            # profile's latest edit (https://github.com/PostHog/posthog/issues/55330). That edit may be the merchant's
            # own app's: with the event's time on it, what the event says would be lost each time. Without one, a late
            # webhook may set a state back, until the next event puts it right.
            return _without_own_fields(item)
        return self.correct_event(path, item, Occurrence(who=item.get("identifiers"), kind=action.action))

    def correct_event(self, path: str, item: dict[str, Json], event: Occurrence) -> dict[str, Json]:
        """Gives an event, of v2 or v1, what makes a repetition harmless (`id`) and tells when it happened; a test its
        mark.
        """
        self._check_own_fields(path, item)
        item = self._with_id(path, item, event)
        if self._wanted.timestamp:
            item = self._with_timestamp(path, item)
        if self._origin.test:
            item = self._marked(path, item, event.data)
        return item

    def _marked(self, path: str, item: dict[str, Json], data: str) -> dict[str, Json]:
        about = item.get(data, {})
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

    def _check_own_fields(self, path: str, item: dict[str, Json]) -> None:
        for field in OWN_FIELDS:
            given = item.get(field)
            if given is None:
                continue
            if not isinstance(given, str) or not given.strip():
                self._verdicts.append(
                    rules.EVENT_KEY.at(
                        f"{path}.{field}",
                        "`%(field)s` is %(given)s. It has to be text that is not empty.",
                        "Write %(field)s: String(value), or leave %(field)s out.",
                        field=field,
                        given=_shown(given),
                    )
                )
        if item.get("id") is not None and isinstance(once := item.get("once"), str) and once.strip():
            self._verdicts.append(
                rules.EVENT_KEY.at(
                    f"{path}.once",
                    "The event has both `id` and `once`. Each of them says which event it is.",
                    "Leave one of them out.",
                )
            )

    def _with_id(self, path: str, item: dict[str, Json], event: Occurrence) -> dict[str, Json]:
        """The event with the id that it is sent under, and without what the handler says of its identity."""
        place, self._place = self._place, self._place + 1
        given, person = item.get("id"), event.person(self._origin)
        once, key = (value if isinstance(value := item.get(field), str) else None for field in OWN_FIELDS)
        item = _without_own_fields(item)
        if isinstance(given, str) and track_api.is_ulid(given):
            return {**item, "id": self._ids.from_given_ulid(given)}
        if not self._wanted.event_id:
            self._verdicts.extend(_ignored(path, once=once, key=key))
            return item
        self._verdicts.append(_id_verdict(path, given))
        natural_id = given if isinstance(given, str) and given.strip() else None
        if natural_id is not None and names_person(natural_id, person, self._origin.customer):
            # An id that is the person's is often written there; each event after the first would be dropped as a
            # duplicate (https://github.com/activepieces/activepieces/issues/6391).
            natural_id = None
        if self._origin.replay_key is None:
            return {**item, "id": EarlierIds(self._origin).derive(place, given, event.who, item.get("name"))}
        name = item.get("name")
        identity = Identity(
            person=person, kind=event.kind, name=name if isinstance(name, str) else "", once=once, key=key
        )
        if natural_id is not None:
            return {**item, "id": self._ids.from_natural_id(natural_id, identity)}
        derived = self._ids.derive(identity)
        if derived.number:
            self._verdicts.append(
                rules.EQUAL_EVENTS.at(
                    f"{path}.name",
                    "This message sends %(name)s to one person more than once, and no `key` tells the events "
                    "apart. Their ids depend on their order: if a new handler changes it, a replay drops or doubles "
                    "events.",
                    "Pass {key: …} to nicobar.event, such as the id of what the event is about.",
                    name=quote(name),
                )
            )
        return {**item, "id": derived.id}

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


def _without_own_fields(item: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in item.items() if name not in OWN_FIELDS}


def _shown(value: Json) -> str:
    """A value as a handler wrote it, short enough for a sentence."""
    return (encoded(value) or b"no JSON").decode()[:MAX_SHOWN_CHARS]


def _ignored(path: str, **own: str | None) -> Iterator[Verdict]:
    for field, value in own.items():
        if value is not None:
            yield rules.EVENT_KEY_IGNORED.at(
                f"{path}.{field}",
                "`%(field)s` has no effect: correct_event_id is false on the endpoint, so the event gets no id.",
                "Set correct_event_id to true on the endpoint, or give the event an `id` that is a ULID.",
                field=field,
            )


def _id_verdict(path: str, given: Json) -> Verdict:
    if given is None:
        return rules.EVENT_ID_ADDED.at(
            f"{path}.id",
            "An id was made, so that sending the event again adds nothing.",
            "Set correct_event_id to false on the endpoint to leave it as it is.",
        )
    return rules.EVENT_ID_CORRECTED.at(
        f"{path}.id",
        "The id is not a ULID, which Customer.io needs to leave repetitions out; one was made from it.",
        "Leave id out. If other messages report the same event, pass {once: …} to nicobar.event instead.",
    )


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
    has_event = any(item.get("action") in track_api.EVENT_TYPES for item in about)
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
    profiles = (
        item.get("attributes")
        for item in items
        if item.get("action") == "identify" and item.get("identifiers") == identifiers
    )
    return any(isinstance(attributes, dict) and attributes.get("email") for attributes in profiles)


def profile_added() -> Verdict:
    """Says that the `profile` goes before the event."""
    return rules.PROFILE_ADDED.at(
        "[0].payload",
        "The customer's e-mail and name are sent before the event, since a mail needs an address.",
        "Set keep_profile to false on the endpoint to send them yourself.",
    )
