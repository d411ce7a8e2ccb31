"""The configuration, and look-ups of single messages and attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from nicobar.model import (
    AlertTarget,
    Application,
    Attempt,
    Delivery,
    Details,
    Endpoint,
    EventType,
    Identity,
    Message,
    Mode,
    PasswordLink,
    Record,
    Setting,
    Source,
    Token,
    User,
    UserRole,
)
from nicobar.reasons import Reason


class PutAlertTarget(Record, tag=True):
    """Adds the target of alerts, or replaces that with its id."""

    target: AlertTarget


class RemoveAlertTarget(Record, tag=True):
    target_id: str


class PutApplication(Record, tag=True):
    """Adds the application, or replaces that with its id."""

    application: Application


class RemoveApplication(Record, tag=True):
    """Deletes the application and its sources, and its endpoints as `RemoveEndpoint` does; history is kept."""

    app_id: str


class PutSource(Record, tag=True):
    """Adds the source, or replaces that with its id. Facts belong to a mode: if it changes, they are rebuilt."""

    source: Source


class RemoveSource(Record, tag=True):
    source_id: str


class PutEndpoint(Record, tag=True):
    """Adds the endpoint, or replaces that with its id. Transformations are kept, and so is a pause unless the
    change ends it (`ends_pause`). Enabling clears the reason for which it was disabled.
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
    retry_after_ms: tuple[int, ...] | None = None
    sealed_variables: bytes = b""
    variable_references: dict[str, str] = {}
    public_headers: tuple[str, ...] = ()
    mode: Mode | None = None
    business_ids: tuple[str, ...] = ()
    brand_ids: tuple[str, ...] = ()


class RemoveEndpoint(Record, tag=True):
    """Deletes the endpoint: nothing of it is claimed again, and no deliveries are created for it. Its unfinished
    deliveries are canceled by `Retention.cancel_removed`; its history is kept.
    """

    endpoint_id: str


class AddTransformation(Record, tag=True):
    """Adds `code` as the endpoint's newest version, which runs."""

    endpoint_id: str
    code: str
    created_at_ms: int


class EnableTransformation(Record, tag=True):
    """Enables or disables the endpoint's transformation; its versions are kept."""

    endpoint_id: str
    enabled: bool


class PauseEndpoint(Record, tag=True):
    """Pauses the endpoint until it is resumed (`reason` None). Unless a person has paused it `by_hand`, it is on
    hold: it is probed, and resumes once its destination accepts a delivery or its settings change.
    """

    endpoint_id: str
    reason: Reason | None
    by_hand: bool = False


class DisableEndpoint(Record, tag=True):
    """Stops deliveries to the endpoint until it is enabled; unfinished ones wait, new ones are not created."""

    endpoint_id: str
    reason: Reason


class PutEventType(Record, tag=True):
    event_type: EventType


class RemoveEventType(Record, tag=True):
    name: str


class PutToken(Record, tag=True):
    """Adds the token, or replaces that with its id."""

    token: Token


class BasedOn(Record, tag=True):
    """The other changes are based on this version of the configuration, and are rejected if it has changed. Prevents
    lost updates.
    """

    version: int


class SetRole(Record, tag=True):
    """Changes a user's role and revokes their link, which has the previous role. At least one owner must remain."""

    user_id: str
    role: UserRole


class SetPassword(Record, tag=True):
    """Changes a user's password."""

    user_id: str
    password_hash: str


class RemoveUser(Record, tag=True):
    """Deletes the user with their sessions and link. At least one owner must remain."""

    user_id: str


class AddUser(Record, tag=True):
    """Adds the user. Raises StoreMoved if there is one of that name."""

    user: User


class PutIdentity(Record, tag=True):
    """Links a provider's subject to a user. Raises StoreMoved if it is linked to another user."""

    identity: Identity


class EndSessions(Record, tag=True):
    """Ends all sessions of a user."""

    user_id: str


class PutLink(Record, tag=True):
    """Creates the link, and revokes the previous one of its user."""

    link: PasswordLink


class RemoveLink(Record, tag=True):
    """Revokes the link of a user."""

    name: str


class RemoveDraft(Record, tag=True):
    """Deletes the draft that the other changes were created from. Raises StoreMoved if it is gone or has another
    revision, so that nothing is created twice from one draft.
    """

    draft_id: str
    revision: int


class Audited(Record, tag=True):
    """A line of the audit log: actor, action and object. `detail` holds no secrets.

    Methods that change something outside the configuration get it as `audit_line`, and write it in the same
    transaction if anything was changed.
    """

    at_ms: int
    actor: str
    action: str
    app_id: str | None
    subject: str
    detail: str = ""


Change = (
    PutAlertTarget
    | RemoveAlertTarget
    | PutApplication
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
    | AddUser
    | PutIdentity
    | EndSessions
    | PutLink
    | RemoveLink
    | RemoveDraft
    | Audited
)


def is_made_alike(item: Endpoint | PutEndpoint, other: Endpoint | PutEndpoint) -> bool:
    """Whether both have the same connector, settings and credentials."""
    return _made_of(item) == _made_of(other)


def ends_pause(known: Endpoint, put: PutEndpoint) -> bool:
    """Whether a change ends a pause: what the destination rejected, such as the credentials, has changed."""
    return known.paused_reason is not None and not known.paused_by_hand and not is_made_alike(known, put)


def _made_of(item: Endpoint | PutEndpoint) -> tuple[object, ...]:
    return item.connector, item.settings, item.sealed_credentials, item.sealed_headers


class SealingKey(Record):
    """The key that seals, and those that it has replaced, of which `older_key_ids` may still be needed."""

    key_id: str
    older_key_ids: tuple[str, ...] = ()
    replaced_key_ids: tuple[str, ...] = ()


class Snapshot(Record):
    """The configuration at one moment. `version` grows with every change. `key` is the key of its secrets; None for a
    database that was never opened with one. `removed_modes` are those of deleted sources.
    """

    version: int
    applications: tuple[Application, ...]
    sources: tuple[Source, ...]
    endpoints: tuple[Endpoint, ...]
    event_types: tuple[EventType, ...]
    alert_targets: tuple[AlertTarget, ...] = ()
    key: SealingKey | None = None
    removed_modes: Mapping[str, Mode] = {}


class Catalogue(Protocol):
    """Configuration and look-ups."""

    async def version(self) -> int:
        """The version of the configuration; cheap enough to poll."""
        ...

    async def snapshot(self) -> Snapshot:
        """The whole configuration, read in one transaction."""
        ...

    async def change(self, changes: Sequence[Change]) -> int:
        """Applies the changes in one transaction; returns the new version. Raises StoreMoved, ConfigurationError."""
        ...

    async def message(self, message_id: str) -> Message | None: ...

    async def deliveries(self, message_id: str) -> list[Delivery]: ...

    async def attempts(self, message_id: str, endpoint_id: str) -> list[Attempt]:
        """The attempts of one delivery, first to last."""
        ...
