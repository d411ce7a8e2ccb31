"""Customer.io's Track API as data: its calls, their fields, and every documented limit.

Sources: the specification behind https://docs.customer.io/integrations/api/track unless another page is named.
"""

from __future__ import annotations

import re

from nicobar.model import Record

TRACK = "https://docs.customer.io/integrations/api/track/"
_CALLS = f"{TRACK}tag/"
ENTITY_CALL = f"{_CALLS}track_v2/entity/"
IDENTIFY_CALL = f"{_CALLS}track-customers/identify/"
DEVICE_CALL = f"{_CALLS}track-customers/add_device/"
MERGE_CALL = f"{_CALLS}track-customers/merge/"
EVENT_CALL = f"{_CALLS}track-events/track/"
ANONYMOUS_CALL = f"{_CALLS}track-events/trackAnonymous/"
SEGMENT_CALL = f"{_CALLS}track-segments/add_to_segment/"
INVALID = "https://docs.customer.io/journeys/invalid-api-requests"
TIMESTAMPS = "https://docs.customer.io/journeys/faq-timestamps"
OLD_DATA = "https://docs.customer.io/journeys/importing-old-data"
IDENTIFYING = "https://docs.customer.io/journeys/identifying-people"
RESERVED = "https://docs.customer.io/messaging/people/reserved-attributes"
TRIGGERS = "https://docs.customer.io/journeys/campaign-triggers"
TIME_ZONES = "https://docs.customer.io/messaging/send/timezones/example-timezones"
LETTER_CASE = "https://docs.customer.io/accounts-and-workspaces/case-sensitivity"

# Paths.
ENTITY = "/api/v2/entity"
BATCH = "/api/v2/batch"
REGION = "/api/v1/accounts/region"

MAX_ITEM_BYTES = 32 * 1024
MAX_BATCH_BYTES = 500_000
MAX_ID_BYTES = 150
MAX_ATTRIBUTE_NAME_BYTES = 150
MAX_ATTRIBUTE_VALUE_BYTES = 1_000
MAX_ATTRIBUTES = 300
MAX_EVENT_NAME_BYTES = 100
MAX_V1_DATA_BYTES = 100_000
# Of one relationship. In v2, the limit of an object is smaller.
MAX_RELATIONSHIP_BYTES = 100_000
MAX_SEGMENT_IDS = 1_000
# The values of `id_type` in the query of a segment call; defaults to `id`.
SEGMENT_ID_TYPES = ("id", "email", "cio_id")
# Older events are stored but do not trigger campaigns: https://docs.customer.io/journeys/importing-old-data.
MAX_TRIGGER_AGE_S = 72 * 3_600
# In the year 5138; larger values are milliseconds.
MAX_TIMESTAMP_S = 99_999_999_999


class Action(Record):
    """One `type` and `action` of v2 with its required and optional fields; Customer.io ignores others."""

    type: str
    action: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def is_event(self) -> bool:
        """Whether it is an event of a person, which may trigger campaigns."""
        return self.type == "person" and "name" in self.required


_EVENT = ("id", "timestamp", "attributes")
_ACTIONS = (
    Action(
        type="person",
        action="identify",
        required=("identifiers",),
        optional=("attributes", "timestamp", "cio_relationships"),
    ),
    Action(type="person", action="event", required=("identifiers", "name"), optional=_EVENT),
    Action(type="person", action="page", required=("identifiers", "name"), optional=_EVENT),
    Action(type="person", action="screen", required=("identifiers", "name"), optional=_EVENT),
    Action(type="person", action="delete", required=("identifiers",)),
    Action(type="person", action="add_relationships", required=("identifiers", "cio_relationships")),
    Action(type="person", action="delete_relationships", required=("identifiers", "cio_relationships")),
    Action(type="person", action="add_device", required=("identifiers", "device")),
    Action(type="person", action="delete_device", required=("identifiers", "device")),
    # The only action with other fields for its people.
    Action(type="person", action="merge", required=("primary", "secondary")),
    Action(type="person", action="suppress", required=("identifiers",)),
    Action(type="person", action="unsuppress", required=("identifiers",)),
    Action(type="object", action="identify", required=("identifiers",), optional=("attributes", "cio_relationships")),
    Action(
        type="object",
        action="identify_anonymous",
        required=("identifiers",),
        optional=("attributes", "cio_relationships"),
    ),
    Action(type="object", action="delete", required=("identifiers",)),
    Action(type="object", action="add_relationships", required=("identifiers", "cio_relationships")),
    Action(type="object", action="delete_relationships", required=("identifiers", "cio_relationships")),
    Action(type="delivery", action="event", required=("identifiers", "name", "attributes")),
)
ACTIONS: dict[str, dict[str, Action]] = {
    kind: {action.action: action for action in _ACTIONS if action.type == kind}
    for kind in ("person", "object", "delivery")
}

PERSON_IDENTIFIERS = ("id", "email", "phone", "cio_id")
# The specification of v2 does not name it, but Customer.io accepts events of other senders that use it.
EVENT_IDENTIFIERS = (*PERSON_IDENTIFIERS, "anonymous_id")
MERGE_IDENTIFIERS = ("id", "email", "cio_id")
DELIVERY_NAMES = ("opened", "converted", "delivered")
PLATFORMS = ("ios", "android")
EVENT_TYPES = ("event", "page", "screen")
RELATIONSHIP_ACTIONS = ("add_relationships", "delete_relationships")

# Set by Customer.io and not to be changed, unlike id, email, phone and anonymous_id.
OWN_ATTRIBUTES = frozenset({"cio_id", "cio_timezone"})
# What Customer.io reads of a person itself, besides identifiers.
READ_ATTRIBUTES = frozenset({"email", "unsubscribed", "timezone", "cio_subscription_preferences"})
# Those of them that handlers write in other letters; all names are case-sensitive.
CASED_ATTRIBUTES = frozenset({"email", "unsubscribed", "timezone"})
# A single preference, as a path.
TOPICS_PREFIX = "cio_subscription_preferences.topics."
# Override To, From and Reply-To of campaign emails.
MAIL_PROPERTIES = frozenset({"recipient", "from_address", "reply_to"})
# The underscored names that a sender may use.
USABLE_INTERNAL = frozenset({"_update", "_timestamp"})

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII | re.IGNORECASE)
_PHONE = re.compile(r"\+[1-9][0-9]{5,14}")
_OBJECT_TYPE = re.compile(r"[1-9][0-9]{0,18}")


def is_ulid(text: str) -> bool:
    """26 characters of Crockford's base 32, in capital or small letters."""
    return _ULID.fullmatch(text) is not None


def is_phone(text: str) -> bool:
    """E.164: a plus sign, the country, the number."""
    return _PHONE.fullmatch(text) is not None


def is_object_type(text: str) -> bool:
    """The number of an object type, counted from 1, as text."""
    return _OBJECT_TYPE.fullmatch(text) is not None


V1_ROOT = "/api/v1/"


class V1Call(Record):
    """A call of v1. `segments` is the path below `root`, with `*` for one percent-encoded segment; `body` is the kind
    of body. `empty_status` is the status that means success with an empty body; if None, only a JSON object does.
    """

    method: str
    segments: tuple[str, ...]
    body: str
    empty_status: int | None = None
    root: str = V1_ROOT

    @property
    def path(self) -> str:
        return self.root + "/".join(self.segments)


V1_CALLS = (
    V1Call(method="PUT", segments=("customers", "*"), body="identify"),
    V1Call(method="DELETE", segments=("customers", "*"), body="none"),
    V1Call(method="POST", segments=("customers", "*", "events"), body="event"),
    V1Call(method="POST", segments=("events",), body="event"),
    V1Call(method="POST", segments=("customers", "*", "suppress"), body="none"),
    V1Call(method="POST", segments=("customers", "*", "unsuppress"), body="none"),
    V1Call(method="PUT", segments=("customers", "*", "devices"), body="device"),
    V1Call(method="DELETE", segments=("customers", "*", "devices", "*"), body="none"),
    V1Call(method="POST", segments=("merge_customers",), body="merge"),
    V1Call(method="POST", segments=("segments", "*", "add_customers"), body="segment"),
    V1Call(method="POST", segments=("segments", "*", "remove_customers"), body="segment"),
    V1Call(method="POST", segments=("forms", "*", "submit"), body="form", empty_status=204),
    V1Call(method="POST", segments=("metrics",), body="any"),
    V1Call(method="POST", segments=("push", "events"), body="any"),
    V1Call(method="POST", segments=("unsubscribe", "*"), body="any", root="/"),
)

# The bodies of v1 calls that report something; the others set or remove something.
V1_EVENT_BODIES = frozenset({"event", "form", "any"})


def v1_call(method: str, path: str) -> V1Call | None:
    """The v1 call of a path such as `/api/v1/customers/u%2F1/events`; None if unknown."""
    given = path.partition("?")[0]
    for call in V1_CALLS:
        if call.method == method and given.startswith(call.root):
            parts = given.removeprefix(call.root).split("/")
            pairs = zip(call.segments, parts, strict=False)
            if len(call.segments) == len(parts) and all(
                part if wanted == "*" else part == wanted for wanted, part in pairs
            ):
                return call
    return None
