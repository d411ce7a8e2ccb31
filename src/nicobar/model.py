"""The words of the domain as plain values, in the terms of the public Svix API. All frozen; times are Unix
milliseconds where the name ends in `_ms`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias, dataclass_transform

import msgspec

if TYPE_CHECKING:
    Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
else:
    Json = Any  # msgspec decodes no recursive alias; JSON is what it makes of "anything"
Setting: TypeAlias = str | int | bool


@dataclass_transform(frozen_default=True, kw_only_default=True)
class _RecordMeta(msgspec.StructMeta):
    """msgspec's `kw_only` is not inherited; here it is said once for every record."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, object], *, tag: bool = False) -> type:
        return super().__new__(cls, name, bases, namespace, frozen=True, kw_only=True, tag=tag)


class Record(msgspec.Struct, metaclass=_RecordMeta):
    """A plain, immutable value."""


# --- what is configured ---


class Application(Record):
    """A tenant. A merchant who runs Nicobar alone has one, `default`."""

    id: str
    uid: str


class Source(Record):
    """Where webhooks come in. `sealed_secrets` is the encrypted JSON list of the signing secrets, newest first;
    two are live during a rotation. `secret_references` names the environment variables they came from.
    """

    id: str
    app_id: str
    name: str
    kind: str
    token: str
    sealed_secrets: bytes
    secret_references: tuple[str, ...] = ()


class EventType(Record):
    """A kind of event: `name` such as `payment.succeeded`, what it means, a JSON schema and an example body."""

    name: str
    description: str = ""
    schema: Json = None
    example: Json = None


class Transformation(Record):
    """One version of an endpoint's JavaScript. Versions count from 1 and are never changed."""

    version: int
    code: str


class Endpoint(Record):
    """Where messages go. `seq` is the store's short key for it. `sealed_credentials` is an encrypted JSON object
    of the connector's secret fields, `credential_references` the environment variables they came from.
    `event_types` is the filter; empty means all. `paused_reason` is set while nothing is sent.
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


class Token(Record):
    """A bearer token of the API; only its SHA-256 is kept."""

    name: str
    sha256: str
    created_at_ms: int
    revoked_at_ms: int | None = None


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


class Message(Record):
    """One accepted event, its body kept byte for byte. `seq` grows in the order of acceptance."""

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


class DeliveryState(StrEnum):
    """`pending → sending → success | failed | canceled`."""

    PENDING = "pending"
    SENDING = "sending"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELED = "canceled"


class Delivery(Record):
    """Durable work: one message for one endpoint. `due_at_ms` is None while it waits behind an earlier delivery
    of the same customer and once it is finished. `tries` counts those that were spent on the retry schedule.
    """

    message_id: str
    endpoint_id: str
    state: DeliveryState
    tries: int
    due_at_ms: int | None
    reason: str | None


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
    """One try of a delivery, append-only. `status` is the answer's HTTP status, None when there was none."""

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
