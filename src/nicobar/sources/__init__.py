"""The senders of webhooks. A kind of source is one folder here and one line in `SOURCES`, and inherits the contract
tests in `tests/contracts`. See `docs/how-to/add-a-source.md` for an example.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from nicobar.model import Customer, Event, EventType, Mode, Record
from nicobar.redaction import PersonalField


class Verified(Record):
    """A request with a valid signature. `event_id` is the sender's id of the event, the same on retries."""

    event_id: str


class Accepted(Record):
    """The HTTP statuses that the sender treats as success, for a `new` event and for a `duplicate`."""

    new: int = 202
    duplicate: int = 200


class SetupPart(StrEnum):
    """The part of a page that belongs to a setup step."""

    ADDRESS = "address"
    SECRET = "secret"  # noqa: S105 - the form for it
    FIRST_EVENT = "first_event"


class SetupStep(Record):
    """One step of connecting a sender: a sentence in English, which the dashboard translates."""

    text: str
    shows: SetupPart | None = None


class SourceKind(Protocol):
    """One sender's webhooks. Header names are in lower case, texts in English."""

    @property
    def kind(self) -> str:
        """The name in the API, the configuration file and the database: lower case, with hyphens."""
        ...

    @property
    def name(self) -> str:
        """The sender's name."""
        ...

    @property
    def summary(self) -> str:
        """What the sender's events are about, in one sentence."""
        ...

    @property
    def setup(self) -> tuple[SetupStep, ...]:
        """The setup steps in order. Each `SetupPart` belongs to at most one step."""
        ...

    @property
    def secret_example(self) -> str:
        """The start of a secret, such as `whsec_…`, as a placeholder."""
        ...

    @property
    def rotation_note(self) -> str:
        """What the sender does after a secret rotation; empty if unknown."""
        ...

    @property
    def clock_tolerance_s(self) -> int | None:
        """The maximum age of a signature in seconds, past or future; None if signatures carry no time."""
        ...

    @property
    def id_headers(self) -> tuple[str, ...]:
        """Headers that may have the event id, for the list of rejected requests; none if the id is in the body."""
        ...

    @property
    def accepted(self) -> Accepted: ...

    @property
    def usual_event_type(self) -> str:
        """The event type to try first; empty if the kind has no event types."""
        ...

    @property
    def customer_id_attribute(self) -> str:
        """The attribute under which destinations keep the sender's customer id, such as `acme_customer_id`; empty for
        none.
        """
        ...

    @property
    def personal_fields(self) -> tuple[PersonalField, ...]:
        """Where bodies have personal data that is masked in what is stored beside them and shown, beyond the field
        names that are masked in every event.
        """
        ...

    def check_secret(self, secret: str) -> None:
        """Raises UserError, which does not contain the secret, if `secret` is invalid for this kind."""
        ...

    def new_secret(self) -> str:
        """A random secret that `check_secret` accepts, as a test secret for a source without a sender."""
        ...

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_ms: int) -> Verified:
        """Checks the signature over the raw bytes with each of the secrets; `now_ms` is Unix milliseconds.

        Raises Refusal 401 for a missing, malformed, wrong, stale or future signature.
        """
        ...

    def read(self, headers: Mapping[str, str], body: bytes) -> Event:
        """Reads a verified request. Unknown types and fields are fine.

        Raises Refusal 400 if there is no valid event type: the request is stored as an unreadable event.
        """
        ...

    def read_body(self, event_type: str, body: bytes) -> Event:
        """Reads the body of an event whose type is known: one posted to the API, or a stored one. The customer and
        the facts are the same as from `read`: event ids depend on the customer. Never raises.
        """
        ...

    def mode_in(self, body: bytes) -> Mode | None:
        """The mode that links in a body suggest; None if they suggest none, or both. Never raises."""
        ...

    def event_types(self) -> tuple[EventType, ...]:
        """The kind's event types, each with an example body."""
        ...

    def nullable_fields(self, event_type: EventType) -> Collection[str]:
        """The fields of its events that the sender may leave empty (null), as paths below `data`, such as
        `billing.city`; none if unknown. Handlers are tried on samples without them.
        """
        ...

    def sample(
        self, event_type: EventType, now_ms: int, customer: Customer | None = None, *, event_id: str = ""
    ) -> bytes:
        """A body like the event type's example, as if it happened at `now_ms`, for `customer` if given. With an
        `event_id`, the ids in the body are unique, so that a sample sent twice counts as two payments.
        """
        ...

    def sign(self, event_id: str, body: bytes, secret: str, now_ms: int, *, event_type: str = "") -> dict[str, str]:
        """The headers that the sender would send with this body, for samples and tests. `event_type` is for senders
        that send it in a header.
        """
        ...
