"""The words of the domain as plain values, in the terms of the public Svix API. All frozen; times are Unix
milliseconds where the name ends in `_ms`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, dataclass_transform

import msgspec

if TYPE_CHECKING:
    Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
else:
    Json = Any  # msgspec decodes no recursive alias; JSON is what it makes of "anything"
Setting: TypeAlias = str | int | bool


@dataclass_transform(frozen_default=True, kw_only_default=True)
class _RecordMeta(msgspec.StructMeta):
    """msgspec's `kw_only` is not inherited; here it is said once for every record."""

    def __new__(
        cls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, object],
        *,
        tag: bool = False,
        rename: Literal["camel"] | None = None,
    ) -> type:
        if rename is None:  # what the base says holds
            return super().__new__(cls, name, bases, namespace, frozen=True, kw_only=True, tag=tag)
        return super().__new__(cls, name, bases, namespace, frozen=True, kw_only=True, tag=tag, rename=rename)


class Record(msgspec.Struct, metaclass=_RecordMeta):
    """A plain, immutable value."""


# --- what is configured ---


class Details(Record):
    """What people keep beside a thing: free `metadata`, a description, and when it was made and changed (Unix ms; 0
    for what was made before that was kept).
    """

    description: str = ""
    metadata: dict[str, str] = {}
    created_at_ms: int = 0
    updated_at_ms: int = 0


class Application(Record):
    """A tenant. A merchant who runs Nicobar alone has one, `default`. `uid` is the merchant's own id for it, the id
    itself where there is none.
    """

    id: str
    uid: str
    name: str = ""
    details: Details = Details()


class Source(Record):
    """Where webhooks come in. `sealed_secrets` is the encrypted JSON list of the signing secrets, newest first;
    two are live during a rotation, the older one until `older_until_ms` or, without it, as long as it stands there.
    `secret_references` names the environment variables they came from.
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


# Letters and digits of any script; senders such as shops use paths: orders/paid.
EVENT_TYPE_NAME = re.compile(r"[\w\-./]{1,256}")


class EventType(Record):
    """A kind of event: `name` such as `payment.succeeded`, what it means, a JSON schema and an example body. One that
    is `archived` is not offered any more. `schemas` are those of the API, by version.
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


class Transformation(Record):
    """One version of an endpoint's JavaScript. Versions count from 1 and are never changed."""

    version: int
    code: str


class Endpoint(Record):
    """Where messages go. `seq` is the store's short key for it. `sealed_credentials` is an encrypted JSON object
    of the connector's secret fields, `credential_references` the environment variables they came from,
    `sealed_headers` an encrypted JSON object of headers that go with each request (empty: none). `event_types` and
    `channels` are the filter; empty means all. `max_messages_per_s` is None where only the connector's own rate
    holds.

    A transformation that is not `transformation_enabled` does not run. `paused_reason` is set while nothing is sent,
    `paused_by_hand` says whether a person wanted it so; otherwise the endpoint is on hold. `disabled_reason` says why
    an endpoint was disabled that nobody disabled.
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
    paused_reason: str | None
    transformation: Transformation | None
    disabled_reason: str | None = None
    max_messages_per_s: int | None = None
    channels: tuple[str, ...] = ()
    sealed_headers: bytes = b""
    transformation_enabled: bool = True
    uid: str | None = None
    details: Details = Details()
    paused_by_hand: bool = False


class Scope(StrEnum):
    """What a token may do: everything, or read everything; the same in one application; or make messages in one."""

    ADMIN = "admin"
    READ_ONLY = "read_only"
    APPLICATION = "application"
    APPLICATION_READ_ONLY = "application_read_only"
    APPLICATION_MESSAGES = "application_messages"


class Token(Record):
    """A bearer token of the API; only its SHA-256 is kept. `app_id` is set for the scopes of one application. A link
    to the dashboard carries a `portal` token; `session_id` is what its maker knows it by.
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
    """What somebody may do in the dashboard: everything; everything but users and tokens; look."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"


class User(Record):
    """Somebody who signs in by name and password; of the password an argon2 hash is kept."""

    id: str
    name: str
    role: UserRole
    password_hash: str
    created_at_ms: int


class PasswordLink(Record):
    """A link that sets the password of the user of that name, once, with the role, and makes the user where there is
    none yet. Of what stands in it the SHA-256 is kept.
    """

    name: str
    sha256: str
    role: UserRole
    created_at_ms: int
    expires_at_ms: int


# --- what happens ---


class Customer(Record):
    """Whom an event is about. `key` is the sender's id for the customer; deliveries are ordered by it."""

    key: str
    email: str | None = None
    name: str | None = None


class Event(Record):
    """What a source reads out of a body. `occurred_at_ms` is the event's own time, None if it says none."""

    event_type: str
    occurred_at_ms: int | None
    customer: Customer | None


# The source of alerts: what Nicobar says of itself travels to the alert endpoint as a message, and is none of the
# application's messages. Queries of the store name it too.
ALERT_SOURCE_ID = "operational"


class Message(Record):
    """One accepted event, its body kept byte for byte. `seq` grows in the order of acceptance. The body is empty once
    it was expunged. `channels` narrow the endpoints that get it, `tags` are for finding it, `params` reach the
    handler as `transformationsParams`.
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


class DeliveryState(StrEnum):
    """`pending → sending → success | failed | canceled`."""

    PENDING = "pending"
    SENDING = "sending"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELED = "canceled"


class Delivery(Record):
    """Durable work: one message for one endpoint. `due_at_ms` is None while it waits behind an earlier delivery
    of the same customer and once it is finished: `behind` is then that delivery's message, `behind_until_ms` when it
    is due. `tries` counts those that were spent on the retry schedule, `edition` how often ids of its own were asked
    for. `replay_key` names the replay or resend that requested new ids last, empty for none; None is a delivery that
    keeps the ids of the earlier scheme.
    """

    message_id: str
    endpoint_id: str
    state: DeliveryState
    tries: int
    due_at_ms: int | None
    reason: str | None
    ended_at_ms: int | None = None
    behind: str | None = None
    behind_until_ms: int | None = None
    edition: int = 0
    replay_key: str | None = ""


class BreakerState(StrEnum):
    """Whether requests go to an endpoint: all of them, none, or one that finds out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Hold(Record):
    """How an endpoint on hold is probed. `probes` counts the probes so far; `probe_at_ms` is when the destination is
    asked next, None once it has answered the harmless call well: then one delivery may go out.
    """

    probes: int = 0
    probe_at_ms: int | None = None


class Breaker(Record):
    """What is known of a destination's health. `failures` counts those in a row, `failing_since_ms` is the first of
    them; while OPEN, `probe_at_ms` is when one delivery is tried, and `opens` counts the probes that failed.
    `failed_days` counts the days since it opened in which one failed, `last_failed_day` is the last of them, from 0.
    `foreign` says that one of the failures was an answer that is not the destination's own. `hold` is set while the
    endpoint is on hold, and the rest rests then.
    """

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    failing_since_ms: int | None = None
    opens: int = 0
    opened_at_ms: int | None = None
    probe_at_ms: int | None = None
    failed_days: int = 0
    last_failed_day: int | None = None
    reason: str | None = None
    foreign: bool = False
    hold: Hold | None = None


class Level(StrEnum):
    """How much a verdict weighs: an error stops the call, a warning does not; a correction sends what was written in
    another form, an addition sends what was left out.
    """

    ERROR = "error"
    WARNING = "warning"
    CORRECTION = "correction"
    ADDITION = "addition"


class Verdict(Record):
    """What the contract says of one call. `path` points into the call, `[call].field.field`; `source` names where
    the fact is documented.
    """

    level: Level
    rule: str
    path: str
    reason: str
    fix: str
    source: str


class Call(Record):
    """One outgoing API call that a handler asks for."""

    method: str
    url: str
    headers: dict[str, str]
    payload: Json


class RequestRecord(Record):
    """A request as an attempt shows it: secret headers masked, body as text with the delivery's own calls, a line
    each. `others` counts the calls of other deliveries that travelled in the same request.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: str
    others: int = 0


class Attempt(Record):
    """One try of a delivery, append-only. `status` is the answer's HTTP status, None when there was none.
    `next_try_at_ms` is set where another one follows; `manual` says that somebody asked for it.
    """

    id: str
    started_at_ms: int
    duration_ms: int
    state: DeliveryState
    reason: str | None
    transformation_version: int | None
    requests: tuple[RequestRecord, ...] = ()
    status: int | None = None
    response: str = ""
    console: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    next_try_at_ms: int | None = None
    manual: bool = False
