"""What the emulator's page shows: pages of lists, what a person did and received, and why a campaign sent nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Generic, TypeVar
from urllib.parse import urlencode

from nicobar.emulator.activities import Activity
from nicobar.emulator.campaign import Campaign, CampaignState, Email, Outcome, Silence, Trigger, Unsent
from nicobar.emulator.campaigns import Campaigns, plain
from nicobar.emulator.people import IDENTIFIERS, Person
from nicobar.emulator.sentences import as_reason
from nicobar.emulator.state import State
from nicobar.model import Record
from nicobar.reasons import Reason, reason
from nicobar.web.language import noop

PER_PAGE = 50
MAX_PAGE = 10_000
# How far back failures, the names of events and the reasons of unsent emails are looked for.
MAX_LOOKED_AT = 10_000
MAX_WAITING_SHOWN = 20
FAILURE = "attribute_update_failure"
T = TypeVar("T")


class Listed(Record, Generic[T]):
    """One page of a list, newest first. `newer` and `older` are the addresses of the pages beside it, "" if none."""

    rows: tuple[T, ...]
    number: int
    newer: str
    older: str


class Cause(Record):
    """The event of an email. `activity` is None if the call had no effect."""

    name: str
    id: str | None
    activity: Activity | None


class SilentCampaign(Record):
    """A campaign that has sent nothing. `near` is for one that an event or a person reached."""

    title: str
    why: Reason
    near: bool = False


class Shown:
    """The emulator's state as the page shows it. `nicobar_url` is where Nicobar's dashboard is, "" if unknown."""

    def __init__(self, state: State, campaigns: Campaigns, nicobar_url: str) -> None:
        self.state = state
        self.campaigns = campaigns
        self.nicobar_url = nicobar_url.rstrip("/")

    # --- emails ---

    def email(self, number: int) -> Email | None:
        return next((email for email in reversed(self.campaigns.emails) if email.number == number), None)

    def emails(self, *, sent: bool | None = None) -> list[Email]:
        """Newest first: all, those that were sent, or those that were not."""
        emails = reversed(self.campaigns.emails)
        return [email for email in emails if sent is None or (email.outcome is Outcome.SENT) is sent]

    def emails_of(self, person: Person) -> list[Email]:
        return [email for email in reversed(self.campaigns.emails) if email.cio_id == person.cio_id]

    def emails_by_activity(self, activities: Iterable[Activity]) -> dict[int, list[Email]]:
        """The emails that each activity triggered, by its number."""
        numbers = {activity.number for activity in activities}
        found: dict[int, list[Email]] = {}
        for email in self.campaigns.emails:
            if email.cause is not None and email.cause.number in numbers:
                found.setdefault(email.cause.number, []).append(email)
        return found

    def cause(self, email: Email) -> Cause | None:
        """None for an email of a segment."""
        if email.cause is not None:
            return Cause(name=email.cause.name, id=email.cause.id, activity=email.cause)
        unsent = next((item for item in reversed(self.campaigns.unsent) if item.email == email.number), None)
        if unsent is None or not unsent.event:
            return None
        return Cause(name=unsent.event, id=unsent.event_id, activity=None)

    # --- people and failures ---

    def failures(self) -> list[Activity]:
        """The latest attribute updates that failed."""
        latest = islice(reversed(self.state.activities), MAX_LOOKED_AT)
        return [activity for activity in latest if activity.type == FAILURE]

    def owner(self, activity: Activity) -> Person | None:
        owner = self.state.activities.owner(activity.number)
        return self.state.find("cio_id", owner) if owner is not None else None

    def person_named(self, key: str) -> Person | None:
        """By the identifier that is displayed."""
        found = (self.state.find(kind, key) for kind in IDENTIFIERS)
        return next(filter(None, found), self.state.find("cio_id", key.removeprefix("cio_")))

    def segments_of(self, person: Person) -> list[str]:
        """The names of defined segments, and the numbers of manual ones."""
        now = self.state.now()
        defined = {str(item.id): item.name for item in self.campaigns.segments}
        inside = [
            name for number, name in defined.items() if self.campaigns.is_in(number, person, person.attributes, now)
        ]
        return inside + sorted(person.segments - set(defined))

    # --- links to Nicobar ---

    def message_url(self, event_id: str | None, person: Person | None) -> str:
        """Where Nicobar shows the message that sent an event; "" for an event without an id, or if Nicobar's URL is
        not known.
        """
        if not self.nicobar_url or event_id is None:
            return ""
        customer = _customer(person) if person else ""
        query = {"q": event_id} | ({"customer": customer} if customer else {})
        return f"{self.nicobar_url}/logs?{urlencode(query)}"

    def customer_url(self, person: Person | None) -> str:
        """Where Nicobar shows the customer; "" if not known."""
        customer = _customer(person) if person else ""
        known = self.nicobar_url and customer
        return f"{self.nicobar_url}/customers/timeline?{urlencode({'key': customer})}" if known else ""

    # --- silence ---

    def silent_campaigns(self) -> list[SilentCampaign]:
        """The campaigns that have sent nothing, each with the latest reason; those that were reached first."""
        sending = {email.campaign for email in self.campaigns.emails if email.outcome is Outcome.SENT}
        waiting = {item.campaign for item in self.campaigns.waiting(MAX_LOOKED_AT)}
        latest = {item.campaign: item for item in self._unsent() if item.campaign}
        found = [
            self._silent(campaign, latest.get(campaign.title))
            for campaign in self.campaigns.campaigns
            if campaign.title not in sending | waiting
        ]
        return sorted(found, key=lambda item: not item.near)

    def events_without_campaign(self) -> list[str]:
        """The names of received events that no campaign waits for, the most frequent first."""
        counted = Counter(item.event for item in self._unsent() if item.reason is Silence.NO_CAMPAIGN)
        waited_for = {plain(item.name) for item in self.campaigns.campaigns if item.trigger is Trigger.EVENT}
        return [name for name, _ in counted.most_common() if plain(name) not in waited_for]

    def _unsent(self) -> Iterable[Unsent]:
        unsent = self.campaigns.unsent
        return islice(unsent, max(0, len(unsent) - MAX_LOOKED_AT), None)

    def _silent(self, campaign: Campaign, unsent: Unsent | None) -> SilentCampaign:
        title, name = campaign.title, campaign.name
        # Those of another name may have been received before the campaign was added.
        alike = [other for other in self._names() if plain(other) == plain(name) and other != name]
        waits_for_event = campaign.trigger is Trigger.EVENT
        if waits_for_event and alike and (unsent is None or unsent.reason is Silence.NAME_DIFFERS):
            text = noop("Campaign “%(title)s” waits for `%(name)s`; received: `%(received)s`.")
            why = reason("", text, title=title, name=name, received=alike[0])
        elif unsent is not None:
            why = reason("", "Campaign “%(title)s”: %(why)s.", title=title, why=as_reason(unsent.why))
        elif campaign.state is CampaignState.DRAFT:
            why = reason("", "Campaign “%(title)s” is a draft.", title=title)
        elif campaign.state is CampaignState.STOPPED:
            why = reason("", "Campaign “%(title)s” is stopped.", title=title)
        elif waits_for_event:
            text = noop("Campaign “%(title)s” waits for `%(name)s`, which was not received since it was added.")
            why = reason("", text, title=title, name=name)
        elif campaign.trigger is Trigger.SEGMENT:
            text = noop("Campaign “%(title)s” waits for the attribute `%(name)s`, which no one has.")
            wanted = f"{name} = {campaign.value}" if campaign.value else name
            why = reason("", text, title=title, name=wanted)
        else:
            text = noop("Campaign “%(title)s” waits for people in segment %(number)s. No one entered it.")
            why = reason("", text, title=title, number=name)
        return SilentCampaign(title=title, why=why, near=unsent is not None or bool(alike))

    def _names(self) -> Sequence[str]:
        return list({item.event: None for item in self._unsent() if item.event})


def listed(rows: Iterable[T], page: int, path: str, **query: str) -> Listed[T]:
    """The page of `rows`, newest first, with the addresses of the pages beside it."""
    start = (page - 1) * PER_PAGE
    found: Sequence[T] = list(islice(rows, start, start + PER_PAGE + 1))
    return Listed(
        rows=tuple(found[:PER_PAGE]),
        number=page,
        newer=_address(path, page - 1, query) if page > 1 else "",
        older=_address(path, page + 1, query) if len(found) > PER_PAGE else "",
    )


def _address(path: str, page: int, query: dict[str, str]) -> str:
    given = {**{name: value for name, value in query.items() if value}, **({"page": str(page)} if page > 1 else {})}
    return f"{path}?{urlencode(given)}" if given else path


def _customer(person: Person) -> str:
    """The customer id of the payment platform, as Nicobar sends it; else the person's own id."""
    return person.attributes.get("dodo_customer_id") or person.id or ""
