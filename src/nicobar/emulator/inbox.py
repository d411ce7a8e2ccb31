"""What the emulator's page shows: pages of lists, what a person did and received, and why a campaign sent nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Generic, TypeVar
from urllib.parse import urlencode

from nicobar.emulator.activities import Activity
from nicobar.emulator.campaign import Campaign, Email, Trigger
from nicobar.emulator.campaign import Silence as Unsent
from nicobar.emulator.campaigns import Campaigns
from nicobar.emulator.people import IDENTIFIERS, Person
from nicobar.emulator.state import State
from nicobar.model import Record
from nicobar.reasons import Reason, plain, reason

PER_PAGE = 50
MAX_PAGE = 10_000
# How far back failures and the names of events are looked for.
MAX_LOOKED_AT = 10_000
MAX_NAMES = 5
FAILURE = "attribute_update_failure"
_APART = re.compile(r"[\W_]+")
T = TypeVar("T")


class Listed(Record, Generic[T]):
    """One page of a list, newest first. `newer` and `older` are the addresses of the pages beside it, "" if none."""

    rows: tuple[T, ...]
    number: int
    newer: str
    older: str


class Failure(Record):
    """An attribute update that failed, and the person it was for; None if the person no longer exists."""

    activity: Activity
    person: Person | None


class Silence(Record):
    """Why a campaign has sent nothing. `close` is for one that its event or person reached."""

    campaign: str
    why: Reason
    close: bool = False


class Shown:
    """The emulator's state as the page shows it. `nicobar_url` is where Nicobar's dashboard is, "" if unknown."""

    def __init__(self, state: State, campaigns: Campaigns, nicobar_url: str) -> None:
        self.state = state
        self.campaigns = campaigns
        self.nicobar_url = nicobar_url.rstrip("/")

    def email(self, number: int) -> Email | None:
        return next((email for email in reversed(self.campaigns.emails) if email.number == number), None)

    def emails(self, *, sent: bool | None = None) -> list[Email]:
        """Newest first: all, those that were sent, or those that were not."""
        return [email for email in reversed(self.campaigns.emails) if sent is None or (email.why_not is None) is sent]

    def emails_of(self, person: Person) -> list[Email]:
        return [email for email in reversed(self.campaigns.emails) if email.cio_id == person.cio_id]

    def emails_by_event(self, activities: Iterable[Activity]) -> dict[int, list[Email]]:
        """The emails that each activity triggered, by its place."""
        places = {_event_key(activity): place for place, activity in enumerate(activities)}
        found: dict[int, list[Email]] = {}
        for email in self.campaigns.emails:
            place = None if email.cause is None else places.get(_event_key(email.cause))
            if place is not None:
                found.setdefault(place, []).append(email)
        return found

    def failures(self) -> list[Failure]:
        """The latest attribute updates that failed."""
        latest = islice(reversed(self.state.activities), MAX_LOOKED_AT)
        return [self.failure(activity) for activity in latest if activity.type == FAILURE]

    def failure(self, activity: Activity) -> Failure:
        return Failure(activity=activity, person=self.person_of(activity))

    def person_of(self, activity: Activity) -> Person | None:
        return self.person_named(activity.person)

    def person_named(self, key: str) -> Person | None:
        """By the identifier that is displayed."""
        found = (self.state.find(kind, key) for kind in IDENTIFIERS)
        return next(filter(None, found), self.state.find("cio_id", key.removeprefix("cio_")))

    def message_url(self, activity: Activity) -> str:
        """Where Nicobar shows the message that sent an event; "" for one without an id, or if Nicobar's URL is not
        known.
        """
        if not self.nicobar_url or activity.id is None:
            return ""
        person = self.person_of(activity)
        customer = _customer(person) if person else ""
        return (
            f"{self.nicobar_url}/logs?{urlencode({'q': activity.id} | ({'customer': customer} if customer else {}))}"
        )

    def customer_url(self, person: Person) -> str:
        """Where Nicobar shows the customer; "" if not known."""
        customer = _customer(person)
        known = self.nicobar_url and customer
        return f"{self.nicobar_url}/customers/timeline?{urlencode({'key': customer})}" if known else ""

    def silences(self) -> list[Silence]:
        """The campaigns that have sent nothing, each with the reason; those with a mistake to find first."""
        sending = {email.campaign for email in self.campaigns.emails if email.why_not is None}
        names = self.received()
        found = [self._silence(item, names) for item in self.campaigns.campaigns if item.title not in sending]
        return sorted(found, key=lambda silence: not silence.close)

    def received(self) -> list[str]:
        """The names of received events, the most frequent first."""
        activities = islice(reversed(self.state.activities), MAX_LOOKED_AT)
        counted = Counter(activity.name for activity in activities if activity.type == "event")
        return [name for name, _ in counted.most_common()]

    def _silence(self, campaign: Campaign, names: Sequence[str]) -> Silence:
        refused = [
            email.why_not
            for email in self.campaigns.emails
            if email.campaign == campaign.title and email.reason is not Unsent.NAME_DIFFERS
        ]
        if refused:
            return Silence(campaign=campaign.title, why=plain(str(refused[-1])), close=True)
        if campaign.trigger is Trigger.SEGMENT:
            name = f"{campaign.name} = {campaign.value}" if campaign.value else campaign.name
            why = reason("no_attribute", "waits for the attribute %(name)s; nobody has got it", name=name)
            return Silence(campaign=campaign.title, why=why)
        alike = [name for name in names if simplified(name) == simplified(campaign.name)]
        if alike:
            waits = "waits for %(name)s; received: %(received)s"
            why = reason("other_name", waits, name=campaign.name, received=", ".join(alike))
        else:
            why = reason("no_event", "waits for %(name)s, which was not received", name=campaign.name)
        return Silence(campaign=campaign.title, why=why, close=bool(alike))


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


def simplified(name: str) -> str:
    """An event's name without what people confuse: case, spaces, underscores and other signs."""
    return _APART.sub("", name).casefold()


def _address(path: str, page: int, query: dict[str, str]) -> str:
    given = {**{name: value for name, value in query.items() if value}, **({"page": str(page)} if page > 1 else {})}
    return f"{path}?{urlencode(given)}" if given else path


def _event_key(activity: Activity) -> tuple[str, str, int]:
    return (activity.id or "", activity.name, activity.timestamp)


def _customer(person: Person) -> str:
    """The customer id of the payment platform, as Nicobar sends it; else the person's own id."""
    return person.attributes.get("dodo_customer_id") or person.id or ""
