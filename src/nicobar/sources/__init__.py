"""Where webhooks come from. A kind of source is one folder here and one line in `SOURCES`; it inherits the
contract tests in `tests/contracts`. `docs/how-to/add-a-source.md` shows one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from nicobar.model import Customer, Event, EventType, Record


class Verified(Record):
    """A request whose signature holds. `event_id` is the sender's id of the event, the same on its retries."""

    event_id: str


class Accepted(Record):
    """The HTTP statuses that the sender understands as success: for a `new` event and for a `duplicate`."""

    new: int = 202
    duplicate: int = 200


class SetupPart(StrEnum):
    """What a page shows with a step of the setup."""

    ADDRESS = "address"
    SECRET = "secret"  # noqa: S105 - the form for it
    FIRST_EVENT = "first_event"


class SetupStep(Record):
    """One step of connecting a sender: a sentence in English, which the dashboard translates."""

    text: str
    shows: SetupPart | None = None


class SourceKind(Protocol):
    """Knows one sender's webhooks. All names of headers are in lower case, all texts in English."""

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
        """One sentence: what the sender's events are about."""
        ...

    @property
    def setup(self) -> tuple[SetupStep, ...]:
        """How to connect the sender, in order. Each `SetupPart` stands in at most one step."""
        ...

    @property
    def secret_example(self) -> str:
        """What a secret begins with, such as `whsec_…`, for an empty form field."""
        ...

    @property
    def rotation_note(self) -> str:
        """What the sender does after its secret was rotated; empty if nothing is known."""
        ...

    @property
    def clock_tolerance_s(self) -> int | None:
        """How many seconds old or early a signature may be; None if signatures carry no time."""
        ...

    @property
    def id_header(self) -> str:
        """The header with the event's id, to name a rejected request by; empty if the id is in the body."""
        ...

    @property
    def accepted(self) -> Accepted: ...

    @property
    def usual_event_type(self) -> str:
        """The event type to try first; empty if the kind has no event types of its own."""
        ...

    def check_secret(self, secret: str) -> None:
        """Raises UserError, without the secret in it, when `secret` cannot be one of this kind's."""
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

        Raises Refusal 400 unless there is a usable event type. A request that was verified and is not readable is
        answered with it.
        """
        ...

    def read_body(self, event_type: str, body: bytes) -> Event:
        """Reads what the body alone says of an event whose type is known: one that was posted to the API, or one
        that was stored. The customer is the one that `read` finds: ids of events depend on it. Never raises.
        """
        ...

    def event_types(self) -> tuple[EventType, ...]:
        """The kind's own event types, each with an example body."""
        ...

    def sample(
        self, event_type: EventType, now_ms: int, customer: Customer | None = None, *, event_id: str = ""
    ) -> bytes:
        """A body like the event type's example, as if it happened at `now_ms`, about `customer` if one is given.
        With an `event_id` the ids in it are its own, so that a sample that is sent again is another payment.
        """
        ...

    def sign(self, event_id: str, body: bytes, secret: str, now_ms: int, *, event_type: str = "") -> dict[str, str]:
        """The headers that the sender would send with this body, for samples and tests. `event_type` is for senders
        that put it into a header.
        """
        ...
