"""Corrections and additions to calls. Each is reported as a verdict and can be turned off."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from nicobar.connectors import Origin
from nicobar.connectors.customerio import rules, track_api
from nicobar.connectors.customerio.earlier_variables import earlier_id
from nicobar.connectors.customerio.error_checks import find_action, shown
from nicobar.connectors.customerio.identification import BILLING_NAMES, metadata_trusted
from nicobar.connectors.customerio.person_paths import of_path
from nicobar.connectors.identity import EarlierIds, EventIds, Identity, names_person, person_of
from nicobar.model import Json, Record, Verdict
from nicobar.people import PersonOrigin

if TYPE_CHECKING:
    from nicobar.connectors.customerio.identification import Identification

TEST_ATTRIBUTE = "nicobar_test"
# The handler's fields for an event's identity; Customer.io has no such fields.
OWN_FIELDS = ("once", "key")
MAX_ADDRESS_CHARS = 254  # RFC 5321, section 4.5.3.1.3, without the brackets
_ADDRESS = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_MILLISECONDS = range(10**12, 10**14)
# Nine digits or more: eight are a date.
_DIGITS = re.compile(r"\d{9,14}(?:\.\d{1,9})?", re.ASCII)


class Corrections(Record):
    """The corrections that are on at an endpoint."""

    action: bool = True
    event_id: bool = True
    timestamp: bool = True
    profile: bool = True
    identifier: bool = True
    trust_metadata: bool = False
    # As in `earlier_variables.py`.
    event_ids_by: str = ""


class Occurrence(Record):
    """An event call besides its fields. `who` are the person's identifiers, in v1 from the path or payload;
    `recipient` is the email address of a v1 event without a person; `kind` is event, page or screen; `data` is the
    name of the field with the event's properties.
    """

    who: Json
    kind: str
    data: str = "attributes"
    recipient: Json = None

    def person(self, origin: Origin, earlier: str = "") -> tuple[str, str]:
        """The person as part of the id; ("", "") if there is none, or not exactly one. `earlier` is the id that the
        handler named for the customer before, if it was another one.
        """
        names = self.who if isinstance(self.who, dict) else {}
        if names.get(V1_PATH_ID):
            # The path decides: an additional `anonymous_id` may be the same for two people.
            names = {V1_PATH_ID: names[V1_PATH_ID]}
        found = [(kind, value) for kind, value in names.items() if isinstance(value, str) and value]
        if not found and isinstance(self.recipient, str):
            found = [("email", self.recipient)]
        if len(found) != 1:
            return "", ""
        ((kind, value),) = found
        if kind == V1_PATH_ID:
            kind, value = _of_path(value, origin)
        if earlier and origin.customer is not None and (kind, value) == ("id", origin.customer.key):
            return kind, earlier
        return person_of(kind, value, origin.event_customer)


# An identifier in a v1 path, whose format tells its kind.
V1_PATH_ID = "v1_path_id"


def _of_path(value: str, origin: Origin) -> tuple[str, str]:
    if origin.customer is not None and value == origin.customer.key:
        return "id", value
    return of_path(value)


class Corrector:
    """Corrects the objects of one message and adds the corrections to `verdicts`."""

    def __init__(self, wanted: Corrections, origin: Origin, verdicts: list[Verdict]) -> None:
        self._wanted = wanted
        self._origin = origin
        self._verdicts = verdicts
        self._ids = EventIds(origin)
        self._place = 0
        self._earlier = earlier_id(wanted.event_ids_by, origin.body)
        # The ids made of natural keys.
        self.once_ids: set[str] = set()

    def correct(self, path: str, item: dict[str, Json]) -> dict[str, Json]:
        """The v2 object to send."""
        action = find_action(item)
        name = item.get("name")
        if action is None and self._wanted.action and item.get("type") == "person" and isinstance(name, str):
            self._verdicts.append(_action_verdict(f"{path}.action", item.get("action"), name))
            item = {**item, "action": "event"}
            action = find_action(item)
        if action is None or not action.is_event:
            # An identify gets no timestamp. Customer.io responds with 200 and drops an identify that is older than
            # the profile's latest edit (https://github.com/PostHog/posthog/issues/55330). That edit may come from the
            # merchant's own app: with the event's time, the attributes would be lost each time. Without a timestamp,
            # a late webhook may reset an attribute until the next event corrects it. The handler may set one.
            item = _without_own_fields(item)
            return self.with_seconds(path, item, "timestamp") if item.get("action") == "identify" else item
        return self.correct_event(path, item, Occurrence(who=item.get("identifiers"), kind=action.action))

    def correct_event(self, path: str, item: dict[str, Json], event: Occurrence) -> dict[str, Json]:
        """Adds an id (for deduplication), a timestamp and, for test events, the test attribute to an event of v2 or
        v1.
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
                "Test event: Nicobar adds the attribute nicobar_test and a separate id.",
                "To keep test events out of a campaign, filter by this attribute.",
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
                        "`%(field)s` is %(given)s. It must be non-empty text.",
                        "Use %(field)s: String(value), or omit `%(field)s`.",
                        field=field,
                        given=shown(given),
                    )
                )
        if item.get("id") is not None and isinstance(once := item.get("once"), str) and once.strip():
            self._verdicts.append(
                rules.EVENT_KEY.at(
                    f"{path}.once",
                    "The event has both `id` and `once`. Only one of them can identify it.",
                    "Remove one of them.",
                )
            )

    def _with_id(self, path: str, item: dict[str, Json], event: Occurrence) -> dict[str, Json]:
        """The event with its final id and without the handler's own identity fields."""
        place, self._place = self._place, self._place + 1
        given, person = item.get("id"), event.person(self._origin, self._earlier)
        once, key = (value if isinstance(value := item.get(field), str) else None for field in OWN_FIELDS)
        item = _without_own_fields(item)
        if isinstance(given, str) and track_api.is_ulid(given):
            if not names_person(given, person, self._origin.customer):
                return {**item, "id": self._ids.from_given_ulid(given.upper())}
            self._verdicts.append(_person_id_verdict(f"{path}.id", corrected=self._wanted.event_id))
        elif self._wanted.event_id:
            self._verdicts.append(_id_verdict(path, given))
        if not self._wanted.event_id:
            self._verdicts.extend(_ignored(path, once=once, key=key))
            return item
        natural_id = given if isinstance(given, str) and given.strip() else None
        if natural_id is not None and names_person(natural_id, person, self._origin.event_customer):
            # Handlers often use the person's id here; every event after the first would be dropped as a duplicate
            # (https://github.com/activepieces/activepieces/issues/6391).
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
        if once is not None:
            self.once_ids.add(derived.id)
        if derived.number:
            self._verdicts.append(
                rules.EQUAL_EVENTS.at(
                    f"{path}.name",
                    "This message sends %(name)s to the same person more than once without a `key`. The "
                    "event IDs then depend on the order: if a new handler changes it, a replay loses or "
                    "duplicates events.",
                    "Pass {key: …} to nicobar.event, such as the id of the line item.",
                    name=shown(name),
                )
            )
        return {**item, "id": derived.id}

    def _with_timestamp(self, path: str, item: dict[str, Json]) -> dict[str, Json]:
        given = item.get("timestamp")
        if given is None:
            self._verdicts.append(
                rules.TIMESTAMP_ADDED.at(
                    f"{path}.timestamp",
                    "Nicobar adds the event's time.",
                    'To omit it, turn off "Add event timestamps" (`correct_timestamp`) in the endpoint\'s settings.',
                )
            )
            return {**item, "timestamp": max(0, self._origin.occurred_at_ms // 1000)}
        return self.with_seconds(path, item, "timestamp")

    def with_seconds(self, path: str, item: dict[str, Json], field: str) -> dict[str, Json]:
        """The object with a time that the handler set, in Unix seconds."""
        given = item.get(field)
        seconds = _seconds(given) if self._wanted.timestamp and given is not None else None
        if seconds is None or seconds == given:
            return item
        self._verdicts.append(
            rules.TIMESTAMP_CORRECTED.at(
                f"{path}.{field}",
                "The timestamp %(given)s is not in Unix seconds. Nicobar sends %(seconds)s.",
                "Use nicobar.unix(isoText), or omit `timestamp`.",
                given=shown(given),
                seconds=seconds,
            )
        )
        return {**item, field: seconds}


def _without_own_fields(item: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in item.items() if name not in OWN_FIELDS}


def _action_verdict(path: str, action: Json, name: str) -> Verdict:
    if action is None:
        return rules.ACTION_CORRECTED.at(
            path,
            "The call has no action. Nicobar sends this as an event named %(name)s.",
            'Use action: "event".',
            name=shown(name),
        )
    return rules.ACTION_CORRECTED.at(
        path,
        "Customer.io has no action %(action)s. Nicobar sends this as an event named %(name)s.",
        'Use action: "event".',
        action=shown(action),
        name=shown(name),
    )


def _ignored(path: str, **own: str | None) -> Iterator[Verdict]:
    for field, value in own.items():
        if value is not None:
            yield rules.EVENT_KEY_IGNORED.at(
                f"{path}.{field}",
                '`%(field)s` has no effect because "Add event IDs" (`correct_event_id`) is off.',
                "Turn it on in the endpoint's settings, or set a ULID as the event's `id`.",
                field=field,
            )


def _id_verdict(path: str, given: Json) -> Verdict:
    if given is None:
        return rules.EVENT_ID_ADDED.at(
            f"{path}.id",
            "Nicobar adds an event ID, so that Customer.io ignores duplicates.",
            'To omit it, turn off "Add event IDs" (`correct_event_id`) in the endpoint\'s settings.',
        )
    return rules.EVENT_ID_CORRECTED.at(
        f"{path}.id",
        "The event ID %(given)s is not a ULID, which Customer.io needs to recognize duplicates. Nicobar replaces it "
        "with a ULID.",
        "Omit `id`. If several messages report the same event, pass {once: …} to nicobar.event.",
        given=shown(given),
    )


def _person_id_verdict(path: str, *, corrected: bool) -> Verdict:
    if corrected:
        return rules.EVENT_ID_CORRECTED.at(
            path,
            "The event ID is the id of the person, so Customer.io would ignore all of the person's events after the "
            "first. Nicobar replaces it.",
            "Omit `id`.",
        )
    return rules.PERSON_AS_EVENT_ID.at(
        path,
        "The event ID is the id of the person, so Customer.io ignores all of the person's events after the first.",
        'Omit `id`, and turn on "Add event IDs" (`correct_event_id`) in the endpoint\'s settings.',
    )


def _seconds(value: Json) -> int | None:
    """Unix seconds of a date and time or of digits as text, of milliseconds, of fractional seconds; else None."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, str):
        try:
            # ISO 8601 starts with a digit, and RFC 2822 may: its month is a word.
            is_iso = value[4:5] == "-" or value[:8].isdecimal()
            moment = datetime.fromisoformat(value) if is_iso else parsedate_to_datetime(value)
            return max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))
        except (ValueError, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - NaN
        return None
    if not 0 <= value < _MILLISECONDS.stop:
        return None
    return int(value) // 1000 if int(value) in _MILLISECONDS else int(value)


def profile(
    items: Sequence[dict[str, Json]], origin: Origin, identification: Identification
) -> dict[str, Json] | None:
    """An identify with what the customer's profile needs, if an event is about the customer and no identify here sets
    it all.

    Only for a person that an event identifies as the customer: any other identifier may belong to someone else, who
    would get the customer's address.

    Without a timestamp, like every identify: a retry is always older than the profile's latest edit.
    """
    identifiers = identification.customer_identifiers
    about = [
        item
        for item in items
        if item.get("type") == "person"
        and identifiers
        and (
            item.get("identifiers") == identifiers
            or (identification.replaced is not None and identification.is_person(item.get("identifiers")))
        )
    ]
    if not any(item.get("action") in track_api.EVENT_TYPES for item in about):
        return None
    attributes = _profile_attributes(origin, identification)
    given = {name for item in about if isinstance(own := _identified_attributes(item), dict) for name in own}
    is_complete = has_address(identifiers, about) if "email" in attributes else attributes.keys() <= given
    if is_complete:
        return None
    return {"type": "person", "action": "identify", "identifiers": identifiers, "attributes": attributes}


def _profile_attributes(origin: Origin, identification: Identification) -> dict[str, Json]:
    """What the customer's profile needs: an address where the person is not identified by it, a name, and the
    sender's customer id where the endpoint's rule identifies people.
    """
    customer, person = origin.customer, identification.replaced
    if customer is None:
        return {}
    attributes: dict[str, Json] = {}
    names = BILLING_NAMES if person is not None and identification.protects else {"email": "email", "name": "name"}
    if customer.email and (person is None or person.kind != "email"):
        attributes[names["email"]] = customer.email.strip()
    if customer.name:
        attributes[names["name"]] = customer.name
    if (person is None or person.origin is PersonOrigin.CUSTOMER_ID) and not customer.email:
        return {}
    if person is not None and origin.customer_id_attribute:
        attributes[origin.customer_id_attribute] = customer.key
    return attributes


def _identified_attributes(item: dict[str, Json]) -> Json:
    return item.get("attributes") if item.get("action") == "identify" else None


def has_address(identifiers: Json, items: Sequence[dict[str, Json]]) -> bool:
    """Whether a person is identified by a usable address, or an identify among `items` sets one."""
    if isinstance(identifiers, dict) and is_address(identifiers.get("email")):
        return True
    profiles = (
        item.get("attributes")
        for item in items
        if item.get("action") == "identify" and item.get("identifiers") == identifiers
    )
    return any(isinstance(attributes, dict) and is_address(attributes.get("email")) for attributes in profiles)


def is_address(value: Json) -> bool:
    """Whether an email can be sent there, as far as its form tells."""
    return isinstance(value, str) and len(value) <= MAX_ADDRESS_CHARS and _ADDRESS.fullmatch(value) is not None


def profile_verdicts(item: dict[str, Json], identification: Identification) -> Iterator[Verdict]:
    """The verdicts on the `profile` that is sent before the event."""
    attributes = item["attributes"]
    names = list(attributes) if isinstance(attributes, dict) else []
    yield rules.PROFILE_ADDED.at(
        "[0].payload",
        "Nicobar sends attributes of the customer before the event: %(names)s. Campaign emails need an address.",
        'To send them yourself, turn off "Keep profiles up to date" (`keep_profile`) in the endpoint\'s settings.',
        names=", ".join(names),
    )
    if identification.replaced is not None and identification.trusts_buyer:
        yield from metadata_trusted("[0].payload", names)
