"""The rules of the contract by name, each with its level and its source in the documentation."""

from __future__ import annotations

from nicobar.connectors.customerio import track_api
from nicobar.model import Level, Record, Verdict
from nicobar.people import FALLBACK_USED
from nicobar.reasons import Reason, bounded


class Rule(Record):
    """`meaning` is one sentence for the reference."""

    name: str
    level: Level
    meaning: str
    source: str = track_api.TRACK

    def at(self, path: str, detail: str, fix: str, /, **values: str | float | Reason) -> Verdict:
        """A verdict of this rule on one location of a call, as templates and their values."""
        why = Reason(
            code=self.name,
            template=detail,
            fix_template=fix,
            values=bounded(values) if values else {},
            location=path,
        )
        return Verdict(level=self.level, reason=why, source=self.source)


def _error(name: str, meaning: str, source: str = track_api.TRACK) -> Rule:
    return Rule(name=name, level=Level.ERROR, meaning=meaning, source=source)


def _warning(name: str, meaning: str, source: str = track_api.TRACK) -> Rule:
    return Rule(name=name, level=Level.WARNING, meaning=meaning, source=source)


def _correction(name: str, meaning: str) -> Rule:
    return Rule(name=name, level=Level.CORRECTION, meaning=meaning)


def _addition(name: str, meaning: str) -> Rule:
    return Rule(name=name, level=Level.ADDITION, meaning=meaning)


# --- errors: Customer.io would reject the call, or accept and ignore it ---
HOST = _error("host", "The URL is not part of Customer.io's Track API. Credentials are only sent there.")
PATH = _error("path", "The Track API has no such call.")
JSON = _error("json", "The payload cannot be converted to JSON.")
PAYLOAD = _error("payload", "The payload is not an object.")
EMPTY = _error("empty", "A list or batch is empty.")
SIZE = _error("size", "A call is larger than 32 KB.")
TYPE = _error("type", "`type` is not person, object or delivery.", track_api.ENTITY_CALL)
UNKNOWN_ACTION = _error("unknown_action", "The type has no such `action`.", track_api.ENTITY_CALL)
MISSING = _error("missing", "A field that the action requires is missing.", track_api.ENTITY_CALL)
IDENTIFIERS = _error("identifiers", "There is not exactly one valid identifier.", track_api.IDENTIFYING)
ID_LENGTH = _error("id_length", "An id is longer than 150 bytes.")
PHONE = _error("phone", "A phone number is not in E.164 format.", track_api.IDENTIFYING)
CIO_ID = _error("cio_id", "A `cio_id` starts with `cio_`, which only v1 URLs use.", track_api.ENTITY_CALL)
OBJECT_TYPE = _error("object_type", "`object_type_id` is not the number of an object type, as text.")
EVENT_NAME = _error("event_name", "An event name is missing, blank or not text.", track_api.INVALID)
EVENT_NAME_LENGTH = _error("event_name_length", "An event name is longer than 100 bytes.", track_api.INVALID)
EVENT_ID = _error("event_id", "An event's `id` is not a ULID.", track_api.EVENT_CALL)
EVENT_KEY = _error("event_key", "`once` or `key` is not text, or an event has both `once` and `id`.")
EVENT_TYPE = _error("event_type", "The `type` of a v1 event is not event, page or screen.", track_api.EVENT_CALL)
TIMESTAMP = _error(
    "timestamp",
    "`timestamp` (`_timestamp` in a v1 identify) is not in whole Unix seconds.",
    track_api.TIMESTAMPS,
)
ATTRIBUTES = _error("attributes", "`attributes` is not an object.", track_api.ENTITY_CALL)
ATTRIBUTE_COUNT = _error("attribute_count", "A call sets more than 300 attributes.", track_api.INVALID)
ATTRIBUTE_NAME = _error("attribute_name", "An attribute name is longer than 150 bytes.", track_api.INVALID)
ATTRIBUTE_VALUE = _error("attribute_value", "An attribute value is longer than 1000 bytes.", track_api.INVALID)
DATA = _error("data", "The `data` of a v1 call is not an object, or is larger than 100,000 bytes.", track_api.INVALID)
RELATIONSHIPS = _error(
    "relationships", "`cio_relationships` is not a list of relationships with identifiers (in v1, with an `action`)."
)
RELATIONSHIP_SIZE = _error("relationship_size", "The attributes of a relationship are larger than 100 KB.")
DEVICE = _error("device", "A device has no token or no valid platform.", track_api.DEVICE_CALL)
MERGE = _error(
    "merge",
    "`primary` or `secondary` does not contain exactly one valid identifier, or both are the same person.",
    track_api.MERGE_CALL,
)
DELIVERY = _error("delivery", "A delivery event is not opened, converted or delivered, or has no device token.")
SEGMENT = _error(
    "segment",
    "The segment is not a number, `ids` is not a list of 1 to 1000 texts, or `id_type` is not id, email or cio_id.",
    track_api.SEGMENT_CALL,
)
FORM = _error("form", "A form's data does not have exactly one of id and email, or has values that are not text.")

# --- warnings: accepted by Customer.io, but almost certainly a mistake ---
NAME_BESIDE_IDENTIFY = _warning("name_beside_identify", "An identify call has a `name`, which has no effect.")
ISO_DATE = _warning("iso_date", "A date is sent as text, which time conditions cannot use.", track_api.TIMESTAMPS)
MILLISECONDS = _warning(
    "milliseconds",
    "A time is sent in milliseconds or finer, which time conditions cannot use.",
    track_api.TIMESTAMPS,
)
MONEY_AS_TEXT = _warning("money_as_text", "An amount is sent as text, which cannot be compared as a number.")
WRONG_DECIMALS = _warning(
    "wrong_decimals", "An amount was divided by 100, but its currency does not have two decimals."
)
PLACEHOLDER = _warning("placeholder", "A value is text such as `undefined`, `null` or `[object Object]`.")
UNKNOWN_FIELD = _warning(
    "unknown_field", "Customer.io does not read a field, such as `properties` instead of `attributes`."
)
ENCODED_TWICE = _warning("encoded_twice", "An id was encoded once too often, so it is another person's.")
MISPLACED_FIELD = _warning(
    "misplaced_field", "An event's `id` or `timestamp` is among its properties, where it has no effect."
)
MAIL_PROPERTY = _warning(
    "mail_property",
    "`recipient`, `from_address` and `reply_to` override the addresses of campaign emails.",
    track_api.EVENT_CALL,
)
INVALID_EMAIL = _warning("invalid_email", "An email address is not valid.", track_api.RESERVED)
NOT_BOOLEAN = _warning(
    "not_boolean", "`unsubscribed` or a subscription preference is not true or false.", track_api.IDENTIFY_CALL
)
TIME_ZONE = _warning("time_zone", "`timezone` is not the name of a region.", track_api.TIME_ZONES)
ATTRIBUTE_CASE = _warning(
    "attribute_case", "`email`, `unsubscribed` or `timezone` has capital letters.", track_api.LETTER_CASE
)
FROM_ONE_EVENT = _warning("from_one_event", "A name such as `total_spent` or `customer_since` is set from one event.")
ANONYMOUS_PERSON = _warning(
    "anonymous_person",
    "An event of v2 has an `anonymous_id`, which is documented for v1 only.",
    track_api.ANONYMOUS_CALL,
)
SEGMENT_IDENTIFIERS = _warning(
    "segment_identifiers",
    "Manual segments cannot be changed in workspaces that use both email and id.",
    track_api.SEGMENT_CALL,
)
MERGE_RACE = _warning(
    "merge_race", "People are merged right after an identify call of the first one.", track_api.MERGE_CALL
)
OWN_ATTRIBUTE = _warning("own_attribute", "An attribute has a name that Customer.io reserves.", track_api.RESERVED)
INTERNAL_NAME = _warning(
    "internal_name", "Segments cannot use attributes whose names start with `_`.", track_api.RESERVED
)
OLD_EVENT = _warning("old_event", "Events older than 72 hours do not trigger campaigns.", track_api.OLD_DATA)
NO_ADDRESS = _warning("no_address", "The call does not set the person's email address.", track_api.TRIGGERS)
PERSON_AS_EVENT_ID = _warning(
    "person_as_event_id", "An event's `id` is the person's own, so only the person's first event counts."
)
SHARED_ADDRESS = _warning(
    "shared_address",
    "The call sets an email address that another customer of the sender has, too.",
    track_api.IDENTIFYING,
)
CHANGED_ADDRESS = _warning(
    "changed_address", "The customer's email address is another one than before.", track_api.IDENTIFYING
)
NAME_TAKEN = _warning(
    "name_taken", "After `attribute_names`, two attributes of a call have one name. One of them is omitted."
)
NO_EVENT_ID = _warning("no_event_id", "An event has no `id`, so every resend counts as another event.")
EVENT_KEY_IGNORED = _warning(
    "event_key_ignored", "`once` or `key` has no effect, because the endpoint does not add event IDs."
)
EQUAL_EVENTS = _warning("equal_events", "A message sends the same event to a person more than once without a `key`.")

IDENTIFIER_KEPT = _warning(
    "identifier_kept",
    "A call whose identifiers Nicobar never changes names the sender's customer ID, but people are identified by "
    "something else.",
    track_api.IDENTIFYING,
)
SEVERAL_IDS = _warning("several_ids", "The customer was seen with two values of the metadata that identifies people.")
METADATA_TRUSTED = _warning(
    "metadata_trusted",
    "A person identified by metadata, which buyers may set, gets an email, id, name or phone number.",
)
CHOSEN_BY_METADATA = _warning(
    "chosen_by_metadata",
    "A call whose identifiers Nicobar never changes is about a person identified by metadata, which buyers may set.",
)

# --- corrections: Nicobar changes the call ---
ACTION_CORRECTED = _correction(
    "action_corrected", "An unknown action with a name is sent as an event with that name."
)
EVENT_ID_CORRECTED = _correction(
    "event_id_corrected",
    "An `id` that is not a ULID, or is the person's own, is replaced by a ULID derived from the person and the name.",
)
TIMESTAMP_CORRECTED = _correction(
    "timestamp_corrected", "A `timestamp` as text or in milliseconds is converted to Unix seconds."
)
IDENTIFIER_REPLACED = _correction(
    "identifier_replaced", "The sender's customer ID is replaced by what the endpoint identifies people by."
)
IDENTITY_FALLBACK = _correction(
    FALLBACK_USED, "A customer whose metadata has no ID is identified by email (`identify_fallback`)."
)
EMAIL_TRIMMED = _correction("email_trimmed", "Spaces around the email address of a person are removed.")
ID_DROPPED = _correction("id_dropped", "The attribute `id` of a person identified by email is omitted.")
ATTRIBUTES_RENAMED = _correction(
    "attributes_renamed",
    "For a person identified by metadata, `email`, `name` and `phone` are sent as `billing_email`, `billing_name` "
    "and `billing_phone`, without `id`; no other person gets their `id`.",
)
NAMES_CHANGED = _correction(
    "names_changed", "An event or attributes are sent under the names of the endpoint's settings."
)
IDENTIFIER_AS_TEXT = _correction("identifier_as_text", "A number that identifies a person or object is sent as text.")

# --- additions: Nicobar adds something to the call ---
EVENT_ID_ADDED = _addition("event_id_added", "An event gets an `id`, so that Customer.io ignores duplicates.")
TIMESTAMP_ADDED = _addition("timestamp_added", "An event gets its own time as `timestamp`.")
TEST_MARKED = _addition("test_marked", "A test event gets the attribute `nicobar_test`.")
PROFILE_ADDED = _addition("profile_added", "The customer's attributes are sent before the event.")
CUSTOMER_ID_ADDED = _addition(
    "customer_id_added", "An identify call of the customer gets the sender's customer ID as an attribute."
)

RULES: dict[str, Rule] = {rule.name: rule for rule in list(vars().values()) if isinstance(rule, Rule)}
