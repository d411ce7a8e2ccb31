"""What a campaign is, the emails that it makes, and why it made none."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from nicobar.emulator.activities import Activity
from nicobar.emulator.conditions import Condition, Conditions, Operator, Subject, Text
from nicobar.model import Json, Record

MAX_EXITS = 20
MAX_DELAY_S = 366 * 86_400
MAX_DAYS = 366
Body = Annotated[str, Meta(max_length=10_000)]


class Trigger(StrEnum):
    """What starts a campaign: a named event, a person who gets an attribute, or one who enters a segment."""

    EVENT = "event"
    SEGMENT = "segment"
    ENTERS = "enters_segment"


class Frequency(StrEnum):
    EVERY_TIME = "every_time"
    ONCE = "once"
    EVERY_DAYS = "every_days"


class CampaignState(StrEnum):
    RUNNING = "running"
    DRAFT = "draft"
    STOPPED = "stopped"


class Sending(StrEnum):
    """Whether messages are sent, or wait as drafts until a user sends them, which is Customer.io's own default."""

    AUTOMATICALLY = "automatically"
    AS_DRAFT = "as_draft"


class Audience(StrEnum):
    SUBSCRIBED = "subscribed"
    EVERYONE = "everyone"


class Exit(Record, forbid_unknown_fields=True):
    """What ends a journey that waits: an event with this name, or without one, a change of the person; in both cases
    only if the conditions are met.
    """

    event: Text | None = None
    conditions: Conditions = ()

    def __post_init__(self) -> None:
        if self.event is None and (not self.conditions or any(item.on is Subject.EVENT for item in self.conditions)):
            raise ValueError("an exit needs an event, or conditions on the person")


class Campaign(Record, forbid_unknown_fields=True):
    """A journey with one email. For an event trigger, `name` is the event's name. For a segment trigger, it is an
    attribute's name: the segment contains people with that attribute, and `value` if set. For `enters_segment`, it is
    the segment's number. `subject` and `body`, text or HTML, may use `{{event.amount}}` and `{{customer.plan}}`.
    """

    title: Text
    trigger: Trigger
    name: Text
    value: str | None = None
    subject: Text = "Hello {{customer.email}}"
    body: Body = ""
    frequency: Frequency = Frequency.EVERY_TIME
    days: Annotated[int, Meta(ge=1, le=MAX_DAYS)] | None = None
    state: CampaignState = CampaignState.RUNNING
    sending: Sending = Sending.AUTOMATICALLY
    audience: Audience = Audience.SUBSCRIBED
    conditions: Conditions = ()
    exits: Annotated[tuple[Exit, ...], Meta(max_length=MAX_EXITS)] = ()
    delay_s: Annotated[int, Meta(ge=0, le=MAX_DELAY_S)] = 0

    def __post_init__(self) -> None:
        if (self.frequency is Frequency.EVERY_DAYS) is (self.days is None):
            raise ValueError("days belongs to the frequency every_days")
        if self.trigger is not Trigger.EVENT and any(item.on is Subject.EVENT for item in self.conditions):
            raise ValueError("only a campaign that an event triggers has conditions on an event")


class Segment(Record, forbid_unknown_fields=True):
    """A segment of people by their attributes. Segments without a definition are manual: calls add people to them."""

    id: Annotated[int, Meta(ge=1, le=10**9)]
    name: Text
    conditions: Annotated[tuple[Condition, ...], Meta(min_length=1, max_length=20)]

    def __post_init__(self) -> None:
        if any(item.on is not Subject.PERSON for item in self.conditions):
            raise ValueError("the conditions of a segment are on the person")

    @property
    def depends_on_time(self) -> bool:
        return any(item.operator in {Operator.BEFORE, Operator.AFTER} for item in self.conditions)


class Outcome(StrEnum):
    """`draft`: the message waits as a draft; `would`: the campaign is a draft, and would have sent it."""

    SENT = "sent"
    DRAFT = "draft"
    WOULD = "would"
    NOT_SENT = "not_sent"


class Silence(StrEnum):
    """Why no email was sent, as a stable code."""

    NO_CAMPAIGN = "no_campaign"
    NAME_DIFFERS = "name_differs"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    TOO_OLD = "too_old"
    STOPPED = "stopped"
    CONDITION = "condition"
    FREQUENCY = "frequency"
    EXITED = "exited"
    DELETED = "deleted"
    NO_ADDRESS = "no_address"
    UNSUBSCRIBED = "unsubscribed"
    MISSING_FIELD = "missing_field"
    DRAFT_CAMPAIGN = "draft_campaign"
    DRAFT_MESSAGE = "draft_message"


class Email(Record):
    """An email that would have been sent. If not, `reason` and `why_not` say why. `number` is its place on the page.
    `body` is rendered, and HTML if `is_html`. `cause` is the event that triggered it, None for a segment or an event
    without effect. `cio_id` is empty if the person does not exist. `at` is in Unix seconds of the emulator's clock.
    """

    campaign: str
    person: str
    to: str | None
    subject: str
    data: dict[str, Json]
    at: int
    why_not: str | None = None
    number: int = 0
    cio_id: str = ""
    body: str = ""
    is_html: bool = False
    cause: Activity | None = None
    outcome: Outcome = Outcome.SENT
    reason: Silence | None = None


class Unsent(Record):
    """An event, or an entry into a segment, after which a campaign sent no email; without a `campaign`, none waits
    for the event. `waits_for` is the campaign's event or segment. `event` is empty for a segment. `email` is the
    number of the email that was not sent, None if there is none to show.
    """

    at: int
    reason: Silence
    why: str
    person: str
    cio_id: str
    campaign: str | None
    waits_for: str | None
    event: str
    event_id: str | None
    activity: int | None
    email: int | None


class Waiting(Record):
    """An email that waits for its campaign's delay to end, at `due`."""

    campaign: str
    person: str
    cio_id: str
    due: int
    since: int
    cause: Activity | None
