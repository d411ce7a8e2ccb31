"""The terms of the domain as plain, frozen values, named as in the public Svix API. Times are Unix milliseconds if
the name ends in `_ms`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, dataclass_transform

import msgspec

from nicobar.reasons import Reason

if TYPE_CHECKING:
    Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
else:
    Json = Any  # msgspec cannot decode a recursive alias; it decodes Any as JSON
Setting: TypeAlias = str | int | bool | dict[str, str]


@dataclass_transform(frozen_default=True, kw_only_default=True)
class _RecordMeta(msgspec.StructMeta):
    """msgspec's `kw_only` is not inherited, so it is set here for every record."""

    def __new__(
        cls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, object],
        *,
        tag: bool = False,
        rename: Literal["camel"] | None = None,
        forbid_unknown_fields: bool = False,
        gc: bool = True,
    ) -> type:
        if rename is None:  # inherited from the base
            return super().__new__(
                cls,
                name,
                bases,
                namespace,
                frozen=True,
                kw_only=True,
                tag=tag,
                forbid_unknown_fields=forbid_unknown_fields,
                gc=gc,
            )
        return super().__new__(cls, name, bases, namespace, frozen=True, kw_only=True, tag=tag, rename=rename)


class Record(msgspec.Struct, metaclass=_RecordMeta):
    """A plain, immutable value."""


# --- configuration ---


class Details(Record):
    """A description, free `metadata`, and when something was created and updated (Unix ms; 0 if that was not stored
    yet).
    """

    description: str = ""
    metadata: dict[str, str] = {}
    created_at_ms: int = 0
    updated_at_ms: int = 0


class Application(Record):
    """Isolated sources and endpoints. A merchant who runs Nicobar alone has one application, `default`. `uid` is the
    merchant's own id, and defaults to the id.
    """

    id: str
    uid: str
    name: str = ""
    details: Details = Details()


class Mode(StrEnum):
    """Whether events are about real money."""

    LIVE = "live"
    TEST = "test"


class Source(Record):
    """Where webhooks arrive. `sealed_secrets` is the encrypted JSON list of the signing secrets, newest first;
    two are accepted during a rotation, the older one until `older_until_ms` or, without it, until it is removed.
    `secret_references` names the environment variables they came from. `mode` is that of its events, None if it
    is not stated. `history_complete_since_ms`: it has received all events of the shop, which opened then; None if
    there were events before.
    """

    id: str
    app_id: str
    name: str
    kind: str
    token: str
    sealed_secrets: bytes
    secret_references: tuple[str, ...] = ()
    uid: str | None = None
    details: Details = Details()
    older_until_ms: int | None = None
    mode: Mode | None = None
    history_complete_since_ms: int | None = None


# Letters and digits of any script; some senders, such as shops, use paths or colons: orders/paid, order:created.
EVENT_TYPE_NAME = re.compile(r"[\w\-./:+~@]{1,256}")
# The event type of a message whose own type cannot be read.
UNREADABLE_EVENT_TYPE = "nicobar.unreadable"


class EventType(Record):
    """A kind of event: `name` such as `payment.succeeded`, its meaning, a JSON schema and an example body. An
    `archived` one is hidden. `schemas` are those of the API, by version. `retry_after_ms` is the delay before each
    retry of its deliveries; None for the endpoint's.
    """

    name: str
    description: str = ""
    schema: Json = None
    example: Json = None
    archived: bool = False
    deprecated: bool = False
    schemas: Json = None
    group_name: str | None = None
    feature_flags: tuple[str, ...] = ()
    created_at_ms: int = 0
    updated_at_ms: int = 0
    retry_after_ms: tuple[int, ...] | None = None


class Transformation(Record):
    """One version of an endpoint's JavaScript. Versions count from 1 and are never changed."""

    version: int
    code: str


# The code of the reason why an endpoint sends nothing after a restore.
RESTORED_CODE = "restored"


class Endpoint(Record):
    """Where messages go. `seq` is the store's short key for it. `sealed_credentials` is an encrypted JSON object
    of the connector's secret fields, `credential_references` the environment variables they came from,
    `sealed_headers` an encrypted JSON object of headers sent with each request (empty: none). `event_types` and
    `channels` are the filter; empty means all. `max_messages_per_s` is None if only the connector's own rate
    applies. `mode`, `business_ids` and `brand_ids` are its scope: it gets messages of sources of that mode, and about
    these businesses and brands of the sender; None and empty mean all. `retry_after_ms` is the delay before each
    retry of its deliveries; None for that of the settings.
    `sealed_variables` is an encrypted JSON object of the secret variables (empty: none), `variable_references` the
    environment variables they came from. `public_headers` are the names, in lower case, of headers whose values
    everybody may see.

    A transformation runs only if `transformation_enabled`. `paused_reason` is set while nothing is sent:
    `paused_by_hand` if only a user ends that, otherwise Nicobar does as well. `disabled_reason` is set if Nicobar
    disabled the endpoint.
    """

    seq: int
    id: str
    app_id: str
    name: str
    connector: str
    settings: dict[str, Setting]
    sealed_credentials: bytes
    credential_references: dict[str, str]
    event_types: tuple[str, ...]
    variables: dict[str, str]
    disabled: bool
    paused_reason: Reason | None
    transformation: Transformation | None
    disabled_reason: Reason | None = None
    max_messages_per_s: int | None = None
    channels: tuple[str, ...] = ()
    sealed_headers: bytes = b""
    transformation_enabled: bool = True
    uid: str | None = None
    details: Details = Details()
    paused_by_hand: bool = False
    retry_after_ms: tuple[int, ...] | None = None
    sealed_variables: bytes = b""
    variable_references: dict[str, str] = {}
    public_headers: tuple[str, ...] = ()
    mode: Mode | None = None
    business_ids: tuple[str, ...] = ()
    brand_ids: tuple[str, ...] = ()

    @property
    def on_hold(self) -> bool:
        """Whether Nicobar stopped it, for its destination or for a restore; what else stops it is a user."""
        why = self.paused_reason
        return why is not None and (not self.paused_by_hand or why.code == RESTORED_CODE)


class Scope(StrEnum):
    """What a token allows: everything or only reading; the same for one application; or creating its messages."""

    ADMIN = "admin"
    READ_ONLY = "read_only"
    APPLICATION = "application"
    APPLICATION_READ_ONLY = "application_read_only"
    APPLICATION_MESSAGES = "application_messages"


class Token(Record):
    """A bearer token of the API; only its SHA-256 is kept. `app_id` is set for the scopes of one application. A
    dashboard link has a `portal` token; `session_id` is the id that its creator gave it.
    """

    id: str
    name: str
    sha256: str
    created_at_ms: int
    scope: Scope = Scope.ADMIN
    app_id: str | None = None
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None
    last_used_at_ms: int | None = None
    portal: bool = False
    session_id: str | None = None


class UserRole(StrEnum):
    """What a user may do in the dashboard: everything; everything except users and tokens; view only."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"


class User(Record):
    """A user who signs in by name and password, of which only an argon2 hash is stored; it is empty for one without a
    password, who signs in at the provider.
    """

    id: str
    name: str
    role: UserRole
    password_hash: str
    created_at_ms: int


class Identity(Record):
    """The user of a subject of an OpenID Connect provider. Only issuer and subject together never change hands."""

    issuer: str
    subject: str
    user_id: str
    created_at_ms: int


class PasswordLink(Record):
    """A link that sets the password and role of the user of that name, once, and creates a missing user. Only the
    SHA-256 of its secret is stored.
    """

    name: str
    sha256: str
    role: UserRole
    created_at_ms: int
    expires_at_ms: int


class TargetKind(StrEnum):
    """How an alert is sent: by email, or as a POST in the receiver's own form."""

    EMAIL = "email"
    WEBHOOK = "webhook"
    SLACK = "slack"
    PAGERDUTY = "pagerduty"


class AlertTarget(Record):
    """Where alerts are sent. `sealed` is an encrypted JSON object of the address and its secret, `references` the
    environment variables they came from. `alert_types` are the types that are sent there; empty means all.
    """

    id: str
    name: str
    sealed: bytes
    kind: TargetKind
    alert_types: tuple[str, ...] = ()
    references: dict[str, str] = {}
    has_secret: bool = False
    created_at_ms: int = 0
    updated_at_ms: int = 0


class AlertResult(Record):
    """How the latest alert to a target ended; `reason` says why it was not sent."""

    at_ms: int
    alert_type: str
    reason: Reason | None = None


# --- events and deliveries ---


class Customer(Record):
    """The customer that an event is about. `key` is the sender's id for the customer. `metadata` is what the shop's
    checkout said about them; buyers may have set it.
    """

    key: str
    email: str | None = None
    name: str | None = None
    metadata: dict[str, Json] = {}


class FactKind(StrEnum):
    """What a fact is about."""

    CUSTOMER = "customer"
    SUBSCRIPTION = "subscription"
    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"


class Fact(Record):
    """What an event states about an object of its sender; without `fields` and `metadata` it only names the object.
    Fields have the same names and meanings for all senders (`docs/reference/facts.md`): money in minor units, times
    in Unix milliseconds. `customer_id`, `payment_id` and `subscription_ids` name other objects. What is not stated is
    missing; what is stated as null is None. `is_final`: no later event can take it back, such as a payment that
    succeeded.
    """

    kind: FactKind
    id: str
    fields: dict[str, Json] = {}
    metadata: dict[str, Json] = {}
    is_final: bool = False


class Event(Record):
    """What a source reads from a body. `occurred_at_ms` is the event's own time, None if it has none. Its `facts`
    are newer than those of another event by `occurred_at_ms`, then by `updated_at_ms`, the time of the object's last
    change, then by `ranks`, which say how far the status and the event type are from the object's beginning.
    """

    event_type: str
    occurred_at_ms: int | None
    customer: Customer | None
    facts: tuple[Fact, ...] = ()
    updated_at_ms: int | None = None
    ranks: tuple[int, int] = (0, 0)
    business_id: str | None = None
    brand_id: str | None = None


# The source of alerts: Nicobar sends operational messages to the alert endpoint. They do not belong to the
# application's own messages. Queries of the store name it too.
ALERT_SOURCE_ID = "operational"


# The event id of a message that the API accepted with an idempotency key and without an event id: this, and the key's
# SHA-256. No sender's event id of the API has a colon.
IDEMPOTENCY_KEY_PREFIX = "idempotency-key:"


def given_event_id(message_id: str, event_id: str) -> str | None:
    """The event id that a sender has given; None if Nicobar has made it."""
    return None if event_id == message_id or event_id.startswith(IDEMPOTENCY_KEY_PREFIX) else event_id


class Message(Record):
    """One accepted event, its body kept byte for byte. `seq` grows in the order of acceptance. The body is empty once
    the message was erased. `channels` select the endpoints that receive it, `tags` are for search, `params` are
    passed to the handler as `transformationsParams`. The customer's email and name are empty if the event has
    none; they are None if they are to be read from the body.
    """

    seq: int
    id: str
    app_id: str
    source_id: str
    event_id: str
    event_type: str
    customer_key: str | None
    occurred_at_ms: int
    accepted_at_ms: int
    body: bytes
    channels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    params: Json = None
    deliver_at_ms: int | None = None
    expunged_at_ms: int | None = None
    customer_email: str | None = None
    customer_name: str | None = None


# How a delivery ended that succeeded, with warnings about its calls.
WARNED = "warned"


class DeliveryState(StrEnum):
    """`pending → sending → success | failed | canceled`."""

    PENDING = "pending"
    SENDING = "sending"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELED = "canceled"


class Delivery(Record):
    """Durable work: one message for one endpoint. `due_at_ms` is None while it is queued after an earlier delivery of
    the same customer (`behind` is that delivery's message, `behind_until_ms` when it is due) and once it is finished.
    `attempts_used` counts attempts of the retry schedule, `edition` how often new ids were requested. `replay_key`
    names the replay or resend that last requested new ids, empty for none; None keeps the ids of the earlier scheme.
    `overtaken_at_ms` is when the customer's later deliveries no longer had to wait for it. `warned`: it succeeded,
    with warnings; False if that is not known.
    """

    message_id: str
    endpoint_id: str
    state: DeliveryState
    attempts_used: int
    due_at_ms: int | None
    reason: Reason | None
    ended_at_ms: int | None = None
    behind: str | None = None
    behind_until_ms: int | None = None
    edition: int = 0
    replay_key: str | None = ""
    overtaken_at_ms: int | None = None
    warned: bool = False

    @property
    def outcome(self) -> str:
        """The state, or WARNED."""
        return WARNED if self.warned else self.state.value


class Setbacks(Record):
    """What a delivery has been through since it was queued. `failing_since_ms` is when its first attempt failed,
    `failed_at_ms` the latest, other than by a 429. `back_at_ms`: it was hastened after an outage, and returns to this
    place on its schedule if that attempt fails. `overtaken_at_ms` as in `Delivery`. `throttled_since_ms`: since then
    the destination has only answered 429; `throttling_shown_at_ms` is the last attempt that was stored for it.
    """

    failing_since_ms: int | None = None
    failed_at_ms: int | None = None
    back_at_ms: int | None = None
    overtaken_at_ms: int | None = None
    throttled_since_ms: int | None = None
    throttling_shown_at_ms: int | None = None


class BreakerState(StrEnum):
    """Whether requests are sent to an endpoint: all, none, or one as a probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Hold(Record):
    """How an endpoint on hold is probed. `probes` counts the probes so far; `probe_at_ms` is the time of the next
    probe, None once the destination has accepted one: then one delivery is sent.
    """

    probes: int = 0
    probe_at_ms: int | None = None


class Streak(Record):
    """Consecutive failures of a destination without a success: since when, why at first, and how many `requests`
    failed and `deliveries` with them, counted up to what makes an outage or a suspicion. `message_ids` are two of
    their messages. `failing` says that the last one counts for the breaker.
    """

    since_ms: int
    reason: Reason
    requests: int = 0
    deliveries: int = 0
    message_ids: tuple[str, ...] = ()
    failing: bool = False


class Outage(Record):
    """An outage that has ended. The deliveries that failed last in this time are hastened."""

    since_ms: int
    until_ms: int


class Breaker(Record):
    """The health of a destination. `failures` counts consecutive failures, `failing_since_ms` is when they began.
    While OPEN, `probe_at_ms` is when one delivery is attempted, and `opens` counts failed probes. `failed_days`
    counts the days since it opened that had a failure, `last_failed_day` is the last of them, from 0. `foreign`: one
    of the failures was a response that did not come from the destination itself. `hold` is set while the endpoint is
    on hold; the other values do not change then. `streak` outlives changes of the configuration, since only a success
    ends an outage; `ended` is set until the outage's deliveries are hastened.
    """

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    failing_since_ms: int | None = None
    opens: int = 0
    opened_at_ms: int | None = None
    probe_at_ms: int | None = None
    failed_days: int = 0
    last_failed_day: int | None = None
    reason: Reason | None = None
    foreign: bool = False
    hold: Hold | None = None
    streak: Streak | None = None
    ended: Outage | None = None


class Level(StrEnum):
    """The severity of a verdict: an error stops the call, a warning does not; a correction changed the form of a
    value, an addition added a missing one.
    """

    ERROR = "error"
    WARNING = "warning"
    CORRECTION = "correction"
    ADDITION = "addition"


class Verdict(Record):
    """A finding of the contract check about one call. The reason's code is the rule, its location the `path` into the
    call, `[call].field.field`; `source` names where the fact is documented.
    """

    level: Level
    reason: Reason
    source: str

    @property
    def rule(self) -> str:
        return self.reason.code

    @property
    def path(self) -> str:
        return str(self.reason.location or "")


class Call(Record):
    """One outgoing API call that a handler requests."""

    method: str
    url: str
    headers: dict[str, str]
    payload: Json


class RequestRecord(Record):
    """A request as an attempt shows it: secret headers masked, body as text with the delivery's own calls, one per
    line. `others` counts the calls of other deliveries in the same request.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: str
    others: int = 0


class Attempt(Record):
    """One attempt of a delivery, append-only. `status` is the HTTP status of the response, None without one;
    `response_headers` are its headers, bounded and with credentials masked.
    `next_try_at_ms` is set if a retry follows; `manual` if a user requested the attempt. `snapshot` is what the
    handler has read of the ledger, as JSON (see `pipeline/snapshots.py`), empty if it has read nothing.
    """

    id: str
    started_at_ms: int
    duration_ms: int
    state: DeliveryState
    reason: Reason | None
    transformation_version: int | None
    requests: tuple[RequestRecord, ...] = ()
    status: int | None = None
    response: str = ""
    response_headers: dict[str, str] = {}
    console: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    next_try_at_ms: int | None = None
    manual: bool = False
    snapshot: str = ""

    @property
    def is_warned(self) -> bool:
        """Whether it succeeded with warnings."""
        return self.state is DeliveryState.SUCCESS and any(found.level is Level.WARNING for found in self.verdicts)

    @property
    def first_warning(self) -> Reason | None:
        """What it was warned about first."""
        return next((found.reason for found in self.verdicts if found.level is Level.WARNING), None)

    @property
    def outcome(self) -> str:
        """The state, or WARNED."""
        return WARNED if self.is_warned else self.state.value
