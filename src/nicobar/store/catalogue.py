"""What is configured, and look-ups of single things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nicobar.model import (
    Application,
    Attempt,
    Delivery,
    Details,
    Endpoint,
    EventType,
    Message,
    PasswordLink,
    Record,
    Setting,
    Source,
    Token,
    UserRole,
)
from nicobar.reasons import Reason


class PutApplication(Record, tag=True):
    """Adds the application, or replaces the one with its id."""

    application: Application


class RemoveApplication(Record, tag=True):
    """Takes the application out, with its sources, and with its endpoints as `RemoveEndpoint` does; history stays."""

    app_id: str


class PutSource(Record, tag=True):
    """Adds the source, or replaces the one with its id."""

    source: Source


class RemoveSource(Record, tag=True):
    source_id: str


class PutEndpoint(Record, tag=True):
    """Adds the endpoint, or replaces the one with its id; its transformations stay as they are, and so does its pause
    unless it ends (`ends_pause`). The reason for which it was disabled goes when it is enabled.
    """

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
    max_messages_per_s: int | None = None
    channels: tuple[str, ...] = ()
    sealed_headers: bytes = b""
    uid: str | None = None
    details: Details = Details()


class RemoveEndpoint(Record, tag=True):
    """Takes the endpoint out: from now on nothing of it is claimed, and no delivery is made for it. What it has left
    is canceled by `Retention.cancel_removed`; its history stays.
    """

    endpoint_id: str


class AddTransformation(Record, tag=True):
    """Makes `code` the endpoint's newest version, which is the one that runs."""

    endpoint_id: str
    code: str
    created_at_ms: int


class EnableTransformation(Record, tag=True):
    """Switches the endpoint's transformation on or off; its versions stay."""

    endpoint_id: str
    enabled: bool


class PauseEndpoint(Record, tag=True):
    """Stops sending to the endpoint until it is resumed (`reason` None). Where no person has paused it `by_hand`, it
    is on hold: it is probed, and resumed once its destination accepts a delivery or it has become another one.
    """

    endpoint_id: str
    reason: Reason | None
    by_hand: bool = False


class DisableEndpoint(Record, tag=True):
    """Stops sending to the endpoint and making deliveries for it, until it is enabled. What is not finished waits."""

    endpoint_id: str
    reason: Reason


class PutEventType(Record, tag=True):
    event_type: EventType


class RemoveEventType(Record, tag=True):
    name: str


class PutToken(Record, tag=True):
    """Adds the token, or replaces the one with its id."""

    token: Token


class BasedOn(Record, tag=True):
    """Goes first: what follows was decided on this version of the configuration, and is refused on another one. So
    two who change the same thing at once do not undo one another.
    """

    version: int


class SetRole(Record, tag=True):
    """Gives a user another role; their link, which has the one before, ends. Somebody has to be owner afterwards."""

    user_id: str
    role: UserRole


class SetPassword(Record, tag=True):
    """Gives a user another password."""

    user_id: str
    password_hash: str


class RemoveUser(Record, tag=True):
    """Takes the user out, with their sessions and their link. Somebody has to be owner afterwards."""

    user_id: str


class EndSessions(Record, tag=True):
    """Signs a user out everywhere."""

    user_id: str


class PutLink(Record, tag=True):
    """Makes this the one link of its user."""

    link: PasswordLink


class RemoveLink(Record, tag=True):
    """Ends the link of a user."""

    name: str


class RemoveDraft(Record, tag=True):
    """Removes the draft that the other changes were made from. Raises StoreMoved where it is gone or has another
    revision, so that nothing is created from one draft twice.
    """

    draft_id: str
    revision: int


class Audited(Record, tag=True):
    """Says in the audit log who did what to which thing. `detail` holds no secrets.

    What changes something outside the configuration takes one as `audit_line`. It stands in the log if anything was
    changed, both in one transaction.
    """

    at_ms: int
    actor: str
    action: str
    app_id: str | None
    subject: str
    detail: str = ""


Change = (
    PutApplication
    | RemoveApplication
    | PutSource
    | RemoveSource
    | PutEndpoint
    | RemoveEndpoint
    | AddTransformation
    | EnableTransformation
    | PauseEndpoint
    | DisableEndpoint
    | PutEventType
    | RemoveEventType
    | PutToken
    | BasedOn
    | SetRole
    | SetPassword
    | RemoveUser
    | EndSessions
    | PutLink
    | RemoveLink
    | RemoveDraft
    | Audited
)


def is_made_alike(item: Endpoint | PutEndpoint, other: Endpoint | PutEndpoint) -> bool:
    """Whether both have the same connector, settings and credentials, so that what was learned of one holds."""
    return _made_of(item) == _made_of(other)


def ends_pause(known: Endpoint, put: PutEndpoint) -> bool:
    """Whether a change ends a pause: what the destination refused, such as the credentials, is not what it was."""
    return known.paused_reason is not None and not known.paused_by_hand and not is_made_alike(known, put)


def _made_of(item: Endpoint | PutEndpoint) -> tuple[object, ...]:
    return item.connector, item.settings, item.sealed_credentials, item.sealed_headers


class Snapshot(Record):
    """The configuration at one moment. `version` grows with every change."""

    version: int
    applications: tuple[Application, ...]
    sources: tuple[Source, ...]
    endpoints: tuple[Endpoint, ...]
    event_types: tuple[EventType, ...]


class Catalogue(Protocol):
    """Configuration and look-ups."""

    async def version(self) -> int:
        """The snapshot's version; cheap, so that processes can ask often."""
        ...

    async def snapshot(self) -> Snapshot:
        """All of the configuration, read in one transaction."""
        ...

    async def change(self, changes: Sequence[Change]) -> int:
        """Makes the changes in one transaction, all or none; returns the new version. Raises StoreMoved."""
        ...

    async def message(self, message_id: str) -> Message | None: ...

    async def deliveries(self, message_id: str) -> list[Delivery]: ...

    async def attempts(self, message_id: str, endpoint_id: str) -> list[Attempt]:
        """The tries of one delivery, first to last."""
        ...
