"""Everything that is said of a call, by name: how much it weighs and where the fact is documented."""

from __future__ import annotations

from nicobar.connectors.customerio import track_api
from nicobar.model import Level, Record, Verdict
from nicobar.reasons import Reason, reason


class Rule(Record):
    """`meaning` is one sentence for the reference."""

    name: str
    level: Level
    meaning: str
    source: str = track_api.TRACK

    def at(self, path: str, detail: str, fix: str, /, **values: str | float | Reason) -> Verdict:
        """This rule's word on one place of a call, as templates and the values in them."""
        why = reason(self.name, detail, fix, location=path, **values)
        return Verdict(level=self.level, reason=why, source=self.source)


def _error(name: str, meaning: str, source: str = track_api.TRACK) -> Rule:
    return Rule(name=name, level=Level.ERROR, meaning=meaning, source=source)


def _warning(name: str, meaning: str, source: str = track_api.TRACK) -> Rule:
    return Rule(name=name, level=Level.WARNING, meaning=meaning, source=source)


def _correction(name: str, meaning: str) -> Rule:
    return Rule(name=name, level=Level.CORRECTION, meaning=meaning)


def _addition(name: str, meaning: str) -> Rule:
    return Rule(name=name, level=Level.ADDITION, meaning=meaning)


# --- errors: Customer.io would refuse the call, or take it and do nothing ---
HOST = _error("host", "The URL is not one of Customer.io's; credentials go nowhere else.")
PATH = _error("path", "The Track API has no such call.")
JSON = _error("json", "The payload cannot be written as JSON.")
PAYLOAD = _error("payload", "The payload is not an object.")
EMPTY = _error("empty", "A list or batch has nothing in it.")
SIZE = _error("size", "A call is larger than 32 KB.")
TYPE = _error("type", "`type` is none of person, object, delivery.")
UNKNOWN_ACTION = _error("unknown_action", "`action` is not one that the type has.")
MISSING = _error("missing", "A field that the action needs is not there.")
IDENTIFIERS = _error("identifiers", "Not exactly one identifier, or not a usable one.", track_api.IDENTIFYING)
ID_LENGTH = _error("id_length", "An id is longer than 150 bytes.")
PHONE = _error("phone", "A phone number is not in E.164 form.", track_api.IDENTIFYING)
CIO_ID = _error("cio_id", "A `cio_id` has the prefix that only paths of v1 want.")
OBJECT_TYPE = _error("object_type", "`object_type_id` is not the number of a type, as text.")
EVENT_NAME = _error("event_name", "An event's name is missing, blank or not a text.", track_api.INVALID)
EVENT_NAME_LENGTH = _error("event_name_length", "An event's name is longer than 100 bytes.", track_api.INVALID)
EVENT_ID = _error("event_id", "An event's `id` is not a ULID.")
EVENT_KEY = _error("event_key", "An event's `once` or `key` is not text, or `once` stands beside an `id`.")
EVENT_TYPE = _error("event_type", "The `type` of an event of v1 is none of event, page, screen.")
TIMESTAMP = _error(
    "timestamp",
    "`timestamp`, in v1's identify `_timestamp`, is not a whole number of Unix seconds.",
    track_api.TIMESTAMPS,
)
ATTRIBUTES = _error("attributes", "`attributes` is not an object.")
ATTRIBUTE_COUNT = _error("attribute_count", "There are more than 300 attributes.", track_api.INVALID)
ATTRIBUTE_NAME = _error("attribute_name", "An attribute's name is longer than 150 bytes.", track_api.INVALID)
ATTRIBUTE_VALUE = _error("attribute_value", "An attribute's value is longer than 1000 bytes.", track_api.INVALID)
DATA = _error("data", "The `data` of a call of v1 is not an object, or larger than 100,000 bytes.", track_api.INVALID)
RELATIONSHIPS = _error(
    "relationships", "`cio_relationships` is not a list of things with identifiers, in v1 beside an `action`."
)
DEVICE = _error("device", "A device has no token or platform.")
MERGE = _error("merge", "`primary` or `secondary` is not exactly one identifier of a person.")
DELIVERY = _error("delivery", "A delivery's event is none of opened, converted, delivered, or has no device token.")
SEGMENT = _error("segment", "`ids` is not a list of 1 to 1000 texts, or `id_type` none of id, email, cio_id.")
FORM = _error("form", "A form's data has not exactly one of id and email, or other values than texts.")

# --- warnings: accepted, and surely not what was meant ---
NAME_BESIDE_IDENTIFY = _warning("name_beside_identify", "An identify has a `name`, which has no effect.")
ISO_DATE = _warning("iso_date", "A date as text never matches a condition on time.", track_api.TIMESTAMPS)
MILLISECONDS = _warning("milliseconds", "A time in milliseconds never matches a condition.", track_api.TIMESTAMPS)
MONEY_AS_TEXT = _warning("money_as_text", "An amount as text does not compare as a number.")
WRONG_DECIMALS = _warning("wrong_decimals", "An amount was divided by 100 in a currency that has no hundredths.")
MAIL_PROPERTY = _warning("mail_property", "`recipient`, `from_address`, `reply_to` redirect the campaign's mail.")
OWN_ATTRIBUTE = _warning(
    "own_attribute", "An attribute has a name that Customer.io keeps for itself.", track_api.RESERVED
)
INTERNAL_NAME = _warning("internal_name", "Names that begin with `_` are of no use in segments.", track_api.RESERVED)
OLD_EVENT = _warning("old_event", "An event older than 72 hours is kept and starts no campaign.", track_api.OLD_DATA)
NO_ADDRESS = _warning("no_address", "Nothing sent with the event gives its person an address.", track_api.TRIGGERS)
NO_EVENT_ID = _warning("no_event_id", "An event without `id` is a second event each time it is sent again.")
EVENT_KEY_IGNORED = _warning(
    "event_key_ignored", "An event's `once` or `key` has no effect, since the endpoint gives events no `id`."
)
EQUAL_EVENTS = _warning(
    "equal_events", "A message sends events with one name to one person, and no `key` tells them apart."
)

# --- corrections: something that was written is sent in another form ---
ACTION_CORRECTED = _correction("action_corrected", "An unknown action with a name is sent as the event of that name.")
EVENT_ID_CORRECTED = _correction(
    "event_id_corrected", "An `id` that is not a ULID is replaced by one made from it, the person and the name."
)
TIMESTAMP_CORRECTED = _correction("timestamp_corrected", "A `timestamp` as text or in milliseconds becomes seconds.")

# --- additions: something that was left out is sent too ---
EVENT_ID_ADDED = _addition("event_id_added", "An event gets an `id`, so that a repetition adds nothing.")
TIMESTAMP_ADDED = _addition("timestamp_added", "An event gets its own time as `timestamp`.")
TEST_MARKED = _addition("test_marked", "An event that is sent as a test has the attribute `nicobar_test`.")
PROFILE_ADDED = _addition("profile_added", "The customer's e-mail and name go before the event.")

RULES: dict[str, Rule] = {rule.name: rule for rule in list(vars().values()) if isinstance(rule, Rule)}
