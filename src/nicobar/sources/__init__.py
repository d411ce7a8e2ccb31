"""Where webhooks come from. A kind of source is one folder here and one line in `SOURCES`; it inherits the
contract tests in `tests/contracts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from nicobar.model import Event, EventType, Record


class Verified(Record):
    """A request whose signature holds. `event_id` is the sender's id of the event, the same on its retries."""

    event_id: str


class SourceKind(Protocol):
    """Knows one sender's webhooks."""

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    def check_secret(self, secret: str) -> None:
        """Raises UserError, without the secret in it, when `secret` cannot be one of this kind's."""
        ...

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_ms: int) -> Verified:
        """Checks the signature over the raw bytes. Header names are in lower case.

        Raises Refusal 401 for a missing, malformed, wrong, stale or future signature.
        """
        ...

    def read(self, body: bytes) -> Event:
        """Reads what the envelope says. Unknown types and fields are fine.

        Raises Refusal 400 unless the body is a JSON object with a usable `type`.
        """
        ...

    def event_types(self) -> tuple[EventType, ...]:
        """The kind's own event types, each with an example body."""
        ...

    def sign(self, event_id: str, body: bytes, secret: str, now_ms: int) -> dict[str, str]:
        """The headers that a sender would send, for samples and tests."""
        ...
