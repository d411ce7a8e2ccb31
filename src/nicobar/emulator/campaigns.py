"""Which emails a campaign would have sent, and why it did not send one. Follows:
https://docs.customer.io/journeys/campaign-triggers.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, assert_never

from msgspec import Meta

from nicobar.emulator import liquid
from nicobar.emulator.activities import Activity
from nicobar.emulator.effects import Changed, Effect, Happened, Ignored, Repeated
from nicobar.emulator.people import Person
from nicobar.model import Json, Record

MAX_CAMPAIGNS = 100
MAX_EMAILS = 10_000
# How many recipients of once-per-person campaigns are remembered.
MAX_MAILED = 100_000
# https://docs.customer.io/journeys/importing-old-data.
MAX_TRIGGER_AGE_S = 72 * 3_600
_A = {"event": "an event", "page": "a page view", "screen": "a screen view"}
Text = Annotated[str, Meta(min_length=1, max_length=500)]
Body = Annotated[str, Meta(max_length=10_000)]


class Trigger(StrEnum):
    """What starts a campaign: a named event, or a person who enters a segment."""

    EVENT = "event"
    SEGMENT = "segment"


class Frequency(StrEnum):
    EVERY_TIME = "every_time"
    ONCE = "once"


class Campaign(Record):
    """A journey with one email. For an event trigger, `name` is the event's name. For a segment trigger, it is an
    attribute's name: the segment contains people with that attribute, and `value` if set. `subject` and `body`, text
    or HTML, may use `{{event.amount}}` and `{{customer.plan}}`.
    """

    title: Text
    trigger: Trigger
    name: Text
    value: str | None = None
    subject: Text = "Hello {{customer.email}}"
    body: Body = ""
    frequency: Frequency = Frequency.EVERY_TIME


class Email(Record):
    """An email that would have been sent. If not, `why_not` is the reason. `number` is its address on the page.
    `body` is rendered, and HTML if `is_html`. `cause` is the event that triggered it, None for a segment. `cio_id` is
    empty if the person does not exist.
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


class Campaigns:
    """Decides which effects start a campaign. `now` returns Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._campaigns: list[Campaign] = []
        self.emails: deque[Email] = deque(maxlen=MAX_EMAILS)
        self._had: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._next_number = 1

    @property
    def campaigns(self) -> tuple[Campaign, ...]:
        return tuple(self._campaigns)

    def put(self, campaigns: Sequence[Campaign]) -> None:
        """Replaces all, at most MAX_CAMPAIGNS."""
        self._campaigns = list(campaigns)

    def reset(self) -> None:
        """Deletes the emails and keeps the campaigns."""
        self.emails.clear()
        self._had.clear()

    def consider(self, effect: Effect) -> None:
        match effect:
            case Happened(person=person, activity=activity):
                for campaign in self._of_event(activity.type, activity.name):
                    self._on_event(campaign, person, activity)
            case Repeated(person=key, about=person, kind=kind, known_as=known_as, name=name, data=data):
                why = f"{_A[known_as]} with this id was already accepted"
                for campaign in self._of_event(kind, name):
                    self._note(campaign, key, person, data, why)
            case Ignored(person=key, kind=kind, name=name, why=why, data=data):
                for campaign in self._of_event(kind, name):
                    self._note(campaign, key, None, data, why)
            case Changed(person=person, before=before):
                for campaign in self._campaigns:
                    entered = _in(campaign, person.attributes) and not _in(campaign, before)
                    if campaign.trigger is Trigger.SEGMENT and entered:
                        self._send(campaign, person, {})
            case _:
                assert_never(effect)

    def _of_event(self, kind: str, name: str) -> list[Campaign]:
        """Event triggers ignore page and screen views."""
        wanted = name.casefold()
        return [
            campaign
            for campaign in self._campaigns
            if kind == "event" and campaign.trigger is Trigger.EVENT and campaign.name.casefold() == wanted and wanted
        ]

    def _on_event(self, campaign: Campaign, person: Person, activity: Activity) -> None:
        data, why = activity.data, None
        if campaign.name != activity.name:
            # Case sensitivity is not documented; a difference in case is almost certainly a mistake.
            expected = f'the campaign expects "{campaign.name}", the event is "{activity.name}"'
            why = f"the name differs in case: {expected}"
        elif self._now() - activity.timestamp > MAX_TRIGGER_AGE_S:
            why = "the event is older than 72 hours"
        if why is None:
            self._send(campaign, person, data, activity)
        else:
            self._note(campaign, person.key, person, data, why, cause=activity)

    def _send(self, campaign: Campaign, person: Person, data: dict[str, Json], cause: Activity | None = None) -> None:
        missing = liquid.missing(f"{campaign.subject}\n{campaign.body}", _values(data, person))
        why = None
        if not (data.get("recipient") or person.email):
            why = "the person has no email address"
        elif person.unsubscribed:
            why = "the person is unsubscribed"
        elif campaign.frequency is Frequency.ONCE and (campaign.title, person.cio_id) in self._had:
            why = "the person has already received this campaign"
        elif missing:
            why = f"the email uses {missing}, which is missing"
        if why is None:
            self._had[campaign.title, person.cio_id] = None
            if len(self._had) > MAX_MAILED:
                self._had.popitem(last=False)
        self._note(campaign, person.key, person, data, why, cause=cause)

    def _note(
        self,
        campaign: Campaign,
        key: str,
        person: Person | None,
        data: dict[str, Json],
        why_not: str | None,
        *,
        cause: Activity | None = None,
    ) -> None:
        recipient = data.get("recipient")
        values, is_html = _values(data, person), "</" in campaign.body
        self.emails.append(
            Email(
                campaign=campaign.title,
                person=key,
                to=recipient if isinstance(recipient, str) else person.email if person else None,
                subject=liquid.render(campaign.subject, values),
                data=data,
                at=int(self._now()),
                why_not=why_not,
                number=self._next_number,
                cio_id=person.cio_id if person else "",
                body=liquid.render(campaign.body, values, html=is_html),
                is_html=is_html,
                cause=cause,
            )
        )
        self._next_number += 1


def _in(campaign: Campaign, attributes: Mapping[str, str]) -> bool:
    value = attributes.get(campaign.name)
    return value is not None and campaign.value in {None, "", value}


def _values(data: Mapping[str, Json], person: Person | None) -> dict[str, Mapping[str, Json]]:
    own: dict[str, Json] = dict(person.attributes) if person else {}
    return {"event": data, "customer": {**own, "id": person.id if person else None}}
